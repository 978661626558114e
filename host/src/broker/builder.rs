//! Setting a broker up.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use strongroom_audit::{Log, Options};

use super::registry::Registry;
use super::vaults::Vaults;
use super::{Broker, InForce, Shared, cursor, reload, sync};
use crate::config::{AuditConfig, Config, ConfigError, Durability};

/// Sets a [`Broker`] up.
///
/// Denied by default is everything: a component without an entry in the configuration, a vault, a
/// name or an action without a grant. Without a configured audit log no broker is made.
pub struct BrokerBuilder {
    registry: Registry,
    source: Option<Source>,
    workspace: Option<String>,
    state_dir: Option<PathBuf>,
    reload: bool,
    accept: Accept,
    stands: Stands,
}

/// Whether an edited configuration may take force, and why not.
pub(super) type Accept = Box<dyn Fn(&Config) -> Result<(), String> + Send + Sync>;

/// Whether the configuration in force is still what was accepted, and why not.
pub(super) type Stands = Arc<dyn Fn(&Config) -> Result<(), String> + Send + Sync>;

enum Source {
    File(PathBuf),
    Config(Box<Config>),
}

impl BrokerBuilder {
    pub(super) fn new() -> Self {
        Self {
            registry: Registry::new(),
            source: None,
            workspace: None,
            state_dir: None,
            reload: true,
            accept: Box::new(|_| Ok(())),
            stands: Arc::new(|_| Ok(())),
        }
    }

    /// The backends that vaults may name; by default `memory` alone.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Reads the configuration from this file.
    #[must_use]
    pub fn config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.source = Some(Source::File(file.into()));
        self
    }

    /// Lays this workspace of the configuration file over the rest of it. For a configuration that
    /// was loaded already it was chosen then: [`Config::load_in`].
    #[must_use]
    pub fn workspace(mut self, name: impl Into<String>) -> Self {
        self.workspace = Some(name.into());
        self
    }

    /// The folder in which the processes of this user tell each other what they wrote to vaults across
    /// a network; by default `~/.local/state/strongroom`.
    #[must_use]
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(dir.into());
        self
    }

    /// Takes a configuration that was loaded already.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.source = Some(Source::Config(Box::new(config)));
        self
    }

    /// Whether the broker stays for a while, as it does by default: then edits of the configuration file
    /// take force, and vaults with a `sync` table are kept in step.
    #[must_use]
    pub fn reload(mut self, reload: bool) -> Self {
        self.reload = reload;
        self
    }

    /// Asks `accept` before an edited configuration takes force. With a refusal the old one stays, and
    /// the reason is logged as that of a file that is wrong is. It is asked again with each event of
    /// the file, and once a second, so that what is accepted later takes force then. It is not asked
    /// about the configuration that the broker begins with, and runs on a thread of the broker.
    #[must_use]
    pub fn reload_if(
        mut self,
        accept: impl Fn(&Config) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.accept = Box::new(accept);
        self
    }

    /// Asks `stands` about the configuration in force before a vault is opened, which is at the first
    /// call that reaches it: what the configuration names may be something else by then. With a refusal
    /// the call fails, and so do those of the next second; one after that asks again. It may block.
    #[must_use]
    pub fn open_if(
        mut self,
        stands: impl Fn(&Config) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.stands = Arc::new(stands);
        self
    }

    /// Loads the configuration, opens the audit log and makes the broker. Vaults are opened when
    /// they are first asked. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BuildError`], whose text tells the operator what to do.
    pub async fn build(self) -> Result<Broker, BuildError> {
        let backends = self.registry.names();
        let config = match self.source.ok_or(BuildError::NoConfig)? {
            Source::File(file) => Config::load_in(&file, &backends, self.workspace.as_deref())?,
            Source::Config(config) => *config,
        };
        let options = config
            .audit
            .as_ref()
            .map(audit_options)
            .ok_or(BuildError::NoAudit)?;
        let opening = tokio::task::spawn_blocking(move || Log::open(options)).await;
        let log = opening.map_err(|_| BuildError::Broken)??;
        let generation = 1;
        log.policy(InForce::number_of(generation), &reload::on_record(&config))
            .map_err(BuildError::Unrecorded)?;
        let force = InForce {
            policy: config.policy(generation),
            vaults: Vaults::new(&config, None),
            config,
            generation,
        };
        let shared = Arc::new(Shared {
            log,
            force: ArcSwap::from_pointee(force),
            generation: AtomicU64::new(generation),
            registry: self.registry,
            stands: self.stands,
            state_dir: self.state_dir.or_else(crate::config::state_dir),
            scopes: Mutex::default(),
            cursors: cursor::Cursors::new().map_err(|_| BuildError::Broken)?,
            housekeeping: Mutex::default(),
            watch: Mutex::default(),
            syncs: Mutex::default(),
        });
        reload::start_housekeeping(&shared);
        if self.reload {
            reload::start_watching(&shared, backends, self.accept);
            sync::start(&shared);
        }
        Ok(Broker { shared })
    }
}

fn audit_options(config: &AuditConfig) -> Options {
    let mut options = Options::new(config.path.clone(), config.key.path.clone());
    options.allow_links = config.key.allow_links;
    options.durability = match config.durability {
        Durability::Disk => strongroom_audit::Durability::Disk,
        _ => strongroom_audit::Durability::Process,
    };
    options.rotate = config.rotate;
    options.keep_for = Some(config.keep_for);
    options
}

/// Why a broker was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration is wrong, or may not be trusted as it lies there.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No configuration was given.
    #[error("no configuration was given")]
    NoConfig,
    /// The configuration has no `[audit]` table.
    #[error(
        "the configuration has no [audit] table: without an audit log nothing is released; \
         `strongroom init` writes one"
    )]
    NoAudit,
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(#[from] strongroom_audit::Error),
    /// The audit log cannot record.
    #[error("the audit log cannot record: {0}")]
    Unrecorded(strongroom_audit::AppendError),
    /// The configuration has no entry for this component.
    #[error("the configuration has no [component.{0}]: add one, with the grants it should have")]
    UnknownComponent(String),
    /// The bytes are not those that the configuration pins.
    #[error("component `{name}` is pinned to {pinned}, and these bytes are {found}")]
    Digest {
        /// The component.
        name: String,
        /// What the configuration says.
        pinned: String,
        /// What was given.
        found: String,
    },
    /// The bytes do not compile as a component.
    #[error("{0}")]
    Compile(String),
    /// The operating system gave no random numbers, or a thread of ours broke.
    #[error("the operating system refused random numbers or a thread")]
    Broken,
}
