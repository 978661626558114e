//! The broker: the one place that decides, audits, routes and answers.

mod builder;
mod cache;
mod change;
mod component;
mod cursor;
mod error;
mod heard;
mod many;
mod query;
mod quota;
mod read;
mod registry;
mod reload;
mod scope;
mod session;
mod sync;
mod vaults;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use strongroom_audit::{Counter, Entry, Log, Outcome};
use strongroom_backend::VaultId;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use builder::{BrokerBuilder, BuildError};
pub use component::Component;
#[cfg(feature = "wasmtime")]
pub use component::Loaded;
pub use error::{CallError, ErrorCode};
pub use query::Page;
pub use registry::{OpenError, Registry, VaultTable};
pub use session::{Secret, Session};
pub use sync::{Emptied, Synced};
pub use vaults::RolledBack;

#[cfg(feature = "wasmtime")]
pub(crate) use read::Hit;
use scope::Scope;
#[cfg(feature = "wasmtime")]
pub(crate) use vaults::Chain;
use vaults::{Marks, Opened, Vaults};

use crate::config::{Config, watch::Watch};
use crate::grants::{Action, Job, Name, Policy, Principal};

/// Decides, audits, routes and answers every call for secrets.
///
/// It is cheap to clone; all clones are one broker. Call [`close`](Self::close) before a normal exit, so
/// that the audit log says that nothing is missing.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

/// What every session and every background task of one broker shares.
pub(crate) struct Shared {
    pub(crate) log: Log,
    pub(crate) force: ArcSwap<InForce>,
    /// The generation of `force`, moved after it: a warm call compares this and loads nothing else.
    generation: AtomicU64,
    registry: Registry,
    /// Asked before a vault is opened.
    stands: builder::Stands,
    /// Where change counters of vaults across a network are; none: in this process alone.
    state_dir: Option<PathBuf>,
    scopes: Mutex<HashMap<Name, Arc<Scope>>>,
    pub(crate) cursors: cursor::Cursors,
    /// Ends the housekeeping task when the broker goes.
    housekeeping: Mutex<Option<oneshot::Sender<()>>>,
    watch: Mutex<Option<Watch>>,
    /// What keeps copies in step, until the broker goes.
    syncs: Mutex<Option<sync::Tasks>>,
}

/// The configuration in force, replaced as a whole.
pub(crate) struct InForce {
    pub(crate) config: Config,
    pub(crate) policy: Policy,
    pub(crate) generation: u64,
    vaults: Vaults,
}

/// How much longer than the layers around a store the broker waits. Their limit begins later and is as
/// long, and what they answer at its end has to win: a stale value, the next vault of a chain, a failure
/// that the breaker counts.
const SLACK: Duration = Duration::from_millis(250);

impl InForce {
    /// The number of the policy as records have it.
    pub(crate) fn number(&self) -> u32 {
        Self::number_of(self.generation)
    }

    /// Until when a call to this vault that begins now may wait for it, all its parts together.
    pub(crate) fn deadline(&self, vault: &VaultId) -> Instant {
        Instant::now() + self.patience(vault)
    }

    /// How long a call to this vault may wait for it.
    pub(crate) fn patience(&self, vault: &VaultId) -> Duration {
        match self.config.vaults.get(vault) {
            None => vaults::DEADLINE,
            Some(vault) if vault.layers.is_some() || vault.chain.is_some() => {
                vault.deadline + SLACK
            }
            Some(vault) => vault.deadline,
        }
    }

    pub(crate) fn number_of(generation: u64) -> u32 {
        u32::try_from(generation).unwrap_or(u32::MAX)
    }
}

impl Shared {
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

impl Broker {
    /// Begins to set up a broker.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::new()
    }

    /// The caller that stands for the operating system's user who runs this process.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Failed`] where the user has no name.
    pub fn operator(&self) -> Result<Session, CallError> {
        let user = crate::platform::user_name();
        Ok(self.session(
            Principal::Operator { user: user.into() },
            None,
            "strongroom",
        ))
    }

    /// The caller that stands for background work of the host.
    pub fn job(&self, job: Job) -> Session {
        self.session(Principal::Host { job }, None, "host")
    }

