//! The vault as a backend.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use google_cloud_gax::error::rpc::Code;
use strongroom_backend::{
    Backend, Capabilities, Change, CompareAndSet, Description, Error, ErrorKind, ListPage,
    Metadata, PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo, VersionNumbers,
    VersionState, Versioning, Which,
};

use crate::config::Config;
use crate::error::{self, Fault};
use crate::notes::Notes;
use crate::payload::MAX_VALUE;
use crate::resource::Resource;
use crate::service::{Life, millis};
use crate::vault::{Vault, to_the_end};
use crate::write::Write;
use crate::{check, life, list, write};

/// How many values are asked for at once: the service has no call for many.
const AT_ONCE: usize = 16;

/// A vault in GCP Secret Manager. Call it within the tokio runtime that it was opened in.
pub struct GcpBackend {
    vault: Arc<Vault>,
    capabilities: Capabilities,
}

impl GcpBackend {
    /// The vault of `config`, whose relative paths start at `base`. Files of credentials are read; the
    /// service is not asked yet, and tokens are in the background.
    ///
    /// # Errors
    ///
    /// `Config` for settings that do not fit, and for files that are missing or that others may use.
    pub async fn open(config: &Config, base: &Path) -> Result<Self> {
        Ok(Self {
            vault: Arc::new(Vault::new(config, base)?),
            capabilities: Capabilities {
                max_value: MAX_VALUE as u64,
                write: true,
                list: true,
                versions: VersionNumbers::Counted,
                restarts: false,
                compare_and_set: CompareAndSet::None,
                delete_version: true,
                undelete: true,
                destroy: true,
                metadata: true,
                expiry: false,
            },
        })
    }

    /// Makes a change to its end.
    async fn change<F>(&self, change: impl FnOnce(Arc<Vault>) -> F) -> Result<Change>
    where
        F: Future<Output = error::Result<u64>> + Send + 'static,
    {
        let version = to_the_end(change(Arc::clone(&self.vault))).await?;
        Ok(Change {
            version,
            counter: None,
        })
    }
}

#[async_trait]
impl Backend for GcpBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        let number = match which {
            Which::Current => None,
            Which::Version(number) => Some(possible(number)?),
        };
        let resource = self.vault.space.resource(path)?;
        match self.vault.rest.access(&resource, number).await {
            Ok((version, value)) => Ok(Secret {
                value: Arc::new(value),
                version,
                expires: None,
            }),
            Err(fault) if fault.is_stale() => {
                Err(unreadable(&self.vault, &resource, number, fault).await)
            }
            Err(fault) => Err(fault.into()),
        }
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        let write = Write::new(value, options)?;
        let path = path.clone();
        self.change(async move |vault: Arc<Vault>| write.run(&vault, &path).await)
            .await
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let resource = self.vault.space.resource(path)?;
        let rest = &self.vault.rest;
        // Both to their end: a request that is dropped takes its connection with it.
        let (secret, newest) =
            futures::join!(rest.secret(&resource), rest.version(&resource, None));
        let (secret, newest) = (secret?, newest?);
        let notes = self.vault.notes(path, &secret)?;
        let created = millis(secret.create_time.as_ref());
        Ok(Description {
            version: (newest.life == Life::Enabled).then_some(newest.number),
            created,
            updated: created.max(newest.changed).max(notes.updated()),
            expires: None,
            rotates: None,
            kind: notes.kind(),
            description: notes.description(),
            labels: notes.all_labels(),
        })
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let number = version.map(possible).transpose()?;
        let path = path.clone();
        self.change(async move |vault: Arc<Vault>| match number {
            Some(number) => life::delete_one(&vault, &path, number).await,
            None => life::delete_all(&vault, &path).await,
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let after = after.map(SecretPath::parse).transpose().map_err(|error| {
            Error::new(ErrorKind::InvalidArgument, "the cursor is not a path").with_source(error)
        })?;
        Ok(list::list(&self.vault, prefix, after.as_ref(), limit).await?)
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        let resource = self.vault.space.resource(path)?;
        let rest = &self.vault.rest;
        let (secret, versions) = futures::join!(rest.secret(&resource), rest.versions(&resource));
        let (secret, versions) = (secret?, versions?);
        if versions.is_empty() {
            return Err(Error::not_found());
        }
        let mut authors = self.vault.notes(path, &secret)?.authors();
        let infos = versions.into_iter().enumerate();
        let infos = infos.map(|(index, version)| VersionInfo {
            version: version.number,
            state: match version.life {
                Life::Enabled if index == 0 => VersionState::Current,
                Life::Enabled => VersionState::Superseded,
                Life::Disabled => VersionState::Deleted,
                Life::Destroyed => VersionState::Destroyed,
            },
            created: version.created,
            expires: None,
            author: authors.remove(&version.number),
        });
        Ok(infos.collect())
    }

    async fn check(&self) -> Result<Vec<String>> {
        Ok(check::check(&self.vault).await?)
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let calls: Vec<_> = paths
            .iter()
            .map(|path| self.get(path, Which::Current))
            .collect();
        stream::iter(calls).buffered(AT_ONCE).collect().await
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        Some(self)
    }
}

#[async_trait]
impl Versioning for GcpBackend {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let number = version.map(possible).transpose()?;
        let path = path.clone();
        self.change(async move |vault: Arc<Vault>| match number {
            Some(number) => life::undelete_one(&vault, &path, number).await,
            None => life::undelete_all(&vault, &path).await,
        })
        .await
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let number = possible(version)?;
        let path = path.clone();
        self.change(async move |vault: Arc<Vault>| life::destroy(&vault, &path, number).await)
            .await
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        Notes::check(metadata)?;
        let (path, metadata) = (path.clone(), metadata.clone());
        self.change(async move |vault: Arc<Vault>| {
            write::set_metadata(&vault, &path, &metadata).await
        })
        .await
    }
}

/// A number that the service can have given. It counts in 64 bits with a sign, from 1.
fn possible(number: u64) -> Result<u64> {
    match i64::try_from(number) {
        Ok(1..) => Ok(number),
        _ => Err(Error::not_found()),
    }
}

/// Why a version cannot be read although it is there. Deleted and destroyed is not found; anything
/// else, as an encryption key that is switched off, must not be taken for that.
///
/// The service has one code for both and no detail that tells them apart, only words that it may
/// change. What is neither by its words nor by the version's state is taken for a key withdrawn from
/// us: a value kept from before must not outlive that, nor a delete that we were not let to see.
async fn unreadable(
    vault: &Vault,
    resource: &Resource,
    number: Option<u64>,
    fault: Fault,
) -> Error {
    if matches!(&fault, Fault::Refused(refusal) if refusal.unreadable) {
        return Error::not_found();
    }
    // Who may read values may not always look at versions: then the first answer stands.
    match vault.rest.version(resource, number).await {
        Ok(version) if version.life != Life::Enabled => Error::not_found(),
        Err(missing) if missing.is_not_found() => Error::not_found(),
        _ if fault.code() == Some(Code::FailedPrecondition) => {
            Error::new(ErrorKind::PermissionDenied, fault.to_string())
        }
        _ => fault.into(),
    }
}
