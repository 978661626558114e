//! What is kept of a secret beside its values: in its annotations and labels.
//!
//! The service keeps nothing of ours with a version, so all of it stands with the secret and is changed
//! under its entity tag. Annotations of others are left as they are. Ours are:
//!
//! - `strongroom-path`: the exact path, where the name does not tell it;
//! - `strongroom-metadata`: kind, description, and labels that the service would not take as its own;
//! - `strongroom-authors`: who wrote the latest versions;
//! - `strongroom-deleted`: see [`Gone`].

use std::collections::{BTreeMap, HashMap};

use google_cloud_secretmanager_v1::model::Secret;
use serde::{Deserialize, Serialize};
use strongroom_backend::Metadata;

use crate::error::{Fault, Result};
use crate::gone::Gone;

const PATH: &str = "strongroom-path";
const METADATA: &str = "strongroom-metadata";
const AUTHORS: &str = "strongroom-authors";
const DELETED: &str = "strongroom-deleted";

/// The service takes 16 KiB of annotations in all. These leave more than 1 KiB to others.
const MAX_METADATA: usize = 10 << 10;
const MAX_AUTHORS: usize = 3 << 10;
/// The most labels that the service takes.
const MAX_LABELS: usize = 64;
/// The longest key or value of a label there.
const MAX_LABEL: usize = 63;

/// The notes of one secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Notes {
    pub(crate) path: Option<String>,
    pub(crate) gone: Option<Gone>,
    kept: Kept,
    /// By number, oldest first.
    authors: Vec<(u64, String)>,
    /// The labels that the service holds as such.
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Kept {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Labels that the service would not take.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    /// When any of this changed last, in milliseconds since the Unix epoch.
    updated: u64,
}

impl Notes {
    /// The notes of a secret that is about to get its first version: it has no current one yet.
    pub(crate) fn first(path: &str) -> Self {
        Self {
            path: Some(path.to_owned()),
            gone: Some(Gone::default()),
            ..Self::default()
        }
    }

    /// Reads what stands with a secret.
    pub(crate) fn of(secret: &Secret) -> Result<Self> {
        let text = |key| secret.annotations.get(key).map(String::as_str);
        let damaged = Fault::Damaged(
            "an annotation of the secret that begins with 'strongroom-' is not as this program writes it: \
             mend or remove it",
        );
        let (Some(kept), Some(authors), Some(gone)) = (
            json(text(METADATA)),
            json(text(AUTHORS)),
            text(DELETED)
                .map(Gone::parse)
                .map_or(Some(None), |gone| gone.map(Some)),
        ) else {
            return Err(damaged);
        };
        Ok(Self {
            path: text(PATH).map(str::to_owned),
            gone,
            kept,
            authors,
            labels: secret.labels.clone().into_iter().collect(),
        })
    }

    /// The path that is noted with a secret of a listing.
    pub(crate) fn path_of(secret: &Secret) -> Option<&str> {
        secret.annotations.get(PATH).map(String::as_str)
    }

    /// Whether a secret of a listing may have no current version.
    pub(crate) fn may_be_gone(secret: &Secret) -> bool {
        secret.annotations.contains_key(DELETED)
    }

    /// Writes the notes to a secret; what others keep there stays. Returns the fields that changed.
    pub(crate) fn write_to(&self, secret: &mut Secret) -> Result<String> {
        let before = (secret.annotations.clone(), secret.labels.clone());
        let mut set = |key: &str, text: Option<String>| match text {
            Some(text) => {
                secret.annotations.insert(key.to_owned(), text);
            }
            None => {
                secret.annotations.remove(key);
            }
        };
        set(PATH, self.path.clone());
        set(METADATA, self.kept.text()?);
        set(AUTHORS, authors_text(&self.authors)?);
        set(DELETED, self.gone.as_ref().map(Gone::text));
        secret.labels = self.labels.clone().into_iter().collect();
        let mut mask = Vec::new();
        if secret.annotations != before.0 {
            mask.push("annotations");
        }
        if secret.labels != before.1 {
            mask.push("labels");
        }
        Ok(mask.join(","))
    }

    /// Replaces what `metadata` gives and keeps the rest.
    pub(crate) fn set(&mut self, metadata: &Metadata) {
        if let Some(kind) = &metadata.kind {
            self.kept.kind = Some(kind.clone());
        }
        if let Some(description) = &metadata.description {
            self.kept.description = Some(description.clone());
        }
        if let Some(labels) = &metadata.labels {
            self.labels.clear();
            self.kept.labels.clear();
            let mut labels = labels.clone();
            labels.sort();
            labels.dedup_by(|a, b| a.0 == b.0);
            for (key, value) in labels {
                let room = self.labels.len() < MAX_LABELS;
                if room && is_label_key(&key) && is_label(&value) {
                    self.labels.insert(key, value);
                } else {
                    self.kept.labels.insert(key, value);
                }
            }
        }
    }

    /// Notes who wrote a version, and that there is a current one again.
    pub(crate) fn written(&mut self, number: u64, author: Option<&str>) {
        if let Some(author) = author {
            let at = self.authors.partition_point(|(other, _)| *other < number);
            self.authors.insert(at, (number, author.to_owned()));
        }
        if self.gone.as_ref().is_some_and(|gone| gone.newest < number) {
            self.gone = None;
        }
    }

