//! The vault as a store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use strongroom_backend::{
    Backend, Capabilities, Change, CompareAndSet, Description, Error, ErrorKind, ListPage,
    Metadata, PutOptions, Secret, SecretPath, SecretValue, VersionInfo, VersionNumbers, Versioning,
    Which,
};
use strongroom_backend_remote::{NameRules, Names};
use tokio::task::JoinHandle;

use crate::clock::{ServiceClock, local_ms};
use crate::config::{Config, Deletion, MAX_SETTLE};
use crate::credential::{Pinned, options};
use crate::error::{Fault, Result};
use crate::http::{Http, Route};
use crate::listing::Listing;
use crate::pause::{Pause, Recent, Turns};
use crate::place::{Place, config_fault};
use crate::record::{Record, describe_deleted, expiry, infos_of_deleted};
use crate::stored::{self, MAX_TEXT};
use crate::tags::Tags;
use crate::vault::{Deleted, Vault, is_legal};

/// How many values a get-many asks for at once: the service has no call for many.
const READS_AT_ONCE: usize = 16;

/// An Azure Key Vault. Call it within a tokio runtime.
pub struct AzureBackend(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) vault: Vault,
    pub(crate) names: Names,
    pub(crate) place: Place,
    pub(crate) credential: Arc<Pinned>,
    pub(crate) deletion: Deletion,
    pub(crate) settle: Duration,
    pub(crate) turns: Turns,
    pub(crate) recent: Recent,
    pub(crate) listing: Listing,
    capabilities: Capabilities,
}

impl AzureBackend {
    /// Makes a client of the vault of `config`, whose relative paths start at `base_dir`. Nothing
    /// is called before the first use.
    ///
    /// # Errors
    ///
    /// `Config` where the settings do not say which vault or how to authenticate, or name what is
    /// not there; `PermissionDenied` where others could read the file with the client's secret.
    pub async fn open(config: &Config, base_dir: &Path) -> strongroom_backend::Result<Self> {
        let (config, base) = (config.clone(), base_dir.to_owned());
        // The system's certificates and the files of the settings are read.
        let made = tokio::task::spawn_blocking(move || Inner::new(&config, &base));
        let made = made.await.map_err(|_| Fault::Broken("opening the vault"))?;
        Ok(Self(Arc::new(made?)))
    }
}

impl AzureBackend {
    async fn current(&self, path: &SecretPath) -> strongroom_backend::Result<Secret> {
        Ok(self.0.get(path, Which::Current).await?)
    }
}

impl Inner {
    pub(crate) fn new(config: &Config, base: &Path) -> Result<Self> {
        let auth = config.auth.as_ref().ok_or(Fault::NoAuth)?;
        let place = Place::of(config)?;
        let names = names(config)?;
        if !(1..=MAX_SETTLE).contains(&config.settle) {
            return Err(config_fault(format!(
                "`settle` is a number of seconds from 1 to {MAX_SETTLE}"
            )));
        }
        let authorities = match &config.ca_file {
            None => None,
            Some(file) => Some(certificates(&base.join(file))?),
        };
        let authorities = authorities.as_deref();
        let login_authorities = authorities.filter(|_| config.authority_host.is_some());
        let credential = Pinned::new(auth, &place, login_authorities, base)?;
        let clock = Arc::new(ServiceClock::default());
        let route = Route::One {
            to: place.endpoint.clone(),
            known_as: Some(place.vault.clone()),
        };
        let http = Http::new(route, authorities, Some(Arc::clone(&clock)));
        let vault = Vault::new(&place, Arc::clone(&credential), options(http)?, clock)?;
        // The service purges a secret with all of its versions, and none of them alone.
        let purges = config.delete == Deletion::Purge;
        Ok(Self {
            vault,
            names,
            place,
            credential,
            deletion: config.delete,
            settle: Duration::from_secs(config.settle),
            turns: Turns::new(),
            recent: Recent::default(),
            listing: Listing::default(),
            capabilities: Capabilities {
                max_value: MAX_TEXT as u64,
                write: true,
                list: true,
                versions: VersionNumbers::Increasing,
                restarts: false,
                compare_and_set: CompareAndSet::None,
                undelete: !purges,
                destroy: false,
                delete_version: !purges,
                metadata: true,
                expiry: true,
            },
        })
    }

    /// The name in the vault.
    pub(crate) fn name(&self, path: &SecretPath) -> Result<String> {
        self.names
            .name(path)
            .map_err(|error| Fault::Invalid(error.to_string()))
    }

    /// Refuses a secret that has our secret's name and is another one.
    pub(crate) fn owned(&self, path: &SecretPath, tags: &Tags) -> Result<()> {
        if self.names.verify(path, tags.path()) {
            return Ok(());
        }
        Err(Fault::NotOurs)
    }

    /// The versions of a secret; none where it is not there or is soft-deleted.
    pub(crate) async fn record(&self, path: &SecretPath, name: &str) -> Result<Option<Record>> {
        let record = Record::new(self.vault.versions(name).await?);
        if let Some(record) = &record {
            self.owned(path, &record.newest().tags)?;
        }
        Ok(record)
    }

    /// A soft-deleted secret. One that this process has just deleted is waited for.
    pub(crate) async fn deleted(&self, path: &SecretPath, name: &str) -> Result<Deleted> {
        self.deleted_within(path, name, &mut Pause::new(self.settle))
            .await
    }

