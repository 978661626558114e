//! The vaults of the configuration, each opened at the first call that reaches it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use strongroom_audit::Log;
use strongroom_backend::{Backend, ChangeTable, SecretPath, StoreMark, VaultId};
use strongroom_backend_layers::{self as layers, Copied, Direct, FieldOf, Fields, Member, Store};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;

use super::Shared;
use super::error::{CallError, ErrorCode};
use super::registry::{OpenError, Registry};
use super::sync::Tidy;
use crate::config::{BoundField, ChainConfig, Config, ConfigError, VaultConfig, trust};

/// How long a call to a vault that the configuration does not have may take: none is made.
pub(crate) const DEADLINE: Duration = layers::Layers::DEADLINE;

/// How long a failed opening is remembered: opening can cost an Argon2 run of 64 MiB, and a guest
/// must not be able to order one with every call.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(crate) struct Vaults {
    vaults: BTreeMap<VaultId, Arc<Vault>>,
}

pub(crate) struct Vault {
    config: VaultConfig,
    /// The vaults of a chain.
    members: Vec<Arc<Self>>,
    opened: OnceCell<Arc<Opened>>,
    failed: Mutex<Option<(Instant, CallError)>>,
    /// The opening under way: it goes on when who waits for it gives up, and the next one waits
    /// for the same.
    opening: tokio::sync::Mutex<Option<Opening>>,
    /// Held while it is brought in step with what it is a copy of: what the last run left.
    pub(crate) syncing: tokio::sync::Mutex<Tidy>,
    /// Whether it is a copy that is being made for the first time: calls wait for that.
    pub(crate) making: watch::Sender<bool>,
    /// Of a copy, what it is one of.
    origin: String,
}

type Opening = JoinHandle<Result<Raw, OpenError>>;

/// A store as its backend opened it.
struct Raw {
    backend: Arc<dyn Backend>,
    mark: Option<StoreMark>,
    changes: Option<Arc<ChangeTable>>,
}

pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// The random id of the store, where it has one.
    pub(crate) mark: Option<String>,
    /// Of a copy, the store itself: for who keeps it in step.
    pub(crate) under: Option<Arc<Self>>,
}

impl Opened {
    /// The store for every call but reading a value.
    pub(crate) fn backend(&self) -> &dyn Backend {
        self.store.backend()
    }
}

/// What a store that is older than the log knows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    /// Refused.
    Compared,
    /// About to be accepted by an operator.
    Accepted,
}

impl Vaults {
    /// The vaults of `config`; those that `old` has open stay open.
    pub(crate) fn new(config: &Config, old: Option<&Self>) -> Self {
        let mut all = Self {
            vaults: BTreeMap::new(),
        };
        for id in config.vaults.keys() {
            all.add(id, config, old);
        }
        all
    }

    /// Adds a vault after those that it leads to: no configuration has a loop.
    fn add(&mut self, id: &VaultId, config: &Config, old: Option<&Self>) -> Option<Arc<Vault>> {
        if let Some(vault) = self.vaults.get(id) {
            return Some(Arc::clone(vault));
        }
        let of = config.vaults.get(id)?;
        let vault = match old.and_then(|old| old.vaults.get(id)) {
            Some(kept) => Arc::clone(kept),
            None => {
                let members = of.chain.iter().flat_map(|chain| &chain.members);
                let members = members.filter_map(|id| self.add(id, config, old)).collect();
                let origin = origin(of, config);
                Arc::new(Vault::new(of.clone(), members, origin))
            }
        };
        self.vaults.insert(id.clone(), Arc::clone(&vault));
        Some(vault)
    }

    /// A vault of the configuration. Asked only after the decision, which denies unknown ones.
    pub(crate) fn vault(&self, id: &VaultId) -> Result<&Arc<Vault>, CallError> {
        self.vaults.get(id).ok_or_else(CallError::denied)
    }

    /// Drops what caches hold and may not serve any more.
    pub(crate) fn sweep(&self) {
        for vault in self.vaults.values() {
            if let Some(opened) = vault.opened.get() {
                opened.store.sweep();
            }
        }
    }

