//! The vaults of the configuration, each opened at the first call that reaches it.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strongroom_audit::Log;
use strongroom_backend::{Backend, StoreMark, VaultId};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use super::error::{CallError, ErrorCode};
use super::registry::{OpenError, Registry};
use crate::config::{Config, VaultConfig};

/// How long a call to a backend may take before the caller is told `unavailable`.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// How long a failed opening is remembered: opening can cost an Argon2 run of 64 MiB, and a guest
/// must not be able to order one with every call.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(crate) struct Vaults {
    vaults: BTreeMap<VaultId, Arc<Vault>>,
}

pub(crate) struct Vault {
    config: VaultConfig,
    opened: OnceCell<Arc<Opened>>,
    failed: Mutex<Option<(Instant, CallError)>>,
    /// The opening under way: it goes on when who waits for it gives up, and the next one waits
    /// for the same.
    opening: tokio::sync::Mutex<Option<Opening>>,
}

type Opening = JoinHandle<Result<(Arc<dyn Backend>, Option<StoreMark>), OpenError>>;

pub(crate) struct Opened {
    pub(crate) backend: Arc<dyn Backend>,
    /// The random id of the store, where it has one.
    pub(crate) store: Option<String>,
}

impl Vaults {
    /// The vaults of `config`; those that `old` has open stay open.
    pub(crate) fn new(config: &Config, old: Option<&Self>) -> Self {
        let vault = |(id, config): (&VaultId, &VaultConfig)| {
            let kept = old.and_then(|old| old.vaults.get(id));
            let vault = kept.map_or_else(|| Arc::new(Vault::new(config.clone())), Arc::clone);
            (id.clone(), vault)
        };
        Self {
            vaults: config.vaults.iter().map(vault).collect(),
        }
    }

    /// A vault of the configuration. Asked only after the decision, which denies unknown ones.
    pub(crate) fn vault(&self, id: &VaultId) -> Result<&Arc<Vault>, CallError> {
        self.vaults.get(id).ok_or_else(CallError::denied)
    }
}

impl Vault {
    fn new(config: VaultConfig) -> Self {
        Self {
            config,
            opened: OnceCell::new(),
            failed: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// The open backend, already opened or not yet.
    pub(crate) async fn open(
        self: &Arc<Self>,
        registry: &Registry,
        log: &Log,
    ) -> Result<Arc<Opened>, CallError> {
        if let Some(opened) = self.opened.get() {
            return Ok(Arc::clone(opened));
        }
        self.opened
            .get_or_try_init(|| async {
                if let Some(failed) = self.recent_failure() {
                    return Err(failed);
                }
                let result = self.open_now(registry, Some(log)).await.map(Arc::new);
                if let Err(error) = &result {
                    tracing::warn!(vault = %self.config.id, error = %Chain(error), "cannot open the vault");
                    *self.failed.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some((Instant::now(), error.clone()));
                }
                result
            })
            .await
            .map(Arc::clone)
    }

    fn recent_failure(&self) -> Option<CallError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, error) = failed.as_ref()?;
        (at.elapsed() < OPEN_AGAIN_AFTER).then(|| error.clone())
    }

    /// Opens the backend; with `log`, refuses a store that is older than the log knows.
    pub(crate) async fn open_now(
        self: &Arc<Self>,
        registry: &Registry,
        log: Option<&Log>,
    ) -> Result<Opened, CallError> {
        let mut opening = self.opening.lock().await;
        let opened = opening
            .get_or_insert_with(|| self.begin_to_open(registry.clone()))
            .await;
        *opening = None;
        let (backend, mark) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(CallError::from_open(error)),
            Err(_) => return Err(CallError::new(failed("opening the vault broke"))),
        };
        if let (Some(mark), Some(log)) = (&mark, log)
            && let Some(known) = log.store_counter(self.config.id.as_str())
        {
            let older = known.store == mark.store && mark.counter < known.counter;
            if older || known.store != mark.store {
                let cause = RolledBack {
                    vault: self.config.id.clone(),
                    replaced: !older,
                    has: mark.counter,
                    known: known.counter,
                };
                return Err(CallError::with_cause(
                    failed("the vault was set back"),
                    cause,
                ));
            }
        }
        Ok(Opened {
            backend,
            store: mark.map(|mark| mark.store),
        })
    }
}

impl Vault {
    fn begin_to_open(self: &Arc<Self>, registry: Registry) -> Opening {
        let vault = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let backend = registry.open(&vault.config)?;
            let mark = backend.mark()?;
            Ok((backend, mark))
        })
    }
}

fn failed(text: &str) -> ErrorCode {
    ErrorCode::Failed(text.to_owned())
}

impl CallError {
    /// A backend's own error keeps its kind; anything else is a broken configuration.
    fn from_open(error: OpenError) -> Self {
        match error.downcast::<strongroom_backend::Error>() {
            Ok(error) => (*error).into(),
            Err(error) => Self::with_cause(failed("the vault cannot be opened"), error),
        }
    }
}

/// A store that is older than the audit log knows, or another one in its place.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} vault `{vault}`: it is at change {has}, and the audit log has seen change {known}; if you \
     put it there yourself, accept it with `strongroom doctor --accept-rollback {vault}`",
    if *.replaced { "another store stands in the place of" } else { "an older copy stands in the place of" }
)]
pub struct RolledBack {
    vault: VaultId,
    replaced: bool,
    has: u64,
    known: u64,
}

/// An error with its causes on one line, for the operator's log.
pub(crate) struct Chain<'e>(pub(crate) &'e dyn StdError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
