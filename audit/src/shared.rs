//! What the callers' side and the threads of a log have in common.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::claim::Claim;
use crate::entry::{Entry, Subject};
use crate::error::AppendError;
use crate::journal::names::Cell;
use crate::journal::ring::{Appended, Full, Ring, SYSTEM_SHARE};
use crate::record::{Action, Call, Outcome, SYSTEM};

/// A turn of the writer thread that takes longer hangs. Its syncs at a rotation are within it.
const HANG: Duration = Duration::from_millis(800);

/// How exact the deadlines of those who wait are.
const WATCH_TURN: Duration = Duration::from_millis(50);

/// Warnings kept for the operator; older ones stand in the log anyway.
const MAX_WARNINGS: usize = 64;

pub(crate) struct Shared {
    pub(crate) ring: Ring,
    pub(crate) writer: String,
    pub(crate) system: Subject,
    pub(crate) failure: Failure,
    pub(crate) watch: Watch,
    /// Calls up to this one stand in the log.
    pub(crate) written: AtomicU64,
    /// Calls up to this one are on disk.
    pub(crate) durable: AtomicU64,
    /// Calls up to this one are waited for on disk.
    pub(crate) wanted: AtomicU64,
    pub(crate) policy: AtomicU64,
    pub(crate) stop: AtomicBool,
    pub(crate) stopped: AtomicBool,
    /// Turns that the writer thread has begun and ended: odd while it is in one.
    pub(crate) turns: AtomicU64,
    pub(crate) threads: Threads,
    /// The state of the log after the last batch and, where known, what of it is on disk.
    pub(crate) claims: Mutex<Claims>,
    warnings: Mutex<VecDeque<String>>,
}

#[derive(Default)]
pub(crate) struct Claims {
    pub(crate) written: Option<Written>,
    pub(crate) durable: Option<Claim>,
    /// The claim after the checkpoint that was asked for last.
    pub(crate) checkpoint: Option<(u64, Claim)>,
}

/// What a sync covers: everything up to a claim, in one file.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) claim: Claim,
    pub(crate) call: u64,
    pub(crate) file: Arc<std::fs::File>,
}

#[derive(Default)]
pub(crate) struct Threads {
    pub(crate) drain: OnceLock<Thread>,
    pub(crate) sync: OnceLock<Thread>,
}

impl Shared {
    pub(crate) fn new(ring: Ring, writer: String) -> Self {
        let system = Subject {
            cell: Cell::subject(SYSTEM, None, None),
            share: SYSTEM_SHARE,
        };
        Self {
            ring,
            writer,
            system,
            failure: Failure::default(),
            watch: Watch::default(),
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            policy: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            threads: Threads::default(),
            claims: Mutex::default(),
            warnings: Mutex::default(),
        }
    }

    /// The hot path: the journal, unless the log has failed.
    #[inline]
    pub(crate) fn append(&self, entry: &Entry<'_>) -> Result<Call, AppendError> {
        if self.failure.is_set() {
            return Err(AppendError::Unavailable(self.failure.reason()));
        }
        let time = if entry.time == 0 {
            crate::chain::now_us()
        } else {
            entry.time
        };
        match self.ring.append(entry, time) {
            Ok(Appended {
                call,
                wake: false,
                step: None,
            }) => Ok(call),
            Ok(appended) => {
                self.after(&appended);
                Ok(appended.call)
            }
            Err(Full) => {
                self.wake_drain();
                Err(AppendError::Full)
            }
        }
    }

    #[cold]
    fn after(&self, appended: &Appended) {
        if appended.wake {
            self.wake_drain();
        }
        if let Some(step) = appended.step {
            let text = format!(
                "the clock went back by {step} us; records keep the time of the one before until it catches up"
            );
            let _ = self.system(Action::Clock, &format!("back-us={step}"), false);
            self.warn(text);
        }
    }