    /// Drops all that caches hold of these vaults, and of the members of chains among them.
    pub(crate) fn clear(&self, ids: &BTreeSet<VaultId>) {
        for vault in self.vaults.values() {
            if ids.contains(&vault.config.id) {
                vault.clear();
            }
        }
    }
}

impl Vault {
    fn new(config: VaultConfig, members: Vec<Arc<Self>>, origin: String) -> Self {
        Self {
            config,
            members,
            opened: OnceCell::new(),
            failed: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            syncing: tokio::sync::Mutex::default(),
            making: watch::Sender::new(false),
            origin,
        }
    }

    /// Of a copy, what it is one of, as its mark has it.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    fn clear(&self) {
        if let Some(opened) = self.opened.get() {
            opened.store.clear();
        }
        self.members.iter().for_each(|member| member.clear());
    }

    /// The open backend, already opened or not yet.
    pub(crate) async fn open(self: &Arc<Self>, shared: &Shared) -> Result<Arc<Opened>, CallError> {
        if let Some(opened) = self.opened.get() {
            return Ok(Arc::clone(opened));
        }
        self.opened
            .get_or_try_init(|| async {
                if let Some(failed) = self.recent_failure() {
                    return Err(failed);
                }
                let result = self.open_now(shared, Marks::Compared).await.map(Arc::new);
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

    /// Opens the store and what stands around it.
    pub(crate) async fn open_now(
        self: &Arc<Self>,
        shared: &Shared,
        marks: Marks,
    ) -> Result<Opened, CallError> {
        let (store, mark) = match &self.config.chain {
            Some(chain) => self.open_chain(chain, shared).await?,
            None => self.open_store(shared).await?,
        };
        if let (Some(mark), Marks::Compared) = (&mark, marks) {
            self.compare(mark, &shared.log)?;
        }
        let mark = mark.map(|mark| mark.store);
        let (store, under) = match &self.config.sync {
            None => (store, None),
            Some(sync) => {
                let under = Opened {
                    store: Arc::clone(&store),
                    mark: mark.clone(),
                    under: None,
                };
                let from = sync.from.to_string();
                let copied = Copied::new(store, from, self.origin.clone(), sync.max_stale)?;
                (Arc::new(copied) as Arc<dyn Store>, Some(Arc::new(under)))
            }
        };
        Ok(Opened {
            store: self.with_fields(store),
            mark,
            under,
        })
    }

    async fn open_store(
        self: &Arc<Self>,
        shared: &Shared,
    ) -> Result<(Arc<dyn Store>, Option<StoreMark>), CallError> {
        let mut opening = self.opening.lock().await;
        let opened = opening
            .get_or_insert_with(|| self.begin_to_open(shared))
            .await;
        *opening = None;
        let raw = match opened {
            Ok(Ok(raw)) => raw,
            Ok(Err(error)) => return Err(CallError::from_open(error)),
            Err(_) => return Err(CallError::new(failed("opening the vault broke"))),
        };
        let store: Arc<dyn Store> = match &self.config.layers {
            None => Arc::new(Direct::new(raw.backend)),
            Some(layers) => {
                let changes = raw.changes.unwrap_or_else(ChangeTable::in_memory);
                layers.around(raw.backend, changes)
            }
        };
        Ok((store, raw.mark))
    }

    /// Adds the names that are bound to fields.
    fn with_fields(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        if self.config.fields.is_empty() {
            return store;
        }
        let field = |(name, bound): (&SecretPath, &BoundField)| {
            let of = FieldOf {
                of: bound.of.clone(),
                field: Arc::clone(&bound.field),
            };
            (name.clone(), of)
        };
        let bound = self.config.fields.iter().map(field).collect();
        Arc::new(Fields::new(store, bound))
    }

    /// A chain opens when all of its members do: only then is it known what it can do.
    #[expect(
        clippy::type_complexity,
        reason = "a future that holds itself, by way of `open`"
    )]
    fn open_chain<'v>(
        &'v self,
        chain: &'v ChainConfig,
        shared: &'v Shared,
    ) -> Pin<
        Box<
            dyn Future<Output = Result<(Arc<dyn Store>, Option<StoreMark>), CallError>> + Send + 'v,
        >,
    > {
        Box::pin(async move {
            let mut members = Vec::with_capacity(self.members.len());
            for member in &self.members {
                let source = member.config.sync.as_ref().map(|sync| sync.from.vault());
                let copy_of = source.and_then(|id| chain.members.iter().position(|it| it == id));
                members.push(Member {
                    id: member.config.id.as_str().into(),
                    store: Arc::clone(&member.open(shared).await?.store),
                    copy_of: copy_of.filter(|at| *at < members.len()),
                });
            }
            let chain = Arc::new(layers::Chain::new(members, chain.on_error));
            let marked = Arc::clone(&chain);
            let mark = tokio::task::spawn_blocking(move || marked.mark()).await;
            let mark = mark.map_err(|_| CallError::new(failed("opening the vault broke")))??;
            Ok((chain as Arc<dyn Store>, mark))
        })
    }

    /// Refuses a store that is older than the log knows.
    fn compare(&self, mark: &StoreMark, log: &Log) -> Result<(), CallError> {
        let Some(known) = log.store_counter(self.config.id.as_str()) else {
            return Ok(());
        };
        let older = known.store == mark.store && mark.counter < known.counter;
        if !older && known.store == mark.store {
            return Ok(());
        }
        let cause = RolledBack {
            vault: self.config.id.clone(),
            replaced: !older,
            has: mark.counter,
            known: known.counter,
        };
        let code = failed("the vault was set back");
        Err(CallError::with_cause(code, cause))
    }

    fn begin_to_open(self: &Arc<Self>, shared: &Shared) -> Opening {
        let vault = Arc::clone(self);
        let registry: Registry = shared.registry.clone();
        let stands = Arc::clone(&shared.stands);
        let force = shared.force.load_full();
        let state_dir = shared.state_dir.clone();
        tokio::task::spawn_blocking(move || {
            // What the backend reads now may be other than when the configuration was accepted.
            let config = &force.config;
            stands(config).map_err(|why| ConfigError::file(config.file(), why))?;
            let backend = registry.open(&vault.config)?;
            let mark = backend.mark()?;
            let cached = vault.config.layers.is_some_and(|it| it.cache.is_some());
            let changes = cached.then(|| vault.changes(state_dir.as_deref()));
            Ok(Raw {
                backend,
                mark,
                changes,
            })
        })
    }

    /// The counters of the writes that processes of this user make. Where they cannot be shared, the
    /// writes of others show when the cache asks anew, as those of other machines do.
    fn changes(&self, state_dir: Option<&Path>) -> Arc<ChangeTable> {
        let shared = state_dir.map(|dir| {
            let dir = dir.join("changes");
            trust::create_private_dir(&dir)?;
            // By what the store is, not by what this file calls it. Two stores under one number
            // would only be read anew more often.
            let place = self.config.place().unwrap_or_default();
            let name = hex::encode(Sha256::digest(place.as_bytes()));
            ChangeTable::open(&dir.join(name))
        });
        match shared {
            Some(Ok(table)) => return table,
            Some(Err(error)) => {
                tracing::warn!(vault = %self.config.id, %error, "no shared change counters");
            }
            None => tracing::warn!(vault = %self.config.id, "no folder for shared change counters"),
        }
        ChangeTable::in_memory()
    }
}

/// What a copy is one of, in a form that a mark can hold; nothing for any other vault.
fn origin(of: &VaultConfig, config: &Config) -> String {
    let Some(sync) = &of.sync else {
        return String::new();
    };
    let source = config.vaults.get(sync.from.vault());
    let source = source.map(|source| source.origin(&config.vaults));
    let text = format!("{source:?}\n{}\n{}", sync.from, sync.to);
    hex::encode(Sha256::digest(text.as_bytes()))
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
