//! Answers kept for a while.

mod backend;
mod flight;
mod settings;
mod shelf;

use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_backend::{
    Backend, ChangeCell, ChangeTable, Error, ErrorKind, Result, Secret, SecretPath, SecretValue,
    Which,
};
use tokio::time::Instant;

use self::flight::{Flights, Landed, Shared};
pub use self::settings::{Answer, CacheSettings, Origin};
use self::shelf::{Key, Shelf, key};

/// What part of the bytes missing names may take, so that a guest that asks for many does not
/// evict values.
const MISSING_SHARE: usize = 8;

/// Keeps values and missing names in memory, asks for each once at a time, and bridges an outage.
///
/// A value is dropped at once when it is changed through this, and when the store answers not-found,
/// permission-denied or unauthenticated (which drops everything). One whose change counter moved is
/// never served again, and dropped by the next call for it or by [`Cached::sweep`]. What is dropped
/// is wiped when its last reader is done. What others write elsewhere shows within `ttl`, and so
/// does a change whose answer was lost and that the store carries out later.
///
/// A `get_many` is answered from here too, and asks for all that is missing in one call, which is
/// not shared with other callers.
pub struct Cached {
    inner: Arc<dyn Backend>,
    settings: CacheSettings,
    changes: Arc<ChangeTable>,
    state: Mutex<State>,
}

#[derive(Clone)]
struct Kept {
    value: Arc<SecretValue>,
    version: u64,
    expires: Option<u64>,
    stamp: Stamp,
}

/// When something was read, and under which number of its change counter.
#[derive(Clone, Copy)]
struct Stamp {
    at: Instant,
    wall: u64,
    change: u64,
}

impl Stamp {
    fn now(change: u64) -> Self {
        Self {
            at: Instant::now(),
            wall: wall(),
            change,
        }
    }

    /// By the clock that says more: one stands still while the machine sleeps, the other is set.
    fn age(&self) -> Duration {
        let wall = Duration::from_millis(wall().saturating_sub(self.wall));
        self.at.elapsed().max(wall)
    }
}

struct State {
    values: Shelf<Kept>,
    missing: Shelf<Stamp>,
    flights: Flights,
    /// Moves at each refusal: what was asked for before it is not kept after. A change moves the
    /// change counter instead.
    epoch: u64,
}

impl State {
    fn forget(&mut self, path: &SecretPath) {
        self.values.drop_path(path);
        self.missing.drop_path(path);
        self.flights.drop_path(path);
    }

    fn clear(&mut self) {
        self.values.clear();
        self.missing.clear();
        self.flights.clear();
        self.epoch += 1;
    }
}

impl Cached {
    /// Keeps answers of `inner`. Where it has no change counters of its own, `changes` carries the
    /// writes made on this machine: one table for each vault, shared by all processes that have it.
    pub fn new(
        inner: Arc<dyn Backend>,
        settings: CacheSettings,
        changes: Arc<ChangeTable>,
    ) -> Self {
        let missing = settings.max_bytes / MISSING_SHARE;
        Self {
            inner,
            changes,
            state: Mutex::new(State {
                values: Shelf::new(settings.max_bytes - missing),
                missing: Shelf::new(missing),
                flights: Flights::default(),
                epoch: 0,
            }),
            settings,
        }
    }

    /// As [`Backend::get`], with where the value came from and how long it stands.
    ///
    /// # Errors
    ///
    /// As [`Backend::get`].
    pub async fn answer(&self, path: &SecretPath, which: Which) -> Result<Answer> {
        let key = key(path, which);
        let number = self.cell(path).load();
        let ticket = {
            let mut state = self.state();
            if let Some(answer) = self.look(&mut state, &key, number) {
                return answer;
            }
            state.flights.join(&key, number, &self.state)
        };
        match ticket.land(|| self.fetch(&key, which, number)).await {
            Ok(kept) => Ok(self.answered(&kept, Origin::Fresh)),
            Err(shared) => self.bridge(&key, shared.into_error()),
        }
    }

    /// The counter that moves when `path` is written on this machine. It does not move when `ttl`
    /// is over: what is remembered under it must also end at [`Answer::good_until`].
    pub fn cell(&self, path: &SecretPath) -> ChangeCell {
        self.inner
            .change_cell(path)
            .unwrap_or_else(|| self.own_cell(path))
    }

    /// Drops everything: after a revocation, or with other credentials.
    pub fn clear(&self) {
        self.state().clear();
    }

    /// Drops what may not be served any more. Without calls nothing else does, so call it once in
    /// a while.
    pub fn sweep(&self) {
        let longest = self.settings.ttl.max(self.settings.max_stale);
        let stands = |path: &SecretPath, stamp: &Stamp| self.cell(path).load() == stamp.change;
        let mut state = self.state();
        state.values.sweep(|(path, _), kept| {
            !expired(kept) && kept.stamp.age() < longest && stands(path, &kept.stamp)
        });
        let limit = self.settings.negative_ttl;
        state
            .missing
            .sweep(|(path, _), stamp| stamp.age() < limit && stands(path, stamp));
    }

