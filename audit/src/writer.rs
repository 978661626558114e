//! The writer thread: takes records from the journal to the log, and watches over the log.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::chain::{self, Chain};
use crate::error::Error;
use crate::files::LockFile;
use crate::journal::format::{Formatter, Next};
use crate::record::{Action, Call};
use crate::retention;
use crate::shared::{Part, Shared, Written};

/// A record is in the log within this, unless the disk is slower, and a log that went away is noticed.
const TURN: Duration = Duration::from_millis(50);

/// How long the log's lock is waited for in one turn.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);

/// Whoever keeps the lock for longer hangs, and nothing more is released.
const LOCKED_OUT: Duration = Duration::from_secs(3);

/// How long one holder keeps the lock while others may wait.
const LOCK_TIME: Duration = Duration::from_millis(50);

/// Bytes of lines written at once: they should still be in the processor's cache when they are copied.
const BATCH: usize = 256 << 10;

/// How often closed files are looked at for their age.
const RETENTION_TURN: Duration = Duration::from_secs(3600);

/// The MAC key is ratcheted at least this often while records come.
const RATCHET_SECONDS: i64 = 24 * 3600;

/// What the thread needs of the options.
pub(crate) struct Policy {
    pub(crate) rotate: u64,
    pub(crate) checkpoint_every: u64,
    pub(crate) keep_for: Option<Duration>,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    chain: Chain,
    lock: Arc<LockFile>,
    formatter: Formatter,
    policy: Policy,
    out: Vec<u8>,
    /// A checkpoint that closes the file is on its way through the journal.
    closing: bool,
    next_retention: Instant,
    locked_out: Option<Instant>,
    /// Closed files whose removal is recorded, and the call that says so.
    removing: Vec<(Call, PathBuf)>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, chain: Chain, policy: Policy) -> Self {
        let formatter = Formatter::new(&shared.writer, shared.ring.key, shared.ring.layout);
        let lock = Arc::clone(&chain.lock);
        Self {
            shared,
            chain,
            lock,
            formatter,
            policy,
            out: Vec::with_capacity(BATCH + 64 * 1024),
            closing: false,
            next_retention: Instant::now(),
            locked_out: None,
            removing: Vec::new(),
        }
    }

    /// Runs until the log is closed and everything is written, or cannot be within the patience of `close`.
    pub(crate) fn run(mut self) {
        let _ = self.shared.threads.drain.set(thread::current());
        loop {
            let stopping = self.shared.stop.load(Ordering::Acquire);
            let done = self.turn();
            if stopping && (done || self.shared.failure.trouble().is_some()) {
                break;
            }
            self.shared.watch.notify();
            thread::park_timeout(TURN);
        }
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.watch.notify();
    }

    /// One turn; true when nothing waits any more.
    fn turn(&mut self) -> bool {
        self.shared.turns.fetch_add(1, Ordering::AcqRel);
        let result = self.try_turn();
        self.shared.turns.fetch_add(1, Ordering::AcqRel);
        match &result {
            Ok(_) => self.shared.failure.put(Part::Drain, None),
            Err(e) => self.shared.failure.put(Part::Drain, Some(e.to_string())),
        }
        result.unwrap_or(false)
    }

    fn try_turn(&mut self) -> Result<bool, Error> {
        if !self.shared.ring.in_place() {
            return Err(Error::tampered(format!(
                "the journal {} was removed",
                self.shared.ring.path.display()
            )));
        }
        self.retain();
        if self.pending() == 0 && self.chain.looks_whole() {
            return Ok(true);
        }
        let lock = Arc::clone(&self.lock);
        let held = match lock.lock(false, LOCK_PATIENCE) {
            // The journal holds what waits; who holds the lock for long may be syncing.
            Err(Error::Unavailable(_))
                if self.locked_out.get_or_insert_with(Instant::now).elapsed() < LOCKED_OUT =>
            {
                return Ok(false);
            }
            held => held?,
        };
        self.locked_out = None;
        self.chain.refresh()?;
        self.note_cut();
        let end = Instant::now() + LOCK_TIME;
        while self.pending() > 0 {
            if !self.batch()? || Instant::now() > end {
                break;
            }
        }
        drop(held);
        if self.pending() > 0 {
            // Others wait for the lock and look for it each millisecond; then come back at once.
            thread::sleep(Duration::from_millis(2));
            self.shared.wake_drain();
        }
        Ok(self.pending() == 0)
    }

    fn pending(&self) -> u64 {
        let progress = self.shared.ring.progress();
        progress.next_call - 1 - progress.drained_call
    }

    /// Writes one batch; false if there was nothing to write yet.
    fn batch(&mut self) -> Result<bool, Error> {
        let ring = &self.shared.ring;
        let start = ring.progress();
        let (mut call, mut pos) = (start.drained_call + 1, start.drained_pos);
        let mut charged: Vec<(u16, u64)> = Vec::new();
        let mut intents = Vec::new();
        let mut checkpoint = None;
        let mut rotate = false;
        self.out.clear();
        self.chain.discard();
        while call < start.next_call && self.out.len() < BATCH {
            let line = self.out.len();
            let (seq, prev) = self.chain.next();
            let meta = match self
                .formatter
                .next(&ring.map, pos, call, seq, &prev, &mut self.out)
            {
                Next::Line(meta) => meta,
                // Appended under the lock that gave us `next_call`: never free. Damaged is an attack or a bug.
                Next::Free | Next::Damaged => {
                    self.chain.discard();
                    return Err(Error::tampered(format!(
                        "record {}.{call} in the journal is damaged",
                        self.shared.writer
                    )));
                }
            };
            match charged.iter_mut().find(|(share, _)| *share == meta.share) {
                Some((_, slots)) => *slots += meta.slots,
                None => charged.push((meta.share, meta.slots)),
            }
            call += 1;
            pos += meta.slots;
            if call - 1 <= self.chain.found_own {
                // A write that seemed to fail left it in the log whole.
                self.out.truncate(line);
                continue;
            }
            if meta.intent {
                intents.push((call - 1, self.chain.next_offset()));
            }
            let ratchets = meta.action == Action::Checkpoint;
            self.chain.push(&mut self.out, line, ratchets, meta.counter);
            if ratchets {
                checkpoint = Some(call - 1);
                rotate = meta.rotate;
                break;
            }
        }
        let file = self.chain.claim.file;
        ring.begin_batch(file, self.chain.claim.len);
        if !self.out.is_empty() {
            self.chain.commit(&self.out)?;
        }
        for (call, offset) in intents {
            ring.intent_stands_at(call, file, offset);
        }
        ring.drained(call - 1, pos, &charged);
        self.shared.written.store(call - 1, Ordering::Release);
        if let Some(call) = checkpoint {
            self.shared.claims().checkpoint = Some((call, self.chain.claim.clone()));
        }
        self.publish(call - 1);
        if rotate {
            self.closing = false;
            self.chain.rotate()?;
            self.next_retention = Instant::now();
            self.publish(call - 1);
        }
        self.close_file_or_ratchet();
        Ok(true)
    }

    fn publish(&self, call: u64) {
        let written = Written {
            claim: self.chain.claim.clone(),
            call,
            file: Arc::clone(&self.chain.file),
        };
        self.shared.claims().written = Some(written);
        self.shared.wake_sync();
        self.shared.watch.notify();
    }

    fn close_file_or_ratchet(&mut self) {
        let claim = &self.chain.claim;
        let full = claim.len >= self.policy.rotate;
        let due = claim.seq.saturating_sub(claim.ratcheted) >= self.policy.checkpoint_every
            || (claim.ratcheted_at != 0
                && chain::now_us() / 1_000_000 - claim.ratcheted_at >= RATCHET_SECONDS);
        if !self.closing
            && (full || due)
            && self
                .shared
                .system(Action::Checkpoint, if full { "rotate" } else { "" }, full)
                .is_ok()
        {
            self.closing = full;
        }
    }

    fn note_cut(&mut self) {
        if self.chain.cut > 0
            && self
                .shared
                .system(Action::Cut, &format!("bytes={}", self.chain.cut), false)
                .is_ok()
        {
            self.shared.warn(format!(
                "a torn last line of {} bytes was cut",
                self.chain.cut
            ));
            self.chain.cut = 0;
        }
    }

    /// Removes closed files that are old enough: first the record, on disk, then the file.
    fn retain(&mut self) {
        let durable = self.shared.durable.load(Ordering::Acquire);
        let path = &self.chain.path;
        self.removing
            .retain(|(call, file)| call.0 > durable || retention::remove(path, file).is_err());
        let Some(keep_for) = self.policy.keep_for else {
            return;
        };
        if Instant::now() < self.next_retention || !self.removing.is_empty() {
            return;
        }
        self.next_retention = Instant::now() + RETENTION_TURN;
        let Ok(old) = retention::removable(path, keep_for, chain::now_us()) else {
            return;
        };
        for end in old {
            let Ok(call) = self.shared.system(Action::Removed, &end.detail(), false) else {
                break;
            };
            self.shared.want_durable(call.0);
            self.removing.push((call, end.path));
        }
    }
}
