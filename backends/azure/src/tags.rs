//! What stands in the tags of a version: metadata, and what Key Vault has no place for.
//!
//! Tags are a version's own, at most 15 of 256 characters. Labels are tags by their own names, so
//! that other tools see them; all else has names of ours. What is not printable ASCII is encoded:
//! nobody promises that it comes back as it went.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_backend::Metadata;

use crate::error::{Fault, Result};

/// The tags of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags(BTreeMap<String, String>);

/// What Key Vault takes.
const MOST: usize = 15;
const LONGEST: usize = 256;

const OURS: &str = "strongroom-";
const PATH: &str = "strongroom-path";
const KIND: &str = "strongroom-kind";
const DESCRIPTION: &str = "strongroom-description";
const AUTHOR: &str = "strongroom-author";
/// The milliseconds of an expiry; the service keeps seconds.
const EXPIRES: &str = "strongroom-expires";
/// On a version deleted together with its secret: the id of the newest version then. A write later
/// makes another version the newest, and with that the delete one of this version alone.
const DELETED_WITH: &str = "strongroom-deleted-with";
/// On the newest version of a deleted secret: the numbers of the older ones, which the service does
/// not list until the secret is recovered.
const OLDER: &str = "strongroom-older";
/// Before a label whose name is no good as the name of a tag.
const LABEL: &str = "strongroom-label-";
/// Before an encoded text.
const ENCODED: &str = "strongroom:";

impl Tags {
    pub(crate) fn from_service(tags: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(tags.into_iter().collect())
    }

    pub(crate) fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The exact path of the secret, where its name does not tell it.
    pub(crate) fn path(&self) -> Option<&str> {
        self.0.get(PATH).map(String::as_str)
    }

    pub(crate) fn kind(&self) -> Option<String> {
        self.0.get(KIND).and_then(|text| decoded(text))
    }

    pub(crate) fn description(&self) -> Option<String> {
        self.0.get(DESCRIPTION).and_then(|text| decoded(text))
    }

    pub(crate) fn author(&self) -> Option<String> {
        self.0.get(AUTHOR).and_then(|text| decoded(text))
    }

    /// When the version expires, of which the service keeps `seconds`.
    pub(crate) fn expires(&self, seconds: Option<u64>) -> Option<u64> {
        let seconds = seconds?;
        let exact = self.0.get(EXPIRES).and_then(|text| text.parse().ok());
        // Another tool may have changed the service's own.
        exact
            .filter(|ms: &u64| ms.div_ceil(1000) == seconds)
            .or_else(|| seconds.checked_mul(1000))
    }

    pub(crate) fn deleted_with(&self) -> Option<&str> {
        self.0.get(DELETED_WITH).map(String::as_str)
    }

