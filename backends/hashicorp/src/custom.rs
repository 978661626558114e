//! Kind, description and labels in a secret's custom metadata.
//!
//! The engine takes 64 pairs of printable text, keys of 1 to 128 bytes and values of 1 to 512. A
//! text that it takes stands as it is, so that people and other tools can read it; any other stands
//! in base64 with a mark before it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_backend::Metadata;

use crate::error::{Fault, Result};

/// The key of the versions that were deleted together with the secret.
pub(crate) const DELETED: &str = "strongroom-deleted";
/// What keys of ours begin with; no label's own name does.
const OURS: &str = "strongroom-";
/// Before the name of a label that cannot be a key.
const LABEL: &str = "strongroom-label-";
/// Before a value that cannot stand as it is.
const ENCODED: &str = "strongroom-base64:";
const KIND: &str = "kind";
const DESCRIPTION: &str = "description";
/// The most pairs; one is left for [`DELETED`].
const MOST_PAIRS: usize = 64;
const MOST_KEY: usize = 128;
const MOST_VALUE: usize = 512;

/// A secret's custom metadata.
pub(crate) type Custom = BTreeMap<String, String>;
/// What of it changes: new values, and None for keys that go.
pub(crate) type Changes = BTreeMap<String, Option<String>>;

/// The kind.
pub(crate) fn kind(custom: &Custom) -> Option<String> {
    custom.get(KIND).map(|text| value_of(text))
}

/// The description.
pub(crate) fn description(custom: &Custom) -> Option<String> {
    custom.get(DESCRIPTION).map(|text| value_of(text))
}

/// The labels, by name: what other tools keep there too.
pub(crate) fn labels(custom: &Custom) -> Vec<(String, String)> {
    let mut labels: Vec<_> = custom
        .iter()
        .filter_map(|(key, value)| Some((name_of(key)?, value_of(value))))
        .collect();
    labels.sort();
    labels.dedup_by(|a, b| a.0 == b.0);
    labels
}

/// Whether one more pair fits.
pub(crate) fn has_room(custom: &Custom, key: &str) -> bool {
    custom.contains_key(key) || custom.len() < MOST_PAIRS
}

/// What must change in `custom` for `metadata` to be there.
pub(crate) fn changes(custom: &Custom, metadata: &Metadata) -> Result<Changes> {
    let mut changes = Changes::new();
    for (key, text) in [(KIND, &metadata.kind), (DESCRIPTION, &metadata.description)] {
        if let Some(text) = text {
            changes.insert(key.to_owned(), Some(value(text)?));
        }
    }
    if let Some(labels) = &metadata.labels {
        for key in custom.keys().filter(|key| name_of(key).is_some()) {
            changes.insert(key.clone(), None);
        }
        for (name, text) in labels {
            changes.insert(key(name)?, Some(value(text)?));
        }
    }
    let kept = custom
        .keys()
        .filter(|key| !changes.contains_key(*key) && *key != DELETED);
    if kept.count() + changes.values().flatten().count() >= MOST_PAIRS {
        return Err(Fault::Invalid(format!(
            "the engine keeps {} labels for a secret, kind and description among them",
            MOST_PAIRS - 1
        )));
    }
    changes.retain(|key, text| custom.get(key) != text.as_ref());
    Ok(changes)
}

fn key(name: &str) -> Result<String> {
    if !name.is_empty() && is_plain(name) && !is_reserved(name) && name.len() <= MOST_KEY {
        return Ok(name.to_owned());
    }
    let key = format!("{LABEL}{}", URL_SAFE_NO_PAD.encode(name));
    if key.len() > MOST_KEY {
        return Err(Fault::Invalid(format!(
            "the name of a label has {} bytes: the engine takes {MOST_KEY} of plain text, and 83 of \
             any other",
            name.len()
        )));
    }
    Ok(key)
}

fn name_of(key: &str) -> Option<String> {
    match key.strip_prefix(LABEL) {
        Some(encoded) => decoded(encoded),
        None => (!is_reserved(key)).then(|| key.to_owned()),
    }
}

fn value(text: &str) -> Result<String> {
    let plain = !text.is_empty() && is_plain(text) && !text.starts_with(ENCODED);
    let value = if plain {
        text.to_owned()
    } else {
        format!("{ENCODED}{}", URL_SAFE_NO_PAD.encode(text))
    };
    if value.len() > MOST_VALUE {
        return Err(Fault::Invalid(format!(
            "a label, kind or description has {} bytes: the engine takes {MOST_VALUE} of plain \
             text, and 370 of any other",
            text.len()
        )));
    }
    Ok(value)
}