    fn session(&self, principal: Principal, digest: Option<&str>, via: &str) -> Session {
        let subject = self
            .shared
            .log
            .subject(&principal.to_string(), None, digest);
        let scope = Arc::new(Scope::unlimited(subject.clone()));
        let via = self.shared.log.via(via);
        Session {
            shared: Arc::clone(&self.shared),
            principal,
            subject,
            scope,
            cache: None,
            via,
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> Config {
        self.shared.force.load().config.clone()
    }

    /// Runs `look` on the policy in force, for questions such as `strongroom check` asks.
    pub fn with_policy<R>(&self, look: impl FnOnce(&Policy) -> R) -> R {
        look(&self.shared.force.load().policy)
    }

    /// The audit log.
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// Opens a vault and lets its backend check itself whole. Returns what was checked.
    ///
    /// # Errors
    ///
    /// The first check that failed, with what the operator should do.
    pub async fn check_vault(&self, vault: &VaultId) -> Result<Vec<String>, CallError> {
        let force = self.shared.force.load_full();
        let vault = force.vaults.vault(vault)?;
        let opened = vault.open(&self.shared).await?;
        Ok(opened.backend().check().await?)
    }

    /// Accepts, on record, a store that is older than the audit log knows, or another store in
    /// the place of one.
    ///
    /// # Errors
    ///
    /// Where the vault does not open, or the log cannot record.
    pub async fn accept_rollback(&self, id: &VaultId) -> Result<(), CallError> {
        let force = self.shared.force.load_full();
        let opened = force
            .vaults
            .vault(id)?
            .open_now(&self.shared, Marks::Accepted)
            .await?;
        let Some(mark) = opened.backend().mark()? else {
            return Err(CallError::unsupported("this vault has no change counter"));
        };
        let session = self.operator()?.via("strongroom doctor --accept-rollback");
        let target = self
            .shared
            .log
            .target(&session.subject, Some(id.as_str()), None);
        let entry = Entry {
            target: Some(&target),
            counter: Some(Counter {
                store: &mark.store,
                value: mark.counter,
                accept: true,
            }),
            ..session.entry(&force, Action::Rollback, Outcome::Allowed)
        };
        let call = session.append(&entry).await?;
        Ok(self.shared.log.wait_durable(call).await?)
    }

    /// Ends the broker: no more reloads, and the audit log drained and closed.
    ///
    /// # Errors
    ///
    /// Where the log cannot take its last records; they stay in the journal for the next writer.
    pub async fn close(self) -> Result<(), CallError> {
        take(&self.shared.watch);
        take(&self.shared.housekeeping);
        take(&self.shared.syncs);
        self.shared.record_refusals();
        let log = self.shared.log.clone();
        let closed = tokio::task::spawn_blocking(move || log.close()).await;
        let text = || ErrorCode::Unavailable("the audit log cannot be closed".to_owned());
        match closed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(CallError::with_cause(text(), error)),
            Err(_) => Err(CallError::new(text())),
        }
    }
}

impl Session {
    /// The vault's backend, opened if it is not yet.
    pub(crate) async fn open(
        &self,
        force: &InForce,
        vault: &VaultId,
        until: Instant,
    ) -> Result<Arc<Opened>, CallError> {
        let vault = force.vaults.vault(vault)?;
        let syncs = matches!(self.principal, Principal::Host { job: Job::Sync });
        if !syncs && *vault.making.borrow() {
            // Late is no failure here: the copy itself says that it is not made.
            let mut making = vault.making.subscribe();
            let _ = tokio::time::timeout_at(until, making.wait_for(|making| !making)).await;
        }
        let opening = vault.open(&self.shared);
        let opened = match tokio::time::timeout_at(until, opening).await {
            Ok(opened) => opened?,
            Err(_) => return Err(CallError::late()),
        };
        Ok(match (&self.principal, &opened.under) {
            (Principal::Host { job: Job::Sync }, Some(under)) => Arc::clone(under),
            _ => opened,
        })
    }
}

/// Runs a backend call until `until`.
async fn within<T>(
    until: Instant,
    call: impl Future<Output = strongroom_backend::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout_at(until, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(CallError::late()),
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}
