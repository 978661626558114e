//! What a configuration reaches beside the files that came with it, which makes it dangerous to take
//! from a stranger.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::Source;
use super::reader::Section;
use super::secrets::walk;

/// A setting by which a configuration reaches what did not come with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// The line of the setting.
    pub line: usize,
    /// Which setting, in printable characters: `vault.prod.endpoint`.
    pub what: String,
    /// What it does.
    pub why: Why,
}

/// What a setting reaches. It is displayed so that it reads on from the name of the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Secrets or tokens go to a place of the file's choice.
    Sends,
    /// Whoever answers there is not verified.
    Unverified,
    /// A store, a key, a passphrase or a log that is not under the folder of the configuration.
    Outside,
    /// A variable of the user's.
    Variable,
    /// A backend that uses what this user or host may do elsewhere.
    Account,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sends => "sends secrets or tokens there",
            Self::Unverified => "leaves out a check",
            Self::Outside => "is outside of its folder",
            Self::Variable => "uses your variables",
            Self::Account => "uses an account of yours",
        })
    }
}

/// Parts of keys that say where a backend sends its requests, or whose account gets what is written.
const PLACES: [&str; 10] = [
    "endpoint",
    "addr",
    "url",
    "uri",
    "proxy",
    "host",
    "server",
    "kubeconfig",
    "project",
    "tenant",
];

/// Keys that say who is believed to be the service.
const BELIEVED: [&str; 3] = ["ca-file", "ca-path", "tls-server-name"];

/// The last words of keys that name a file or a folder.
const FILES: [&str; 6] = ["path", "file", "json", "folder", "dir", "directory"];

/// What a vault reaches.
pub(super) fn of_vault(section: &Section<'_, '_>, source: &Source) -> Vec<Reach> {
    of_table(section, source, |key, value| match (key, value) {
        ("backend", DeValue::String(name)) => match name.as_ref() {
            // Their values are in files, of which the settings tell.
            "local" | "files" | "memory" => None,
            "env" => Some(Why::Variable),
            _ => Some(Why::Account),
        },
        (_, DeValue::Boolean(false)) if key.contains("verify") => Some(Why::Unverified),
        (_, DeValue::Boolean(true)) if key.contains("insecure") || key.contains("skip") => {
            Some(Why::Unverified)
        }
        (_, DeValue::Table(_)) => None,
        _ if BELIEVED.contains(&key) => Some(Why::Unverified),
        _ if PLACES.iter().any(|part| key.contains(part)) => Some(Why::Sends),
        _ => None,
    })
}

/// What the log reaches.
pub(super) fn of_audit(section: &Section<'_, '_>, source: &Source) -> Vec<Reach> {
    of_table(section, source, |_, _| None)
}

fn of_table(
    section: &Section<'_, '_>,
    source: &Source,
    other: impl Fn(&str, &DeValue<'_>) -> Option<Why>,
) -> Vec<Reach> {
    let folder = real(&source.dir);
    let outside = |path: &str| match (&folder, real(&source.resolve(Path::new(path)))) {
        (Some(folder), Some(path)) => !path.starts_with(folder),
        // What cannot be followed may lead anywhere.
        _ => true,
    };
    let mut found = Vec::new();
    walk(section.table(), &mut |path, key, span, value| {
        let last = key.rsplit('-').next().unwrap_or(key);
        let why = other(key, value).or_else(|| match last {
            "env" if !matches!(value, DeValue::Table(_)) => Some(Why::Variable),
            last if FILES.contains(&last) && any_text(value, &outside) => Some(Why::Outside),
            _ => None,
        });
        if let Some(why) = why {
            // The keys are a stranger's, and the text is for the user's terminal.
            let what = format!("{}.{path}", section.name());
            found.push(Reach {
                line: section.reader.line(span),
                what: what.escape_debug().to_string(),
                why,
            });
        }
    });
    found
}

fn any_text(value: &DeValue<'_>, test: &impl Fn(&str) -> bool) -> bool {
    match value {
        DeValue::String(text) => test(text),
        DeValue::Array(array) => array
            .iter()
            .any(|element| any_text(element.get_ref(), test)),
        _ => false,
    }
}

/// The path without links and `..`; what is not there yet stays as it is. None where that cannot be
/// told, as for a link to what is not there: it may be there when the path is used.
fn real(path: &Path) -> Option<PathBuf> {
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut there = path;
    loop {
        match fs::canonicalize(there) {
            Ok(mut real) => {
                real.extend(missing.iter().rev());
                return Some(real);
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !there.is_symlink() => {
                // None for `..`, which leads on from a folder that is not there.
                missing.push(there.file_name()?);
                there = there.parent()?;
            }
            Err(_) => return None,
        }
    }
}
