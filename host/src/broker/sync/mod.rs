//! Keeping a vault a copy of a part of another.
//!
//! The work is a session of the host like any other: each name and value, of the source and of the copy
//! that it is compared with, is decided and recorded.
//!
//! What the source no longer has is destroyed here first, as soon as its names are known. Values that
//! changed are all read before the first is written, so that a source that fails half way leaves the
//! others as they were. Each secret is replaced as a whole; the mark that makes the copy young again
//! comes last. Every write expects what was compared: of two processes that work on one copy, one
//! ends with a conflict.

mod job;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use strongroom_backend::{Notice, Notices, Reference, VaultId, Which};
use strongroom_backend_layers::{Jitter, copy_age, copy_mark};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::error::CallError;
use super::session::Session;
use super::vaults::{Chain, Vault};
use super::{Broker, Shared};
use crate::config::SyncConfig;
use crate::grants::Job;
use job::SyncJob;
pub(crate) use job::Tidy;

/// The first wait after a failure, for which it doubles up to the longest.
const AGAIN: Duration = Duration::from_secs(5);
const LONGEST_AGAIN: Duration = Duration::from_secs(300);
/// How long after a change a run begins, and not before ten times what the last one took: each reads all of
/// the source.
const SETTLED: Duration = Duration::from_secs(5);

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
    ///
    /// [`ErrorCode::Unsupported`]: super::ErrorCode::Unsupported
    /// [`ErrorCode::Conflict`]: super::ErrorCode::Conflict
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

/// Has `wake` told of changes below `from`; none where the source cannot tell.
async fn changes(
    shared: &Arc<Shared>,
    sync: &SyncConfig,
    wake: &Arc<Wake>,
) -> Result<Option<Notices>, CallError> {
    let force = shared.force.load_full();
    let source = force.vaults.vault(sync.from.vault())?.open(shared).await?;
    let (wake, below) = (Arc::clone(wake), sync.from.path().to_owned());
    Ok(source.backend().notices(Arc::new(move |notice| {
        let ours = match notice {
            Notice::Changed(path) => path.as_str().starts_with(&below),
            // The first says that it listens now, which is news for a run that read before.
            Notice::Any => wake.listened.swap(true, Ordering::Relaxed),
        };
        if ours {
            wake.changed.notify_one();
        }
    })))
}

/// What wakes a task before its time.
#[derive(Default)]
struct Wake {
    changed: Notify,
    /// Whether that anything may have changed is news.
    listened: AtomicBool,
}

async fn keep(shared: Weak<Shared>, vault: Arc<Vault>, id: VaultId, sync: SyncConfig) {
    let jitter = Jitter::random();
    let age = match Weak::upgrade(&shared) {
        Some(shared) => age(&session(&shared), &id, &vault).await,
        None => return,
    };
    if age.is_some_and(|age| age < sync.max_stale) {
        vault.making.send_replace(false);
    }
    let wake = Arc::new(Wake::default());
    let (mut listens, mut notices) = (sync.on_change, None);
    let mut wait = match (sync.on_start, sync.every, age) {
        // Each of many short runs of a host would copy everything.
        (true, Some(every), Some(age)) if age < every => Some(every - age),
        (true, ..) => Some(Duration::ZERO),
        (false, every, _) => every,
    };
    let (mut again, mut rested) = (AGAIN, Instant::now());
    loop {
        if let (true, Some(shared)) = (listens, Weak::upgrade(&shared)) {
            // One that cannot be opened now is tried again before the next run.
            let found = changes(&shared, &sync, &wake).await;
            listens = found.is_err();
            notices = found.unwrap_or_default();
        }
        match (wait, &notices) {
            (Some(wait), Some(_)) if again == AGAIN => tokio::select! {
                () = tokio::time::sleep(wait - jitter.of(wait / 10)) => {}
                () = changed(&wake, rested) => {}
            },
            // Hosts that started together do not ask together for ever. After a failure changes wait too.
            (Some(wait), _) => tokio::time::sleep(wait - jitter.of(wait / 10)).await,
            (None, Some(_)) => changed(&wake, rested).await,
            (None, None) if listens => {
                tokio::time::sleep(LONGEST_AGAIN).await;
                continue;
            }
            (None, None) => return,
        }
        let Some(strong) = Weak::upgrade(&shared) else {
            return;
        };
        let began = Instant::now();
        wake.listened.store(true, Ordering::Relaxed);
        let result = run(&strong, &id, &sync, Emptied::Refused).await;
        drop(strong);
        rested = Instant::now() + began.elapsed() * 10;
        vault.making.send_replace(false);
        match result {
            Ok(synced) => {
                tracing::info!(vault = %id, ?synced, "the copy is in step");
                again = AGAIN;
                wait = sync.every;
            }
            Err(error) => {
                tracing::warn!(vault = %id, error = %Chain(&error), "the copy is not in step");
                wait = Some(again);
                again = (again * 2).min(LONGEST_AGAIN);
            }
        }
    }
}

/// Ends some time after a change: of many at once one run takes all, and whoever may change one secret of
/// the source has it read for a small part of the time at most.
async fn changed(wake: &Wake, rested: Instant) {
    wake.changed.notified().await;
    let left = rested.saturating_duration_since(Instant::now());
    tokio::time::sleep(left.max(SETTLED)).await;
}

/// How old the copy is, where it was made.
async fn age(session: &Session, id: &VaultId, vault: &Vault) -> Option<Duration> {
    let mark = Reference::new(id.clone(), copy_mark().ok()?);
    let mark = session.get(&mark.to_string(), Which::Current).await.ok()?;
    copy_age(mark.value.expose(), vault.origin())
}

fn session(shared: &Arc<Shared>) -> Session {
    let broker = Broker {
        shared: Arc::clone(shared),
    };
    broker.job(Job::Sync).via("host:sync")
}

async fn run(
    shared: &Arc<Shared>,
    to: &VaultId,
    sync: &SyncConfig,
    emptied: Emptied,
) -> Result<Synced, CallError> {
    let force = shared.force.load_full();
    let vault = force.vaults.vault(to)?;
    let mut left = vault.syncing.lock().await;
    let job = SyncJob {
        session: session(shared),
        origin: vault.origin(),
        to,
        sync,
        mark: Reference::new(to.clone(), copy_mark()?),
        emptied,
        tidy: std::mem::take(&mut *left),
    };
    let (synced, tidy) = job.run().await?;
    *left = tidy;
    Ok(synced)
}
