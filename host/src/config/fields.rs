//! Names that stand for one field of a JSON secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_backend::SecretPath;

use super::reader::{Section, quoted, section};

/// The most names of one vault: each listing looks at all of them.
const MOST: usize = 1000;
/// The longest name of a field.
pub(super) const MOST_FIELD: usize = 256;

/// What a name of `[vault.<id>.fields]` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BoundField {
    /// The secret, a JSON object.
    pub of: SecretPath,
    /// The name of the field.
    pub field: Arc<str>,
}

/// Reads `fields`.
pub(super) fn fields(outer: &mut Section<'_, '_>) -> BTreeMap<SecretPath, BoundField> {
    let mut bound = BTreeMap::new();
    let Some(table) = outer.section("fields") else {
        return bound;
    };
    let reader = table.reader;
    let mut places = Vec::new();
    for (name, value) in table.table() {
        let text = name.get_ref();
        let parsed = SecretPath::parse(text).map_err(|error| {
            reader.report(&name.span(), || format!("{}: {error}", quoted(text)));
        });
        let label = format!("{}.{}", table.name(), quoted(text));
        let Some(inner) = section(reader, label, value) else {
            continue;
        };
        let of_span = inner.span().clone();
        if let (Ok(path), Some(field)) = (parsed, field(inner)) {
            places.push((path.clone(), of_span));
            bound.insert(path, field);
        }
    }
    if bound.len() > MOST {
        let message = || format!("'fields' has more than {MOST} names");
        reader.report(table.span(), message);
    }
    for (path, span) in places {
        let of = bound.get(&path).map(|field| &field.of);
        if of.is_some_and(|of| bound.contains_key(of)) {
            let message = || "'of' must be a secret of the vault, not another bound name".into();
            reader.report(&span, message);
        }
    }
    bound
}

fn field(mut section: Section<'_, '_>) -> Option<BoundField> {
    let of = section.string("of");
    let field = section.string("field");
    for key in ["of", "field"] {
        if section.lacks(key) {
            section.missing(key, ", as in { of = \"db/main\", field = \"password\" }");
        }
    }
    let reader = section.reader;
    section.finish();
    let (of, field) = (of?, field?);
    let path = SecretPath::parse(of.value).map_err(|error| {
        reader.report(&of.span, || format!("'of': {error}"));
    });
    if !is_field(field.value) {
        reader.report(&field.span, || {
            format!("'field' must have 1 to {MOST_FIELD} bytes")
        });
        return None;
    }
    Some(BoundField {
        of: path.ok()?,
        field: field.value.into(),
    })
}

pub(super) fn is_field(name: &str) -> bool {
    !name.is_empty() && name.len() <= MOST_FIELD
}
