//! What is known of a secret beside its value, as text and as JSON.

use serde_json::{Map, Value, json};
use strongroom_backend::{Description, Reference, VersionState};

use super::time;

/// The fields of a description in JSON: times in RFC 3339, what is not known as null.
pub(crate) fn fields(description: &Description) -> Map<String, Value> {
    let labels = description.labels.iter();
    let labels: Map<String, Value> = labels.map(|(k, v)| (k.clone(), json!(v))).collect();
    let mut fields = Map::new();
    fields.insert("created".into(), json!(time::show(description.created)));
    fields.insert("updated".into(), json!(time::show(description.updated)));
    fields.insert("expires".into(), json!(description.expires.map(time::show)));
    fields.insert("rotates".into(), json!(description.rotates.map(time::show)));
    fields.insert("kind".into(), json!(description.kind));
    fields.insert("description".into(), json!(description.description));
    fields.insert("labels".into(), Value::Object(labels));
    fields
}

/// The names and texts of a description, for people; what is not known is left out.
pub(crate) fn lines(reference: &Reference, description: &Description) -> Vec<(String, String)> {
    let mut lines = vec![("reference".to_owned(), reference.to_string())];
    let mut add = |name: &str, text: Option<String>| {
        lines.extend(text.map(|text| (name.to_owned(), text)));
    };
    let version = description.version.map(|version| version.to_string());
    add(
        "version",
        Some(version.unwrap_or_else(|| "none (deleted)".into())),
    );
    add("created", Some(time::show(description.created)));
    add("updated", Some(time::show(description.updated)));
    add("expires", description.expires.map(time::show));
    add("rotates", description.rotates.map(time::show));
    add("kind", description.kind.clone());
    add("description", description.description.clone());
    for (name, text) in &description.labels {
        add("label", Some(format!("{name}={text}")));
    }
    lines
}

/// The word for a version's state, as in `wit/types.wit`.
pub(crate) fn state(state: VersionState) -> &'static str {
    match state {
        VersionState::Current => "current",
        VersionState::Superseded => "superseded",
        VersionState::Pending => "pending",
        VersionState::Deleted => "deleted",
        VersionState::Destroyed => "destroyed",
    }
}