    /// The labels in order: every tag that is not ours.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        let mut labels: Vec<_> = self
            .0
            .iter()
            .filter_map(|(name, value)| Some((label_of(name)?, decoded(value)?)))
            .collect();
        labels.sort();
        labels.dedup_by(|a, b| a.0 == b.0);
        labels
    }

    /// What a new version takes over from the one before: the metadata, and nothing that belongs to
    /// one version.
    pub(crate) fn carried(&self) -> Self {
        let mut tags = self.clone();
        for name in [AUTHOR, EXPIRES, DELETED_WITH, OLDER] {
            tags.0.remove(name);
        }
        tags
    }

    pub(crate) fn set_path(&mut self, path: Option<&str>) {
        self.0.remove(PATH);
        self.0
            .extend(path.map(|path| (PATH.to_owned(), path.to_owned())));
    }

    pub(crate) fn set_author(&mut self, author: Option<&str>) {
        self.0
            .extend(author.map(|author| (AUTHOR.to_owned(), encoded(author))));
    }

    /// Returns the seconds for the service to keep.
    pub(crate) fn set_expires(&mut self, expires: Option<u64>) -> Option<u64> {
        let expires = expires?;
        if expires % 1000 != 0 {
            self.0.insert(EXPIRES.to_owned(), expires.to_string());
        }
        Some(expires.div_ceil(1000))
    }

    /// Replaces what `metadata` gives and keeps the rest.
    pub(crate) fn set_metadata(&mut self, metadata: &Metadata) {
        if let Some(kind) = &metadata.kind {
            self.0.insert(KIND.to_owned(), encoded(kind));
        }
        if let Some(description) = &metadata.description {
            self.0.insert(DESCRIPTION.to_owned(), encoded(description));
        }
        if let Some(labels) = &metadata.labels {
            self.0.retain(|name, _| label_of(name).is_none());
            for (name, value) in labels {
                self.0.insert(tag_of(name), encoded(value));
            }
        }
    }

    /// Marks a version as deleted together with its secret, where there is room for a tag. Without
    /// the mark it counts as deleted alone: no less gone, and taken back by its own number.
    pub(crate) fn mark_deleted_with(&mut self, newest: &str) {
        self.insert_if_room(DELETED_WITH, newest.to_owned());
    }

    pub(crate) fn unmark(&mut self) {
        self.0.remove(DELETED_WITH);
        self.0.remove(OLDER);
    }

    /// Notes the numbers of older versions, newest first, as many as there is room for: each as its
    /// difference to the one before, which is short.
    pub(crate) fn note_older(&mut self, newest: u64, older: impl IntoIterator<Item = u64>) {
        let mut text = String::new();
        let mut last = newest;
        for number in older {
            let mut step = base36(last.saturating_sub(number));
            if !text.is_empty() {
                step.insert(0, ' ');
            }
            if text.len() + step.len() > LONGEST {
                break;
            }
            text.push_str(&step);
            last = number;
        }
        if text.is_empty() {
            self.0.remove(OLDER);
        } else {
            self.insert_if_room(OLDER, text);
        }
    }

    /// The noted numbers, newest first.
    pub(crate) fn older(&self, newest: u64) -> Vec<u64> {
        let text = self.0.get(OLDER).map_or("", String::as_str);
        let mut last = newest;
        text.split_ascii_whitespace()
            .map_while(|step| {
                last = last.checked_sub(u64::from_str_radix(step, 36).ok()?)?;
                Some(last)
            })
            .collect()
    }

    /// Refuses what the service would.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.len() > MOST {
            return Err(Fault::Invalid(format!(
                "kind, description, labels and what goes with them take {} tags, and Key Vault has \
                 {MOST}: leave some labels out",
                self.0.len()
            )));
        }
        let long = |text: &String| text.encode_utf16().count() > LONGEST;
        if self.0.iter().any(|(name, value)| long(name) || long(value)) {
            return Err(Fault::Invalid(format!(
                "a label, the kind, the description or the author is longer than a tag of Key Vault, \
                 which has {LONGEST} characters; what is not plain ASCII takes a third more"
            )));
        }
        Ok(())
    }

    fn insert_if_room(&mut self, name: &str, value: String) {
        if self.0.len() < MOST || self.0.contains_key(name) {
            self.0.insert(name.to_owned(), value);
        }
    }
}

/// The name of the tag that holds a label.
fn tag_of(label: &str) -> String {
    if is_plain(label) && !label.starts_with(OURS) {
        label.to_owned()
    } else {
        format!("{LABEL}{}", URL_SAFE_NO_PAD.encode(label))
    }
}

/// The label that a tag holds; none for a tag of ours.
fn label_of(tag: &str) -> Option<String> {
    if let Some(code) = tag.strip_prefix(LABEL) {
        return text(code);
    }
    (!tag.starts_with(OURS)).then(|| tag.to_owned())
}

fn encoded(plain: &str) -> String {
    if is_plain(plain) && !plain.starts_with(ENCODED) {
        plain.to_owned()
    } else {
        format!("{ENCODED}{}", URL_SAFE_NO_PAD.encode(plain))
    }
}

fn decoded(stored: &str) -> Option<String> {
    match stored.strip_prefix(ENCODED) {
        Some(code) => text(code),
        None => Some(stored.to_owned()),
    }
}

fn text(code: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(code).ok()?).ok()
}

