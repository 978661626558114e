//! Fields of secrets that are JSON objects, without a copy of the value that is not wiped.
//!
//! The JSON library only finds where a value begins and ends; what is asked for is copied from there
//! into memory that is wiped.

use std::fmt;
use std::str::Chars;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::{Zeroize, Zeroizing};

use crate::{Error, ErrorKind, SecretValue};

/// Why a value has no such field. No text of it quotes the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The value is something else.
    #[error("the value is not a JSON object (line {line}, column {column})")]
    NoObject {
        /// Where that shows.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// It has no field of that name.
    #[error("the value has no such field")]
    Missing,
    /// Which of two another program would take, nobody can say.
    #[error("the value has the field twice")]
    Twice,
    /// The field is a text with an escape that stands for half a character.
    #[error("the field is not valid Unicode")]
    NoText,
}

impl From<FieldError> for Error {
    /// A field that is not there is not found; a value without fields does not fit whoever bound a
    /// name to one, which no retry mends.
    fn from(error: FieldError) -> Self {
        let kind = match error {
            FieldError::Missing => ErrorKind::NotFound,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}

/// The field `name` of a JSON object: a text without its quotes and escapes, anything else as the
/// JSON that stands there.
///
/// # Errors
///
/// [`FieldError`] where there is none, or not one alone.
pub fn field(value: &[u8], name: &str) -> Result<SecretValue, FieldError> {
    let mut reader = serde_json::Deserializer::from_slice(value);
    let found = reader
        .deserialize_map(Fields { name })
        .and_then(|found| reader.end().map(|()| found));
    match found {
        Ok(Found::Once(raw)) => text(raw.get()).ok_or(FieldError::NoText),
        Ok(Found::None) => Err(FieldError::Missing),
        Ok(Found::Twice) => Err(FieldError::Twice),
        // The library's own text could quote the value; only the place is told.
        Err(error) => Err(FieldError::NoObject {
            line: error.line(),
            column: error.column(),
        }),
    }
}

/// What one JSON value stands for as a secret: a text without its quotes and escapes, anything else as
/// it is. None where an escape stands for half a character. The form of `json` was checked by who
/// found it.
pub fn text(json: &str) -> Option<SecretValue> {
    let inner = json
        .strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'));
    match inner {
        Some(inner) => unescape(inner),
        None => Some(SecretValue::copy_of(json.as_bytes())),
    }
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

fn unescape(inner: &str) -> Option<SecretValue> {
    // No escape is shorter than what it stands for, so this never grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(inner.len()));
    let mut rest = inner.chars();
    while let Some(next) = rest.next() {
        let sign = match next {
            '\\' => match rest.next()? {
                sign @ ('"' | '\\' | '/') => sign,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => unicode(&mut rest)?,
                _ => return None,
            },
            sign => sign,
        };
        let mut utf8 = [0; 4];
        bytes.extend_from_slice(sign.encode_utf8(&mut utf8).as_bytes());
        utf8.zeroize();
    }
    Some(SecretValue::copy_of(&bytes))
}

fn unicode(rest: &mut Chars<'_>) -> Option<char> {
    let first = hex(rest)?;
    match first {
        0xd800..=0xdbff => {
            if (rest.next()?, rest.next()?) != ('\\', 'u') {
                return None;
            }
            let second = hex(rest).filter(|second| (0xdc00..=0xdfff).contains(second))?;
            char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
        }
        first => char::from_u32(first),
    }
}

fn hex(rest: &mut Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |number, _| {
        Some(number << 4 | rest.next()?.to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(value: &str, name: &str) -> Result<String, FieldError> {
        field(value.as_bytes(), name)
            .map(|field| String::from_utf8(field.expose().to_vec()).unwrap())
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
            assert_eq!(get(value, name).unwrap(), expected, "{name}");
        }
        assert_eq!(get("{}", "a"), Err(FieldError::Missing));
        assert_eq!(get(r#"{"a":1,"a":2}"#, "a"), Err(FieldError::Twice));
        assert_eq!(get(r#"{"a":1,"\u0061":2}"#, "a"), Err(FieldError::Twice));
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
            assert_eq!(get(&format!("{{\"a\":{text}}}"), "a").unwrap(), expected);
        }
        for text in [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83dx""#,
            r#""\ud83d\u0041""#,
            r#""\ud800\n""#,
        ] {
            let value = format!("{{\"a\":{text}}}");
            assert_eq!(get(&value, "a"), Err(FieldError::NoText), "{text}");
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
            let error = get(&value, "q").unwrap_err();
            let told = format!("{error:?} {error} {:?}", Error::from(error));
            assert!(!told.contains(canary), "{told}");
        }
    }
}