    /// How many bytes the entries take now.
    pub fn bytes(&self) -> usize {
        let state = self.state();
        state.values.bytes() + state.missing.bytes()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own_cell(&self, path: &SecretPath) -> ChangeCell {
        let mut hasher = siphasher::sip::SipHasher13::new();
        path.as_str().hash(&mut hasher);
        self.changes.cell(hasher.finish())
    }

    fn look(&self, state: &mut State, key: &Key, number: u64) -> Option<Result<Answer>> {
        if let Some(kept) = state.values.find(key).cloned() {
            let age = kept.stamp.age();
            let longest = self.settings.ttl.max(self.settings.max_stale);
            if kept.stamp.change != number || age >= longest || expired(&kept) {
                state.values.drop_one(key);
            } else if age < self.settings.ttl {
                let age_ms = millis(age);
                return Some(Ok(self.answered(&kept, Origin::Cached { age_ms })));
            }
        }
        let stamp = *state.missing.find(key)?;
        if stamp.change == number && stamp.age() < self.settings.negative_ttl {
            return Some(Err(Error::not_found()));
        }
        state.missing.drop_one(key);
        None
    }

    /// What a flight asks and keeps.
    async fn fetch(&self, key: &Key, which: Which, number: u64) -> Landed {
        let (stamp, epoch) = (Stamp::now(number), self.state().epoch);
        let answer = self.inner.get(&key.0, which).await;
        self.learn(key, stamp, epoch, answer).map_err(Shared::new)
    }

    /// Keeps what the store answered, where it stands.
    fn learn(&self, key: &Key, stamp: Stamp, epoch: u64, answer: Result<Secret>) -> Result<Kept> {
        let mut state = self.state();
        // Under the lock, so that who moves the counter and then drops finds what is kept here.
        let stands = stamp.change.is_multiple_of(2)
            && state.epoch == epoch
            && self.cell(&key.0).load() == stamp.change;
        match answer {
            Ok(secret) => {
                let kept = Kept {
                    value: secret.value,
                    version: secret.version,
                    expires: secret.expires,
                    stamp,
                };
                state.missing.drop_one(key);
                if stands {
                    let size = kept.value.len();
                    state.values.keep(key.clone(), kept.clone(), size);
                }
                Ok(kept)
            }
            Err(error) => {
                match error.kind() {
                    ErrorKind::NotFound => {
                        // A missing version says nothing of the others; no current one does.
                        match key.1 {
                            None => state.values.drop_path(&key.0),
                            Some(_) => state.values.drop_one(key),
                        }
                        if stands {
                            state.missing.keep(key.clone(), stamp, 0);
                        }
                    }
                    kind => refused(&mut state, &key.0, kind),
                }
                Err(error)
            }
        }
    }

    /// A stale value in place of a temporary failure, where there is one that may be served.
    fn bridge(&self, key: &Key, error: Error) -> Result<Answer> {
        if !error.is_temporary() {
            return Err(error);
        }
        let number = self.cell(&key.0).load();
        let mut state = self.state();
        let kept = state.values.find(key).filter(|kept| {
            kept.stamp.change == number
                && kept.stamp.age() < self.settings.max_stale
                && !expired(kept)
        });
        let kept = kept.cloned().ok_or(error)?;
        let age_ms = millis(kept.stamp.age());
        Ok(self.answered(&kept, Origin::Stale { age_ms }))
    }

    fn answered(&self, kept: &Kept, origin: Origin) -> Answer {
        let left = self.settings.ttl.saturating_sub(kept.stamp.age());
        Answer {
            secret: Secret {
                value: Arc::clone(&kept.value),
                version: kept.version,
                expires: kept.expires,
            },
            origin,
            good_until: wall().saturating_add(millis(left)),
        }
    }

    async fn change<T>(
        &self,
        path: &SecretPath,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let changing = Changing { cache: self, path };
        self.state().forget(path);
        let answer = call.await;
        drop(changing);
        self.noted(path, answer)
    }

    /// Drops what a refusal says may not be served.
    fn noted<T>(&self, path: &SecretPath, answer: Result<T>) -> Result<T> {
        if let Err(error) = &answer {
            refused(&mut self.state(), path, error.kind());
        }
        answer
    }
}

/// A change under way. At its end, cancelled or not, nothing read before it counts any more.
struct Changing<'c> {
    cache: &'c Cached,
    path: &'c SecretPath,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if self.cache.inner.change_cell(self.path).is_none() {
            self.cache.own_cell(self.path).step();
        }
        self.cache.state().forget(self.path);
    }
}

fn refused(state: &mut State, path: &SecretPath, kind: ErrorKind) {
    match kind {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => {
            state.forget(path);
            state.epoch += 1;
        }
        // Whatever is kept was read with credentials that are good no more.
        ErrorKind::Unauthenticated => state.clear(),
        _ => {}
    }
}

fn expired(kept: &Kept) -> bool {
    kept.expires.is_some_and(|at| at <= wall())
}

fn wall() -> u64 {
    millis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
