//! What every command starts from: which configuration, how to answer, and the broker.

use std::path::PathBuf;
use std::sync::Arc;

use strongroom::config::trust::{Acceptance, TrustList, Untrusted};
use strongroom::config::{self, Config, Found, Places};
use strongroom::{Broker, Session};

use crate::backends;
use crate::failure::Failure;

const WORKSPACE: &str = "STRONGROOM_WORKSPACE";

/// The global options, and the way from them to a broker.
#[derive(Debug)]
pub(crate) struct Context {
    /// What `--config` named.
    pub(crate) config: Option<PathBuf>,
    /// What `--workspace` named, else `$STRONGROOM_WORKSPACE`.
    workspace: Option<String>,
    /// Whether the answer is one JSON document.
    pub(crate) json: bool,
}

impl Context {
    pub(crate) fn new(config: Option<PathBuf>, workspace: Option<String>, json: bool) -> Self {
        let named = || std::env::var_os(WORKSPACE).filter(|name| !name.is_empty());
        // What is not Unicode names no workspace, and the error then shows what was asked for.
        let workspace = workspace.or_else(|| named().map(|name| name.to_string_lossy().into()));
        Self {
            config,
            workspace,
            json,
        }
    }

    /// Where the configuration is: `--config`, `$STRONGROOM_CONFIG`, the current folder, the
    /// user's configuration directory.
    ///
    /// # Errors
    ///
    /// None of them has one: wrong usage.
    pub(crate) fn find(&self) -> Result<Found, Failure> {
        config::locate(&Places::from_process(self.config.clone()))
            .map_err(|none| Failure::usage(none.to_string()))
    }

    /// Reads the configuration without opening anything: for commands that need no broker.
    ///
    /// # Errors
    ///
    /// There is none, it is wrong, or others may write it.
    pub(crate) fn load(&self) -> Result<(Found, Config), Failure> {
        let found = self.find()?;
        let config = Config::load_in(&found.path, &backends::names(), self.workspace.as_deref())
            .map_err(|wrong| Failure::usage(wrong.to_string()))?;
        Ok((found, config))
    }

    /// The broker for one command, once the configuration is trusted.
    ///
    /// # Errors
    ///
    /// The configuration is missing, wrong or not trusted (exit code 2), or the audit log cannot
    /// be opened (exit code 5).
    pub(crate) async fn broker(&self) -> Result<Broker, Failure> {
        self.build(false).await
    }

    /// As [`broker`](Self::broker), for a command that stays: edits of the configuration take
    /// force while it runs.
    ///
    /// # Errors
    ///
    /// As [`broker`](Self::broker).
    pub(crate) async fn reloading_broker(&self) -> Result<Broker, Failure> {
        self.build(true).await
    }

    async fn build(&self, reload: bool) -> Result<Broker, Failure> {
        let (found, config) = self.load()?;
        // Before anything is opened: a file in the current folder may come from someone else's
        // repository. What was looked at is what is used; the file is not read again.
        let trust = Arc::new(acceptance(found)?);
        trust.require(&config).map_err(untrusted)?;
        let builder = Broker::builder().registry(backends::registry(config.file()));
        let builder = builder.config(config).reload(reload);
        // An edit may come from the same repository, and so may a kubeconfig with which a vault is
        // opened an hour later.
        let edits = Arc::clone(&trust);
        let builder = builder.reload_if(move |edited| edits.require(edited).map_err(told));
        let builder = builder.open_if(move |in_force| trust.still(in_force).map_err(told));
        Ok(builder.build().await?)
    }

    /// Runs `work` as the operator and closes the broker after it, whatever came of it: the
    /// records are then in the log before the command ends. `via` is what they name as the way.
    ///
    /// # Errors
    ///
    /// What `broker` fails on, what `work` fails on, or an audit log that cannot be drained.
    pub(crate) async fn operate<T>(
        &self,
        via: &'static str,
        work: impl AsyncFnOnce(&Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let broker = self.broker().await?;
        let result = match broker.operator() {
            Ok(session) => work(&session.via(via)).await,
            Err(error) => Err(error.into()),
        };
        let closed = broker.close().await;
        let value = result?;
        closed?;
        Ok(value)
    }
}

fn acceptance(found: Found) -> Result<Acceptance, Failure> {
    let list = TrustList::for_user()
        .map_err(|e| Failure::usage(format!("cannot read the list of trusted files: {e}")))?;
    Ok(Acceptance::new(list, found))
}

fn told(untrusted: Untrusted) -> String {
    untrusted.to_string()
}

fn untrusted(untrusted: Untrusted) -> Failure {
    Failure::usage(told(untrusted))
        .hint("read the file; if you trust what it says, run `strongroom trust`")
}
