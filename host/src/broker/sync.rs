//! Keeping a vault a copy of a part of another.
//!
//! What leaves the source is a session of the host like any other: each name and value is decided and
//! recorded, and so is each change of the copy. Only what the copy has already is compared with it
//! in the store itself, where it goes nowhere.
//!
//! What the source no longer has is destroyed here first, as soon as its names are known. Values that
//! changed are all read before the first is written, so that a source that fails half way leaves the
//! others as they were. Each secret is replaced as a whole; the mark that makes the copy young again
//! comes last. Every write expects what was compared: of two processes that work on one copy, one
//! ends with a conflict.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use strongroom_backend::{
    Description, PutOptions, Reference, SecretPath, SecretValue, VaultId, VersionState, Which,
};
use strongroom_backend_layers::{COPY_OF, Jitter, copy_age, copy_mark, copy_marked, copy_metadata};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::error::{CallError, ErrorCode};
use super::session::{Session, now_us};
use super::vaults::{Chain, Opened, Vault};
use super::{Broker, Shared, within};
use crate::config::SyncConfig;
use crate::grants::Job;

/// The most names of a copy: all of them are in memory at once.
const MOST_NAMES: usize = 20_000;
/// The most bytes that may have changed since the last time, for the same reason.
const MOST_BYTES: usize = 256 << 20;
/// References in one question: few enough for a slow service to answer within the deadline of a call.
const CHUNK: usize = 20;
/// The first wait after a failure, for which it doubles up to the longest.
const AGAIN: Duration = Duration::from_secs(5);
const LONGEST_AGAIN: Duration = Duration::from_secs(300);

/// What bringing a copy in step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Synced {
    /// Secrets written.
    pub copied: usize,
    /// Secrets that were the same already.
    pub unchanged: usize,
    /// Secrets destroyed since what they were copies of is gone.
    pub deleted: usize,
    /// Secrets of the source whose names a copy cannot have.
    pub left: usize,
}

/// What a source without any name does to a copy that has some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emptied {
    /// The copy stays as it is, and the call fails: a folder that is not mounted and a namespace of
    /// another name look the same.
    #[default]
    Refused,
    /// The copy is emptied.
    Accepted,
}

impl Broker {
    /// Brings a vault with a `sync` table in step with what it is a copy of, now.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Unsupported`] for a vault that is no copy; [`ErrorCode::Conflict`] where another
    /// process does the same; else what kept it from being brought in step: then it serves what it has,
    /// until that is older than `max-stale`.
    pub async fn sync(&self, vault: &VaultId, emptied: Emptied) -> Result<Synced, CallError> {
        let config = self.shared.force.load().config.vaults.get(vault).cloned();
        let sync = config.and_then(|vault| vault.sync);
        let sync = sync.ok_or_else(|| CallError::unsupported("this vault is no copy"))?;
        run(&self.shared, vault, &sync, emptied).await
    }
}

/// The tasks that keep copies in step; they end when this is dropped.
pub(super) struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Starts a task for each vault with a `sync` table. It does not keep the broker alive.
pub(super) fn start(shared: &Arc<Shared>) {
    let force = shared.force.load();
    let tasks = force.config.vaults.values().filter_map(|config| {
        let sync = config.sync.clone()?;
        let vault = Arc::clone(force.vaults.vault(&config.id).ok()?);
        vault.making.send_replace(sync.on_start);
        let task = keep(Arc::downgrade(shared), vault, config.id.clone(), sync);
        Some(tokio::spawn(task).abort_handle())
    });
    let tasks = Tasks(tasks.collect());
    *shared.syncs.lock().unwrap_or_else(PoisonError::into_inner) = Some(tasks);
}

async fn keep(shared: Weak<Shared>, vault: Arc<Vault>, id: VaultId, sync: SyncConfig) {
    let jitter = Jitter::random();
    let age = match Weak::upgrade(&shared) {
        Some(shared) => age(&shared, &vault).await,
        None => return,
    };
    if age.is_some_and(|age| age < sync.max_stale) {
        vault.making.send_replace(false);
    }
    let mut wait = match (sync.on_start, sync.every, age) {
        // Each of many short runs of a host would copy everything.
        (true, Some(every), Some(age)) if age < every => Some(every - age),
        (true, ..) => None,
        (false, Some(every), _) => Some(every),
        (false, None, _) => return,
    };
    let mut again = AGAIN;
    loop {
        if let Some(wait) = wait {
            // Hosts that started together do not ask together for ever.
            tokio::time::sleep(wait - jitter.of(wait / 10)).await;
        }
        let Some(strong) = Weak::upgrade(&shared) else {
            return;
        };
        let result = run(&strong, &id, &sync, Emptied::Refused).await;
        drop(strong);
        vault.making.send_replace(false);
        match result {
            Ok(synced) => {
                tracing::info!(vault = %id, ?synced, "the copy is in step");
                again = AGAIN;
                match sync.every {
                    Some(every) => wait = Some(every),
                    None => return,
                }
            }
            Err(error) => {
                tracing::warn!(vault = %id, error = %Chain(&error), "the copy is not in step");
                wait = Some(again);
                again = (again * 2).min(LONGEST_AGAIN);
            }
        }
    }
}

