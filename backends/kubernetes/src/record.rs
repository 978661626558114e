//! What one of our Secrets holds: the history in an annotation, a key for each version's value.
//!
//! The current value stands under `value`, where a pod that mounts the Secret looks for it. Values
//! of other versions stand under `value.v<number>`, those of deleted ones too, until they are
//! destroyed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_backend::{History, SecretPath, SecretValue, VersionState};

use crate::error::{Fault, Result};
use crate::naming;
use crate::object::{Meta, OPAQUE, SecretObject};

/// What all values of a Secret may have together: Kubernetes takes no more.
pub(crate) const MAX_OBJECT: usize = 1 << 20;

/// The key of the current value.
pub(crate) const VALUE: &str = "value";
/// Before the number of any other version.
const NUMBERED: &str = "value.v";

/// The label that says whose an object is.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What it says of ours.
pub(crate) const US: &str = "strongroom";
/// The label by which several objects are found at once.
pub(crate) const TAG: &str = "strongroom/name";
/// The annotation with the exact reference.
pub(crate) const REFERENCE: &str = "strongroom/reference";
/// The annotation with what is known of the versions.
pub(crate) const HISTORY: &str = "strongroom/history";

/// The longest text of a history: all annotations of an object may have 256 KiB together.
const MAX_HISTORY: usize = 128 << 10;
const FORMAT: u32 = 1;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    history: History,
}

/// The history as text.
pub(crate) fn write(history: &History) -> Result<String> {
    let record = Record {
        format: FORMAT,
        history: history.clone(),
    };
    let text = serde_json::to_string(&record)
        .map_err(|_| Fault::Forbidden("the history cannot be written as JSON".into()))?;
    if text.len() > MAX_HISTORY {
        return Err(Fault::InvalidArgument(format!(
            "description, labels and versions take more than {MAX_HISTORY} bytes"
        )));
    }
    Ok(text)
}

/// The history of the secret `path`, from the object that has its name.
pub(crate) fn read(meta: &Meta, path: &SecretPath) -> Result<History> {
    let (reference, history) = ours(meta).ok_or_else(|| {
        Fault::Missing(format!(
            "the Secret '{}' was not written by Strongroom: `layout = \"foreign\"` reads such ones",
            meta.name
        ))
    })?;
    if reference != path.as_str() {
        return Err(Fault::Forbidden(format!(
            "the Secret '{}' belongs to another reference than '{path}': give one of the vaults \
             that share the namespace another `prefix`",
            meta.name
        )));
    }
    parse(history).ok_or_else(|| {
        Fault::Damaged(format!(
            "the annotation '{HISTORY}' of the Secret '{}' cannot be read: put an older one back, \
             or delete the Secret",
            meta.name
        ))
    })
}

/// Reference and history of an object, if it is one of ours.
pub(crate) fn ours(meta: &Meta) -> Option<(&str, &str)> {
    let managed = meta.label(MANAGED_BY) == Some(US);
    // Lists find objects by this label: without it an object would be there at times only.
    let tagged = meta
        .label(TAG)
        .is_some_and(|tag| tag == naming::tag(&meta.name));
    let reference = meta.annotation(REFERENCE).filter(|_| managed && tagged)?;
    Some((reference, meta.annotation(HISTORY)?))
}

pub(crate) fn parse(text: &str) -> Option<History> {
    let record: Record = serde_json::from_str(text).ok()?;
    (record.format == FORMAT).then_some(record.history)
}

/// One of our Secrets, read whole.
pub(crate) struct Held {
    pub(crate) history: History,
    /// All that is in it, other people's keys included.
    pub(crate) values: BTreeMap<String, SecretValue>,
    pub(crate) version: String,
    pub(crate) immutable: bool,
}

impl Held {
    pub(crate) fn new(mut object: SecretObject, path: &SecretPath) -> Result<Self> {
        let history = read(&object.metadata, path)?;
        // Another type is another tool's doing: what writes it also reads it.
        if object.kind.as_deref() != Some(OPAQUE) {
            let name = &object.metadata.name;
            let text = format!("the Secret '{name}' is not of type {OPAQUE}: it is not ours");
            return Err(Fault::Forbidden(text));
        }
        let version = object.metadata.resource_version.take();
        Ok(Self {
            history,
            values: object.take_values(),
            version: version.ok_or(Fault::Reply("a Secret without a resourceVersion"))?,
            immutable: object.immutable.unwrap_or(false),
        })
    }

