//! The store: its settings in force, and what all of its operations share.

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, CompareAndSet, Description, Error, ErrorKind, ListPage,
    Metadata, PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo, VersionNumbers,
    Versioning, Which,
};
use strongroom_backend_aws::Session;
use strongroom_backend_remote::Names;

use crate::client::Service;
use crate::config::Config;
use crate::error::{Fault, Result as Answer};
use crate::naming;
use crate::state::State;
use crate::value::MAX_VALUE;

/// Secrets in AWS Secrets Manager.
pub struct SecretsManagerBackend {
    pub(crate) capabilities: Capabilities,
    pub(crate) session: Session,
    pub(crate) service: Service,
    pub(crate) names: Names,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) recovery_window_days: i64,
    /// When the service last said that we may not read several secrets in one call.
    pub(crate) batch_denied: Mutex<Option<Instant>>,
}

impl SecretsManagerBackend {
    /// Makes the store from its settings without any call; files are relative to `base_dir`.
    ///
    /// # Errors
    ///
    /// `Config` for settings that cannot be.
    pub async fn open(config: &Config, base_dir: &Path) -> Result<Self> {
        let session = Session::open(&config.aws, base_dir).await?;
        Self::with_session(config, session)
    }

    /// Makes the store over a session that the caller has: its own credentials, say.
    ///
    /// # Errors
    ///
    /// As [`SecretsManagerBackend::open`].
    pub fn with_session(config: &Config, session: Session) -> Result<Self> {
        let wrong = |text: String| Error::new(ErrorKind::Config, text);
        let names = naming::names(&config.prefix, &config.names)
            .map_err(|error| wrong(error.to_string()))?;
        let given = config.names.iter();
        if let Some((path, _)) = given.into_iter().find(|(_, name)| !naming::is_legal(name)) {
            return Err(wrong(format!(
                "the name given to '{path}' is no name of Secrets Manager: it has only letters, digits \
                 and '/_+=.@-', and is no ARN"
            )));
        }
        Ok(Self {
            capabilities: capabilities(),
            service: Service::new(&session),
            session,
            names,
            kms_key_id: config.kms_key_id.clone(),
            recovery_window_days: config.recovery_window_days,
            batch_denied: Mutex::default(),
        })
    }

    /// The service's name of `path`: legal there by construction, and never an ARN.
    pub(crate) fn name(&self, path: &SecretPath) -> Answer<String> {
        Ok(self.names.name(path)?)
    }

    /// Refuses a secret whose name is encoded and that does not say it belongs to `path`.
    pub(crate) fn verify(&self, path: &SecretPath, state: &State) -> Answer<()> {
        if self.names.verify(path, state.tags.path()) {
            Ok(())
        } else {
            Err(Fault::Damaged(
                "the secret of this name does not say that it belongs to this path",
            ))
        }
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        max_value: MAX_VALUE,
        write: true,
        list: true,
        versions: VersionNumbers::Increasing,
        restarts: false,
        compare_and_set: CompareAndSet::Full,
        undelete: true,
        delete_version: false,
        destroy: false,
        metadata: true,
        expiry: false,
    }
}

#[async_trait]
impl Backend for SecretsManagerBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        Ok(match which {
            Which::Current => self.read_current(path).await?,
            Which::Version(number) => self.read_version(path, number).await?,
        })
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        if value.len() as u64 > MAX_VALUE {
            return Err(Error::too_large(MAX_VALUE));
        }
        if options.expires.is_some() {
            return Err(Error::unsupported("Secrets Manager keeps no expiry"));
        }
        Ok(self.write(path, value, options).await?)
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let state = self.service.dated(&self.name(path)?).await?;
        let state = state.ok_or_else(Error::not_found)?;
        self.verify(path, &state)?;
        Ok(state.describe()?)
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        refuse_version(version)?;
        Ok(self.mark_deleted(path).await?)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        Ok(self.page(prefix, after, limit).await?)
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        Ok(self.read_versions(path).await?)
    }

    async fn check(&self) -> Result<Vec<String>> {
        let mut lines = self.session.check().await?;
        lines.push(self.check_list().await?);
        lines.extend(self.session.clock_line()?);
        Ok(lines)
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        self.read_many(paths).await
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        Some(self)
    }
}

#[async_trait]
impl Versioning for SecretsManagerBackend {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        refuse_version(version)?;
        Ok(self.take_back(path).await?)
    }

    async fn destroy(&self, _: &SecretPath, _: u64) -> Result<Change> {
        Err(Error::unsupported(
            "Secrets Manager cannot destroy one version",
        ))
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        Ok(self.note(path, metadata).await?)
    }
}

fn refuse_version(version: Option<u64>) -> Result<()> {
    match version {
        None => Ok(()),
        Some(_) => Err(Error::unsupported(
            "Secrets Manager deletes whole secrets, not one version",
        )),
    }
}
