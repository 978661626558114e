use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::chain::Chain;
use crate::checkpoint::Checkpoint;
use crate::claim::StoreCounter;
use crate::entry::{Entry, Subject, Target, Text, Via};
use crate::error::{AppendError, Error};
use crate::files::{self, LockFile};
use crate::journal::names::Cell;
use crate::journal::ring::{Ring, SYSTEM_SHARE, is_system_action};
use crate::journals;
use crate::options::{Durability, Options};
use crate::record::{Action, Call, Outcome, Phase, SYSTEM};
use crate::recover;
use crate::shared::Shared;
use crate::sync::Syncer;
use crate::writer::{Policy, Writer};

/// How long opening and closing wait for the log's lock and for the last records.
const PATIENCE: Duration = Duration::from_secs(10);

/// This process's way into the log. Clones share it; one per process and log is enough.
///
/// When the last clone is dropped the log is closed as by [`close`](Self::close), without an answer.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    options: Options,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stores: std::collections::BTreeMap<String, StoreCounter>,
}

/// The state of a log, for the operator.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Why nothing is released now; `None` when all is well.
    pub failed: Option<Arc<str>>,
    /// What happened that an operator should know: recovered writers, clock steps, cut lines.
    pub warnings: Vec<String>,
}

impl Log {
    /// Opens the log: recovers the journals of writers that died, then records `open`.
    ///
    /// # Errors
    /// Fails where the log is missing, damaged, not ours or cannot be written; never makes a new one.
    pub fn open(options: Options) -> Result<Self, Error> {
        let writer = new_writer_id()?;
        let open_chain = {
            let (options, writer) = (options.clone(), writer.clone());
            move || {
                Chain::open(
                    &options.path,
                    &options.key,
                    options.allow_links,
                    &writer,
                    Arc::clone(&options.sync),
                )
            }
        };
        let mut chain = open_chain()?;
        let folder = journals::journal_folder(&options.path);
        files::create_private_folder(&folder)?;
        let lock = Arc::clone(&chain.lock);
        let held = lock.lock(false, PATIENCE)?;
        chain.refresh()?;
        let notes = recover::recover_all(&mut chain, &writer)?;
        chain.refresh()?;
        drop(held);
        let ring = Ring::create(
            &folder,
            &writer,
            options.journal,
            chain.keys.slot_key(&writer),
        )?;
        let shared = Arc::new(Shared::new(ring, writer));
        for note in notes {
            shared.warn(note);
        }
        // Within this boot nothing but tampering damages the journal.
        let opened = format!("pid={} boot={}", std::process::id(), files::boot_id());
        let _ = shared.system(Action::Open, &opened, false);
        let stores = chain.claim.stores.clone();
        let syncer = Syncer {
            shared: Arc::clone(&shared),
            path: options.path.clone(),
            // A lock is an open file's: threads that shared one would not keep each other out.
            lock: Arc::new(LockFile::open(&options.path)?),
            key: chain.keys.claim.clone(),
            sync: Arc::clone(&options.sync),
            reopen: Box::new(open_chain),
            failed: false,
            head: None,
            next_head: Instant::now(),
        };
        let policy = Policy {
            rotate: options.rotate,
            checkpoint_every: options.checkpoint_every,
            keep_for: options.keep_for,
        };
        let drain = Writer::new(Arc::clone(&shared), chain, policy);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(run)
                .map_err(|e| Error::io("cannot start a thread for", &options.path, e))
        };
        let watched = Arc::clone(&shared);
        let threads = vec![
            spawn("audit-write", Box::new(move || drain.run()))?,
            spawn("audit-sync", Box::new(move || syncer.run()))?,
            spawn("audit-watch", Box::new(move || watched.watch_over()))?,
        ];
        let log = Self {
            inner: Arc::new(Inner {
                shared,
                options: options.clone(),
                threads: Mutex::new(threads),
                stores,
            }),
        };
        log.flush()?;
        Ok(log)
    }

    /// Ends this writer: intents without outcome become `unknown`, then `close`, then all is on disk.
    /// Other clones can record nothing any more.
    ///
    /// # Errors
    /// Says why the last records are not in the log; its journal then stays for the next writer.
    pub fn close(self) -> Result<(), Error> {
        self.inner.close()
    }

    /// Someone who calls. Keep it: records of a kept subject cost no text.
    pub fn subject(
        &self,
        principal: &str,
        instance: Option<&str>,
        digest: Option<&str>,
    ) -> Subject {
        // What the log says about itself cannot be said by anyone else.
        let principal = if principal == SYSTEM {
            "host:audit?"
        } else {
            principal
        };
        let share = self.inner.shared.ring.share(principal);
        Subject {
            cell: Cell::subject(principal, instance, digest),
            share,
        }
    }

    /// What is asked for, charged to who asks.
    pub fn target(&self, charged: &Subject, vault: Option<&str>, secret: Option<&str>) -> Target {
        Target {
            cell: Cell::target(vault, secret),
            share: charged.share,
        }
    }

    /// The name of a grant, from the configuration.
    pub fn grant(&self, name: &str) -> Text {
        Text {
            cell: Cell::text(name),
            share: SYSTEM_SHARE,
        }
    }

    /// A detail, charged to whom it concerns.
    pub fn detail(&self, charged: &Subject, text: &str) -> Text {
        Text {
            cell: Cell::text(text),
            share: charged.share,
        }
    }

    /// An interface function. At most 255 have names; later ones are recorded without.
    pub fn via(&self, function: &str) -> Via {
        Via(self.inner.shared.ring.via(function))
    }

    /// Records. Once this returns, the record survives the death of the process.
    ///
    /// # Errors
    /// After any error nothing may be released.
    #[inline]
    pub fn append(&self, entry: &Entry<'_>) -> Result<Call, AppendError> {
        if is_system_action(entry.action) {
            return Err(AppendError::Unavailable(
                "only the log itself records such an action".into(),
            ));
        }
        self.inner.shared.append(entry)
    }

    /// As [`append`](Self::append), and waits while the journal is full.
    pub fn append_blocking(&self, entry: &Entry<'_>) -> Result<Call, AppendError> {
        let deadline = Instant::now() + self.inner.options.deadline;
        self.blocking(deadline, "the audit journal stayed full", || {
            match self.append(entry) {
                Err(AppendError::Full) => None,
                other => Some(other),
            }
        })
    }

    /// Waits for room after [`AppendError::Full`], no longer than the deadline.
    pub fn ready(
        &self,
        subject: &Subject,
    ) -> impl Future<Output = Result<(), AppendError>> + Send + 'static {
        let share = subject.share;
        self.wait("the audit journal stayed full", move |shared| {
            shared.ring.has_room(share)
        })
    }

    /// As [`ready`](Self::ready), for threads.
    pub fn ready_blocking(&self, subject: &Subject) -> Result<(), AppendError> {
        let deadline = Instant::now() + self.inner.options.deadline;
        let shared = &self.inner.shared;
        self.blocking(deadline, "the audit journal stayed full", || {
            shared.ring.has_room(subject.share).then_some(Ok(()))
        })
    }

    /// Waits until a record is on disk; many who wait share one sync.
    pub fn wait_durable(
        &self,
        call: Call,
    ) -> impl Future<Output = Result<(), AppendError>> + Send + 'static {
        self.inner.shared.want_durable(call.0);
        self.wait("the disk took too long", move |shared| {
            shared.durable.load(Ordering::Acquire) >= call.0
        })
    }

    /// As [`wait_durable`](Self::wait_durable), for threads.
    pub fn wait_durable_blocking(&self, call: Call) -> Result<(), AppendError> {
        let deadline = Instant::now() + self.inner.options.deadline;
        self.wait_durable_until(call, deadline)
    }

    fn wait_durable_until(&self, call: Call, deadline: Instant) -> Result<(), AppendError> {
        let shared = &self.inner.shared;
        shared.want_durable(call.0);
        self.blocking(deadline, "the disk took too long", || {
            (shared.durable.load(Ordering::Acquire) >= call.0).then_some(Ok(()))
        })
    }

    /// Records the number and digest of the configuration that is in force from now on.
    pub fn policy(&self, number: u32, digest: &str) -> Result<Call, AppendError> {
        let shared = &self.inner.shared;
        shared.policy.store(u64::from(number), Ordering::Relaxed);
        shared
            .system(Action::Policy, &format!("digest={digest}"), false)
            .map_err(|_| AppendError::Full)
    }

    /// Ratchets the MAC key and gives the line to keep elsewhere.
    ///
    /// # Errors
    /// Says why the checkpoint is not in the log.
    pub fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let shared = &self.inner.shared;
        let full = |_| Error::Unavailable("the audit journal is full".into());
        let call = shared.system(Action::Checkpoint, "", false).map_err(full)?;
        self.wait_durable_until(call, Instant::now() + PATIENCE)
            .map_err(to_error)?;
        // One that a rotation made meanwhile is as good: it comes later.
        let claim = shared.claims().checkpoint.clone();
        let (_, claim) = claim
            .filter(|(at, _)| *at >= call.0)
            .ok_or_else(|| Error::Unavailable("the checkpoint did not reach the log".into()))?;
        Ok(Checkpoint {
            seq: claim.seq,
            mac: claim.mac.0,
            hash: claim.hash.0,
            removal_allowed: false,
        })
    }

    /// Blocks until everything recorded so far stands in the log.
    ///
    /// # Errors
    /// Says why it does not.
    pub fn flush(&self) -> Result<(), Error> {
        self.inner.flush(Instant::now() + PATIENCE)
    }

    /// Whether values may be released, and what the operator should know.
    pub fn health(&self) -> Health {
        let shared = &self.inner.shared;
        Health {
            failed: shared.failure.current(),
            warnings: shared.warnings(),
        }
    }

    /// The highest change counter of a vault's store that the log knew when it was opened.
    pub fn store_counter(&self, vault: &str) -> Option<StoreCounter> {
        self.inner.stores.get(vault).cloned()
    }

    /// What reads must wait for.
    pub fn durability(&self) -> Durability {
        self.inner.options.durability
    }

    /// This writer's id.
    pub fn writer(&self) -> &str {
        &self.inner.shared.writer
    }

    /// A call as the log spells it.
    pub fn call_text(&self, call: Call) -> String {
        format!("{}.{call}", self.writer())
    }

    fn blocking<T>(
        &self,
        deadline: Instant,
        late: &str,
        mut ready: impl FnMut() -> Option<Result<T, AppendError>>,
    ) -> Result<T, AppendError> {
        let shared = &self.inner.shared;
        let done = shared.watch.wait(deadline, || match ready() {
            None if shared.failure.is_set() => {
                Some(Err(AppendError::Unavailable(shared.failure.reason())))
            }
            other => other,
        });
        done.unwrap_or_else(|| Err(AppendError::Unavailable(late.into())))
    }

    fn wait<F>(&self, late: &'static str, ready: F) -> Wait<F>
    where
        F: Fn(&Shared) -> bool + Unpin + Send + 'static,
    {
        Wait {
            shared: Arc::clone(&self.inner.shared),
            ready,
            late,
            deadline: Instant::now() + self.inner.options.deadline,
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("path", &self.inner.options.path)
            .field("writer", &self.writer())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn flush(&self, deadline: Instant) -> Result<(), Error> {
        let shared = &self.shared;
        let last = shared.ring.progress().next_call - 1;
        shared.wake_drain();
        let done = shared.watch.wait(deadline, || {
            if shared.written.load(Ordering::Acquire) >= last {
                return Some(Ok(()));
            }
            shared
                .failure
                .current()
                .map(|reason| Err(Error::Unavailable(reason)))
        });
        done.unwrap_or_else(|| Err(Error::Unavailable("the log took too long".into())))
    }

    fn close(&self) -> Result<(), Error> {
        let shared = &self.shared;
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        if threads.is_empty() {
            return Ok(());
        }
        for intent in shared.ring.open_intents() {
            let mut entry = Entry::outcome(&shared.system, Action::Any, Outcome::Unknown);
            entry.phase = Phase::Outcome;
            entry.of = Some(intent);
            let _ = shared.ring.append(&entry, crate::chain::now_us());
        }
        let closed = shared.system(Action::Close, "", false).is_ok();
        // Whoever still appends would do so after the end.
        shared.failure.put(
            crate::shared::Part::Closed,
            Some("this log was closed".to_owned()),
        );
        let flushed = self.finish(closed);
        shared.stop.store(true, Ordering::Release);
        shared.wake_drain();
        let mut joined = threads.into_iter();
        if let Some(drain) = joined.next() {
            let _ = drain.join();
        }
        shared.wake_sync();
        for thread in joined {
            // A thread that sleeps its turn out would keep every process that ends.
            thread.thread().unpark();
            let _ = thread.join();
        }
        flushed?;
        shared.ring.remove()
    }

    fn finish(&self, closed: bool) -> Result<(), Error> {
        let shared = &self.shared;
        let last = shared.ring.progress().next_call - 1;
        shared.want_durable(last);
        shared.wake_drain();
        let done = shared.watch.wait(Instant::now() + PATIENCE, || {
            if shared.durable.load(Ordering::Acquire) >= last {
                return Some(Ok(()));
            }
            shared
                .failure
                .trouble()
                .map(|reason| Err(Error::Unavailable(reason)))
        });
        match done {
            Some(Ok(())) if !closed => Err(Error::Unavailable("the audit journal is full".into())),
            Some(result) => result,
            None => Err(Error::Unavailable("the log took too long".into())),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

/// A wait with a deadline, for any executor: the writer thread's turns wake it.
struct Wait<F> {
    shared: Arc<Shared>,
    ready: F,
    late: &'static str,
    deadline: Instant,
}

impl<F: Fn(&Shared) -> bool + Unpin> Future for Wait<F> {
    type Output = Result<(), AppendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.shared.watch.register(cx.waker());
        if (self.ready)(&self.shared) {
            return Poll::Ready(Ok(()));
        }
        if self.shared.failure.is_set() {
            return Poll::Ready(Err(AppendError::Unavailable(self.shared.failure.reason())));
        }
        if Instant::now() >= self.deadline {
            return Poll::Ready(Err(AppendError::Unavailable(self.late.into())));
        }
        Poll::Pending
    }
}

fn to_error(error: AppendError) -> Error {
    match error {
        AppendError::Full => Error::Unavailable("the audit journal is full".into()),
        AppendError::Unavailable(reason) => Error::Unavailable(reason),
    }
}

/// 48 bits of time and 80 random ones, in Crockford's base 32: sorts by age, never repeats.
fn new_writer_id() -> Result<String, Error> {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut random = [0u8; 16];
    getrandom::fill(&mut random)
        .map_err(|_| Error::Unavailable("no randomness from the operating system".into()))?;
    let millis = u128::try_from(crate::chain::now_us() / 1000).unwrap_or(0);
    let mut value =
        (millis & 0xffff_ffff_ffff) << 80 | (u128::from_le_bytes(random) & ((1 << 80) - 1));
    let mut text = [b'0'; 26];
    for place in text.iter_mut().rev() {
        *place = DIGITS.get((value & 31) as usize).copied().unwrap_or(b'0');
        value >>= 5;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Log>();
    shared::<PathBuf>();
};
