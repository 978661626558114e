//! Which vaults are one store.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::layers::OURS;

/// What tells a store from others, from the settings that its backend takes; none where they are
/// not what the backend takes.
#[derive(Clone)]
pub(crate) struct PlaceOf(Arc<dyn Fn(toml::Table) -> Option<String> + Send + Sync>);

impl PlaceOf {
    pub(crate) fn new<C, P>(place: P) -> Self
    where
        C: DeserializeOwned,
        P: Fn(&C) -> String + Send + Sync + 'static,
    {
        Self(Arc::new(move |settings| {
            settings.try_into().ok().map(|settings| place(&settings))
        }))
    }
}

impl fmt::Debug for PlaceOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlaceOf")
    }
}

/// The place of a vault. Only its backend knows which of its settings tell a store from others, and
/// which of them are two spellings of one thing. Without its word all settings count, as they are
/// written: what is wrong with them is told when the vault is opened.
pub(super) fn place(
    places: &BTreeMap<String, PlaceOf>,
    backend: &str,
    table: &toml::Table,
) -> String {
    let settings: toml::Table = table
        .iter()
        .filter(|(key, _)| !OURS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let text = written(&settings);
    let known = places.get(backend).and_then(|PlaceOf(of)| of(settings));
    // What a backend says is marked, lest it be what another table has as its text.
    match known {
        Some(place) => format!("{backend}: {place}"),
        None => format!("{backend}{text}"),
    }
}

fn written(settings: &toml::Table) -> String {
    let mut text = String::new();
    for (key, value) in settings {
        // Other names for what is there make no other place.
        if key != "names" {
            write(&mut text, key, value);
        }
    }
    text
}

/// Writes one setting so that different ones never look the same. A final slash says nothing.
fn write(text: &mut String, key: &str, value: &toml::Value) {
    use std::fmt::Write as _;
    // Writing to memory does not fail.
    let _ = match value {
        toml::Value::Table(table) => {
            let _ = write!(text, "\n{key:?}{{");
            table
                .iter()
                .for_each(|(key, value)| write(text, key, value));
            write!(text, "}}")
        }
        toml::Value::String(value) => write!(text, "\n{key:?}={:?}", value.trim_end_matches('/')),
        other => write!(text, "\n{key:?}={other}"),
    };
}
