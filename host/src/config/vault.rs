use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use strongroom_backend::VaultId;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::Source;
use super::error::{ConfigError, Lines};
use super::reader::{Section, library_message, quoted};
use crate::grants::nearest;

/// The backends that the contract names; a program is built with some of them.
const BACKENDS: [&str; 10] = [
    "local",
    "env",
    "files",
    "aws-ssm",
    "aws-secrets-manager",
    "gcp-secret-manager",
    "azure-key-vault",
    "kubernetes",
    "hashicorp-vault",
    "memory",
];

/// The names of the backends that this program was built with.
#[derive(Clone, Debug, Default)]
pub struct Backends(BTreeSet<String>);

impl Backends {
    /// These backends.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// One `[vault.<id>]`: which backend, and the settings that only the backend knows.
#[derive(Clone)]
#[non_exhaustive]
pub struct VaultConfig {
    /// Its id.
    pub id: VaultId,
    /// The name of its backend.
    pub backend: Arc<str>,
    /// The line where it begins.
    pub line: usize,
    pub(super) span: Range<usize>,
    pub(super) table: toml::Table,
    source: Arc<Source>,
}

impl VaultConfig {
    /// The backend's own settings, without `backend`. `T` should refuse unknown fields.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the place of what `T` refused.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let Some(mut value) = self.value() else {
            return Err(self.refusal(&self.span, "the vault cannot be read".into()));
        };
        if let DeValue::Table(table) = value.get_mut() {
            table.remove("backend");
        }
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| {
            let span = error.span().unwrap_or_else(|| self.span.clone());
            let message = library_message(&error);
            self.refusal(&span, format!("[vault.{}]: {message}", self.id))
        })
    }

    /// An error of the backend's making, at the line of one of its keys.
    pub fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let value = self.value();
        let at = value.as_ref().and_then(|value| value.get_ref().get(key));
        let span = at.map_or_else(|| self.span.clone(), Spanned::span);
        self.refusal(&span, message.into())
    }

    /// A path of the settings, made absolute.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.source.resolve(path)
    }

    /// The folder that paths in the settings are relative to.
    pub fn dir(&self) -> &Path {
        &self.source.dir
    }

    /// The file of the store, where the backend has one.
    pub(super) fn store(&self) -> Option<&Path> {
        self.table.get("path")?.as_str().map(Path::new)
    }

    /// The files that the vault's key comes from.
    pub(super) fn key_files(&self) -> impl Iterator<Item = &Path> {
        let key = self.table.get("key").and_then(toml::Value::as_table);
        let file = move |name: &str| key?.get(name)?.as_str().map(Path::new);
        ["file", "passphrase-file"].into_iter().filter_map(file)
    }

    fn value(&self) -> Option<Spanned<DeValue<'_>>> {
        let mut root = DeTable::parse(&self.source.text).ok()?.into_inner();
        match root.remove("vault")?.into_inner() {
            DeValue::Table(mut vaults) => vaults.remove(self.id.as_str()),
            _ => None,
        }
    }

    fn refusal(&self, span: &Range<usize>, message: String) -> ConfigError {
        let lines = Lines::new(&self.source.text);
        ConfigError::new(&self.source.file, vec![lines.problem(span, message)])
    }
}

impl fmt::Debug for VaultConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.table.keys().collect();
        f.debug_struct("VaultConfig")
            .field("id", &self.id)
            .field("backend", &self.backend)
            .field("line", &self.line)
            .field("keys", &keys)
            .finish()
    }
}

pub(super) fn vault(
    mut section: Section<'_, '_>,
    id: VaultId,
    source: &Arc<Source>,
    backends: &Backends,
) -> Option<VaultConfig> {
    let reader = section.reader;
    if let Some(chain) = section.any("chain") {
        let message = || "chains of vaults are not built in yet: name one 'backend'".into();
        reader.report(&chain.span(), message);
        return None;
    }
    let Some(backend) = section.string("backend") else {
        if section.lacks("backend") {
            let names: Vec<_> = backends.names().collect();
            section.missing("backend", &format!(": one of {}", names.join(", ")));
        }
        return None;
    };
    let name = backend.value;
    if !backends.names().any(|built_in| built_in == name) {
        reader.report(&backend.span, || {
            let built_in: Vec<_> = backends.names().collect();
            let built_in = built_in.join(", ");
            if BACKENDS.contains(&name) {
                format!("backend '{name}' is not built into this program: it has {built_in}")
            } else {
                let known = BACKENDS.into_iter().chain(backends.names());
                let known: BTreeSet<_> = known.collect();
                format!(
                    "unknown backend {}{}",
                    quoted(name),
                    nearest(name, known.into_iter())
                )
            }
        });
        return None;
    }
    refuse_layers(&mut section, name);
    Some(VaultConfig {
        id,
        backend: name.into(),
        line: reader.line(section.span()),
        span: section.span().clone(),
        table: section.owned(),
        source: source.clone(),
    })
}

/// A setting that would do nothing is refused: silence would look like a cache.
fn refuse_layers(section: &mut Section<'_, '_>, backend: &str) {
    let always_current = matches!(backend, "local" | "memory");
    for key in ["cache", "names"] {
        let Some(value) = section.any(key) else {
            continue;
        };
        section.reader.report(&value.span(), || match key {
            "cache" if always_current => {
                format!("'cache' has no use here: backend '{backend}' is always current")
            }
            "names" if always_current => {
                format!("'names' has no use here: backend '{backend}' knows every path as it is")
            }
            _ => format!("'{key}' is not built in yet: remove it"),
        });
    }
}
