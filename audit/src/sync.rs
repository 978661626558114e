//! The sync thread: one `fdatasync` for all who wait, beside the writer and never in its way.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::chain::{Chain, SyncFn};
use crate::claim::{self, Claim};
use crate::error::Error;
use crate::files::{self, LockFile};
use crate::keys::ClaimKey;
use crate::shared::{Part, Shared, Written};

/// What nobody waits for is on disk within this.
const LAZY: Duration = Duration::from_secs(1);

/// How long the log's lock is waited for.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);

pub(crate) struct Syncer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) path: PathBuf,
    pub(crate) lock: Arc<LockFile>,
    pub(crate) key: ClaimKey,
    pub(crate) sync: SyncFn,
    /// Opens the chain anew to write again what a failed sync may have lost.
    pub(crate) reopen: Box<dyn Fn() -> Result<Chain, Error> + Send>,
    pub(crate) failed: bool,
    pub(crate) head: Option<Claim>,
    pub(crate) next_head: Instant,
}

impl Syncer {
    pub(crate) fn run(mut self) {
        let _ = self.shared.threads.sync.set(thread::current());
        let mut last = Instant::now();
        loop {
            let stopping = self.shared.stopped.load(Ordering::Acquire);
            let written = self.shared.claims().written.clone();
            if let Some(written) = written {
                let durable = self.shared.durable.load(Ordering::Acquire);
                let wanted = self.shared.wanted.load(Ordering::Acquire).min(written.call);
                let lazy = stopping || last.elapsed() >= LAZY;
                if self.failed || wanted > durable || (lazy && written.call > durable) {
                    last = Instant::now();
                    self.sync(&written);
                }
            }
            let durable = self.shared.claims().durable.clone();
            if let Some(durable) = durable {
                self.write_head(&durable, stopping);
            }
            if stopping {
                break;
            }
            let wanted = self.shared.wanted.load(Ordering::Acquire);
            let written = self.shared.written.load(Ordering::Acquire);
            if self.failed || wanted.min(written) <= self.shared.durable.load(Ordering::Acquire) {
                thread::park_timeout(Duration::from_millis(250));
            }
        }
    }

    fn sync(&mut self, written: &Written) {
        let result = if self.failed {
            self.repair()
        } else {
            (self.sync)(&written.file).map_err(|e| Error::io("cannot sync", &self.path, e))
        };
        match result {
            Ok(()) => {
                self.failed = false;
                self.shared.claims().durable = Some(written.claim.clone());
                self.shared
                    .durable
                    .fetch_max(written.call, Ordering::AcqRel);
                self.shared.failure.put(Part::Sync, None);
                self.shared.watch.notify();
            }
            Err(e) => {
                self.failed = true;
                self.shared.failure.put(Part::Sync, Some(e.to_string()));
                self.shared.watch.notify();
            }
        }
    }

    fn repair(&self) -> Result<(), Error> {
        let durable = self.shared.claims().durable.clone();
        let mut chain = (self.reopen)()?;
        let lock = Arc::clone(&chain.lock);
        let _held = lock.lock(false, LOCK_PATIENCE)?;
        chain.refresh()?;
        let nothing = Claim {
            file: 0,
            len: 0,
            ..chain.claim.clone()
        };
        chain.rewrite(&durable.unwrap_or(nothing))
    }

    /// The head follows the log's sync; at most once a second, and at the end.
    fn write_head(&mut self, claim: &Claim, last: bool) {
        let due = last || Instant::now() >= self.next_head;
        if !due || self.head.as_ref().is_some_and(|head| head.seq >= claim.seq) {
            return;
        }
        self.next_head = Instant::now() + LAZY;
        match self.replace_head(claim) {
            Ok(()) => self.head = Some(claim.clone()),
            Err(e) => self.shared.warn(format!("the log's head is behind: {e}")),
        }
    }

    fn replace_head(&self, claim: &Claim) -> Result<(), Error> {
        let head = files::with_suffix(&self.path, ".head");
        let temp = claim::next_head(&self.path, &self.shared.writer);
        // Written and synced without the lock: others go on meanwhile.
        files::write_synced(&temp, &claim.seal(&self.key)?)?;
        let held = self.lock.lock(false, LOCK_PATIENCE)?;
        let newer =
            claim::read_head(&self.path, &self.key)?.is_none_or(|known| known.seq >= claim.seq);
        let done = if newer {
            std::fs::remove_file(&temp)
        } else {
            std::fs::rename(&temp, &head)
        };
        drop(held);
        done.map_err(|e| Error::io("cannot replace", &head, e))?;
        files::sync_folder(files::folder(&head))
    }
}