    /// The same within a wait that goes on.
    pub(crate) async fn deleted_within(
        &self,
        path: &SecretPath,
        name: &str,
        pause: &mut Pause,
    ) -> Result<Deleted> {
        while pause.wait().await {
            match self.vault.deleted(name).await {
                Ok(deleted) => {
                    self.owned(path, &deleted.newest.tags)?;
                    return Ok(deleted);
                }
                Err(Fault::NotFound) if self.recent.has(name) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::Busy(
            "the vault is still deleting this secret, which takes it up to half a minute: try again",
        ))
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        let name = self.name(path)?;
        let id = match which {
            Which::Current => None,
            Which::Version(number) => {
                let record = self.record(path, &name).await?.ok_or(Fault::NotFound)?;
                let version = record.find(number)?;
                if !version.enabled {
                    return Err(Fault::NotFound);
                }
                Some(version.id.clone())
            }
        };
        let bundle = self.vault.get(&name, id.as_deref()).await?;
        let version = &bundle.version;
        self.owned(path, &version.tags)?;
        let (number, expires) = (version.number, expiry(version));
        // The service gives out expired values.
        if !version.enabled || expires.is_some_and(|at| at <= local_ms()) {
            return Err(Fault::NotFound);
        }
        Ok(Secret {
            value: Arc::new(stored::value(bundle)?),
            version: number,
            expires,
        })
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let name = self.name(path)?;
        match self.record(path, &name).await? {
            Some(record) => Ok(record.describe()),
            None => Ok(describe_deleted(&self.deleted(path, &name).await?)),
        }
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        let name = self.name(path)?;
        match self.record(path, &name).await? {
            Some(record) => Ok(record.infos()),
            None => Ok(infos_of_deleted(&self.deleted(path, &name).await?)),
        }
    }
}

fn names(config: &Config) -> Result<Names> {
    let rules = NameRules {
        max: 127,
        legal: |path| is_legal(path) && !path.bytes().any(|b| b.is_ascii_uppercase()),
        ignores_case: true,
    };
    if !config.prefix.is_empty() && !is_legal(&config.prefix) {
        return Err(config_fault(
            "`prefix` has letters, digits and '-' only: Key Vault takes no others",
        ));
    }
    if let Some((path, _)) = config.names.iter().find(|(_, name)| !is_legal(name)) {
        return Err(config_fault(format!(
            "the name given to '{}' has letters, digits and '-' only: Key Vault takes no others",
            path.escape_debug()
        )));
    }
    Names::new(rules, &config.prefix, &config.names).map_err(|e| config_fault(e.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let failed = |error| config_fault(format!("cannot read {shown}: {error}"));
    let pem = std::fs::read(path).map_err(failed)?;
    let found = reqwest::Certificate::from_pem_bundle(&pem);
    if found.is_ok_and(|found| !found.is_empty()) {
        return Ok(pem);
    }
    Err(config_fault(format!("{shown} holds no certificate in PEM")))
}

/// Waits for a change that goes on when its caller does not wait: several calls make it whole.
async fn whole(change: JoinHandle<Result<Change>>) -> strongroom_backend::Result<Change> {
    let done = change.await.map_err(|_| Fault::Broken("a change"))?;
    Ok(done?)
}

#[async_trait]
impl Backend for AzureBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn get(&self, path: &SecretPath, which: Which) -> strongroom_backend::Result<Secret> {
        Ok(self.0.get(path, which).await?)
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> strongroom_backend::Result<Change> {
        Ok(self.0.put(path, value, options).await?)
    }

    async fn describe(&self, path: &SecretPath) -> strongroom_backend::Result<Description> {
        Ok(self.0.describe(path).await?)
    }

    async fn delete(
        &self,
        path: &SecretPath,
        version: Option<u64>,
    ) -> strongroom_backend::Result<Change> {
        let (inner, path) = (Arc::clone(&self.0), path.clone());
        let change = tokio::spawn(async move {
            match version {
                Some(number) => inner.delete_version(&path, number).await,
                None => inner.delete_secret(&path).await,
            }
        });
        whole(change).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> strongroom_backend::Result<ListPage> {
        Ok(self.0.list(prefix, after, limit).await?)
    }

    async fn versions(&self, path: &SecretPath) -> strongroom_backend::Result<Vec<VersionInfo>> {
        Ok(self.0.versions(path).await?)
    }

    async fn check(&self) -> strongroom_backend::Result<Vec<String>> {
        Ok(self.0.check().await?)
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<strongroom_backend::Result<Secret>> {
        let reads: Vec<_> = paths.iter().map(|path| self.current(path)).collect();
        futures::stream::iter(reads)
            .buffered(READS_AT_ONCE)
            .collect()
            .await
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        Some(self)
    }
}

#[async_trait]
impl Versioning for AzureBackend {
    async fn undelete(
        &self,
        path: &SecretPath,
        version: Option<u64>,
    ) -> strongroom_backend::Result<Change> {
        let (inner, path) = (Arc::clone(&self.0), path.clone());
        let change = tokio::spawn(async move { inner.undelete(&path, version).await });
        whole(change).await
    }

    async fn destroy(&self, _: &SecretPath, _: u64) -> strongroom_backend::Result<Change> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "Key Vault cannot destroy one version: with `delete = \"purge\"` a delete destroys a \
             secret as a whole",
        ))
    }

    async fn set_metadata(
        &self,
        path: &SecretPath,
        metadata: &Metadata,
    ) -> strongroom_backend::Result<Change> {
        Ok(self.0.set_metadata(path, metadata).await?)
    }
}
