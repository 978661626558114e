//! The settings of both stores, as they stand in `strongroom.toml`.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::reserved;

/// The longest prefix in bytes: no sensible one comes near.
const MAX_PREFIX: usize = 64;

/// The settings of an `env` store. Unknown keys are errors.
///
/// ```toml
/// prefix = "MYAPP_"
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct EnvConfig {
    /// What the names of all variables of this store begin with.
    pub prefix: VariablePrefix,
}

impl EnvConfig {
    /// Settings for the variables under `prefix`.
    pub fn new(prefix: VariablePrefix) -> Self {
        Self { prefix }
    }
}

/// What the names of a store's variables begin with: a capital, then capitals, digits and `_`,
/// `_` last, at most 64 bytes, out of reach of the variables that hold credentials of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct VariablePrefix(String);

/// Why a text is no prefix for variables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// It is not `[A-Z][A-Z0-9_]*_` of at most 64 bytes.
    #[error(
        "a prefix is a capital letter, then capitals, digits and '_', with '_' last, and at most \
         64 bytes: as in \"MYAPP_\""
    )]
    Form,
    /// It begins as the names of our own keys and credentials do.
    #[error(
        "this prefix would serve variables named {0}..., which hold keys or credentials of \
         Strongroom and its backends: choose another"
    )]
    Reserved(&'static str),
}

impl VariablePrefix {
    /// Parses a prefix.
    ///
    /// # Errors
    ///
    /// [`PrefixError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_uppercase());
        let ends = text.ends_with('_');
        if !begins || !ends || text.len() > MAX_PREFIX || !text.bytes().all(legal) {
            return Err(PrefixError::Form);
        }
        match reserved::family_within(text) {
            Some(family) => Err(PrefixError::Reserved(family)),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VariablePrefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl fmt::Display for VariablePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The settings of a `files` store. Unknown keys are errors.
///
/// ```toml
/// path = "secrets"              # a folder, or: json = "secrets.json"
/// allow-links = false
/// readable-by-others = false
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
#[non_exhaustive]
pub struct FilesConfig {
    /// Where the secrets are.
    pub source: FilesSource,
    /// Whether symbolic links within the folder are followed, as mounted secrets need, and whether
    /// a file may have several names. Default: `false`.
    pub allow_links: bool,
    /// Whether a file may be one that its group or everybody can read, as mounted secrets are.
    /// Default: `false`. One that they can write is refused in any case.
    pub readable_by_others: bool,
}

/// Where a `files` store has its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilesSource {
    /// `path = "..."`: a folder with one file for each secret; relative to the folder of the
    /// configuration.
    Folder(PathBuf),
    /// `json = "..."`: a file with one JSON object, one key for each secret; relative as above.
    Json(PathBuf),
}

impl FilesConfig {
    /// A folder with one file for each secret, strictly checked.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::new(FilesSource::Folder(path.into()))
    }

    /// A JSON file with one key for each secret, strictly checked.
    pub fn json(path: impl Into<PathBuf>) -> Self {
        Self::new(FilesSource::Json(path.into()))
    }

    fn new(source: FilesSource) -> Self {
        Self {
            source,
            allow_links: false,
            readable_by_others: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    path: Option<PathBuf>,
    json: Option<PathBuf>,
    #[serde(default)]
    allow_links: bool,
    #[serde(default)]
    readable_by_others: bool,
}

impl TryFrom<Raw> for FilesConfig {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        let source = match (raw.path, raw.json) {
            (Some(path), None) => FilesSource::Folder(path),
            (None, Some(path)) => FilesSource::Json(path),
            _ => return Err("a files vault has either `path`, a folder, or `json`, a file"),
        };
        Ok(Self {
            source,
            allow_links: raw.allow_links,
            readable_by_others: raw.readable_by_others,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_required_and_strict() {
        let parse = |text: &str| toml::from_str::<EnvConfig>(text);
        let config = parse("prefix = 'MYAPP_'").unwrap();
        assert_eq!(config.prefix.as_str(), "MYAPP_");
        let long = format!("{}_", "A".repeat(MAX_PREFIX - 1));
        assert!(VariablePrefix::parse(&long).is_ok());
        for text in [
            "", "_", "_A_", "1A_", "A", "APP", "app_", "A-B_", "A=_", "A_\0_", "\u{c4}_",
        ] {
            assert_eq!(
                VariablePrefix::parse(text),
                Err(PrefixError::Form),
                "{text:?}"
            );
        }
        assert_eq!(
            VariablePrefix::parse(&format!("A{long}")),
            Err(PrefixError::Form)
        );
        assert!(parse("").is_err());
        assert!(parse("prefix = ''").is_err());
        assert!(parse("prefix = 'MYAPP_'\nprefixes = []").is_err());
    }

    #[test]
    fn a_prefix_that_reaches_credentials_is_refused() {
        for text in [
            "STRONGROOM_",
            "STRONGROOM_APP_",
            "AWS_",
            "AWS_SECRET_",
            "AZURE_",
            "AZURE_CLIENT_",
            "GOOGLE_",
            "GOOGLE_APPLICATION_",
            "VAULT_",
            "BAO_",
            "MSI_",
            "ACTIONS_",
            "ACTIONS_ID_TOKEN_REQUEST_",
        ] {
            let refused = VariablePrefix::parse(text);
            assert!(matches!(refused, Err(PrefixError::Reserved(_))), "{text}");
        }
        for text in ["A_", "AW_", "AWSOME_", "VAULTED_", "APP_AWS_", "S_"] {
            assert!(VariablePrefix::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn files_have_one_source() {
        let parse = |text: &str| toml::from_str::<FilesConfig>(text);
        assert_eq!(parse("path = 's'").unwrap(), FilesConfig::folder("s"));
        assert_eq!(
            parse("json = 's.json'").unwrap(),
            FilesConfig::json("s.json")
        );
        let both = parse("path = 's'\nallow-links = true\nreadable-by-others = true").unwrap();
        assert!(both.allow_links && both.readable_by_others);
        for text in [
            "",
            "path = 's'\njson = 's.json'",
            "path = 's'\nallow_links = true",
            "path = 's'\nmode-check = 'off'",
            "path = 's'\nallow-links = 'yes'",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
