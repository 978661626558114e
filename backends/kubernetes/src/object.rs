//! Secrets as they stand on the wire, values wiped when dropped.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strongroom_backend::SecretValue;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Fault, Result};

/// The type of a Secret without a form of its own: what ours are.
pub(crate) const OPAQUE: &str = "Opaque";

/// A Secret with its values. Fields that nothing here asks for are left out.
#[derive(Deserialize)]
pub(crate) struct SecretObject {
    pub(crate) metadata: Meta,
    #[serde(default)]
    data: Option<BTreeMap<String, Option<Value>>>,
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) immutable: Option<bool>,
}

impl SecretObject {
    /// The values by key. The server writes an empty one as it likes: `""` or null.
    pub(crate) fn take_values(&mut self) -> BTreeMap<String, SecretValue> {
        let value = |(key, value): (String, Option<Value>)| {
            let value = value.map_or_else(|| SecretValue::new(Vec::new()), |value| value.0);
            (key, value)
        };
        self.data
            .take()
            .unwrap_or_default()
            .into_iter()
            .map(value)
            .collect()
    }
}

/// An object without its values.
#[derive(Deserialize)]
pub(crate) struct MetaObject {
    pub(crate) metadata: Meta,
}

/// What is known of an object beside its values.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) resource_version: Option<String>,
    #[serde(default)]
    creation_timestamp: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    managed_fields: Option<Vec<Managed>>,
}

#[derive(Deserialize)]
struct Managed {
    #[serde(default)]
    time: Option<String>,
}

impl Meta {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// When it was made and last changed, as far as the server tells.
    pub(crate) fn times(&self) -> (u64, u64) {
        let created = self.creation_timestamp.as_deref().map_or(0, millis);
        let managed = self.managed_fields.iter().flatten();
        let updated = managed
            .filter_map(|field| field.time.as_deref())
            .map(millis)
            .max();
        (created, updated.unwrap_or_default().max(created))
    }
}

fn millis(text: &str) -> u64 {
    let time = text.parse::<jiff::Timestamp>();
    time.map_or(0, |time| u64::try_from(time.as_millisecond()).unwrap_or(0))
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct Page<T> {
    #[serde(default)]
    pub(crate) metadata: PageMeta,
    #[serde(default)]
    items: Option<Vec<T>>,
}

impl<T> Page<T> {
    pub(crate) fn items(&mut self) -> Vec<T> {
        self.items.take().unwrap_or_default()
    }
}

/// What follows a page, and when it was.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageMeta {
    #[serde(default, rename = "continue")]
    pub(crate) next: Option<String>,
    #[serde(default)]
    pub(crate) resource_version: Option<String>,
}

/// Reads a reply. What is wrong with it is not told by serde's text, which repeats what it read.
pub(crate) fn parse<'b, T: Deserialize<'b>>(body: &'b [u8], what: &'static str) -> Result<T> {
    serde_json::from_slice(body).map_err(|_| Fault::Reply(what))
}

/// A value that came in base64.
struct Value(SecretValue);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_str(ValueVisitor)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> std::result::Result<Value, E> {
        let bytes = STANDARD.decode(text);
        bytes
            .map(|bytes| Value(SecretValue::new(bytes)))
            .map_err(|_| E::custom("not base64"))
    }

    fn visit_string<E: Error>(self, mut text: String) -> std::result::Result<Value, E> {
        let value = self.visit_str(&text);
        text.zeroize();
        value
    }
}

/// A Secret to be made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Draft<'a> {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) metadata: DraftMeta<'a>,
    #[serde(rename = "type")]
    pub(crate) secret_type: &'static str,
    pub(crate) data: Data<'a>,
}

/// A change of a Secret, as a merge patch: what it does not name stays as it is.
#[derive(Serialize)]
pub(crate) struct Patch<'a> {
    pub(crate) metadata: DraftMeta<'a>,
    pub(crate) data: Data<'a>,
}

/// What of an object's metadata we write.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DraftMeta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    /// The change is of this version of the object or of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource_version: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<&'static str, &'a str>,
    pub(crate) annotations: BTreeMap<&'static str, &'a str>,
}

/// Values by key; none removes the key.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Data<'a>(BTreeMap<&'a str, Option<Encoded<'a>>>);

struct Encoded<'a>(&'a SecretValue);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        // Written piece by piece: no text of the whole value is made on the way.
        serializer.collect_str(&Base64Display::new(self.0.expose(), &STANDARD))
    }
}

