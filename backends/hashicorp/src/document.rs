//! The JSON document that one version of a secret is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use strongroom_backend::{PutOptions, SecretValue};
use zeroize::Zeroizing;

use crate::error::{Fault, Result};
use crate::text::{Writer, compact, stored_len, unescape};

/// The largest value in bytes. In base64 it takes 683 KiB of the 1 MiB that a server's integrated
/// storage holds as one entry by default.
pub const MAX_VALUE: u64 = 512 << 10;

/// The longest text that is stored as it is: what the largest value takes in base64.
const MAX_TEXT: usize = (MAX_VALUE as usize).div_ceil(3) * 4;

/// The field with the value's text.
const VALUE: &str = "value";
/// The field with what we note beside it.
const NOTES: &str = "strongroom";

/// One version of a secret, as read.
pub(crate) struct Document {
    pub(crate) value: SecretValue,
    pub(crate) expires: Option<u64>,
    pub(crate) author: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    encoding: Option<Encoding>,
    expires: Option<u64>,
    author: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Base64,
}

/// Reads a document: ours, or another tool's, whose value is the whole object.
pub(crate) fn read(raw: &RawValue) -> Result<Document> {
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(raw.get())
        .map_err(|_| Fault::Reply("the data of a secret is not a JSON object"))?;
    let notes = match fields.get(NOTES) {
        None => Notes::default(),
        Some(notes) if fields.len() == 2 && fields.contains_key(VALUE) => {
            serde_json::from_str(notes.get()).map_err(|_| FOREIGN)?
        }
        Some(_) => return Err(FOREIGN),
    };
    let alone = fields.len() == 1 || fields.contains_key(NOTES);
    let text = fields
        .get(VALUE)
        .filter(|value| alone && value.get().starts_with('"'));
    let mut bytes = match text {
        Some(text) => unescape(text).ok_or(Fault::Damaged("the value is not a text"))?,
        None if fields.contains_key(NOTES) => return Err(FOREIGN),
        None => compact(raw),
    };
    if matches!(notes.encoding, Some(Encoding::Base64)) {
        bytes = decoded(&bytes)?;
    }
    Ok(Document {
        value: SecretValue::new(std::mem::take(&mut *bytes)),
        expires: notes.expires,
        author: notes.author,
    })
}

/// Serving the value of such a document could serve it after its expiry, or undecoded.
const FOREIGN: Fault = Fault::Damaged(
    "the secret's document has a field 'strongroom' that this version did not write: another tool \
     or a newer version changed it; write the secret again",
);

