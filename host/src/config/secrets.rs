//! What a configuration must not hold.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{Reader, Section, quoted};

/// Keys that hold a credential wherever they stand. Their `-file` and `-env` forms name a place.
const CREDENTIALS: [&str; 16] = [
    "access-key-id",
    "access-token",
    "api-key",
    "auth-token",
    "client-secret",
    "connection-string",
    "credential",
    "credentials",
    "passphrase",
    "password",
    "private-key",
    "secret-access-key",
    "secret-id",
    "secret-key",
    "session-token",
    "token",
];

/// The tables whose keys are secrets' names, not settings.
const NAMES: [&str; 2] = ["names", "fields"];

/// Refuses credentials by the name of the key that holds them, in a table of settings.
pub(super) fn refuse_keys(section: &Section<'_, '_>) {
    let reader = section.reader;
    walk(section.table(), &mut |path, key, span, value| {
        let literal = match value {
            DeValue::String(_) | DeValue::Integer(_) => true,
            DeValue::Table(_) | DeValue::Array(_) => false,
            _ => return,
        };
        let plain_key = key == "key" && matches!(value, DeValue::String(_));
        if (CREDENTIALS.contains(&key) && literal) || plain_key {
            let path = quoted(path);
            reader.report(span, || {
                let form = if plain_key { ", as in key = { file = \"...\" }" } else { "" };
                format!("{path} would put a credential into this file: name the file or the variable that holds it{form}")
            });
        }
    });
}

/// Refuses credentials by what they look like, anywhere in the file.
pub(super) fn refuse_values(reader: &Reader<'_>, root: &DeTable<'_>) {
    for (_, value) in root {
        refuse_value(reader, value);
    }
}

fn refuse_value(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) {
    match value.get_ref() {
        DeValue::String(text) => {
            if let Some(what) = credential(text) {
                let message =
                    || format!("this looks like {what}: a credential does not belong in this file");
                reader.report(&value.span(), message);
            }
        }
        DeValue::Array(array) => array.iter().for_each(|value| refuse_value(reader, value)),
        DeValue::Table(table) => {
            for (_, value) in table {
                refuse_value(reader, value);
            }
        }
        _ => {}
    }
}

fn credential(text: &str) -> Option<&'static str> {
    let upper = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    let aws = text
        .strip_prefix("AKIA")
        .or_else(|| text.strip_prefix("ASIA"));
    if aws.is_some_and(|rest| rest.len() == 16 && rest.bytes().all(upper)) {
        return Some("an AWS access key id");
    }
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    if text.len() > 20
        && ["hvs.", "hvb.", "hvr."]
            .iter()
            .any(|prefix| text.starts_with(prefix))
    {
        return Some("a HashiCorp Vault token");
    }
    let authority = text.split_once("://").map(|(_, rest)| rest);
    let authority = authority.and_then(|rest| rest.split(['/', '?', '#']).next());
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Some("a URL with a user and a password");
    }
    None
}

pub(super) type Visit<'v> = dyn FnMut(&str, &str, &Range<usize>, &DeValue<'_>) + 'v;

/// Visits every key of a table and the tables in it: its path, its own name in one spelling, its
/// place and its value. The parser bounds the depth.
pub(super) fn walk(table: &DeTable<'_>, visit: &mut Visit<'_>) {
    fn inner(table: &DeTable<'_>, outer: &str, visit: &mut Visit<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let path = match outer {
                "" => name.to_string(),
                outer => format!("{outer}.{name}"),
            };
            let spelling = name.to_ascii_lowercase().replace('_', "-");
            visit(&path, &spelling, &key.span(), value.get_ref());
            if outer.is_empty() && NAMES.contains(&&*spelling) {
                continue;
            }
            match value.get_ref() {
                DeValue::Table(table) => inner(table, &path, visit),
                DeValue::Array(array) => {
                    for element in array.iter() {
                        if let DeValue::Table(table) = element.get_ref() {
                            inner(table, &path, visit);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    inner(table, "", visit);
}

/// The variables that a table names: the value of `env`, and of every key that ends in `-env`.
pub(super) fn variables(table: &DeTable<'_>, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let key = key.get_ref().to_ascii_lowercase().replace('_', "-");
        named(
            value.get_ref(),
            key == "env" || key.ends_with("-env"),
            found,
        );
    }
}

fn named(value: &DeValue<'_>, is_name: bool, found: &mut BTreeSet<String>) {
    match value {
        DeValue::String(name) if is_name => {
            found.insert(name.to_string());
        }
        DeValue::Table(table) => variables(table, found),
        DeValue::Array(array) => {
            for element in array.iter() {
                named(element.get_ref(), is_name, found);
            }
        }
        _ => {}
    }
}
