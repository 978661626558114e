//! What is known of a secret beside its value, in tags.
//!
//! All ours begin with `strongroom:`. Other tags are left alone and not shown: who may do what in the
//! account can hang on them, so a label that a guest sets must never become one.

use strongroom_backend::{Error, ErrorKind, Metadata, Result};
use strongroom_backend_aws::tag::{decoded, encoded};

const KIND: &str = "strongroom:kind";
const LABEL: &str = "strongroom:label:";
/// A description takes several tags; a number follows.
const DESCRIPTION: &str = "strongroom:description:";
/// The most characters of a tag's key and value.
const MOST_KEY: usize = 128;
const MOST_VALUE: usize = 256;
/// A parameter has 50 tags: these and the kind are ours, the others are left to others.
const MOST_LABELS: usize = 30;
const MOST_PARTS: usize = 8;

/// A tag: key and value.
pub(crate) type Tag = (String, String);

/// Metadata as tags, within the service's limits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    /// Tags to set.
    pub(crate) tags: Vec<Tag>,
    labels: bool,
    description: bool,
}

impl Written {
    /// How `metadata` is written.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for what the service cannot hold.
    pub(crate) fn of(metadata: &Metadata) -> Result<Self> {
        let mut tags = Vec::new();
        if let Some(kind) = &metadata.kind {
            tags.push((KIND.to_owned(), encoded(kind)));
        }
        for (name, value) in metadata.labels.iter().flatten() {
            tags.push((format!("{LABEL}{}", encoded(name)), encoded(value)));
        }
        if let Some(description) = &metadata.description {
            tags.extend(parts(description)?);
        }
        let labels = metadata.labels.as_ref().map_or(0, Vec::len);
        if labels > MOST_LABELS {
            return Err(refused("this vault keeps at most 30 labels of a secret"));
        }
        let long = |(key, value): &Tag| key.len() > MOST_KEY || value.len() > MOST_VALUE;
        if tags.iter().any(long) {
            return Err(refused(
                "a label or kind is too long for this vault: 111 bytes of name and 256 of value, other \
                 than letters, digits and '_.:/+@-' counting three times",
            ));
        }
        Ok(Self {
            tags,
            labels: metadata.labels.is_some(),
            description: metadata.description.is_some(),
        })
    }

    /// Whether there is nothing to change.
    pub(crate) fn is_empty(&self) -> bool {
        self.tags.is_empty() && !self.labels && !self.description
    }

    /// The keys that must go, of the tags that are there.
    pub(crate) fn obsolete(&self, there: &Tags) -> Vec<String> {
        let stays = |key: &str| self.tags.iter().any(|(set, _)| set == key);
        let replaced = |key: &str| {
            (self.labels && key.starts_with(LABEL))
                || (self.description && key.starts_with(DESCRIPTION))
        };
        let keys = there.0.iter().map(|(key, _)| key);
        keys.filter(|key| replaced(key) && !stays(key))
            .cloned()
            .collect()
    }

    /// The tags that are not there already.
    pub(crate) fn missing(&self, there: &Tags) -> Vec<Tag> {
        let tags = self.tags.iter().filter(|tag| !there.0.contains(tag));
        tags.cloned().collect()
    }
}

/// The tags of a parameter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tags(pub(crate) Vec<Tag>);

impl Tags {
    pub(crate) fn kind(&self) -> Option<String> {
        self.get(KIND).and_then(decoded)
    }

    pub(crate) fn description(&self) -> Option<String> {
        let mut text = self.get(&format!("{DESCRIPTION}0"))?.to_owned();
        for part in 1..MOST_PARTS {
            match self.get(&format!("{DESCRIPTION}{part}")) {
                Some(more) => text.push_str(more),
                None => break,
            }
        }
        decoded(&text)
    }

    /// The labels, by name.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        let label = |(key, value): &Tag| {
            let name = decoded(key.strip_prefix(LABEL)?)?;
            Some((name, decoded(value)?))
        };
        let mut labels: Vec<_> = self.0.iter().filter_map(label).collect();
        labels.sort();
        labels
    }

    fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(other, _)| other == key)?;
        Some(value)
    }
}

fn parts(description: &str) -> Result<Vec<Tag>> {
    let text = encoded(description);
    if text.len() > MOST_PARTS * MOST_VALUE {
        return Err(refused(
            "the description is too long for this vault: 2048 bytes, other than letters, digits and \
             '_.:/+@-' counting three times",
        ));
    }
    // Ascii alone, so that every cut is one between characters.
    let pieces = text.as_bytes().chunks(MOST_VALUE).enumerate();
    let tag = |(index, piece): (usize, &[u8])| {
        let value = String::from_utf8_lossy(piece).into_owned();
        (format!("{DESCRIPTION}{index}"), value)
    };
    Ok(pieces.map(tag).collect())
}

fn refused(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(labels: &[(&str, &str)]) -> Metadata {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        Metadata {
            labels: Some(labels.iter().map(owned).collect()),
            ..Metadata::default()
        }
    }

    fn described(text: &str) -> Metadata {
        Metadata {
            description: Some(text.to_owned()),
            ..Metadata::default()
        }
    }

    #[test]
    fn labels_come_and_go_and_foreign_tags_stay() {
        let there = Tags(vec![
            ("team".into(), "a".into()),
            ("strongroom:label:old".into(), "1".into()),
            ("strongroom:label:kept".into(), "2".into()),
            ("strongroom:description:0".into(), "=".into()),
        ]);
        let written = Written::of(&labelled(&[("kept", "2"), ("new", "")])).unwrap();
        assert_eq!(written.obsolete(&there), ["strongroom:label:old"]);
        let new = ("strongroom:label:new".to_owned(), "=".to_owned());
        assert_eq!(written.missing(&there), [new]);
        let labels = [("kept".into(), "2".into()), ("old".into(), "1".into())];
        assert_eq!(there.labels(), labels);
        assert_eq!(there.description().as_deref(), Some(""));
        assert!(Written::of(&Metadata::default()).unwrap().is_empty());
        assert!(!Written::of(&labelled(&[])).unwrap().is_empty());
    }

    #[test]
    fn a_long_description_takes_several_tags_and_a_short_one_frees_them() {
        let long = "\u{e9} ".repeat(150);
        let written = Written::of(&described(&long)).unwrap();
        assert_eq!(written.tags.len(), 6);
        let there = Tags(written.tags);
        assert_eq!(there.description(), Some(long));
        let short = Written::of(&described("short")).unwrap();
        assert_eq!(short.obsolete(&there).len(), 5);
    }

    #[test]
    fn what_tags_cannot_hold_is_refused() {
        let long = "x".repeat(112);
        let accents = "\u{e9}".repeat(43);
        let many: Vec<_> = (0..31).map(|i| (format!("l{i}"), String::new())).collect();
        let many = Metadata {
            labels: Some(many),
            ..Metadata::default()
        };
        for metadata in [
            labelled(&[(&long, "")]),
            labelled(&[("a", &accents)]),
            described(&"x".repeat(2049)),
            many,
        ] {
            let error = Written::of(&metadata).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