/// How old the copy is, where it was made.
async fn age(shared: &Shared, vault: &Arc<Vault>) -> Option<Duration> {
    let opened = vault.open(shared).await.ok()?;
    let store = Arc::clone(opened.under.as_ref()?);
    let name = copy_mark().ok()?;
    let mark = store.backend().get(&name, Which::Current).await.ok()?;
    copy_age(mark.value.expose(), vault.origin())
}

async fn run(
    shared: &Arc<Shared>,
    to: &VaultId,
    sync: &SyncConfig,
    emptied: Emptied,
) -> Result<Synced, CallError> {
    let force = shared.force.load_full();
    let vault = force.vaults.vault(to)?;
    let _alone = vault.syncing.lock().await;
    let opened = vault.open(shared).await?;
    let store = opened.under.clone();
    let broker = Broker {
        shared: Arc::clone(shared),
    };
    let job = SyncJob {
        session: broker.job(Job::Sync).via("host:sync"),
        store: store.ok_or_else(|| CallError::unsupported("this vault is no copy"))?,
        patience: vault.deadline(),
        origin: vault.origin(),
        to,
        sync,
        mark: Reference::new(to.clone(), copy_mark()?),
        emptied,
    };
    job.run().await
}

struct SyncJob<'s> {
    session: Session,
    /// The copy's own store.
    store: Arc<Opened>,
    patience: Duration,
    origin: &'s str,
    to: &'s VaultId,
    sync: &'s SyncConfig,
    mark: Reference,
    emptied: Emptied,
}

/// A secret of the source, and where its copy is.
struct Pair {
    source: Reference,
    copy: Reference,
}

/// A secret to be written.
struct Changed {
    to: Reference,
    value: Arc<SecretValue>,
    options: PutOptions,
}

