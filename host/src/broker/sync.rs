//! Keeping a vault a copy of a part of another.
//!
//! The work is a session of the host like any other: each name and value is decided and recorded.
//! Values that changed are all read before the first is written, so that a source that fails half way
//! leaves the copy as it was. Each secret is replaced as a whole; the mark that makes the copy young
//! again comes last.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use strongroom_backend::{
    Description, PutOptions, Reference, SecretPath, SecretValue, VaultId, VersionNumbers, Which,
};
use strongroom_backend_layers::{
    COPY_OF, Jitter, copy_mark, copy_marked, copy_metadata, is_copy_of,
};
use tokio::task::AbortHandle;

use super::error::{CallError, ErrorCode};
use super::session::{Session, now_us};
use super::vaults::Chain;
use super::{Broker, Shared};
use crate::config::SyncConfig;
use crate::grants::Job;

/// The most names of a copy: all of them are in memory at once.
const MOST_NAMES: usize = 20_000;
/// The most bytes that may have changed since the last time, for the same reason.
const MOST_BYTES: usize = 256 << 20;
/// References in one question, as for every caller.
const CHUNK: usize = 100;
/// The first wait after a failure; it doubles up to `every`, and to the longest.
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
    /// Secrets deleted since what they were copies of is gone.
    pub deleted: usize,
    /// Secrets left alone since they are no copies, though a secret of their name would be.
    pub left: usize,
}

