//! JSON documents: one object, a member a secret.
//!
//! A member is a string, or an object with either `value` or, where the value is not UTF-8,
//! `value-base64`. Numbers and the like are refused: what they would become is a guess.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use strongroom_backend::SecretValue;
use zeroize::Zeroizing;

use super::{Malformed, Variable};

/// Reads all members in order.
///
/// # Errors
///
/// What is not JSON, with its line; a member that is not text, or that stands twice, by name.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Variable>, Malformed> {
    let document: Document = serde_json::from_slice(text).map_err(|error| {
        // The library's own text may quote what it found.
        let what = format!("not a JSON object (column {})", error.column());
        Malformed::new(error.line().max(1), what)
    })?;
    document.0.map_err(|what| Malformed::new(1, what))
}

/// Writes one document with the members in order.
pub(crate) fn write<'v>(
    out: &mut impl Write,
    members: impl IntoIterator<Item = (&'v str, &'v SecretValue)>,
) -> io::Result<()> {
    let mut separator: &[u8] = b"{\n  ";
    for (name, value) in members {
        out.write_all(separator)?;
        separator = b",\n  ";
        serde_json::to_writer(&mut *out, name)?;
        if let Ok(text) = std::str::from_utf8(value.expose()) {
            out.write_all(b": { \"value\": ")?;
            serde_json::to_writer(&mut *out, text)?;
        } else {
            out.write_all(b": { \"value-base64\": \"")?;
            out.write_all(Zeroizing::new(STANDARD.encode(value.expose())).as_bytes())?;
            out.write_all(b"\"")?;
        }
        out.write_all(b" }")?;
    }
    out.write_all(if separator.starts_with(b"{") {
        b"{}\n"
    } else {
        b"\n}\n"
    })
}

/// The members, or what is wrong with one of them in words of ours.
struct Document(Result<Vec<Variable>, String>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut names = HashSet::new();
                let mut variables = Vec::new();
                let mut wrong = None;
                while let Some(name) = map.next_key::<String>()? {
                    let member: Member = map.next_value()?;
                    if !names.insert(name.clone()) {
                        wrong.get_or_insert_with(|| format!("{name:?} stands there twice"));
                        continue;
                    }
                    match member {
                        Member::Text(value) | Member::Object(value) => {
                            variables.push(Variable { name, value });
                        }
                        Member::Wrong(what) => {
                            wrong.get_or_insert_with(|| format!("{name:?} is {what}"));
                        }
                    }
                }
                Ok(Document(wrong.map_or(Ok(variables), Err)))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

enum Member {
    Text(SecretValue),
    Object(SecretValue),
    Wrong(&'static str),
}

const NOT_TEXT: &str = "not text; put the value in quotes";
const NOT_ONE_VALUE: &str = "an object without exactly one of `value` and `value-base64`";

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyMember)
    }
}

/// Takes every kind of JSON, so that the library never has a mismatch to report in its own words.
struct AnyMember;

impl<'de> Visitor<'de> for AnyMember {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(SecretValue::copy_of(text.as_bytes())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
        Ok(Member::Wrong(NOT_TEXT))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
        Ok(Member::Wrong(NOT_TEXT))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
        Ok(Member::Wrong(NOT_TEXT))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
        Ok(Member::Wrong(NOT_TEXT))
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Wrong(NOT_TEXT))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Member, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Wrong(NOT_TEXT))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            let member: Self::Value = map.next_value()?;
            found = Some(match (found, key.as_str(), member) {
                (None, "value", Member::Text(text)) => Member::Object(text),
                (None, "value-base64", Member::Text(text)) => STANDARD
                    .decode(text.expose())
                    .map_or(Member::Wrong("not base64"), |bytes| {
                        Member::Object(SecretValue::new(bytes))
                    }),
                _ => Member::Wrong(NOT_ONE_VALUE),
            });
        }
        Ok(found.unwrap_or(Member::Wrong(NOT_ONE_VALUE)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrong(text: &str) -> String {
        parse(text.as_bytes()).err().unwrap().to_string()
    }

    #[test]
    fn strings_and_both_kinds_of_object_are_values() {
        let text = r#"{"A":"x","b/c":{"value":"y\u0000"},"D":{"value-base64":"/w=="}}"#;
        let read = parse(text.as_bytes()).unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|v| (v.name.as_str(), v.value.expose()))
            .collect();
        assert_eq!(read, [("A", &b"x"[..]), ("b/c", b"y\0"), ("D", b"\xff")]);
    }

    #[test]
    fn errors_name_the_member_and_never_the_value() {
        assert_eq!(
            wrong(r#"{"A":90210}"#),
            format!("line 1: \"A\" is {NOT_TEXT}")
        );
        assert_eq!(
            wrong(r#"{"A":["canary"]}"#),
            format!("line 1: \"A\" is {NOT_TEXT}")
        );
        assert_eq!(
            wrong(r#"{"A":null}"#),
            format!("line 1: \"A\" is {NOT_TEXT}")
        );
        assert_eq!(
            wrong(r#"{"A":"canary","A":"canary"}"#),
            "line 1: \"A\" stands there twice"
        );
        assert_eq!(
            wrong(r#"{"A":{"value-base64":"can ary"}}"#),
            "line 1: \"A\" is not base64"
        );
        for text in [
            r#"{"A":{}}"#,
            r#"{"A":{"v":"canary"}}"#,
            r#"{"A":{"value":{"value":"c"}}}"#,
        ] {
            assert!(wrong(text).contains("exactly one"), "{text}");
        }
        assert!(wrong(r#"{"A":{"value":"a","value-base64":"/w=="}}"#).contains("exactly one"));
        assert!(wrong("{\n\"A\":\ncanary}").starts_with("line 3: not a JSON object"));
        assert!(!wrong("{\n\"A\":\ncanary}").contains("canary"));
        assert!(!wrong("\"canary\"").contains("canary"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..5),
        ) {
            let members: Vec<_> = values.iter().enumerate()
                .map(|(i, v)| (format!("a/{i}"), SecretValue::copy_of(v))).collect();
            let mut out = Vec::new();
            write(&mut out, members.iter().map(|(n, v)| (n.as_str(), v))).unwrap();
            let read = parse(&out).unwrap();
            prop_assert_eq!(read.len(), members.len());
            for (got, (name, value)) in read.iter().zip(&members) {
                prop_assert_eq!(&got.name, name);
                prop_assert_eq!(&got.value, value);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text);
        }
    }
}
