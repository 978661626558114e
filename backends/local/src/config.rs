//! The settings of a local store, as they stand in `strongroom.toml`.

use std::path::PathBuf;

use serde::Deserialize;

/// How many versions of a secret are kept where the settings do not say.
pub const DEFAULT_KEEP_VERSIONS: usize = 100;

/// The most versions that may be kept: the record of a secret is read and written whole.
pub const MAX_KEEP_VERSIONS: usize = 1000;

/// The settings of a local store. Unknown keys are errors.
///
/// ```toml
/// path = "app-secrets.vault"
/// key = { file = "keys/app-secrets.key" }
/// keep-versions = 100
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Config {
    /// The store's file; relative to the folder of the configuration.
    pub path: PathBuf,
    /// Where the key comes from.
    pub key: KeySource,
    /// How many versions of a secret are kept, 1 to [`MAX_KEEP_VERSIONS`]; the oldest is
    /// destroyed first. Default: [`DEFAULT_KEEP_VERSIONS`].
    #[serde(default = "default_keep_versions")]
    pub keep_versions: usize,
}

impl Config {
    /// Settings with the default number of kept versions.
    pub fn new(path: impl Into<PathBuf>, key: KeySource) -> Self {
        Self {
            path: path.into(),
            key,
            keep_versions: DEFAULT_KEEP_VERSIONS,
        }
    }
}

/// Where the key of a store comes from. Never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
#[non_exhaustive]
pub enum KeySource {
    /// `{ file = "...", allow-links = false }`: 32 random bytes in base64.
    File {
        /// The file; relative to the folder of the configuration.
        path: PathBuf,
        /// Whether the file may be a symbolic link, as mounted secrets are. Then the owner and the
        /// modes of the target and of the folders on the way are checked instead.
        allow_links: bool,
    },
    /// `{ passphrase-file = "...", allow-links = false }`: a passphrase; one newline at its end
    /// does not count.
    PassphraseFile {
        /// The file; relative to the folder of the configuration.
        path: PathBuf,
        /// As for a key file.
        allow_links: bool,
    },
    /// `{ env = "NAME" }`: an environment variable with the text of a key file.
    Env(String),
    /// `{ keyring = "NAME" }`: reserved for the keyring of the operating system; refused when the store is
    /// opened, as no program is built with it.
    Keyring(String),
}

impl KeySource {
    /// A key file that must not be a symbolic link.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            allow_links: false,
        }
    }

    /// A passphrase file that must not be a symbolic link.
    pub fn passphrase_file(path: impl Into<PathBuf>) -> Self {
        Self::PassphraseFile {
            path: path.into(),
            allow_links: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
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
        let links = raw.allow_links.is_some();
        let allow_links = raw.allow_links.unwrap_or(false);
        match (raw.file, raw.passphrase_file, raw.env, raw.keyring) {
            (Some(path), None, None, None) => Ok(Self::File { path, allow_links }),
            (None, Some(path), None, None) => Ok(Self::PassphraseFile { path, allow_links }),
            (None, None, Some(name), None) if !links => Ok(Self::Env(name)),
            (None, None, None, Some(name)) if !links => Ok(Self::Keyring(name)),
            (None, None, Some(_), None) | (None, None, None, Some(_)) => {
                Err("`allow-links` belongs to `file` and `passphrase-file`")
            }
            _ => Err("a key has exactly one of `file`, `passphrase-file` and `env`"),
        }
    }
}

fn default_keep_versions() -> usize {
    DEFAULT_KEEP_VERSIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_four_sources_parse() {
        let key = |text: &str| parse(&format!("path = 'a'\nkey = {text}")).unwrap().key;
        assert_eq!(key("{ file = 'k' }"), KeySource::file("k"));
        assert_eq!(
            key("{ passphrase-file = 'p', allow-links = true }"),
            KeySource::PassphraseFile {
                path: "p".into(),
                allow_links: true
            }
        );
        assert_eq!(key("{ env = 'E' }"), KeySource::Env("E".into()));
        assert_eq!(key("{ keyring = 'R' }"), KeySource::Keyring("R".into()));
    }

    #[test]
    fn what_is_not_one_source_is_refused() {
        for key in [
            "{}",
            "{ file = 'a', env = 'b' }",
            "{ env = 'b', allow-links = true }",
            "{ files = 'a' }",
            "'a'",
        ] {
            assert!(parse(&format!("path = 'a'\nkey = {key}")).is_err(), "{key}");
        }
        assert!(parse("path = 'a'\nkey = { file = 'k' }\nfoo = 1").is_err());
        assert!(parse("key = { file = 'k' }").is_err());
    }

    #[test]
    fn a_hundred_versions_are_kept_by_default() {
        let config = parse("path = 'a'\nkey = { file = 'k' }").unwrap();
        assert_eq!(config.keep_versions, 100);
        let config = parse("path = 'a'\nkey = { file = 'k' }\nkeep-versions = 3").unwrap();
        assert_eq!(config.keep_versions, 3);
    }
}
