//! The store behind the backend trait.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use strongroom_backend::{
    Backend, Capabilities, Change, CompareAndSet, Description, Error, ListPage, Metadata,
    PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo, VersionNumbers, Versioning,
    Which,
};
use strongroom_backend_remote::Endpoint;
use tokio::sync::OnceCell;

use crate::check;
use crate::client::Client;
use crate::config::{Config, Kv};
use crate::document::MAX_VALUE;
use crate::error;
use crate::login::Login;
use crate::mount::{self, Version};
use crate::place::Place;
use crate::session::Session;
use crate::v1::V1;
use crate::v2::{PARALLEL, V2};
use crate::walk::{self, Range};

const WITH_VERSIONS: Capabilities = Capabilities {
    max_value: MAX_VALUE,
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
};

const WITHOUT_VERSIONS: Capabilities = Capabilities {
    versions: VersionNumbers::None,
    compare_and_set: CompareAndSet::None,
    undelete: false,
    delete_version: false,
    destroy: false,
    metadata: false,
    ..WITH_VERSIONS
};

/// Secrets in a KV engine of a HashiCorp Vault or OpenBao server.
pub struct HashicorpBackend {
    session: Arc<Session>,
    place: Arc<Place>,
    kv: OnceCell<Version>,
    address: Endpoint,
    /// Who vouches for the server's certificate; none where it is not checked.
    verified: Option<&'static str>,
}

impl HashicorpBackend {
    /// Makes the store of `config`; relative paths start at `base_dir`. Nothing is sent yet: login
    /// and look at the mount come with the first call.
    ///
    /// # Errors
    ///
    /// `Config` for names, mounts and authorities that cannot be.
    pub async fn open(config: &Config, base_dir: &Path) -> Result<Self> {
        let place = Arc::new(Place::new(config)?);
        let client = Client::new(config, base_dir)?;
        let login = Login::new(config, base_dir)?;
        let kv = match config.kv {
            Kv::Auto => OnceCell::new(),
            Kv::V1 => OnceCell::new_with(Some(Version::One)),
            Kv::V2 => OnceCell::new_with(Some(Version::Two)),
        };
        let store = Self {
            session: Session::new(client, Arc::clone(&place), login),
            place,
            kv,
            address: config.address.clone(),
            verified: match (config.verify_tls, &config.ca_file) {
                (false, _) => None,
                (true, None) => Some("over TLS, trusted by the platform's authorities"),
                (true, Some(_)) => Some("over TLS, trusted by those of ca-file alone"),
            },
        };
        store.warn();
        Ok(store)
    }

    fn warn(&self) {
        if self.address.is_tls() && self.verified.is_none() {
            tracing::warn!(
                address = %self.address,
                "verify-tls = false: the server's certificate is NOT checked, anyone on the way can \
                 read and change secrets and take the token"
            );
        }
    }

    /// The engine's version: as configured, or found out once.
    async fn version(&self) -> error::Result<Version> {
        let find = || mount::find(&self.session, &self.place);
        self.kv.get_or_try_init(find).await.copied()
    }

    async fn engine(&self) -> error::Result<Engine<'_>> {
        let (session, place) = (&self.session, &*self.place);
        Ok(match self.version().await? {
            Version::One => Engine::One(V1 { session, place }),
            Version::Two => Engine::Two(V2 { session, place }),
        })
    }

    async fn versioned(&self, ability: &'static str) -> Result<V2<'_>> {
        match self.engine().await? {
            Engine::One(_) => Err(Error::unsupported(ability)),
            Engine::Two(v2) => Ok(v2),
        }
    }
}

enum Engine<'s> {
    One(V1<'s>),
    Two(V2<'s>),
}

#[async_trait]
impl Backend for HashicorpBackend {
    /// Those of KV v2 as long as `kv = "auto"` has not found out that the engine is v1: until then
    /// what v1 cannot do is refused by the call itself.
    fn capabilities(&self) -> &Capabilities {
        match self.kv.get() {
            Some(Version::One) => &WITHOUT_VERSIONS,
            Some(Version::Two) | None => &WITH_VERSIONS,
        }
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        let (document, version) = match (self.engine().await?, which) {
            (Engine::One(v1), Which::Current) => (v1.get(path).await?, 0),
            (Engine::One(_), Which::Version(_)) => return Err(unversioned()),
            (Engine::Two(v2), which) => {
                let found = v2.get(path, which).await?;
                (found.document, found.version)
            }
        };
        Ok(Secret {
            value: Arc::new(document.value),
            version,
            expires: document.expires,
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
        let version = match self.engine().await? {
            Engine::One(_) if options.expected.is_some() => {
                return Err(Error::unsupported("compare-and-set: KV v1 has none"));
            }
            Engine::One(_) if options.metadata != Metadata::default() => {
                return Err(Error::unsupported("metadata: KV v1 keeps none"));
            }
            Engine::One(v1) => v1.put(path, value, options).await.map(|()| 0)?,
            Engine::Two(v2) => v2.put(path, value, options).await?,
        };
        Ok(changed(version))
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        Ok(match self.engine().await? {
            Engine::One(v1) => v1.describe(path).await?,
            Engine::Two(v2) => v2.describe(path).await?,
        })
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let version = match (self.engine().await?, version) {
            (Engine::One(v1), None) => v1.delete(path).await.map(|()| 0)?,
            (Engine::One(_), Some(_)) => return Err(unversioned()),
            (Engine::Two(v2), version) => v2.delete(path, version).await?,
        };
        Ok(changed(version))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let range = Range::new(prefix, after)?;
        let most = limit.saturating_add(1);
        let paths = match self.engine().await? {
            Engine::One(v1) => v1.list(range, most).await?,
            Engine::Two(v2) => v2.list(range, most).await?,
        };
        Ok(walk::page(paths, limit))
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        Ok(self
            .versioned("versions: KV v1 keeps none")
            .await?
            .versions(path)
            .await?)
    }

    async fn check(&self) -> Result<Vec<String>> {
        let (session, place) = (&self.session, &*self.place);
        let mut lines = check::server(session, place, &self.address, self.verified).await?;
        self.warn();
        lines.push(check::who(session).await?);
        let version = self.version().await?;
        let number = if version == Version::One { 1 } else { 2 };
        lines.push(format!("mount '{}': KV v{number}", place.mount()));
        let page = self.list("", None, 1).await?;
        lines.push(check::rights(session, place, version, page.paths.first()).await?);
        Ok(lines)
    }

    /// The engine has no call for several: some are under way at once.
    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        stream::iter(paths.iter().cloned())
            .map(|path| async move { self.get(&path, Which::Current).await })
            .buffered(PARALLEL)
            .collect()
            .await
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        Some(self)
    }
}

#[async_trait]
impl Versioning for HashicorpBackend {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let v2 = self.versioned("undelete: KV v1 deletes for good").await?;
        Ok(changed(v2.undelete(path, version).await?))
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let v2 = self.versioned("destroy: KV v1 keeps no versions").await?;
        v2.destroy(path, version).await?;
        Ok(changed(version))
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let v2 = self.versioned("metadata: KV v1 keeps none").await?;
        Ok(changed(v2.set_metadata(path, metadata).await?))
    }
}

fn changed(version: u64) -> Change {
    Change {
        version,
        counter: None,
    }
}

fn unversioned() -> Error {
    Error::unsupported("versions: KV v1 keeps none")
}
