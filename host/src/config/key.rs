use std::path::PathBuf;

use serde::Deserialize;

/// Where a key comes from. A path is as the file has it: the vault's or the configuration's
/// `resolve` makes it absolute.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
#[non_exhaustive]
pub enum KeySource {
    /// A file with the key.
    File {
        /// The file.
        path: PathBuf,
        /// Whether it may be a symbolic link, as mounted secrets are.
        allow_links: bool,
    },
    /// A file with a passphrase, from which the key is derived.
    PassphraseFile {
        /// The file.
        path: PathBuf,
        /// Whether it may be a symbolic link, as mounted secrets are.
        allow_links: bool,
    },
    /// An environment variable with the key.
    Env {
        /// The variable.
        name: String,
    },
    /// An entry of the operating system's keyring.
    Keyring {
        /// The entry.
        name: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Raw {
    file: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    env: Option<String>,
    keyring: Option<String>,
    allow_links: Option<bool>,
}

impl TryFrom<Raw> for KeySource {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        let links = raw.allow_links;
        let allow_links = links.unwrap_or(false);
        match (raw.file, raw.passphrase_file, raw.env, raw.keyring) {
            (Some(path), None, None, None) => Ok(Self::File { path, allow_links }),
            (None, Some(path), None, None) => Ok(Self::PassphraseFile { path, allow_links }),
            (None, None, Some(_), None) | (None, None, None, Some(_)) if links.is_some() => {
                Err("'allow-links' goes with 'file' or 'passphrase-file'")
            }
            (None, None, Some(name), None) if !name.is_empty() => Ok(Self::Env { name }),
            (None, None, None, Some(name)) if !name.is_empty() => Ok(Self::Keyring { name }),
            (None, None, Some(_), None) | (None, None, None, Some(_)) => {
                Err("the name of a key source is empty")
            }
            _ => Err("a key has exactly one source: file, passphrase-file, env or keyring"),
        }
    }
}