impl Broker {
    /// Brings a vault with a `sync` table in step with what it is a copy of, now.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Unsupported`] for a vault that is no copy; else what kept it from being brought in
    /// step: then it serves what it has, until that is older than `max-stale`.
    pub async fn sync(&self, vault: &VaultId) -> Result<Synced, CallError> {
        let config = self.shared.force.load().config.vaults.get(vault).cloned();
        let sync = config.and_then(|vault| vault.sync);
        let sync = sync.ok_or_else(|| CallError::unsupported("this vault is no copy"))?;
        run(&self.shared, vault, &sync).await
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
    let tasks = force.config.vaults.values().filter_map(|vault| {
        let sync = vault.sync.clone()?;
        let task = keep(Arc::downgrade(shared), vault.id.clone(), sync);
        Some(tokio::spawn(task).abort_handle())
    });
    let tasks = Tasks(tasks.collect());
    *shared.syncs.lock().unwrap_or_else(PoisonError::into_inner) = Some(tasks);
}

async fn keep(shared: Weak<Shared>, vault: VaultId, sync: SyncConfig) {
    let jitter = Jitter::random();
    let mut wait = (!sync.on_start).then_some(sync.every).flatten();
    if wait.is_none() && !sync.on_start {
        return;
    }
    let mut again = AGAIN;
    loop {
        if let Some(wait) = wait {
            // Hosts that started together do not ask together for ever.
            tokio::time::sleep(wait - jitter.of(wait / 10)).await;
        }
        let Some(strong) = Weak::upgrade(&shared) else {
            return;
        };
        let result = run(&strong, &vault, &sync).await;
        drop(strong);
        match result {
            Ok(synced) => {
                tracing::info!(%vault, ?synced, "the copy is in step");
                again = AGAIN;
                match sync.every {
                    Some(every) => wait = Some(every),
                    None => return,
                }
            }
            Err(error) => {
                tracing::warn!(%vault, error = %Chain(&error), "the copy is not in step");
                wait = Some(sync.every.map_or(again, |every| again.min(every)));
                again = (again * 2).min(LONGEST_AGAIN);
            }
        }
    }
}

async fn run(shared: &Arc<Shared>, to: &VaultId, sync: &SyncConfig) -> Result<Synced, CallError> {
    let force = shared.force.load_full();
    let vault = force.vaults.vault(to)?;
    let _alone = vault.syncing.lock().await;
    let broker = Broker {
        shared: Arc::clone(shared),
    };
    let mark = Reference::new(to.clone(), copy_mark()?);
    let job = SyncJob {
        session: broker.job(Job::Sync).via("host:sync"),
        numbered: numbered(shared, sync).await?,
        to,
        sync,
        mark,
    };
    job.run().await
}

/// Whether a number of the source stands for one value for good.
async fn numbered(shared: &Shared, sync: &SyncConfig) -> Result<bool, CallError> {
    let force = shared.force.load_full();
    let id = sync.from.vault();
    let chained = force
        .config
        .vaults
        .get(id)
        .is_none_or(|vault| vault.chain.is_some());
    let opened = force.vaults.vault(id)?.open(shared).await?;
    let can = opened.backend().capabilities();
    Ok(!chained && !can.restarts && can.versions != VersionNumbers::None)
}

struct SyncJob<'s> {
    session: Session,
    to: &'s VaultId,
    sync: &'s SyncConfig,
    mark: Reference,
    numbered: bool,
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
        let sources = self.names(&self.sync.from.to_string()).await?;
        let there = self.names(&format!("{}:", self.to)).await?;
        let mut wanted = BTreeSet::new();
        let mut changed = Vec::new();
        for chunk in sources.chunks(CHUNK) {
            self.compare(chunk, &mut wanted, &mut changed, &mut synced)
                .await?;
            let bytes: usize = changed.iter().map(|it: &Changed| it.value.len()).sum();
            if bytes > MOST_BYTES {
                return Err(failed("more than 256 MiB changed at once"));
            }
        }
        for Changed { to, value, options } in changed {
            let copy = SecretValue::copy_of(value.expose());
            self.session.set(&to.to_string(), copy, options).await?;
            synced.copied += 1;
        }
        for name in there.iter().filter(|name| !wanted.contains(*name)) {
            if *name != self.mark && self.is_ours(&self.description(name).await?) {
                self.session.delete(&name.to_string(), None).await?;
                synced.deleted += 1;
            }
        }
        let value = copy_marked(began, &self.sync.from.to_string());
        let mark = self.mark.to_string();
        self.session
            .set(&mark, value, PutOptions::default())
            .await?;
        Ok(synced)
    }

    /// All names with a beginning.
    async fn names(&self, prefix: &str) -> Result<Vec<Reference>, CallError> {
        let mut names = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.session.list(prefix, cursor.as_deref()).await?;
            names.extend(page.references);
            if names.len() > MOST_NAMES {
                return Err(failed("more than 20000 names"));
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(names);
            }
        }
    }

    /// Reads some secrets of the source and finds those that differ here.
    async fn compare(
        &self,
        sources: &[Reference],
        wanted: &mut BTreeSet<Reference>,
        changed: &mut Vec<Changed>,
        synced: &mut Synced,
    ) -> Result<(), CallError> {
        let texts: Vec<String> = sources.iter().map(ToString::to_string).collect();
        let values = self.session.get_many(&texts).await?;
        for ((source, text), secret) in sources.iter().zip(&texts).zip(values) {
            let secret = match secret {
                Ok(secret) => secret,
                // Deleted, or expired, since it was listed.
                Err(error) if error.code == ErrorCode::NotFound => continue,
                Err(error) => return Err(error),
            };
            let Some(to) = self.place(source) else {
                synced.left += 1;
                continue;
            };
            wanted.insert(to.clone());
            let here = self.description(&to).await?;
            let current = here.as_ref().filter(|here| here.version.is_some());
            if current.is_some() && !self.is_ours(&here) {
                tracing::warn!(secret = %to, "is no copy, and is left alone");
                synced.left += 1;
                continue;
            }
            if self.same(&to, current, text, &secret).await? {
                synced.unchanged += 1;
                continue;
            }
            changed.push(Changed {
                to,
                options: PutOptions {
                    expires: secret.expires,
                    metadata: copy_metadata(text, secret.version),
                    ..PutOptions::default()
                },
                value: secret.value,
            });
        }
        Ok(())
    }

    /// Where a secret of the source is copied to.
    fn place(&self, source: &Reference) -> Option<Reference> {
        let path = source.path().as_str();
        let path = path.strip_prefix(self.sync.from.path())?;
        let to = Reference::new(self.to.clone(), SecretPath::parse(path).ok()?);
        (to != self.mark).then_some(to)
    }

    async fn description(&self, name: &Reference) -> Result<Option<Description>, CallError> {
        match self.session.describe(&name.to_string()).await {
            Ok((_, described)) => Ok(Some(described)),
            Err(error) if error.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a secret here is a copy, of whatever source it once was: others' are never touched.
    fn is_ours(&self, here: &Option<Description>) -> bool {
        let labels = here.iter().flat_map(|here| &here.labels);
        labels.into_iter().any(|(name, _)| name == COPY_OF)
    }

    /// Whether what is here is the same: by the version that it is a copy of, where the source counts
    /// them for good, else by its value.
    async fn same(
        &self,
        to: &Reference,
        here: Option<&Description>,
        source: &str,
        secret: &super::Secret,
    ) -> Result<bool, CallError> {
        let Some(here) = here else {
            return Ok(false);
        };
        if self.numbered {
            return Ok(is_copy_of(&here.labels, source, secret.version));
        }
        match self.session.get(&to.to_string(), Which::Current).await {
            Ok(copy) => Ok(*copy.value == *secret.value),
            Err(error) if error.code == ErrorCode::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn failed(text: &str) -> CallError {
    CallError::new(ErrorCode::Failed(text.to_owned()))
}
