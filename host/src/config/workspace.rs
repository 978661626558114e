//! `[workspace.<name>]`: what is different in one place where the same configuration is used.
//!
//! The chosen one is laid over the rest before anything is read, so that what is read, and what is
//! refused, is the file as it is in force. Every value keeps its place in the text.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Lines};
use super::reach::{self, Reached};
use super::reader::{Section, library_message, quoted, shortened};
use super::{Source, secrets};
use crate::grants::{Name, nearest};

const TABLE: &str = "workspace";

/// Tables that are one choice of several: keys of two of them together would be none.
const CHOICES: [&str; 2] = ["auth", "key"];

/// The keys of a vault that say what it is. With another one of these, settings of the old one mean
/// nothing.
const KINDS: [&str; 2] = ["backend", "chain"];

/// Looks at the whole file, the workspaces that were not chosen too: their form, that no vault holds a
/// credential and no workspace touches the log. What the file reaches is what any of them does:
/// trust is in the file, whichever is chosen later.
pub(super) fn check(root: &mut Section<'_, '_>, source: &Source) -> Reached {
    let mut reached = vaults(root, source);
    for (name, mut inner) in root.entries(TABLE) {
        let reader = inner.reader;
        if Name::parse(name.value).is_err() {
            reader.report(&name.span, || {
                let name = quoted(name.value);
                format!("{name} is no workspace name: 1 to 64 letters, digits, '_' or '-'")
            });
        }
        for key in ["audit", TABLE] {
            if let Some(value) = inner.any(key) {
                reader.report(&value.span(), || match key {
                    TABLE => "a workspace holds no workspaces".into(),
                    _ => "a workspace may not touch [audit]: one log records them all".into(),
                });
            }
        }
        reached.extend(vaults(&mut inner, source));
    }
    reached
}

fn vaults(outer: &mut Section<'_, '_>, source: &Source) -> Reached {
    let Some(DeValue::Table(vaults)) = outer.any("vault").map(Spanned::get_ref) else {
        return Reached::default();
    };
    let mut reached = Reached::default();
    for (id, value) in vaults {
        // What is no table is reported where it is read.
        let DeValue::Table(table) = value.get_ref() else {
            continue;
        };
        let name = match outer.name() {
            "" => format!("vault.{}", shortened(id.get_ref())),
            outer => format!("{outer}.vault.{}", shortened(id.get_ref())),
        };
        let vault = Section::new(outer.reader, name, table, value.span());
        secrets::refuse_keys(&vault);
        reached.extend(reach::of_vault(&vault, source));
    }
    reached
}

/// Lays the workspace over the rest, and takes all of them away.
///
/// # Errors
///
/// There is none of that name.
pub(super) fn apply(
    root: &mut DeTable<'_>,
    name: Option<&str>,
    source: &Source,
) -> Result<(), ConfigError> {
    let all = root.remove(TABLE).map(Spanned::into_inner);
    let Some(name) = name else {
        return Ok(());
    };
    let mut all = match all {
        Some(DeValue::Table(all)) => all,
        _ => DeTable::new(),
    };
    match all.remove(name).map(Spanned::into_inner) {
        Some(DeValue::Table(over)) => {
            lay(root, over, &mut Vec::new());
            Ok(())
        }
        // What is no table was reported, with its place.
        Some(_) => Ok(()),
        None => {
            let known: Vec<_> = all.keys().map(|key| key.get_ref().as_ref()).collect();
            let message = match known.as_slice() {
                [] => format!("has no workspace {}, nor any other", quoted(name)),
                known => {
                    let near = nearest(name, known.iter().copied());
                    let known = known.join(", ");
                    format!("has no workspace {}{near} (it has {known})", quoted(name))
                }
            };
            Err(ConfigError::file(&source.file, message))
        }
    }
}

fn lay<'t>(base: &mut DeTable<'t>, over: DeTable<'t>, path: &mut Vec<String>) {
    for (key, value) in over {
        path.push(key.get_ref().to_string());
        let place = value.span();
        let (key, value) = match (
            base.remove_entry(key.get_ref().as_ref()),
            value.into_inner(),
        ) {
            (Some((old_key, old)), DeValue::Table(table))
                if merges(path, old.get_ref(), &table) =>
            {
                let span = old.span();
                let mut old = old.into_inner();
                if let DeValue::Table(old) = &mut old {
                    lay(old, table, path);
                }
                (old_key, Spanned::new(span, old))
            }
            (_, value) => (key, Spanned::new(place, value)),
        };
        base.insert(key, value);
        path.pop();
    }
}

fn merges(path: &[String], old: &DeValue<'_>, new: &DeTable<'_>) -> bool {
    let DeValue::Table(old) = old else {
        return false;
    };
    let last = path.last().map_or("", String::as_str);
    match path {
        [vault, _] if vault == "vault" => !KINDS.iter().any(|kind| {
            let (old, new) = (old.get(*kind), new.get(*kind));
            let text = |value: Option<&Spanned<DeValue<'_>>>| {
                value.and_then(|value| value.get_ref().as_str().map(str::to_owned))
            };
            new.is_some() && (old.is_none() || text(old) != text(new))
        }),
        [vault, _, _] if vault == "vault" => !CHOICES.contains(&last),
        _ => true,
    }
}

/// The text of the file as it is in force, for looking at one vault again.
pub(super) fn in_force(source: &Source) -> Option<DeTable<'_>> {
    let mut root = DeTable::parse(&source.text).ok()?.into_inner();
    apply(&mut root, source.workspace.as_deref(), source).ok()?;
    Some(root)
}

/// The document, or where the text is no TOML.
pub(super) fn document(source: &Source) -> Result<DeTable<'_>, ConfigError> {
    let text = source.text.as_str();
    DeTable::parse(text)
        .map(Spanned::into_inner)
        .map_err(|error| {
            let span = error.span().unwrap_or_default();
            let mut message = library_message(&error);
            if message == "duplicate key" {
                let name = text.get(span.clone()).unwrap_or_default();
                message = format!("{} is there twice", quoted(name));
            }
            ConfigError::new(&source.file, vec![Lines::new(text).problem(&span, message)])
        })
}