fn value_of(value: &str) -> String {
    let encoded = value.strip_prefix(ENCODED).and_then(decoded);
    encoded.unwrap_or_else(|| value.to_owned())
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn is_reserved(key: &str) -> bool {
    key == KIND || key == DESCRIPTION || key.starts_with(OURS)
}

/// Whether every server takes `text` for printable: its table of characters may be older than ours,
/// so only ranges that were full long ago count.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| {
        matches!(c, ' '..='~')
            || c.is_alphanumeric()
                && matches!(c,
                    '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{4ff}' | '\u{3041}'..='\u{30ff}'
                    | '\u{4e00}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7a3}')
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn applied(custom: &Custom, metadata: &Metadata) -> Custom {
        let mut custom = custom.clone();
        for (key, text) in changes(&custom, metadata).unwrap() {
            match text {
                Some(text) => drop(custom.insert(key, text)),
                None => drop(custom.remove(&key)),
            }
        }
        custom
    }

    fn labelled(pairs: &[(&str, &str)]) -> Metadata {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        Metadata {
            labels: Some(pairs.iter().map(owned).collect()),
            ..Metadata::default()
        }
    }

    proptest! {
        #[test]
        fn what_is_set_is_told(
            kind in proptest::option::of(".{0,40}"), description in proptest::option::of(".{0,90}"),
            labels in proptest::collection::btree_map(".{0,20}", ".{0,90}", 0..9),
        ) {
            let labels: Vec<_> = labels.into_iter().collect();
            let metadata = Metadata { kind: kind.clone(), description: description.clone(),
                labels: Some(labels.clone()) };
            let before = applied(&Custom::new(), &labelled(&[("a", "b"), ("strongroom-x", "\0")]));
            let custom = applied(&before, &metadata);
            prop_assert_eq!(super::kind(&custom), kind);
            prop_assert_eq!(super::description(&custom), description);
            prop_assert_eq!(super::labels(&custom), labels);
            for (key, value) in &custom {
                prop_assert!((1..=MOST_KEY).contains(&key.len()) && is_plain(key));
                prop_assert!((1..=MOST_VALUE).contains(&value.len()) && is_plain(value));
            }
        }
    }

    #[test]
    fn plain_text_stays_readable() {
        let custom = applied(
            &Custom::new(),
            &labelled(&[("team", "a"), ("caf\u{e9}", "\u{5bc6}\u{94a5} <1>")]),
        );
        assert_eq!(custom["team"], "a");
        assert_eq!(custom["caf\u{e9}"], "\u{5bc6}\u{94a5} <1>");
        let other_tools = Custom::from([
            ("owner".to_owned(), "x".to_owned()),
            ("strongroom-deleted".to_owned(), "1:1".to_owned()),
        ]);
        assert_eq!(labels(&other_tools), [("owner".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn our_own_keys_are_kept_and_unchanged_ones_not_written() {
        let custom = applied(&Custom::new(), &labelled(&[("a", "1"), ("b", "2")]));
        let mut custom = custom;
        custom.insert(DELETED.to_owned(), "1:1".to_owned());
        let changes = changes(&custom, &labelled(&[("a", "1"), ("kind", "c")])).unwrap();
        let keys: Vec<_> = changes.keys().map(String::as_str).collect();
        assert_eq!(keys, ["b", "strongroom-label-a2luZA"]);
    }

    #[test]
    fn limits_bite_before_any_call() {
        let none = Custom::new();
        let many = |n: usize| Metadata {
            labels: Some((0..n).map(|i| (format!("l{i}"), "x".to_owned())).collect()),
            ..Metadata::default()
        };
        assert!(changes(&none, &many(63)).is_ok());
        assert!(changes(&none, &many(64)).is_err());
        let long = |name: usize, text: usize| {
            changes(&none, &labelled(&[(&"n".repeat(name), &"t".repeat(text))]))
        };
        assert!(long(128, 512).is_ok());
        assert!(long(129, 1).is_err());
        assert!(long(1, 513).is_err());
        assert!(changes(&none, &labelled(&[(&"\0".repeat(84), "x")])).is_err());
        let error = long(1, 600).unwrap_err().to_string();
        assert!(error.contains("512") && !error.contains("tttt"), "{error}");
    }
}
