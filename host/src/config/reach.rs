//! What a configuration reaches beside the files that came with it, which makes it dangerous to take
//! from a stranger.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::Source;
use super::pins::Named;
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
    /// A program is run to log in where some file says so.
    Runs,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sends => "sends secrets or tokens there",
            Self::Unverified => "leaves out a check",
            Self::Outside => "is outside of its folder",
            Self::Variable => "uses your variables",
            Self::Account => "uses an account of yours",
            Self::Runs => "may run a program",
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

/// What a part of a configuration reaches, and the files that it names.
#[derive(Debug, Default)]
pub(super) struct Reached {
    pub(super) reaches: Vec<Reach>,
    pub(super) files: BTreeSet<Named>,
}

impl Reached {
    pub(super) fn extend(&mut self, other: Self) {
        self.reaches.extend(other.reaches);
        self.files.extend(other.files);
    }
}

/// What a vault reaches.
pub(super) fn of_vault(section: &Section<'_, '_>, source: &Source) -> Reached {
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
        ("allow-exec", DeValue::Boolean(true)) => Some(Why::Runs),
        (_, DeValue::Table(_)) => None,
        // A profile may name a process that prints the keys.
        ("profile", _) => Some(Why::Runs),
        // The name of an Azure vault is all of its address that anyone chooses.
        ("vault", _) => Some(Why::Sends),
        _ if BELIEVED.contains(&key) => Some(Why::Unverified),
        _ if PLACES.iter().any(|part| key.contains(part)) => Some(Why::Sends),
        _ => None,
    })
}

/// What the log reaches.
pub(super) fn of_audit(section: &Section<'_, '_>, source: &Source) -> Reached {
    of_table(section, source, |_, _| None)
}

fn of_table(
    section: &Section<'_, '_>,
    source: &Source,
    other: impl Fn(&str, &DeValue<'_>) -> Option<Why>,
) -> Reached {
    let folder = real(&source.dir);
    let outside = |path: &str| match (&folder, real(&source.resolve(Path::new(path)))) {
        (Some(folder), Some(path)) => !path.starts_with(folder),
        // What cannot be followed may lead anywhere.
        _ => true,
    };
    let mut found = Reached::default();
    walk(section.table(), &mut |path, key, span, value| {
        let last = key.rsplit('-').next().unwrap_or(key);
        let decides = decides(path, key);
        if decides || FILES.contains(&last) {
            each_text(value, &mut |text| {
                found.files.insert(Named::new(text, decides));
            });
        }
        let why = other(key, value).or_else(|| match last {
            "env" if !matches!(value, DeValue::Table(_)) => Some(Why::Variable),
            last if FILES.contains(&last) && any_text(value, &outside) => Some(Why::Outside),
            _ => None,
        });
        if let Some(why) = why {
            // The keys are a stranger's, and the text is for the user's terminal.
            let what = format!("{}.{path}", section.name());
            found.reaches.push(Reach {
                line: section.reader.line(span),
                what: what.escape_debug().to_string(),
                why,
            });
        }
    });
    found
}

/// Whether what stands in the file that a setting names decides where secrets go, as whom, or what
/// runs. The key of a local store does not: it is for what is on this machine, and its digest, where
/// it is a passphrase, would be something to guess at.
fn decides(path: &str, key: &str) -> bool {
    let of_store = matches!(path, "key.file" | "key.passphrase-file");
    !of_store
        && (key == "file"
            || key.ends_with("-file")
            || key == "ca-path"
            || key.contains("kubeconfig"))
}

fn any_text(value: &DeValue<'_>, test: &impl Fn(&str) -> bool) -> bool {
    let mut any = false;
    each_text(value, &mut |text| any |= test(text));
    any
}

fn each_text(value: &DeValue<'_>, visit: &mut impl FnMut(&str)) {
    match value {
        DeValue::String(text) => visit(text),
        DeValue::Array(array) => {
            for element in array.iter() {
                each_text(element.get_ref(), visit);
            }
        }
        _ => {}
    }
}

/// The path without links and `..`; what is not there yet stays as it is. None where that cannot be
/// told, as for a link to what is not there: it may be there when the path is used.
pub(super) fn real(path: &Path) -> Option<PathBuf> {
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
