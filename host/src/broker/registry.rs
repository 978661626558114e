//! Which backends this program has, and how each is opened.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use strongroom_backend::{Backend, MemoryBackend, VaultId};

use crate::config::{Backends, ConfigError, VaultConfig};

/// Why a vault could not be opened.
pub type OpenError = Box<dyn StdError + Send + Sync>;

type Opener = dyn Fn(&VaultTable<'_>) -> Result<Arc<dyn Backend>, OpenError> + Send + Sync;

/// The backends of a program: a name as it stands in `backend = "..."`, and how to open one.
///
/// A fresh registry knows `memory` alone. There is no global one: what is not added here cannot be
/// configured.
#[derive(Clone)]
pub struct Registry {
    openers: BTreeMap<&'static str, Arc<Opener>>,
}

impl Registry {
    /// A registry that knows the `memory` backend.
    pub fn new() -> Self {
        let registry = Self {
            openers: BTreeMap::new(),
        };
        registry.with("memory", |table| {
            table.settings::<NoSettings>()?;
            Ok(Arc::new(MemoryBackend::new()))
        })
    }

    /// Adds a backend, or replaces the one of that name. `open` may block: it is called off the
    /// async threads, at the first call that reaches the vault.
    #[must_use]
    pub fn with<F>(mut self, name: &'static str, open: F) -> Self
    where
        F: Fn(&VaultTable<'_>) -> Result<Arc<dyn Backend>, OpenError> + Send + Sync + 'static,
    {
        self.openers.insert(name, Arc::new(open));
        self
    }

    pub(crate) fn names(&self) -> Backends {
        Backends::new(self.openers.keys().copied())
    }

    pub(crate) fn open(&self, config: &VaultConfig) -> Result<Arc<dyn Backend>, OpenError> {
        let opener = self
            .openers
            .get(&*config.backend)
            .ok_or("no such backend in this program")?;
        opener(&VaultTable { config })
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

/// The table `[vault.<id>]` of the configuration, as its backend sees it.
pub struct VaultTable<'c> {
    config: &'c VaultConfig,
}

impl VaultTable<'_> {
    /// The id of the vault.
    pub fn id(&self) -> &VaultId {
        &self.config.id
    }

    /// The backend's own keys, parsed strictly.
    ///
    /// # Errors
    ///
    /// Names file, line and word for an unknown or ill-typed key.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        self.config.settings()
    }

    /// The folder that relative paths start from: that of the configuration file.
    pub fn base_dir(&self) -> std::path::PathBuf {
        self.config.resolve(Path::new(""))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}
