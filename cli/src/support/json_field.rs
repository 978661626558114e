//! One field of a value that is a JSON object, without a copy of the value that is not wiped.

use std::fmt;
use std::io::Write;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::input::WipedBuffer;

/// The field `name` of `value`: a text without its quotes and escapes, anything else as JSON.
///
/// # Errors
///
/// The value is no JSON object, or has no such field, or has it twice. No message quotes it.
pub(crate) fn extract(value: &[u8], name: &str) -> Result<WipedBuffer, Failure> {
    let mut reader = serde_json::Deserializer::from_slice(value);
    let found = reader
        .deserialize_map(Fields { name })
        .and_then(|found| reader.end().map(|()| found));
    let raw = match found {
        // serde_json's own text could quote the value; only the position is told.
        Err(error) => {
            return Err(Failure::failed(format!(
                "the value is not a JSON object (line {}, column {})",
                error.line(),
                error.column()
            ))
            .hint("without `--field` the value is printed as it is"));
        }
        Ok(Found::None) => {
            return Err(Failure::not_found(format!(
                "the value has no field '{name}'"
            )));
        }
        Ok(Found::Twice) => {
            return Err(Failure::failed(format!(
                "the value has the field '{name}' twice"
            )));
        }
        Ok(Found::Once(raw)) => raw.get(),
    };
    let mut field = WipedBuffer::with_capacity(raw.len());
    match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
        Some(text) => unescape(text, &mut field)
            .ok_or_else(|| Failure::failed(format!("the field '{name}' is not valid Unicode")))?,
        None => append(&mut field, raw.as_bytes()),
    }
    Ok(field)
}

enum Found<'v> {
    None,
    Once(&'v RawValue),
    Twice,
}

struct Fields<'n> {
    name: &'n str,
}

impl<'v> Visitor<'v> for Fields<'_> {
    type Value = Found<'v>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'v>>(self, mut map: A) -> Result<Found<'v>, A::Error> {
        let mut found = Found::None;
        while let Some(key) = map.next_key::<String>()? {
            if key != self.name {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<&RawValue>()?;
            found = match found {
                Found::None => Found::Once(value),
                _ => Found::Twice,
            };
        }
        Ok(found)
    }
}

/// Undoes the escapes of a JSON text whose form the parser has checked; none where it has half of
/// a surrogate pair.
fn unescape(text: &str, into: &mut WipedBuffer) -> Option<()> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        append(into, before.as_bytes());
        let mut chars = after.chars();
        let unescaped = match chars.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (c, left) = unicode(chars.as_str())?;
                chars = left.chars();
                c
            }
            other => other,
        };
        append(into, unescaped.encode_utf8(&mut [0; 4]).as_bytes());
        rest = chars.as_str();
    }
    append(into, rest.as_bytes());
    Some(())
}

/// The character of `XXXX`, or of `XXXX\uXXXX`, and what follows it.
fn unicode(text: &str) -> Option<(char, &str)> {
    let (first, rest) = hex(text)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let (second, rest) = hex(rest.strip_prefix("\\u")?)?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    let code = 0x10000 + ((first - 0xd800) << 10) + low;
    Some((char::from_u32(code)?, rest))
}

fn hex(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

fn append(into: &mut WipedBuffer, bytes: &[u8]) {
    // Writing to memory does not fail.
    let _ = into.write_all(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn field(value: &str, name: &str) -> Result<String, Failure> {
        extract(value.as_bytes(), name)
            .map(|field| String::from_utf8(field.as_slice().to_vec()).unwrap())
    }

    #[test]
    fn texts_lose_their_quotes_and_the_rest_stays_json() {
        let value = r#"{"a":"x y","n":1.50,"b":true,"o":{"k":[1, 2]},"z":null,"":"e"}"#;
        for (name, expected) in [
            ("a", "x y"),
            ("n", "1.50"),
            ("b", "true"),
            ("o", r#"{"k":[1, 2]}"#),
            ("z", "null"),
            ("", "e"),
        ] {
            assert_eq!(field(value, name).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn escapes_are_undone_as_serde_json_undoes_them() {
        for text in [
            r#""""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u0041\u00e9\u20AC""#,
            r#""\ud83d\ude00!""#,
            r#""\\u0041""#,
            "\"caf\u{e9}\"",
        ] {
            let expected: String = serde_json::from_str(text).unwrap();
            assert_eq!(
                field(&format!("{{\"a\":{text}}}"), "a").unwrap(),
                expected,
                "{text}"
            );
        }
        for text in [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83dx""#,
            r#""\ud83d\u0041""#,
        ] {
            assert!(field(&format!("{{\"a\":{text}}}"), "a").is_err(), "{text}");
        }
    }

    #[test]
    fn no_refusal_quotes_the_value() {
        let canary = "canary-71c0";
        for value in [
            format!("\"{canary}\""),
            canary.to_owned(),
            format!("[\"{canary}\"]"),
            format!("{{\"a\":\"{canary}\"}} x"),
            format!("{{\"a\":{canary}}}"),
            format!("{{\"{canary}\":1}}"),
        ] {
            let failure = field(&value, "q").unwrap_err();
            let told = format!("{failure:?}");
            assert!(!told.contains(canary), "{told}");
        }
        assert_eq!(field("{}", "a").unwrap_err().exit, Exit::NotFound);
        assert_eq!(
            field(r#"{"a":1,"a":2}"#, "a").unwrap_err().exit,
            Exit::Failed
        );
    }
}