    /// Takes the value of one version out.
    pub(crate) fn take(&mut self, number: u64) -> Result<SecretValue> {
        let key = key(number, current(&self.history));
        self.values.remove(&key).ok_or_else(|| {
            Fault::Damaged(format!(
                "the Secret has no key '{key}', although version {number} is there"
            ))
        })
    }
}

fn current(history: &History) -> Option<u64> {
    history.describe().version
}

fn key(number: u64, current: Option<u64>) -> String {
    if current == Some(number) {
        VALUE.to_owned()
    } else {
        format!("{NUMBERED}{number}")
    }
}

fn is_ours(key: &str) -> bool {
    let number = key.strip_prefix(NUMBERED);
    key == VALUE || number.is_some_and(|number| number.parse::<u64>().is_ok())
}

/// What must change in the values of an object: none removes a key.
pub(crate) type Changes<'v> = BTreeMap<String, Option<&'v SecretValue>>;

/// The changes that make an object with `values` under `before` one under `after`, with `new` as
/// the value of one more version. Versions beyond `keep`, and as many more of the oldest as must go
/// so that the rest fits into an object, are forgotten.
///
/// # Errors
///
/// Where other people's keys leave no room.
pub(crate) fn rearrange<'v>(
    before: &History,
    after: &mut History,
    values: &'v BTreeMap<String, SecretValue>,
    new: Option<(u64, &'v SecretValue)>,
    keep: usize,
) -> Result<Changes<'v>> {
    let others = values.iter().filter(|(key, _)| !is_ours(key));
    let others: usize = others.map(|(_, value)| value.len()).sum();
    after.prune(keep);
    loop {
        let wanted = wanted(before, after, values, new);
        let size: usize = wanted.values().map(|value| value.len()).sum();
        if size + others <= MAX_OBJECT {
            return Ok(changes(values, wanted));
        }
        let kept = after.versions().len();
        after.prune(kept.saturating_sub(1));
        if after.versions().len() == kept {
            return Err(Fault::Forbidden(format!(
                "other keys in the Secret take {others} bytes and leave no room: remove them"
            )));
        }
    }
}

fn wanted<'v>(
    before: &History,
    after: &History,
    values: &'v BTreeMap<String, SecretValue>,
    new: Option<(u64, &'v SecretValue)>,
) -> BTreeMap<String, &'v SecretValue> {
    let (was, is) = (current(before), current(after));
    let kept = after.versions().into_iter();
    kept.filter(|version| version.state != VersionState::Destroyed)
        .filter_map(|version| {
            let number = version.version;
            let value = match new {
                Some((new, value)) if new == number => value,
                // One that somebody removed by hand stays missing, and reads as damaged.
                _ => values.get(&key(number, was))?,
            };
            Some((key(number, is), value))
        })
        .collect()
}

fn changes<'v>(
    values: &'v BTreeMap<String, SecretValue>,
    wanted: BTreeMap<String, &'v SecretValue>,
) -> Changes<'v> {
    let gone = values
        .keys()
        .filter(|key| is_ours(key) && !wanted.contains_key(*key));
    let mut changes: Changes<'v> = gone.map(|key| (key.clone(), None)).collect();
    for (key, value) in wanted {
        let stays = values.get(&key).is_some_and(|old| std::ptr::eq(old, value));
        if !stays {
            changes.insert(key, Some(value));
        }
    }
    changes
}

/// The labels of one of our objects.
pub(crate) fn labels(tag: &str) -> BTreeMap<&'static str, &str> {
    BTreeMap::from([(MANAGED_BY, US), (TAG, tag)])
}

/// The selector of all our objects.
pub(crate) fn all_ours() -> String {
    format!("{MANAGED_BY}={US}")
}

/// The selector of our objects with these names.
pub(crate) fn these<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let tags: Vec<_> = names.into_iter().map(naming::tag).collect();
    format!("{},{TAG} in ({})", all_ours(), tags.join(","))
}

#[cfg(test)]
mod tests {
    use strongroom_backend::PutOptions;

    use super::*;

    /// An object, changed as the store changes it.
    #[derive(Default)]
    struct Object {
        history: History,
        values: BTreeMap<String, SecretValue>,
    }

