//! What is known of a secret beside its value, in tags.
//!
//! All ours begin with `strongroom:`. Other tags are left alone and not shown: who may do what in the
//! account can hang on them, so a label that a guest sets must never become one.

use strongroom_backend::{Error, ErrorKind, Metadata, Result, SecretPath};

/// The tag that holds the exact path of a secret whose name does not tell it.
pub(crate) const PATH: &str = "strongroom:path";
const KIND: &str = "strongroom:kind";
/// Tells which of two creators of the same value made the secret.
const CREATED: &str = "strongroom:created";
const AUTHOR: &str = "strongroom:author:";
const LABEL: &str = "strongroom:label:";

/// The most characters of a tag's key and value.
const MOST_KEY: usize = 128;
const MOST_VALUE: usize = 256;
/// A secret has 50 tags: 13 are ours, some are left to others.
const MOST_LABELS: usize = 30;
/// The most characters of a description.
const MOST_DESCRIPTION: usize = 2048;
/// The authors of this many versions are kept: each tag takes the place of an older one.
const AUTHORS: u64 = 10;

/// A tag: key and value.
pub(crate) type Tag = (String, String);

/// Metadata as tags, within the service's limits.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Tags to set.
    pub(crate) tags: Vec<Tag>,
    /// Whether labels that are not among them go.
    labels: bool,
    /// The description, where it is given.
    pub(crate) description: Option<String>,
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
        let labels = metadata.labels.as_ref().map_or(0, Vec::len);
        let long = |(key, value): &Tag| key.len() > MOST_KEY || value.len() > MOST_VALUE;
        if labels > MOST_LABELS {
            return Err(refused("this vault keeps at most 30 labels of a secret"));
        }
        if tags.iter().any(long) {
            return Err(refused(
                "a label or kind is too long for this vault: 111 bytes of name and 256 of value, other \
                 than letters, digits and '_.:/+@-' counting three times",
            ));
        }
        let description = metadata.description.clone();
        if description
            .as_ref()
            .is_some_and(|text| text.chars().count() > MOST_DESCRIPTION)
        {
            return Err(refused("the description has more than 2048 characters"));
        }
        Ok(Self {
            tags,
            labels: metadata.labels.is_some(),
            description,
        })
    }

    /// Adds who wrote version `number`. An author that no tag can hold is left out.
    pub(crate) fn add_author(&mut self, number: u64, author: Option<&str>) {
        let Some(author) = author else { return };
        let value = format!("{number} {}", encoded(author));
        if value.len() <= MOST_VALUE {
            self.tags.push((author_key(number), value));
        }
    }

    /// Adds the path, for a name that does not tell it.
    pub(crate) fn add_path(&mut self, path: &SecretPath) {
        self.tags.push((PATH.to_owned(), path.to_string()));
    }

    /// Adds the mark of one creator among several.
    pub(crate) fn add_creator(&mut self, mark: &str) {
        self.tags.push((CREATED.to_owned(), mark.to_owned()));
    }

    /// The keys that must go, of the tags that are there.
    pub(crate) fn obsolete(&self, there: &Tags) -> Vec<String> {
        let stays = |key: &str| self.tags.iter().any(|(set, _)| set == key);
        let labels = there.0.iter().filter(|_| self.labels);
        labels
            .map(|(key, _)| key)
            .filter(|key| key.starts_with(LABEL) && !stays(key))
            .cloned()
            .collect()
    }

    /// The tags that are not there already.
    pub(crate) fn missing(&self, there: &Tags) -> Vec<Tag> {
        let there = &there.0;
        let tags = self.tags.iter().filter(|tag| !there.contains(tag));
        tags.cloned().collect()
    }
}

/// The tags of a secret.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tags(pub(crate) Vec<Tag>);

impl Tags {
    /// The path that is kept beside the value.
    pub(crate) fn path(&self) -> Option<&str> {
        self.get(PATH)
    }

    /// The mark of who created the secret.
    pub(crate) fn creator(&self) -> Option<&str> {
        self.get(CREATED)
    }

    /// The kind.
    pub(crate) fn kind(&self) -> Option<String> {
        self.get(KIND).and_then(decoded)
    }

    /// Who wrote version `number`, where that is still known.
    pub(crate) fn author(&self, number: u64) -> Option<String> {
        let (of, author) = self.get(&author_key(number))?.split_once(' ')?;
        (of == number.to_string()).then(|| decoded(author))?
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

fn author_key(number: u64) -> String {
    format!("{AUTHOR}{}", number % AUTHORS)
}

fn refused(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

/// A text in the characters that tags take: others as `=` and two hex digits for each byte.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.:/+@-".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("={byte:02X}"));
        }
    }
    encoded
}

/// The text that was encoded; none for a tag that another tool wrote or changed.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'=' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labelled(labels: &[(&str, &str)]) -> Metadata {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        Metadata {
            labels: Some(labels.iter().map(owned).collect()),
            ..Metadata::default()
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let encoded = encoded(&text);
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:/+@-=".contains(&b)));
            prop_assert_eq!(decoded(&encoded), Some(text));
        }
    }

    #[test]
    fn plain_words_stay_readable() {
        assert_eq!(encoded("component:billing"), "component:billing");
        assert_eq!(encoded("a=b c"), "a=3Db=20c");
        assert_eq!(decoded("=3"), None);
        assert_eq!(decoded("=zz"), None);
        assert_eq!(decoded("=FF"), None);
    }

    #[test]
    fn labels_come_and_go_and_foreign_tags_stay() {
        let there = Tags(vec![
            ("team".into(), "a".into()),
            ("strongroom:label:old".into(), "1".into()),
            ("strongroom:label:kept".into(), "2".into()),
            (PATH.into(), "a/b".into()),
        ]);
        let written = Written::of(&labelled(&[("kept", "2"), ("new", "")])).unwrap();
        assert_eq!(written.obsolete(&there), ["strongroom:label:old"]);
        assert_eq!(
            written.missing(&there),
            [("strongroom:label:new".to_owned(), String::new())]
        );
        assert_eq!(
            there.labels(),
            [("kept".into(), "2".into()), ("old".into(), "1".into())]
        );
        let nothing = Written::of(&Metadata::default()).unwrap();
        assert!(nothing.obsolete(&there).is_empty());
    }

    #[test]
    fn authors_of_the_last_versions_are_known() {
        let mut written = Written::default();
        written.add_author(3, Some("component:billing"));
        written.add_author(14, Some("operator:\u{e9}"));
        written.add_author(15, None);
        let tags = Tags(written.tags);
        assert_eq!(tags.author(3).as_deref(), Some("component:billing"));
        assert_eq!(tags.author(14).as_deref(), Some("operator:\u{e9}"));
        assert_eq!(tags.author(13), None, "its place was taken");
        assert_eq!(tags.author(15), None);
    }

    #[test]
    fn what_tags_cannot_hold_is_refused() {
        let long = "x".repeat(112);
        let accents = "\u{e9}".repeat(43);
        let many: Vec<_> = (0..31).map(|i| (format!("l{i}"), String::new())).collect();
        for metadata in [
            labelled(&[(&long, "")]),
            labelled(&[("a", &accents)]),
            Metadata {
                labels: Some(many),
                ..Metadata::default()
            },
            Metadata {
                description: Some("x".repeat(2049)),
                ..Metadata::default()
            },
        ] {
            let error = Written::of(&metadata).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
