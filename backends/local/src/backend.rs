//! The store as a backend.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, CompareAndSet, Description, Error, ErrorKind,
    ListPage, Metadata, PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark,
    VersionInfo, VersionNumbers, Versioning, Which,
};

use crate::config::{Config, KeySource};
use crate::error;
use crate::read::MAX_VALUE;
use crate::rotate::Rotation;
use crate::store::{Origin, Store};

/// An open encrypted store.
///
/// Reads run where they are called and take microseconds; writes run on tokio's blocking threads,
/// so that a cancelled call finishes or changes nothing. Call it within a tokio runtime.
pub struct LocalBackend {
    store: Arc<Store>,
    capabilities: Capabilities,
}

/// Opens or makes a store, with what settings cannot hold.
pub struct Builder {
    config: Config,
    base: PathBuf,
    passphrase: Option<SecretValue>,
}

impl Builder {
    /// A builder for `config`, whose relative paths start at the current folder.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            base: PathBuf::new(),
            passphrase: None,
        }
    }

    /// The folder that relative paths start at: that of the configuration file.
    #[must_use]
    pub fn with_base_dir(mut self, base: impl Into<PathBuf>) -> Self {
        self.base = base.into();
        self
    }

    /// A passphrase that the caller asked a person for; used in place of the settings' key source.
    #[must_use]
    pub fn with_passphrase(mut self, passphrase: SecretValue) -> Self {
        self.passphrase = Some(passphrase);
        self
    }

    /// Makes a new store, and its key file where the key source is a file that is not there yet.
    /// Blocks, with a passphrase for a part of a second.
    ///
    /// # Errors
    ///
    /// `Config` where the store exists: nothing is ever overwritten. `PermissionDenied` where
    /// others could read or change the files; `Unavailable` where the disk fails.
    pub fn create(self) -> Result<LocalBackend> {
        Store::create(&self.config, &self.base, &self.origin()).map_err(Error::from)?;
        self.open()
    }

    /// Opens a store. Blocks, with a passphrase for a part of a second.
    ///
    /// # Errors
    ///
    /// `Unauthenticated` where the key is the wrong one, `Damaged` where the file does not
    /// authenticate, `Unsupported` where a newer version wrote it, `PermissionDenied` where others
    /// could read the key or change the files, `Config` where a file is missing.
    pub fn open(self) -> Result<LocalBackend> {
        let path = self.base.join(&self.config.path);
        let store = Store::open(&self.config, &self.base, &self.origin())
            .map_err(|fault| fault.at(&path))?;
        Ok(LocalBackend {
            store: Arc::new(store),
            capabilities: Capabilities {
                max_value: MAX_VALUE as u64,
                write: true,
                list: true,
                versions: VersionNumbers::Counted,
                restarts: false,
                compare_and_set: CompareAndSet::Full,
                undelete: true,
                delete_version: true,
                destroy: true,
                metadata: true,
                expiry: true,
            },
        })
    }

    fn origin(&self) -> Origin<'_> {
        match &self.passphrase {
            Some(passphrase) => Origin::Typed(passphrase),
            None => Origin::Settings(&self.config.key, &self.base),
        }
    }
}

impl LocalBackend {
    /// Opens the store of `config`, whose relative paths start at `base`.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`].
    pub fn open(config: &Config, base: &Path) -> Result<Self> {
        Builder::new(config.clone()).with_base_dir(base).open()
    }

    /// Makes the store of `config`, whose relative paths start at `base`.
    ///
    /// # Errors
    ///
    /// As [`Builder::create`].
    pub fn create(config: &Config, base: &Path) -> Result<Self> {
        Builder::new(config.clone()).with_base_dir(base).create()
    }

    /// Makes a new key-encryption key, wraps every data key with it and forgets the old one.
    /// Values stay as they are. Blocks; `progress` is told how many data keys of how many are
    /// done. Where an earlier rotation was broken off, this finishes it.
    ///
    /// # Errors
    ///
    /// What stood in the way. Whatever was done by then stays done; calling again goes on.
    pub fn rotate_keys(&self, progress: impl FnMut(u64, u64)) -> Result<Rotation> {
        self.store
            .rotate(progress)
            .map_err(|fault| fault.at(&self.store.paths.store))
    }

    /// Gives the store a new key source. A key file is made where there is none yet; the old
    /// source opens the store no more. Blocks.
    ///
    /// # Errors
    ///
    /// Where anything fails the old source still opens the store.
    pub fn rekey(&self, source: &KeySource, base: &Path) -> Result<Change> {
        self.rekeyed(&Origin::Settings(source, base))
    }

    /// Gives the store a passphrase that the caller asked a person for, as [`Self::rekey`].
    ///
    /// # Errors
    ///
    /// Where anything fails the old source still opens the store.
    pub fn rekey_with_passphrase(&self, passphrase: &SecretValue) -> Result<Change> {
        self.rekeyed(&Origin::Typed(passphrase))
    }

    fn rekeyed(&self, origin: &Origin<'_>) -> Result<Change> {
        self.store
            .rekey(origin)
            .map_err(|fault| fault.at(&self.store.paths.store))
    }

    fn answer<R>(&self, answer: error::Result<R>) -> Result<R> {
        answer.map_err(|fault| fault.at(&self.store.paths.store))
    }

    /// Runs a call that may wait where waiting is allowed. It runs to its end even where nobody
    /// awaits it any more.
    async fn blocking<R: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> error::Result<R> + Send + 'static,
    ) -> Result<R> {
        let store = Arc::clone(&self.store);
        let answer = tokio::task::spawn_blocking(move || call(&store))
            .await
            .map_err(|_| Error::new(ErrorKind::Failed, "a call to the store was broken off"))?;
        self.answer(answer)
    }
}

#[async_trait]
impl Backend for LocalBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.answer(self.store.get(path, which))
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        if value.len() > MAX_VALUE {
            return Err(Error::too_large(MAX_VALUE as u64));
        }
        let path = path.clone();
        let value = SecretValue::copy_of(value.expose());
        let options = options.clone();
        self.blocking(move |store| store.put(&path, &value, &options))
            .await
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.answer(self.store.record(path))
            .map(|record| record.history.describe())
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let path = path.clone();
        self.blocking(move |store| store.delete(&path, version))
            .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.answer(self.store.list(prefix, after, limit))
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.answer(self.store.record(path))
            .map(|record| record.history.versions())
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.blocking(Store::check).await
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        Some(self)
    }

    fn change_cell(&self, path: &SecretPath) -> Option<ChangeCell> {
        Some(self.store.cell(&self.store.roots.name(path)))
    }

    fn mark(&self) -> Result<Option<StoreMark>> {
        self.answer(self.store.mark()).map(Some)
    }
}

#[async_trait]
impl Versioning for LocalBackend {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let path = path.clone();
        self.blocking(move |store| store.undelete(&path, version))
            .await
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let path = path.clone();
        self.blocking(move |store| store.destroy(&path, version))
            .await
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let path = path.clone();
        let metadata = metadata.clone();
        self.blocking(move |store| store.set_metadata(&path, &metadata))
            .await
    }
}