impl<'a> Data<'a> {
    pub(crate) fn new(
        values: impl IntoIterator<Item = (&'a str, Option<&'a SecretValue>)>,
    ) -> Self {
        let encoded = |(key, value): (&'a str, Option<&'a SecretValue>)| (key, value.map(Encoded));
        Self(values.into_iter().map(encoded).collect())
    }

    /// No less than its text takes.
    fn room(&self) -> usize {
        let entry = |(key, value): (&&str, &Option<Encoded<'_>>)| {
            let value = value.as_ref().map_or(0, |value| value.0.len());
            key.len() + value.div_ceil(3) * 4 + 16
        };
        self.0.iter().map(entry).sum()
    }
}

/// The body of a request, wiped when the client is done with it.
pub(crate) trait Body: Serialize {
    fn parts(&self) -> (&DraftMeta<'_>, &Data<'_>);

    fn bytes(&self) -> Result<Bytes> {
        let (meta, data) = self.parts();
        let annotations: usize = meta.annotations.values().map(|text| text.len()).sum();
        // An annotation's text is ASCII and at worst all escapes. With room for all, the buffer
        // never moves and leaves no copy behind.
        let room = data.room() + 2 * annotations + 4096;
        let mut body = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer(&mut *body, self)
            .map_err(|_| Fault::Forbidden("the Secret cannot be written as JSON".into()))?;
        Ok(Bytes::from_owner(body))
    }
}

impl Body for Draft<'_> {
    fn parts(&self) -> (&DraftMeta<'_>, &Data<'_>) {
        (&self.metadata, &self.data)
    }
}

impl Body for Patch<'_> {
    fn parts(&self) -> (&DraftMeta<'_>, &Data<'_>) {
        (&self.metadata, &self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_null_is_an_empty_one() {
        let body = br#"{"kind":"Secret","metadata":{"name":"a","annotations":null,"extra":[{}]},
            "data":{"k":"AP8=","e":"","n":null,"u":"\u0059Q=="},"type":"Opaque","immutable":true}"#;
        let mut object: SecretObject = parse(body, "a Secret").unwrap();
        let values = object.take_values();
        let value = |key: &str| values.get(key).unwrap().expose().to_vec();
        assert_eq!(value("k"), [0, 255]);
        assert_eq!(value("u"), b"a");
        assert!(value("e").is_empty() && value("n").is_empty());
        assert_eq!(object.immutable, Some(true));
        let mut none: SecretObject = parse(br#"{"metadata":{},"data":null}"#, "a Secret").unwrap();
        assert!(none.take_values().is_empty());
    }

    #[test]
    fn a_broken_reply_is_not_repeated() {
        for body in [
            r#"{"metadata":{},"data":{"k":"canary!!"}}"#,
            r#"{"metadata":"canary"}"#,
            r#"{"metadata":{},"data":{"k":"Y2FuYXJ5""#,
        ] {
            let Err(error) = parse::<SecretObject>(body.as_bytes(), "no Secret") else {
                panic!("taken: {body}");
            };
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }

    #[test]
    fn times_are_the_objects_own() {
        let body = br#"{"metadata":{"creationTimestamp":"2026-11-22T12:00:00Z",
            "managedFields":[{"time":"2026-11-22T12:00:01Z"},{}]}}"#;
        let object: MetaObject = parse(body, "metadata").unwrap();
        let (created, updated) = object.metadata.times();
        assert_eq!(created, 1_795_348_800_000);
        assert_eq!(updated - created, 1000);
    }

    #[test]
    fn a_patch_names_what_changes_and_never_outgrows_its_buffer() {
        let value = SecretValue::copy_of(&[0xff; 100_000]);
        let patch = Patch {
            metadata: DraftMeta {
                resource_version: Some("7"),
                annotations: BTreeMap::from([("strongroom/history", r#"{"a":"\"\\"}"#)]),
                ..DraftMeta::default()
            },
            data: Data::new([("value", Some(&value)), ("value.v1", None)]),
        };
        let body = patch.bytes().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["metadata"]["resourceVersion"], "7");
        assert!(json["data"]["value.v1"].is_null());
        assert_eq!(json["data"]["value"], STANDARD.encode(value.expose()));
        let room = patch.data.room() + 2 * 12 + 4096;
        assert!(
            body.len() <= room,
            "{} bytes in a buffer of {room}",
            body.len()
        );
    }
}
