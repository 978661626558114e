use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use strongroom_backend::{SecretPath, VaultId};
use strongroom_backend_layers::Layers;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::chain::{ChainConfig, Links, SyncConfig, chain, sync};
use super::error::{ConfigError, Lines};
use super::fields::{BoundField, fields};
use super::layers::{OURS, deadline, layers, refuse};
use super::pins::NamesIn;
use super::place::{PlaceOf, place};
use super::reader::{Section, library_message, quoted};
use super::{Source, workspace};
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
///
/// [`Registry::names`](crate::Registry::names) also knows what of their settings tells one store
/// from another. A backend that is only named here has all of them compared as they are written.
#[derive(Clone, Debug, Default)]
pub struct Backends {
    here: BTreeSet<String>,
    remote: BTreeSet<String>,
    places: BTreeMap<String, PlaceOf>,
    names_in: Vec<NamesIn>,
}

impl Backends {
    /// Backends whose stores are on this machine.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            here: names.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Adds backends whose stores are across a network: only their vaults have a cache, a deadline,
    /// retries and a breaker.
    #[must_use]
    pub fn with_remote(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.remote.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds what tells the stores of these backends apart.
    pub(crate) fn with_places<'n>(
        mut self,
        places: impl IntoIterator<Item = (&'n str, PlaceOf)>,
    ) -> Self {
        let places = places.into_iter();
        self.places
            .extend(places.map(|(name, place)| (name.to_owned(), place)));
        self
    }

    /// Adds what reads the names of further files in files that settings name.
    pub(crate) fn with_names_in(mut self, names_in: &[NamesIn]) -> Self {
        self.names_in.extend_from_slice(names_in);
        self
    }

    pub(super) fn names_in(&self) -> &[NamesIn] {
        &self.names_in
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let all: BTreeSet<_> = self.here.union(&self.remote).map(String::as_str).collect();
        all.into_iter()
    }

    fn is_remote(&self, name: &str) -> bool {
        self.remote.contains(name)
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
    /// The vaults that it stands for, where it is a chain; its `backend` is `"chain"` then.
    pub chain: Option<ChainConfig>,
    /// What it is kept a copy of.
    pub sync: Option<SyncConfig>,
    /// Names that stand for one field of a JSON secret of this vault; they are only read.
    pub fields: BTreeMap<SecretPath, BoundField>,
    /// A secret that `doctor` reads to see that reading works.
    pub canary: Option<SecretPath>,
    /// How long a call may take, all its tries together; of a chain that says nothing, that of all its
    /// members. The broker gives what layers answer at this time a quarter of a second more to arrive.
    pub deadline: Duration,
    /// Where that is said.
    pub(super) deadline_at: Option<Range<usize>>,
    /// The line where it begins.
    pub line: usize,
    /// What stands around the store; none where it is on this machine.
    pub(crate) layers: Option<Layers>,
    pub(super) span: Range<usize>,
    pub(super) table: toml::Table,
    place: Option<String>,
    source: Arc<Source>,
}

impl VaultConfig {
    /// The backend's own settings, without what the host takes for itself (`backend`, `cache`,
    /// `deadline`, `retry`, `breaker`, `canary`, `fields`, `sync`). `T` should refuse unknown fields.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the place of what `T` refused.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let Some(mut value) = self.value() else {
            return Err(self.refusal(&self.span, "the vault cannot be read".into()));
        };
        if let DeValue::Table(table) = value.get_mut() {
            for key in OURS {
                table.remove(key);
            }
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

    /// As [`Config::secret_variables`](super::Config::secret_variables), of the whole file.
    pub fn secret_variables(&self) -> BTreeSet<String> {
        self.source.secret_variables()
    }

    /// The folder that paths in the settings are relative to.
    pub fn dir(&self) -> &Path {
        &self.source.dir
    }

    /// The file or folder of the store, where the backend has one.
    pub(super) fn store(&self) -> Option<&Path> {
        let json = || self.table.get("json").filter(|_| &*self.backend == "files");
        let store = self.table.get("path").or_else(json)?;
        store.as_str().map(Path::new)
    }

    /// The files that the vault's key comes from.
    pub(super) fn key_files(&self) -> impl Iterator<Item = &Path> {
        let key = self.table.get("key").and_then(toml::Value::as_table);
        let file = move |name: &str| key?.get(name)?.as_str().map(Path::new);
        ["file", "passphrase-file"].into_iter().filter_map(file)
    }

    /// The vaults that it takes its secrets from.
    pub(super) fn leads_to(&self) -> impl Iterator<Item = &VaultId> {
        let members = self.chain.iter().flat_map(|chain| &chain.members);
        members.chain(self.sync.iter().map(|sync| sync.from.vault()))
    }

    /// What tells its store from others, as a text; none where each vault is a store of its own or
    /// its path says it.
    pub(crate) fn place(&self) -> Option<String> {
        self.place.clone()
    }

    /// What a copy of this vault is a copy of, whatever the vault is called: other settings of the
    /// store or of a member, and it is a copy of something else.
    pub(crate) fn origin(&self, vaults: &BTreeMap<VaultId, Self>) -> String {
        let mut origin = String::new();
        self.add_origin(vaults, &mut origin, &mut BTreeSet::new());
        origin
    }

    fn add_origin(
        &self,
        vaults: &BTreeMap<VaultId, Self>,
        origin: &mut String,
        seen: &mut BTreeSet<VaultId>,
    ) {
        if !seen.insert(self.id.clone()) {
            return;
        }
        origin.push_str(self.place.as_deref().unwrap_or(&self.backend));
        origin.push('\n');
        if let Some(path) = self.table.get("path").and_then(toml::Value::as_str) {
            origin.push_str(path);
            origin.push('\n');
        }
        // What a name leads to in the store.
        if let Some(names) = self.table.get("names") {
            let _ = writeln!(origin, "{names}");
        }
        for (name, bound) in &self.fields {
            let _ = writeln!(origin, "{name}={}#{}", bound.of, bound.field);
        }
        for member in self.leads_to().filter_map(|id| vaults.get(id)) {
            member.add_origin(vaults, origin, seen);
        }
    }

    fn value(&self) -> Option<Spanned<DeValue<'_>>> {
        let mut root = workspace::in_force(&self.source)?;
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

/// Reads one vault, and where it leads.
pub(super) fn vault(
    mut section: Section<'_, '_>,
    id: VaultId,
    source: &Arc<Source>,
    backends: &Backends,
) -> Option<(VaultConfig, Links)> {
    let reader = section.reader;
    let table = section.owned();
    let mut vault = VaultConfig {
        id,
        backend: "chain".into(),
        chain: None,
        sync: None,
        fields: fields(&mut section),
        canary: canary(&mut section),
        deadline: Layers::DEADLINE,
        deadline_at: section.table().get("deadline").map(Spanned::span),
        line: reader.line(section.span()),
        layers: None,
        span: section.span().clone(),
        table,
        place: None,
        source: source.clone(),
    };
    if section.any("chain").is_some() {
        if let Some(backend) = section.any("backend") {
            let message = || "a vault has a 'backend' or a 'chain', not both".into();
            reader.report(&backend.span(), message);
        }
        let (chain, links) = chain(&mut section)?;
        vault.chain = Some(chain);
        vault.deadline = deadline(&mut section);
        let why = "each vault of a chain has its own";
        refuse(&mut section, &["cache", "retry", "breaker"], why);
        refuse(&mut section, &["sync"], "a chain keeps nothing itself");
        section.finish();
        return Some((vault, links));
    }
    let backend = backend(&mut section, backends)?;
    vault.backend = backend.into();
    if backends.is_remote(backend) || matches!(backend, "env" | "files") {
        vault.place = Some(place(&backends.places, backend, &vault.table));
    }
    if backends.is_remote(backend) {
        let layers = layers(&mut section);
        vault.deadline = layers.deadline;
        vault.layers = Some(layers);
    } else {
        let why = format!("backend '{backend}' is always current");
        refuse(&mut section, &["cache", "retry", "breaker"], &why);
        vault.deadline = deadline(&mut section);
    }
    if matches!(backend, "local" | "memory") {
        let why = format!("backend '{backend}' knows every path as it is");
        refuse(&mut section, &["names"], &why);
    }
    let (sync, links) = sync(&mut section, backend).unzip();
    vault.sync = sync;
    Some((vault, links.unwrap_or_default()))
}

/// The name of a backend that this program has.
fn backend<'r>(section: &mut Section<'r, '_>, backends: &Backends) -> Option<&'r str> {
    let reader = section.reader;
    let Some(backend) = section.string("backend") else {
        if section.lacks("backend") {
            let names: Vec<_> = backends.names().collect();
            section.missing("backend", &format!(": one of {}", names.join(", ")));
        }
        return None;
    };
    let name = backend.value;
    if backends.names().any(|built_in| built_in == name) {
        return Some(name);
    }
    reader.report(&backend.span, || {
        if BACKENDS.contains(&name) {
            return format!(
                "backend '{name}' is not built into this program: build it with --features {name}"
            );
        }
        let known = BACKENDS.into_iter().chain(backends.names());
        let known: BTreeSet<_> = known.collect();
        let near = nearest(name, known.into_iter());
        format!("unknown backend {}{near}", quoted(name))
    });
    None
}

fn canary(section: &mut Section<'_, '_>) -> Option<SecretPath> {
    let text = section.string("canary")?;
    let report = |error| {
        let message = || format!("'canary': {error}");
        section.reader.report(&text.span, message);
    };
    SecretPath::parse(text.value).map_err(report).ok()
}