impl SyncJob<'_> {
    async fn run(&self) -> Result<Synced, CallError> {
        let mut synced = Synced::default();
        let began = now_us() / 1000;
        let marked = self.version(&self.mark).await?;
        // First what is here: what another process adds meanwhile must not seem to be gone from the source.
        let there = self.copies().await?;
        let sources = self.names(&self.sync.from.to_string(), MOST_NAMES).await?;
        let listed = sources.len();
        let pairs: Vec<Pair> = sources
            .into_iter()
            .filter_map(|source| self.pair(source))
            .collect();
        synced.left = listed - pairs.len();
        if pairs.is_empty() && !there.is_empty() && self.emptied == Emptied::Refused {
            return Err(failed(&format!(
                "{} lists no name any more; where that is right, say so with `strongroom sync {} \
                 --accept-empty`",
                self.sync.from, self.to
            )));
        }
        let wanted: BTreeSet<&Reference> = pairs.iter().map(|pair| &pair.copy).collect();
        for name in there.iter().filter(|name| !wanted.contains(name)) {
            self.forget(name).await.map_err(at(name))?;
            synced.deleted += 1;
        }
        let mut changed = Vec::new();
        for chunk in pairs.chunks(CHUNK) {
            self.compare(chunk, &mut changed, &mut synced).await?;
            let bytes: usize = changed.iter().map(|it: &Changed| it.value.len()).sum();
            if bytes > MOST_BYTES {
                return Err(failed("more than 256 MiB changed at once"));
            }
        }
        for changed in changed {
            let to = changed.to.clone();
            self.write(changed).await.map_err(at(&to))?;
            synced.copied += 1;
        }
        let options = PutOptions {
            expected: Some(marked),
            ..PutOptions::default()
        };
        let value = copy_marked(began, self.origin);
        let mark = self.mark.to_string();
        self.session
            .set(&mark, value, options)
            .await
            .map_err(at(&self.mark))?;
        Ok(synced)
    }

    /// All names with a beginning.
    async fn names(&self, prefix: &str, most: usize) -> Result<Vec<Reference>, CallError> {
        let mut names = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.session.list(prefix, cursor.as_deref()).await?;
            names.extend(page.references);
            if names.len() > most {
                return Err(failed(&format!("more than {most} names")));
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(names);
            }
        }
    }

    /// The copies that are here. Nothing else may be: it would be served as a copy, with its age.
    async fn copies(&self) -> Result<Vec<Reference>, CallError> {
        let mut copies = self.names(&format!("{}:", self.to), usize::MAX).await?;
        copies.retain(|name| *name != self.mark);
        for name in &copies {
            if let Some(here) = self.description(name).await?
                && !is_copy(&here)
            {
                return Err(no_copy(name));
            }
        }
        Ok(copies)
    }

    /// A secret that is asked for, and where its copy goes: a source that lists what it was not asked
    /// for must not have that read.
    fn pair(&self, source: Reference) -> Option<Pair> {
        let of_source = source.vault() == self.sync.from.vault();
        let rest = source.path().as_str().strip_prefix(self.sync.from.path())?;
        let path = SecretPath::parse(&format!("{}{rest}", self.sync.to)).ok()?;
        let copy = Reference::new(self.to.clone(), path);
        (of_source && copy != self.mark).then_some(Pair { source, copy })
    }

    /// Reads some secrets of the source and finds those that differ here.
    async fn compare(
        &self,
        pairs: &[Pair],
        changed: &mut Vec<Changed>,
        synced: &mut Synced,
    ) -> Result<(), CallError> {
        // Before the source is read: what another process writes meanwhile is newer than what is read.
        let mut here = Vec::with_capacity(pairs.len());
        for Pair { copy, .. } in pairs {
            let described = self.description(copy).await?;
            if described.as_ref().is_some_and(|it| !is_copy(it)) {
                return Err(no_copy(copy));
            }
            here.push(described.and_then(|it| it.version));
        }
        let texts: Vec<String> = pairs.iter().map(|pair| pair.source.to_string()).collect();
        let values = self.session.get_many(&texts).await?;
        let read = pairs.iter().zip(&texts).zip(values).zip(here);
        for (((Pair { source, copy }, text), secret), current) in read {
            let secret = match secret {
                Ok(secret) => secret,
                // Deleted, or expired, since it was listed.
                Err(error) if error.code == ErrorCode::NotFound => {
                    if current.is_some() {
                        self.forget(copy).await.map_err(at(copy))?;
                        synced.deleted += 1;
                    }
                    continue;
                }
                Err(error) => return Err(at(source)(error)),
            };
            if current.is_some() && self.same(copy, &secret).await? {
                // What a run that ended early has left.
                self.destroy(copy, current).await.map_err(at(copy))?;
                synced.unchanged += 1;
                continue;
            }
            changed.push(Changed {
                to: copy.clone(),
                options: PutOptions {
                    expected: Some(current.unwrap_or(0)),
                    expires: secret.expires,
                    metadata: copy_metadata(text, secret.version),
                    ..PutOptions::default()
                },
                value: secret.value,
            });
        }
        Ok(())
    }

    /// Writes a secret, and destroys what it replaces: the source may have done so since it leaked.
    async fn write(&self, changed: Changed) -> Result<(), CallError> {
        let Changed { to, value, options } = changed;
        let (name, value) = (to.to_string(), SecretValue::copy_of(value.expose()));
        let current = self.session.set(&name, value, options).await?;
        self.destroy(&to, Some(current)).await
    }

    /// Destroys a copy. The current value goes last, so that it is found again if this ends half way.
    async fn forget(&self, name: &Reference) -> Result<(), CallError> {
        let current = self.version(name).await?;
        self.destroy(name, Some(current)).await?;
        self.destroy(name, None).await
    }

    /// Destroys all versions but one.
    async fn destroy(&self, name: &Reference, keep: Option<u64>) -> Result<(), CallError> {
        let versions = self
            .ask(self.store.backend().versions(name.path()))
            .await?
            .unwrap_or_default();
        for it in versions {
            if keep == Some(it.version) || it.state == VersionState::Destroyed {
                continue;
            }
            match self.session.destroy(&name.to_string(), it.version).await {
                Err(error) if error.code != ErrorCode::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    async fn description(&self, name: &Reference) -> Result<Option<Description>, CallError> {
        self.ask(self.store.backend().describe(name.path())).await
    }

    /// The number of the current version, or 0.
    async fn version(&self, name: &Reference) -> Result<u64, CallError> {
        let here = self.description(name).await?;
        Ok(here.and_then(|here| here.version).unwrap_or(0))
    }

    /// Whether the copy has this value and expiry. Numbers do not tell: a source that was made anew
    /// begins them again.
    async fn same(&self, copy: &Reference, secret: &super::Secret) -> Result<bool, CallError> {
        let here = self.store.backend().get(copy.path(), Which::Current);
        let here = self.ask(here).await?;
        Ok(here.is_some_and(|here| *here.value == *secret.value && here.expires == secret.expires))
    }

    /// Asks the copy's own store; not found is none.
    async fn ask<T>(
        &self,
        call: impl Future<Output = strongroom_backend::Result<T>>,
    ) -> Result<Option<T>, CallError> {
        match within(Instant::now() + self.patience, call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether a secret is a copy, of whatever it once was.
fn is_copy(here: &Description) -> bool {
    here.labels.iter().any(|(name, _)| name == COPY_OF)
}

fn no_copy(name: &Reference) -> CallError {
    failed(&format!(
        "{name} is no copy, and a vault that is one can hold nothing else: move it to another vault"
    ))
}

/// Says at which secret a call failed.
fn at(name: &Reference) -> impl Fn(CallError) -> CallError {
    let name = name.clone();
    move |error| {
        let code = error.code.clone();
        CallError::with_cause(
            code,
            At {
                name: name.clone(),
                error,
            },
        )
    }
}

#[derive(Debug, thiserror::Error)]
#[error("at {name}")]
struct At {
    name: Reference,
    #[source]
    error: CallError,
}

fn failed(text: &str) -> CallError {
    CallError::new(ErrorCode::Failed(text.to_owned()))
}
