//! Secrets as the keys of one JSON object.
//!
//! A value is never copied by the JSON library: it finds where each begins and ends, and the one
//! that is asked for is copied from there into a buffer that is wiped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use strongroom_backend::{SecretValue, json};

use crate::error::{Fault, Result};
use crate::listing::MAX_ENTRIES;

/// The keys of a JSON object, each with the text of its value.
pub(crate) struct Keys<'t>(BTreeMap<String, &'t RawValue>);

impl<'t> Keys<'t> {
    /// Reads the text of a file; `path` is for messages.
    pub(crate) fn parse(bytes: &'t [u8], path: &Path) -> Result<Self> {
        let damaged = |text: String| Fault::Damaged {
            path: path.to_owned(),
            text,
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|error| damaged(format!("byte {} is not UTF-8", error.valid_up_to())))?;
        // The library's own messages quote what they stumble over.
        serde_json::from_str(text).map_err(|error| {
            let what = match error.classify() {
                Category::Data => format!(
                    "it must be one object in which no key stands twice, of at most {MAX_ENTRIES} \
                     keys"
                ),
                _ => "it is not JSON".to_owned(),
            };
            damaged(format!(
                "{what} (line {}, column {})",
                error.line(),
                error.column()
            ))
        })
    }

    /// The value of a key; none where there is no such key.
    pub(crate) fn value(&self, key: &str, path: &Path) -> Result<Option<SecretValue>> {
        let Some(raw) = self.0.get(key) else {
            return Ok(None);
        };
        json::text(raw.get())
            .map(Some)
            .ok_or_else(|| Fault::Damaged {
                path: path.to_owned(),
                text: format!("the value of the key {key} has an escape that is no character"),
            })
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// All keys, in byte order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Keys<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Keys<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Keys<'de>, A::Error> {
                let mut keys = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    // Which of two values another program would take, nobody can say.
                    if keys.insert(key, value).is_some() || keys.len() > MAX_ENTRIES {
                        return Err(A::Error::custom("refused"));
                    }
                }
                Ok(Keys(keys))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strongroom_backend::Error;
    use strongroom_backend_testkit::Canary;

    use super::*;

    fn value(text: &str, key: &str) -> Option<Vec<u8>> {
        let keys = Keys::parse(text.as_bytes(), Path::new("f")).unwrap();
        keys.value(key, Path::new("f"))
            .unwrap()
            .map(|value| value.expose().to_vec())
    }

    #[test]
    fn strings_are_their_text_and_the_rest_is_as_written() {
        let text = r#" { "a": "x\ny\"\\\/\b\f\r\t\u00e9\ud83d\ude00é" , "b/c" : {"d": [1, 2.50]} ,
            "n": null, "t": true, "f": 1e3, "e": "", "a\u0062": "escaped key" } "#;
        let a = "x\ny\"\\/\u{8}\u{c}\r\t\u{e9}\u{1f600}\u{e9}";
        assert_eq!(value(text, "a").unwrap(), a.as_bytes());
        assert_eq!(value(text, "b/c").unwrap(), br#"{"d": [1, 2.50]}"#);
        for (key, expected) in [("n", "null"), ("t", "true"), ("f", "1e3"), ("e", "")] {
            assert_eq!(value(text, key).unwrap(), expected.as_bytes());
        }
        assert_eq!(value(text, "ab").unwrap(), b"escaped key");
        assert_eq!(value(text, "b"), None);
        assert_eq!(value(text, "d"), None);
    }

    #[test]
    fn what_is_not_one_object_with_unique_keys_is_refused_without_quoting_it() {
        let canary = Canary::new("canary-3c11-value");
        let many: Vec<String> = (0..=MAX_ENTRIES).map(|n| format!("\"{n}\":1")).collect();
        for text in [
            String::new(),
            "{".to_owned(),
            "\"canary-3c11-value\"".to_owned(),
            "[\"canary-3c11-value\"]".to_owned(),
            "{\"a\": \"canary-3c11-value\", \"a\": 1}".to_owned(),
            "{\"a\": 1, \"\\u0061\": \"canary-3c11-value\"}".to_owned(),
            "{\"a\": canary-3c11-value}".to_owned(),
            "{\"a\": \"canary-3c11-value}".to_owned(),
            "{\"a\": \"canary-3c11-value\n\"}".to_owned(),
            "{\"a\": \"canary-3c11-value\"} x".to_owned(),
            "{\"a\": \"canary-3c11-value\",}".to_owned(),
            "{'a': 'canary-3c11-value'}".to_owned(),
            "\u{feff}{}".to_owned(),
            format!("{{\"a\":{}", "[".repeat(500_000)),
            format!("{{{}}}", many.join(",")),
        ] {
            let shown = text.chars().take(60).collect::<String>();
            let fault = Keys::parse(text.as_bytes(), Path::new("f"))
                .err()
                .expect(&shown);
            assert!(matches!(fault, Fault::Damaged { .. }), "{shown}");
            assert!(
                canary.found_in_error(&Error::from(fault)).is_none(),
                "{shown}"
            );
        }
        assert!(Keys::parse(b"{\"a\": \"\xff\"}", Path::new("f")).is_err());
    }

    #[test]
    fn half_characters_are_refused() {
        for text in [
            r"\ud800",
            r"\udc00",
            r"\ud800\ud800",
            r"\ud800x",
            r"\ud800\n",
            r"\ude00\ud83d",
        ] {
            let text = format!("{{\"a\":\"{text}\"}}");
            let keys = Keys::parse(text.as_bytes(), Path::new("f")).unwrap();
            assert!(keys.value("a", Path::new("f")).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let plain = serde_json::to_string(&text).unwrap();
            let escaped: String = text.encode_utf16().map(|u| format!("\\u{u:04x}")).collect();
            for string in [plain, format!("\"{escaped}\"")] {
                let file = format!("{{\"a\":{string}}}");
                prop_assert_eq!(value(&file, "a").unwrap(), text.as_bytes());
            }
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(keys) = Keys::parse(&bytes, Path::new("f")) {
                let names: Vec<_> = keys.names().collect();
                prop_assert!(names.is_sorted());
            }
        }
    }
}
