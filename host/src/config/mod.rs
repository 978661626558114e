//! `strongroom.toml`: read strictly, as a whole or not at all.
//!
//! [`Config::load`] checks the file itself (who may write it, how large it is), [`Config::parse`]
//! its text: unknown keys, duplicate names, bad patterns and unknown vaults are errors that name the
//! line and the nearest valid word. [`Config::policy`] compiles the grants. A configuration holds no
//! credential, and one that would is refused.

mod audit;
mod chain;
mod copies;
mod deadline;
mod error;
mod fields;
mod file;
mod grant;
mod layers;
mod locate;
mod owned;
mod parse;
mod pins;
mod place;
mod quotas;
mod reach;
mod reader;
mod restart;
mod secrets;
pub mod trust;
mod units;
mod vault;
pub mod watch;
mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_backend::VaultId;

pub use audit::{AuditConfig, AuditKey, Durability};
pub use chain::{ChainConfig, SyncConfig};
pub use error::{ConfigError, Problem};
pub use fields::BoundField;
pub use file::MAX_BYTES;
pub use locate::{Found, NotFound, Places, locate};
pub use owned::{Exposed, refuse_others};
pub(crate) use pins::NamesIn;
pub(crate) use place::PlaceOf;
pub use quotas::Quotas;
pub use reach::{Reach, Why};
pub(crate) use restart::revoked_vaults;
pub use restart::{RestartOnly, restart_only_changes};
pub use strongroom_backend_layers::OnError;
pub use units::{UnitError, parse_duration, parse_size};
pub use vault::{Backends, VaultConfig};

use crate::grants::{Digest, Grant, Name, Policy};

/// A whole configuration, of which every part was checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    source: Arc<Source>,
    reaches_out: Vec<Reach>,
    named_files: BTreeSet<pins::Named>,
    names_in: Vec<NamesIn>,
    /// The vault of the command line, and of components that name none.
    pub default_vault: Option<VaultId>,
    /// The vaults.
    pub vaults: BTreeMap<VaultId, VaultConfig>,
    /// The components.
    pub components: BTreeMap<Name, ComponentConfig>,
    /// The roles.
    pub roles: BTreeMap<Name, RoleConfig>,
    /// Where decisions are recorded; without it nothing is released.
    pub audit: Option<AuditConfig>,
    /// The quotas of components that set none of their own.
    pub quotas: Quotas,
}

/// One `[component.<name>]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComponentConfig {
    /// Its name.
    pub name: Name,
    /// The file that it is, made absolute.
    pub wasm: Option<PathBuf>,
    /// The only bytes that may use its grants.
    pub digest: Option<Digest>,
    /// Its default vault: its own, or else the file's.
    pub default_vault: Option<VaultId>,
    /// The roles that it carries.
    pub roles: Vec<Name>,
    /// Its own grants.
    pub grants: Vec<Grant>,
    /// Its quotas: what it sets, and the file's for the rest.
    pub quotas: Quotas,
    /// The line where it begins.
    pub line: usize,
}

/// One `[role.<name>]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoleConfig {
    /// Its name.
    pub name: Name,
    /// Its grants, for every component that carries it.
    pub grants: Vec<Grant>,
    /// The line where it begins.
    pub line: usize,
}

/// Where a configuration came from.
struct Source {
    file: PathBuf,
    dir: PathBuf,
    digest: Digest,
    text: String,
    workspace: Option<Arc<str>>,
}

impl Config {
    /// Reads a file that nobody else may write.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the file cannot be read, is no regular file, is one that others could
    /// change or replace (see [`refuse_others`]), is larger than [`MAX_BYTES`], two of its stores
    /// are one file, or its text is refused as by [`Config::parse`].
    pub fn load(path: &Path, backends: &Backends) -> Result<Self, ConfigError> {
        Self::load_in(path, backends, None)
    }

    /// As [`load`](Self::load), with a workspace of the file laid over the rest: tables merge table by
    /// table, everything else is replaced. Replaced as a whole are also a vault's `auth` and `key`,
    /// and a vault that gets another `backend` or `chain`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and where the file has no such workspace.
    pub fn load_in(
        path: &Path,
        backends: &Backends,
        workspace: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let config = Self::parse_in(&file::read(path)?, path, backends, workspace)?;
        file::refuse_shared_files(&config)?;
        Ok(config)
    }

    /// Reads the bytes of a configuration. `file` is what errors call it, and its folder is what
    /// paths in it are relative to.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem found.
    pub fn parse(bytes: &[u8], file: &Path, backends: &Backends) -> Result<Self, ConfigError> {
        Self::parse_in(bytes, file, backends, None)
    }

    /// As [`parse`](Self::parse), with a workspace as for [`load_in`](Self::load_in).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem found.
    pub fn parse_in(
        bytes: &[u8],
        file: &Path,
        backends: &Backends,
        workspace: Option<&str>,
    ) -> Result<Self, ConfigError> {
        parse::parse(bytes, file, backends, workspace)
    }

    /// The workspace in force.
    pub fn workspace(&self) -> Option<&str> {
        self.source.workspace.as_deref()
    }

    /// The names of all environment variables that this file says hold a key or a credential, those
    /// of workspaces that are not in force too.
    pub fn secret_variables(&self) -> BTreeSet<String> {
        self.source.secret_variables()
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.source.file
    }

    /// The folder that paths in the file are relative to.
    pub fn dir(&self) -> &Path {
        &self.source.dir
    }

    /// The SHA-256 of the file's bytes.
    pub fn digest(&self) -> Digest {
        self.source.digest
    }

    /// A path of the file, made absolute.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.source.resolve(path)
    }

    /// What in this file reaches beside the files that came with it: an endpoint, a store, a key or
    /// a log outside of its folder (links are followed, as they were when it was read), a variable, a
    /// program that may run.
    /// Where it was merely found in the current folder, it needs [`trust`] then.
    pub fn reaches_out(&self) -> &[Reach] {
        &self.reaches_out
    }

    /// Compiles the grants.
    pub fn policy(&self, generation: u64) -> Policy {
        let mut builder = Policy::builder(generation, self.vaults.keys().cloned());
        for vault in self.vaults.values() {
            if let Some(sync) = &vault.sync {
                builder.sync(&vault.id, &sync.from);
            }
        }
        for role in self.roles.values() {
            builder.role(&role.name, role.grants.iter().cloned());
        }
        for entry in self.components.values() {
            let grants = entry.grants.iter().cloned();
            builder.component(&entry.name, entry.digest, grants, &entry.roles);
        }
        builder.build()
    }
}

/// The user's state folder, `~/.local/state/strongroom` on Linux.
pub(crate) fn state_dir() -> Option<PathBuf> {
    locate::user_dir("XDG_STATE_HOME", ".local/state")
}

impl Source {
    fn secret_variables(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if let Ok(document) = workspace::document(self) {
            secrets::variables(&document, &mut found);
        }
        found
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        self.dir.join(path)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.file.display(), self.digest)
    }
}