fn decoded(text: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length = STANDARD
        .decode_slice(text, &mut bytes)
        .map_err(|_| Fault::Damaged("the value is marked as base64 and is not"))?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Writes the document of `value`.
pub(crate) fn write(writer: &mut Writer, value: &SecretValue, options: &PutOptions) {
    let plain = plain(value);
    writer.raw("{\"value\":");
    match plain {
        Some(text) => writer.string(text),
        None => writer.string(&encoded(value)),
    };
    let mut notes = Vec::new();
    if plain.is_none() {
        notes.push("\"encoding\":\"base64\"".to_owned());
    }
    if let Some(expires) = options.expires {
        notes.push(format!("\"expires\":{expires}"));
    }
    if let Some(author) = &options.author {
        notes.push(format!(
            "\"author\":{}",
            serde_json::Value::from(author.as_str())
        ));
    }
    if !notes.is_empty() {
        writer
            .raw(",\"strongroom\":{")
            .raw(&notes.join(","))
            .raw("}");
    }
    writer.raw("}");
}

/// Room for the document, so that it never moves while it is written.
pub(crate) fn room(value: &SecretValue, options: &PutOptions) -> usize {
    let author = options
        .author
        .as_deref()
        .map_or(0, |author| author.len() * 6);
    let text = match plain(value) {
        Some(text) => stored_len(text),
        None => value.len().div_ceil(3) * 4,
    };
    text + author + 128
}

/// The value as text, unless it is none or would be stored longer than any value in base64.
fn plain(value: &SecretValue) -> Option<&str> {
    let text = std::str::from_utf8(value.expose()).ok()?;
    (stored_len(text) <= MAX_TEXT).then_some(text)
}

fn encoded(value: &SecretValue) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(value.len().div_ceil(3) * 4));
    STANDARD.encode_string(value.expose(), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strongroom_backend::ErrorKind;

    use super::*;

    fn parse(text: &str) -> Result<Document> {
        read(&RawValue::from_string(text.to_owned()).unwrap())
    }

    fn written(value: &SecretValue, options: &PutOptions) -> String {
        let mut writer = Writer::with_room(room(value, options));
        write(&mut writer, value, options);
        String::from_utf8(writer.finish().to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            bytes in proptest::collection::vec(any::<u8>(), 0..99), text in any::<String>(),
            expires in any::<Option<u64>>(), author in any::<Option<String>>(),
        ) {
            let options = PutOptions { expires, author: author.clone(), ..PutOptions::default() };
            for bytes in [bytes, text.into_bytes()] {
                let value = SecretValue::new(bytes);
                let json = written(&value, &options);
                prop_assert!(json.len() <= room(&value, &options));
                let back = parse(&json).unwrap();
                prop_assert_eq!(&back.value, &value);
                prop_assert_eq!(back.expires, expires);
                prop_assert_eq!(&back.author, &author);
            }
        }
    }

    #[test]
    fn text_stays_text_and_bytes_are_marked() {
        let options = PutOptions::default();
        assert_eq!(
            written(&SecretValue::copy_of(b"a\"b"), &options),
            r#"{"value":"a\"b"}"#
        );
        assert_eq!(
            written(&SecretValue::copy_of(b"\xff"), &options),
            r#"{"value":"/w==","strongroom":{"encoding":"base64"}}"#
        );
        // Text that the server would store at six times its length.
        let marked = SecretValue::new(vec![b'<'; MAX_VALUE as usize]);
        assert!(written(&marked, &options).len() < MAX_TEXT + 128);
        assert_eq!(parse(&written(&marked, &options)).unwrap().value, marked);
    }

    #[test]
    fn another_tools_document_is_whole_and_compact() {
        for (document, value) in [
            (r#"{ "b": 1.50, "a": " x " }"#, r#"{"b":1.50,"a":" x "}"#),
            (
                r#"{"value":"x","other":"y"}"#,
                r#"{"value":"x","other":"y"}"#,
            ),
            (r#"{"value":7}"#, r#"{"value":7}"#),
            (r#"{"value":null}"#, r#"{"value":null}"#),
            ("{}", "{}"),
            (r#"{"value":"x"}"#, "x"),
            (r#"{"value":""}"#, ""),
        ] {
            assert_eq!(parse(document).unwrap().value.expose(), value.as_bytes());
        }
    }

    #[test]
    fn notes_that_are_not_understood_are_not_passed_over() {
        for document in [
            r#"{"value":"x","strongroom":{"expiry":1}}"#,
            r#"{"value":"x","strongroom":{"encoding":"hex"}}"#,
            r#"{"value":"x","strongroom":{},"note":"patched in"}"#,
            r#"{"value":7,"strongroom":{}}"#,
            r#"{"strongroom":{}}"#,
            r#"{"strongroom":{},"other":"x"}"#,
            r#"{"value":"x","strongroom":7}"#,
            r#"{"value":"!","strongroom":{"encoding":"base64"}}"#,
            r#"{"value":"\ud83d"}"#,
        ] {
            let fault = parse(document).err().unwrap();
            assert_eq!(fault.kind(), ErrorKind::Damaged, "{document}");
        }
        assert!(parse("[]").is_err());
        assert!(parse("null").is_err());
    }
}