    /// Appends a record of the log's own.
    pub(crate) fn system(&self, action: Action, detail: &str, rotate: bool) -> Result<Call, Full> {
        let detail = crate::entry::Text {
            cell: Cell::text(detail),
            share: SYSTEM_SHARE,
        };
        let mut entry = Entry::outcome(&self.system, action, Outcome::Allowed);
        entry.detail = Some(&detail);
        entry.rotate = rotate;
        entry.policy = self.policy.load(Ordering::Relaxed) as u32;
        let appended = self.ring.append(&entry, crate::chain::now_us())?;
        Ok(appended.call)
    }

    /// Runs beside the writer thread, which a disk may hang: stops releases then, and wakes those
    /// who wait so that they see their deadline.
    pub(crate) fn watch_over(&self) {
        let (mut last, mut since) = (0, Instant::now());
        while !self.stopped.load(Ordering::Acquire) {
            std::thread::park_timeout(WATCH_TURN);
            let turns = self.turns.load(Ordering::Acquire);
            if turns != last || turns.is_multiple_of(2) {
                (last, since) = (turns, Instant::now());
            }
            let hangs = since.elapsed() >= HANG;
            if hangs != self.failure.has(Part::Hang) {
                let why = "the disk does not answer, or another process keeps the log's lock";
                self.failure.put(Part::Hang, hangs.then(|| why.to_owned()));
            }
            self.watch.notify();
        }
    }

    pub(crate) fn wake_drain(&self) {
        if let Some(thread) = self.threads.drain.get() {
            thread.unpark();
        }
    }

    pub(crate) fn wake_sync(&self) {
        if let Some(thread) = self.threads.sync.get() {
            thread.unpark();
        }
    }

    /// Asks for calls up to this one to be on disk.
    pub(crate) fn want_durable(&self, call: u64) {
        if self.wanted.fetch_max(call, Ordering::AcqRel) < call {
            self.wake_drain();
        }
    }

    pub(crate) fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn warn(&self, text: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() == MAX_WARNINGS {
            warnings.pop_front();
        }
        warnings.push_back(text);
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

/// Why nothing may be released now; the drain and the sync thread each have their own reason.
#[derive(Default)]
pub(crate) struct Failure {
    set: AtomicBool,
    reasons: Mutex<[Option<Arc<str>>; 4]>,
}

/// Which thread failed.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Drain = 0,
    Sync = 1,
    /// The writer thread does not come back.
    Hang = 2,
    /// Nothing failed: the log was closed.
    Closed = 3,
}

impl Failure {
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    pub(crate) fn reason(&self) -> Arc<str> {
        self.current()
            .unwrap_or_else(|| "the log failed a moment ago".into())
    }

    pub(crate) fn current(&self) -> Option<Arc<str>> {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.iter().flatten().next().cloned()
    }

    /// As [`current`](Self::current), but for being closed.
    pub(crate) fn trouble(&self) -> Option<Arc<str>> {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons
            .iter()
            .take(Part::Closed as usize)
            .flatten()
            .next()
            .cloned()
    }

    pub(crate) fn has(&self, part: Part) -> bool {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.get(part as usize).is_some_and(Option::is_some)
    }

    pub(crate) fn put(&self, part: Part, reason: Option<String>) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = reasons.get_mut(part as usize) {
            *place = reason.map(Into::into);
        }
        self.set
            .store(reasons.iter().any(Option::is_some), Ordering::Release);
    }
}

/// Wakes blocked threads and futures of any executor whenever a thread of the log got on.
#[derive(Default)]
pub(crate) struct Watch {
    wakers: Mutex<Vec<Waker>>,
    changed: Condvar,
}

impl Watch {
    pub(crate) fn notify(&self) {
        let wakers = std::mem::take(&mut *self.lock());
        self.changed.notify_all();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Registers first, so that nothing that happens after the caller's check is missed.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut wakers = self.lock();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    /// Blocks until `ready` says something, or `None` at the deadline.
    pub(crate) fn wait<T>(
        &self,
        deadline: Instant,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let mut wakers = self.lock();
        loop {
            if let Some(done) = ready() {
                return Some(done);
            }
            let left = deadline
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())?;
            wakers = self
                .changed
                .wait_timeout(wakers, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