/// Printable ASCII with a visible character at both ends.
fn is_plain(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter().flatten().any(u8::is_ascii_graphic)
        && ends.iter().flatten().all(u8::is_ascii_graphic)
        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = Vec::new();
    loop {
        let digit = usize::try_from(number % 36).unwrap_or_default();
        digits.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'0')));
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labelled(labels: Vec<(String, String)>) -> Tags {
        let mut tags = Tags::default();
        tags.set_metadata(&Metadata {
            labels: Some(labels),
            ..Metadata::default()
        });
        tags
    }

    proptest! {
        #[test]
        fn labels_come_back(labels in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..6)) {
            let labels: Vec<_> = labels.into_iter().collect();
            let tags = labelled(labels.clone());
            prop_assert_eq!(tags.labels(), labels);
            for (name, value) in tags.as_map() {
                prop_assert!(is_plain(name) && is_plain(value));
            }
        }

        #[test]
        fn texts_come_back(kind in "\\PC{0,20}|strongroom:[a-z]{0,4}", description in any::<String>()) {
            let mut tags = Tags::default();
            let metadata = Metadata { kind: Some(kind), description: Some(description), labels: None };
            tags.set_metadata(&metadata);
            prop_assert_eq!(tags.kind(), metadata.kind);
            prop_assert_eq!(tags.description(), metadata.description);
            prop_assert!(tags.labels().is_empty());
        }

        #[test]
        fn numbers_come_back(mut numbers in proptest::collection::btree_set(1u64..2_000_000_000, 2..30)) {
            let newest = numbers.pop_last().unwrap();
            let older: Vec<_> = numbers.into_iter().rev().collect();
            let mut tags = Tags::default();
            tags.note_older(newest, older.clone());
            prop_assert_eq!(tags.older(newest), older);
        }
    }

    #[test]
    fn labels_are_tags_that_others_can_read() {
        let tags = labelled(vec![("team".into(), "a b".into())]);
        assert_eq!(tags.as_map().get("team").unwrap(), "a b");
    }

    #[test]
    fn a_label_cannot_pass_for_what_is_ours() {
        let tags = labelled(vec![(PATH.into(), "x".into()), (AUTHOR.into(), "y".into())]);
        assert_eq!(tags.path(), None);
        assert_eq!(tags.author(), None);
        assert_eq!(tags.labels().len(), 2);
    }

    #[test]
    fn more_versions_than_a_tag_holds_are_cut() {
        let mut tags = Tags::default();
        tags.note_older(
            2_000_000_000,
            (0..200).map(|i| 1_990_000_000 - i * 1_000_000),
        );
        assert!(tags.check().is_ok());
        assert!(tags.older(2_000_000_000).len() > 40);
    }

    #[test]
    fn an_expiry_keeps_its_milliseconds_unless_others_change_it() {
        let mut tags = Tags::default();
        assert_eq!(tags.set_expires(Some(1_500)), Some(2));
        assert_eq!(tags.expires(Some(2)), Some(1_500));
        assert_eq!(tags.expires(Some(7)), Some(7_000));
        assert_eq!(tags.expires(None), None);
    }

    #[test]
    fn what_the_service_refuses_is_refused_here() {
        let many = |n: usize| labelled((0..n).map(|i| (format!("l{i}"), "v".into())).collect());
        assert!(many(15).check().is_ok());
        assert!(many(16).check().is_err());
        assert!(
            labelled(vec![("l".into(), "v".repeat(256))])
                .check()
                .is_ok()
        );
        assert!(
            labelled(vec![("l".into(), "v".repeat(257))])
                .check()
                .is_err()
        );
        assert!(
            labelled(vec![("l".into(), "\u{e9}".repeat(128))])
                .check()
                .is_err()
        );
    }

    #[test]
    fn a_full_set_of_tags_takes_no_mark() {
        let mut tags = labelled((0..15).map(|i| (format!("l{i}"), "v".into())).collect());
        tags.mark_deleted_with("id");
        tags.note_older(9, [7, 3]);
        assert_eq!(tags.deleted_with(), None);
        assert!(tags.check().is_ok());
    }
}