    impl Object {
        fn apply(
            &mut self,
            new: Option<&SecretValue>,
            keep: usize,
            edit: impl FnOnce(&mut History) -> u64,
        ) {
            let mut after = self.history.clone();
            let number = edit(&mut after);
            let new = new.map(|value| (number, value));
            let changes = rearrange(&self.history, &mut after, &self.values, new, keep).unwrap();
            let changes: Vec<_> = changes
                .into_iter()
                .map(|(key, value)| (key, value.map(|v| SecretValue::copy_of(v.expose()))))
                .collect();
            for (key, value) in changes {
                match value {
                    Some(value) => drop(self.values.insert(key, value)),
                    None => drop(self.values.remove(&key)),
                }
            }
            self.history = parse(&write(&after).unwrap()).unwrap();
        }

        fn put(&mut self, value: &[u8], keep: usize) {
            let value = SecretValue::copy_of(value);
            self.apply(Some(&value), keep, |history| {
                history.put(&PutOptions::default(), 1).unwrap()
            });
        }

        fn keys(&self) -> Vec<(&str, &[u8])> {
            self.values
                .iter()
                .map(|(k, v)| (k.as_str(), v.expose()))
                .collect()
        }
    }

    #[test]
    fn the_current_value_is_where_pods_look() {
        let mut object = Object::default();
        object.put(b"1", 10);
        object.put(b"2", 10);
        assert_eq!(object.keys(), [("value", &b"2"[..]), ("value.v1", b"1")]);
        object.apply(None, 10, |history| history.delete(None, 2).unwrap());
        assert_eq!(object.keys(), [("value.v1", &b"1"[..]), ("value.v2", b"2")]);
        object.apply(None, 10, |history| history.undelete(None, 3).unwrap());
        assert_eq!(object.keys(), [("value", &b"2"[..]), ("value.v1", b"1")]);
        object.apply(None, 10, |history| {
            history.destroy(2, 4).unwrap();
            2
        });
        assert_eq!(object.keys(), [("value.v1", &b"1"[..])]);
    }

    #[test]
    fn the_oldest_go_first_by_number_and_by_size() {
        let mut object = Object::default();
        for round in 0..5u8 {
            object.put(&[round], 3);
        }
        assert_eq!(
            object.keys(),
            [("value", &[4][..]), ("value.v3", &[2]), ("value.v4", &[3])]
        );
        object.put(&vec![9; MAX_OBJECT - 1], 3);
        let keys: Vec<_> = object
            .keys()
            .into_iter()
            .map(|(key, _)| key.to_owned())
            .collect();
        assert_eq!(keys, ["value", "value.v5"]);
        object.put(&vec![9; MAX_OBJECT], 3);
        assert_eq!(object.values.len(), 1);
        assert_eq!(object.history.versions().len(), 1);
    }

    #[test]
    fn keys_of_others_stay_and_count() {
        let mut object = Object::default();
        object.put(b"1", 10);
        for key in ["note", "value.vx", "value.v1.bak"] {
            object
                .values
                .insert(key.into(), SecretValue::copy_of(b"theirs"));
        }
        object
            .values
            .insert("value.v77".into(), SecretValue::copy_of(b"ours of nothing"));
        object.put(b"2", 1);
        let keys: Vec<_> = object.values.keys().map(String::as_str).collect();
        assert_eq!(keys, ["note", "value", "value.v1.bak", "value.vx"]);
        let big = SecretValue::new(vec![1; MAX_OBJECT - 1]);
        let mut after = object.history.clone();
        let number = after.put(&PutOptions::default(), 1).unwrap();
        let full = rearrange(
            &object.history,
            &mut after,
            &object.values,
            Some((number, &big)),
            10,
        );
        assert!(matches!(full, Err(Fault::Forbidden(_))));
    }

    #[test]
    fn a_record_of_another_format_is_not_guessed_at() {
        let text = write(&History::default()).unwrap();
        assert!(parse(&text).is_some());
        assert!(parse(&text.replacen("\"format\":1", "\"format\":2", 1)).is_none());
        assert!(parse("{}").is_none());
        let options = PutOptions {
            metadata: strongroom_backend::Metadata {
                description: Some("x".repeat(MAX_HISTORY)),
                ..Default::default()
            },
            ..PutOptions::default()
        };
        let mut long = History::default();
        long.put(&options, 1).unwrap();
        assert!(matches!(write(&long), Err(Fault::InvalidArgument(_))));
    }
}
