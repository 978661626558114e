//! The store as a backend, in either layout.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, CompareAndSet, Description, Error, ListPage, Metadata, Notices,
    OnNotice, PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo, VersionNumbers,
    Versioning, Which,
};
use tokio::runtime::Handle;

use crate::client::Api;
use crate::config::{Auth, Config, Layout, MAX_KEEP_VERSIONS};
use crate::error::Fault;
use crate::foreign::Foreign;
use crate::list::Wanted;
use crate::own::{Own, now};
use crate::record::MAX_OBJECT;
use crate::watch::{self, Asked, Watched};
use crate::{connect, naming};

/// Secrets in a namespace of a Kubernetes cluster.
pub struct KubernetesBackend {
    capabilities: Capabilities,
    pub(crate) layout: Served,
    /// Where a watch runs; none where the settings want none.
    runtime: Option<Handle>,
}

/// What is served, by whom it was written.
pub(crate) enum Served {
    Own(Own),
    Foreign(Foreign),
}

impl KubernetesBackend {
    /// Reads where the cluster is and who we are. Nothing is called, and no program is run, before
    /// the first call needs it.
    ///
    /// # Errors
    ///
    /// `Config` for settings or a kubeconfig that cannot be used; the text says why.
    pub async fn open(config: &Config, base_dir: &Path) -> Result<Self> {
        if !(1..=MAX_KEEP_VERSIONS).contains(&config.keep_versions) {
            let text = format!("`keep-versions` is 1 to {MAX_KEEP_VERSIONS}");
            return Err(Fault::Config(text).into());
        }
        let names = Arc::new(naming::names(config)?);
        let loaded = connect::load(config, base_dir).await?;
        let namespace = match (&config.namespace, &config.auth) {
            (Some(namespace), _) => namespace.clone(),
            (None, Auth::InCluster) => loaded.default_namespace.clone(),
            (None, _) => return Err(Fault::Config("say which `namespace`".into()).into()),
        };
        if !naming::is_label(&namespace) {
            return Err(Fault::Config("`namespace` is not the name of one".into()).into());
        }
        let api = Arc::new(Api::new(loaded, namespace));
        let foreign = config.layout == Layout::Foreign;
        let layout = match config.layout {
            Layout::Own => {
                let create = config.create_namespace;
                Served::Own(Own::new(
                    Arc::clone(&api),
                    names,
                    config.keep_versions,
                    create,
                ))
            }
            Layout::Foreign => Served::Foreign(Foreign {
                api: Arc::clone(&api),
                names,
                asked: config.watch.then(Arc::<Asked>::default),
            }),
        };
        if !api.runs_a_program() {
            api.prepare().await?;
        }
        Ok(Self {
            capabilities: if foreign { read_only() } else { full() },
            layout,
            runtime: config.watch.then(Handle::current),
        })
    }

    pub(crate) fn api(&self) -> &Arc<Api> {
        match &self.layout {
            Served::Own(own) => &own.api,
            Served::Foreign(foreign) => &foreign.api,
        }
    }

    fn own(&self, ability: &'static str) -> Result<&Own> {
        match &self.layout {
            Served::Own(own) => Ok(own),
            Served::Foreign(_) => Err(Error::unsupported(ability)),
        }
    }
}

fn full() -> Capabilities {
    Capabilities {
        max_value: MAX_OBJECT as u64,
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
    }
}

fn read_only() -> Capabilities {
    Capabilities {
        write: false,
        versions: VersionNumbers::None,
        compare_and_set: CompareAndSet::None,
        undelete: false,
        delete_version: false,
        destroy: false,
        metadata: false,
        expiry: false,
        ..full()
    }
}

const READ_ONLY: &str = "write: Secrets of others (`layout = \"foreign\"`) are only read";

#[async_trait]
impl Backend for KubernetesBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        match (&self.layout, which) {
            (Served::Own(own), which) => Ok(own.get(path, which).await?),
            (Served::Foreign(foreign), Which::Current) => Ok(foreign.get(path).await?),
            (Served::Foreign(_), Which::Version(_)) => {
                Err(Error::unsupported("versions: Secrets of others have none"))
            }
        }
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        Ok(self.own(READ_ONLY)?.put(path, value, options).await?)
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        match &self.layout {
            Served::Own(own) => Ok(own.history(path).await?.describe()),
            Served::Foreign(foreign) => Ok(foreign.describe(path).await?),
        }
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let own = self.own(READ_ONLY)?;
        let edit = |history: &mut strongroom_backend::History| history.delete(version, now());
        Ok(own.change(path, None, edit).await?)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let wanted = Wanted {
            prefix,
            after,
            limit,
        };
        match &self.layout {
            Served::Own(own) => Ok(own.list(&wanted).await?),
            Served::Foreign(foreign) => Ok(foreign.list(&wanted).await?),
        }
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        let own = self.own("versions: Secrets of others have none")?;
        Ok(own.history(path).await?.versions())
    }

    async fn check(&self) -> Result<Vec<String>> {
        Ok(crate::check::check(self).await?)
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let answers = match &self.layout {
            Served::Own(own) => own.get_many(paths).await,
            Served::Foreign(foreign) => foreign.get_many(paths).await,
        };
        answers
            .into_iter()
            .map(|answer| answer.map_err(Error::from))
            .collect()
    }

    /// From a watch on the namespace, which begins half a second later.
    fn notices(&self, on_notice: OnNotice) -> Option<Notices> {
        let runtime = self.runtime.as_ref()?;
        let watched = match &self.layout {
            Served::Own(own) => Watched::Own(Arc::clone(&own.names)),
            Served::Foreign(foreign) => Watched::Foreign(Arc::clone(foreign.asked.as_ref()?)),
        };
        Some(watch::start(
            Arc::clone(self.api()),
            watched,
            on_notice,
            runtime,
        ))
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        match &self.layout {
            Served::Own(_) => Some(self),
            Served::Foreign(_) => None,
        }
    }
}

#[async_trait]
impl Versioning for KubernetesBackend {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let own = self.own(READ_ONLY)?;
        let edit = |history: &mut strongroom_backend::History| history.undelete(version, now());
        Ok(own.change(path, None, edit).await?)
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let own = self.own(READ_ONLY)?;
        let edit = |history: &mut strongroom_backend::History| {
            history.destroy(version, now())?;
            Ok(version)
        };
        Ok(own.change(path, None, edit).await?)
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let own = self.own(READ_ONLY)?;
        let edit = |history: &mut strongroom_backend::History| {
            history.set_metadata(metadata, now());
            Ok(history.describe().version.unwrap_or(0))
        };
        Ok(own.change(path, None, edit).await?)
    }
}
