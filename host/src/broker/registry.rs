//! Which backends this program has, and how each is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use strongroom_backend::{Backend, MemoryBackend, VaultId};

use crate::config::{Backends, ConfigError, NamesIn, PlaceOf, VaultConfig};

/// Why a vault could not be opened.
pub type OpenError = Box<dyn StdError + Send + Sync>;

type Opener = dyn Fn(&VaultTable<'_>) -> Result<Arc<dyn Backend>, OpenError> + Send + Sync;

/// The backends of a program: a name as it stands in `backend = "..."`, and how to open one.
///
/// A fresh registry knows `memory` alone. There is no global one: what is not added here cannot be
/// configured.
#[derive(Clone)]
pub struct Registry {
    openers: BTreeMap<&'static str, (Kind, Arc<Opener>)>,
    names_in: Vec<NamesIn>,
}

#[derive(Clone)]
enum Kind {
    Here,
    Remote(PlaceOf),
}

impl Registry {
    /// A registry that knows the `memory` backend.
    pub fn new() -> Self {
        let registry = Self {
            openers: BTreeMap::new(),
            names_in: Vec::new(),
        };
        registry.with("memory", |table| {
            table.settings::<NoSettings>()?;
            Ok(Arc::new(MemoryBackend::new()))
        })
    }

    /// Adds a backend whose stores are on this machine, or replaces the one of that name. `open` may
    /// block: it is called off the async threads, at the first call that reaches the vault. What it
    /// has to await it can give to the runtime's [`block_on`](tokio::runtime::Handle::block_on).
    #[must_use]
    pub fn with<F>(self, name: &'static str, open: F) -> Self
    where
        F: Fn(&VaultTable<'_>) -> Result<Arc<dyn Backend>, OpenError> + Send + Sync + 'static,
    {
        self.add(name, Kind::Here, Arc::new(open))
    }

    /// Adds a backend whose stores are across a network, as [`with`](Self::with): its vaults have a
    /// cache, a deadline for each call, retries and a breaker, and the settings for them.
    ///
    /// `place` says what tells a store from others, by the backend's own settings `C`: two vaults of
    /// one place are refused, and whoever writes there tells the caches of all others. What only says
    /// how a store is treated is no part of it, and two spellings of one thing are the same text.
    /// It is called whenever a configuration is read, and asks nobody.
    #[must_use]
    pub fn with_remote<C, P, F>(self, name: &'static str, place: P, open: F) -> Self
    where
        C: DeserializeOwned,
        P: Fn(&C) -> String + Send + Sync + 'static,
        F: Fn(&VaultTable<'_>) -> Result<Arc<dyn Backend>, OpenError> + Send + Sync + 'static,
    {
        self.add(name, Kind::Remote(PlaceOf::new(place)), Arc::new(open))
    }

    /// Has trust in a configuration cover what its vaults' files name in turn, as a kubeconfig names a
    /// program to log in: those of them that are in the folder of the configuration.
    ///
    /// `names` gets the bytes of each file that settings name, of whichever backend, and gives the
    /// texts in it that may be names of files, alone or among other words; nothing for a file of
    /// another kind. It is called before anybody trusts the file.
    #[must_use]
    pub fn with_names_in<F>(mut self, names: F) -> Self
    where
        F: Fn(&[u8]) -> Vec<String> + Send + Sync + 'static,
    {
        self.names_in.push(NamesIn::new(names));
        self
    }

    fn add(mut self, name: &'static str, kind: Kind, open: Arc<Opener>) -> Self {
        self.openers.insert(name, (kind, open));
        self
    }

    /// Their names, for reading a configuration without a broker.
    pub fn names(&self) -> Backends {
        let mut here = Vec::new();
        let mut remote = Vec::new();
        for (name, (kind, _)) in &self.openers {
            match kind {
                Kind::Here => here.push(*name),
                Kind::Remote(place) => remote.push((*name, place.clone())),
            }
        }
        let names = remote.iter().map(|(name, _)| *name);
        let backends = Backends::new(here).with_remote(names);
        backends.with_places(remote).with_names_in(&self.names_in)
    }

    pub(crate) fn open(&self, config: &VaultConfig) -> Result<Arc<dyn Backend>, OpenError> {
        let (_, opener) = self
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

    /// The names of all environment variables that the configuration says hold a key or a
    /// credential, of whatever vault: a store of variables must keep away from them.
    pub fn secret_variables(&self) -> BTreeSet<String> {
        self.config.secret_variables()
    }

    /// The folder that relative paths start from: that of the configuration file.
    pub fn base_dir(&self) -> std::path::PathBuf {
        self.config.resolve(Path::new(""))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}