    pub(crate) fn touch(&mut self, now: u64) {
        self.kept.updated = now;
    }

    pub(crate) fn updated(&self) -> u64 {
        self.kept.updated
    }

    pub(crate) fn kind(&self) -> Option<String> {
        self.kept.kind.clone()
    }

    pub(crate) fn description(&self) -> Option<String> {
        self.kept.description.clone()
    }

    /// All labels, by name.
    pub(crate) fn all_labels(&self) -> Vec<(String, String)> {
        let mut labels = self.kept.labels.clone();
        labels.extend(self.labels.clone());
        labels.into_iter().collect()
    }

    pub(crate) fn authors(&self) -> HashMap<u64, String> {
        self.authors.iter().cloned().collect()
    }

    /// Checks before any call that metadata finds room.
    pub(crate) fn check(metadata: &Metadata) -> Result<()> {
        let mut notes = Self::default();
        notes.set(metadata);
        notes.touch(u64::MAX);
        notes.kept.text().map(drop)
    }
}

impl Kept {
    fn text(&self) -> Result<Option<String>> {
        if *self == Self::default() {
            return Ok(None);
        }
        let text = serde_json::to_string(self).map_err(|_| Fault::Broken)?;
        if text.len() > MAX_METADATA {
            return Err(Fault::Invalid(format!(
                "kind, description and labels take more than the {MAX_METADATA} bytes that the service \
                 has room for"
            )));
        }
        Ok(Some(text))
    }
}

fn json<T: Default + serde::de::DeserializeOwned>(text: Option<&str>) -> Option<T> {
    match text {
        Some(text) => serde_json::from_str(text).ok(),
        None => Some(T::default()),
    }
}

/// The authors that find room, the latest first of all.
fn authors_text(authors: &[(u64, String)]) -> Result<Option<String>> {
    for from in 0..authors.len() {
        let latest = authors.get(from..).unwrap_or_default();
        let text = serde_json::to_string(latest).map_err(|_| Fault::Broken)?;
        if text.len() <= MAX_AUTHORS {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

fn is_label_key(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && is_label(text)
}

fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(pairs: &[(&str, &str)]) -> Metadata {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        Metadata {
            labels: Some(pairs.iter().map(owned).collect()),
            ..Metadata::default()
        }
    }

    #[test]
    fn labels_are_the_services_own_where_it_takes_them() {
        let mut notes = Notes::default();
        notes.set(&labelled(&[
            ("team", "a"),
            ("Team", "B"),
            ("1", ""),
            ("e", ""),
        ]));
        let mut secret = Secret::new();
        assert_eq!(notes.write_to(&mut secret).unwrap(), "annotations,labels");
        assert_eq!(secret.labels.len(), 2);
        let read = Notes::of(&secret).unwrap();
        assert_eq!(read, notes);
        let names: Vec<_> = read.all_labels().into_iter().map(|(key, _)| key).collect();
        assert_eq!(names, ["1", "Team", "e", "team"]);
        notes.set(&labelled(&[]));
        assert_eq!(notes.write_to(&mut secret).unwrap(), "annotations,labels");
        assert_eq!(secret, Secret::new());
    }

    #[test]
    fn what_others_keep_stays() {
        let mut secret = Secret::new().set_annotations([("owner", "ops")]);
        let mut notes = Notes::of(&secret).unwrap();
        assert_eq!(notes.write_to(&mut secret).unwrap(), "");
        notes.path = Some("a/b".to_owned());
        assert_eq!(notes.write_to(&mut secret).unwrap(), "annotations");
        assert_eq!(secret.annotations["owner"], "ops");
        let broken = Secret::new().set_annotations([(DELETED, "3:5-4")]);
        assert!(Notes::of(&broken).is_err());
    }

    #[test]
    fn a_void_delete_is_forgotten_with_the_next_write() {
        let mut notes = Notes {
            gone: Some(Gone::new(3, [1, 3])),
            ..Notes::default()
        };
        notes.written(3, None);
        assert!(notes.gone.is_some());
        notes.written(4, Some("operator:root"));
        assert_eq!(notes.gone, None);
        assert_eq!(notes.authors()[&4], "operator:root");
    }

    #[test]
    fn notes_find_room_in_what_the_service_takes() {
        let mut notes = Notes {
            path: Some("p".repeat(255)),
            gone: Some(Gone::new(u64::MAX, (0..20_000).map(|n| n * 2))),
            ..Notes::default()
        };
        for number in 0..1000 {
            notes.written(number, Some("component:billing"));
        }
        let description = Some("x".repeat(MAX_METADATA - 100));
        notes.set(&Metadata {
            description,
            ..Metadata::default()
        });
        let mut secret = Secret::new();
        notes.write_to(&mut secret).unwrap();
        let size: usize = secret
            .annotations
            .iter()
            .map(|(k, v)| k.len() + v.len())
            .sum();
        assert!(size < 15 << 10, "{size}");
        let read = Notes::of(&secret).unwrap();
        assert_eq!(read.authors()[&999], "component:billing");
        assert!(read.gone.unwrap().has(39_998));
        let large = Metadata {
            description: Some("\u{0}".repeat(MAX_METADATA / 6)),
            ..Metadata::default()
        };
        assert!(Notes::check(&large).is_err());
    }
}
