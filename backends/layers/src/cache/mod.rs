//! Answers kept for a while.

mod answer;
mod backend;
mod flight;
mod settings;
mod shelf;

use std::future::Future;
use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_backend::{
    Backend, ChangeCell, ChangeTable, Error, ErrorKind, Notice, Notices, Result, Secret,
    SecretPath, SecretValue, Which,
};
use tokio::time::Instant;

use self::flight::{Flights, Landed, Shared};
pub use self::settings::CacheSettings;
use self::shelf::{Key, Shelf};
use crate::{Origin, Standing};

/// What part of the bytes missing names may take, so that a guest that asks for many does not
/// evict values.
const MISSING_SHARE: usize = 8;

/// Keeps values and missing names in memory, asks for each once at a time, and bridges an outage.
///
/// A value is dropped at once when it is changed through this, and when the store answers not-found,
/// permission-denied or unauthenticated (which drops everything). One whose change counter moved is
/// never served again, and dropped by the next call for it or by [`Store::sweep`](crate::Store::sweep). What is dropped
/// is wiped when its last reader is done. What others write elsewhere shows within `ttl`, and so
/// does a change whose answer was lost and that the store carries out later; where the store gives
/// notice of changes, at its next notice.
///
/// A `get_many` is answered from here too, and asks for all that is missing in one call, which is
/// not shared with other callers.
pub struct Cached {
    inner: Arc<dyn Backend>,
    settings: CacheSettings,
    changes: Arc<ChangeTable>,
    /// Moves where a refusal drops something, for those who remember above and for reads under way:
    /// what was asked for before it is not kept after. Not `changes`: that would have the
    /// neighbours of a refused name read anew.
    drops: Arc<ChangeTable>,
    /// Picks the counters of `drops`. Unknown to guests: who has many names refused must not be able
    /// to choose whose values are not kept.
    picks: RandomState,
    state: Mutex<State>,
    #[expect(dead_code, reason = "notices come as long as it lives")]
    notices: Option<Notices>,
}

#[derive(Clone)]
struct Kept {
    value: Arc<SecretValue>,
    version: u64,
    expires: Option<u64>,
    stamp: Stamp,
}

/// When something was read, and under which numbers of its change counters.
#[derive(Clone, Copy)]
struct Stamp {
    at: Instant,
    wall: u64,
    under: Numbers,
}

/// The numbers of a name's change counters: of writes made on this machine, and the store's own.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Numbers {
    ours: u64,
    theirs: Option<u64>,
}

impl Numbers {
    /// Whether no writer is between beginning and end.
    fn are_stable(self) -> bool {
        self.ours.is_multiple_of(2) && self.theirs.is_none_or(|number| number.is_multiple_of(2))
    }
}

impl Stamp {
    fn now(under: Numbers) -> Self {
        Self {
            at: Instant::now(),
            wall: wall(),
            under,
        }
    }

    /// Whether this was read after `other` began to be, with no change in between.
    fn is_later(&self, other: &Self) -> bool {
        self.under == other.under && self.at > other.at
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
}

impl State {
    fn forget(&mut self, path: &SecretPath) {
        self.values.drop_path(path);
        self.missing.drop_path(path);
        self.flights.drop_path(path);
    }

    /// What a read says that began after `stamp` and ended before.
    fn later(&mut self, key: &Key, stamp: &Stamp) -> Option<Result<Kept>> {
        if let Some(kept) = self.values.find(key).filter(|k| k.stamp.is_later(stamp)) {
            return Some(match expired(kept) {
                true => Err(Error::not_found()),
                false => Ok(kept.clone()),
            });
        }
        let missing = self.missing.find(key);
        let missing = missing.is_some_and(|missing| missing.is_later(stamp));
        missing.then(|| Err(Error::not_found()))
    }

    fn clear(&mut self) {
        self.values.clear();
        self.missing.clear();
        self.flights.clear();
    }
}

/// What a call finds before it asks the store.
enum Found {
    Value(Kept, Origin),
    Missing(Stamp),
}

impl Cached {
    /// Keeps answers of `inner`. `changes` carries the writes made on this machine: one table for
    /// each store, shared by all processes that use it.
    pub fn new(
        inner: Arc<dyn Backend>,
        settings: CacheSettings,
        changes: Arc<ChangeTable>,
    ) -> Self {
        let missing = settings.max_bytes / MISSING_SHARE;
        let noticed = Arc::clone(&changes);
        let notices = inner.notices(Arc::new(move |notice| match notice {
            Notice::Changed(path) => noticed.cell(hash(path)).step(),
            Notice::Any => noticed.change_all(),
        }));
        Self {
            notices,
            inner,
            changes,
            drops: ChangeTable::in_memory(),
            picks: RandomState::new(),
            state: Mutex::new(State {
                values: Shelf::new(settings.max_bytes - missing),
                missing: Shelf::new(missing),
                flights: Flights::default(),
            }),
            settings,
        }
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
        self.changes.cell(hash(path))
    }

    fn drop_cell(&self, path: &SecretPath) -> ChangeCell {
        self.drops.cell(self.picks.hash_one(path.as_str()))
    }

    fn numbers(&self, path: &SecretPath) -> Numbers {
        Numbers {
            ours: self.own_cell(path).load(),
            theirs: self.inner.change_cell(path).map(|cell| cell.load()),
        }
    }

    /// What an answer hangs on that was read under `numbers`, and under `dropped` of the counter of
    /// refusals.
    fn standing(&self, path: &SecretPath, numbers: Numbers, dropped: u64) -> Option<Standing> {
        let theirs = self.inner.change_cell(path).zip(numbers.theirs);
        let ours = [
            (self.own_cell(path), numbers.ours),
            (self.drop_cell(path), dropped),
        ];
        numbers
            .are_stable()
            .then(|| Standing::on(ours.into_iter().chain(theirs)))
    }

    fn look(&self, state: &mut State, key: &Key, numbers: Numbers) -> Option<Found> {
        if let Some(kept) = state.values.find(key).cloned() {
            let age = kept.stamp.age();
            let longest = self.settings.ttl.max(self.settings.max_stale);
            if kept.stamp.under != numbers || age >= longest || expired(&kept) {
                state.values.drop_one(key);
            } else if age < self.settings.ttl {
                let age_ms = millis(age);
                return Some(Found::Value(kept, Origin::Cached { age_ms }));
            }
        }
        let stamp = *state.missing.find(key)?;
        if stamp.under == numbers && stamp.age() < self.settings.negative_ttl {
            return Some(Found::Missing(stamp));
        }
        state.missing.drop_one(key);
        None
    }

    /// What a flight asks and keeps.
    async fn fetch(&self, key: &Key, which: Which, numbers: Numbers) -> Landed {
        let (stamp, dropped) = (Stamp::now(numbers), self.drop_cell(&key.0).load());
        let answer = self.inner.get(&key.0, which).await;
        self.learn(key, stamp, dropped, answer)
            .map_err(|error| (Shared::new(error), stamp))
    }

    /// Keeps what the store answered, where it stands. `dropped` is the number of the counter of
    /// refusals from before it was asked.
    fn learn(&self, key: &Key, stamp: Stamp, dropped: u64, answer: Result<Secret>) -> Result<Kept> {
        let mut state = self.state();
        // Under the lock, so that who moves the counter and then drops finds what is kept here.
        let stands = stamp.under.are_stable()
            && self.drop_cell(&key.0).load() == dropped
            && self.numbers(&key.0) == stamp.under;
        match answer {
            Ok(secret) => {
                // A slow read that began earlier may be the older one.
                if let Some(later) = state.later(key, &stamp) {
                    return later;
                }
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
                        let later = state.later(key, &stamp).is_some();
                        // A missing version says nothing of the others; no current one does.
                        let drops = match key.1 {
                            None => state.values.drop_path(&key.0),
                            Some(_) => state.values.drop_one(key),
                        };
                        if drops {
                            // Who joins a call from before would remember its answer as of now.
                            state.flights.drop_path(&key.0);
                            self.drop_cell(&key.0).step();
                        }
                        if stands && !later {
                            state.missing.keep(key.clone(), stamp, 0);
                        }
                    }
                    kind => self.refused(&mut state, &key.0, kind),
                }
                Err(error)
            }
        }
    }

    /// A stale value in place of a temporary failure, where there is one that may be served.
    fn bridge(&self, key: &Key) -> Option<(Kept, Origin)> {
        let numbers = self.numbers(&key.0);
        let mut state = self.state();
        let kept = state.values.find(key).filter(|kept| {
            kept.stamp.under == numbers
                && kept.stamp.age() < self.settings.max_stale
                && !expired(kept)
        });
        let kept = kept.cloned()?;
        let age_ms = millis(kept.stamp.age());
        Some((kept, Origin::Stale { age_ms }))
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
            self.refused(&mut self.state(), path, error.kind());
        }
        answer
    }

    fn refused(&self, state: &mut State, path: &SecretPath, kind: ErrorKind) {
        match kind {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => {
                state.forget(path);
                self.drop_cell(path).step();
            }
            // Whatever is kept was read with credentials that are good no more.
            ErrorKind::Unauthenticated => self.drop_all(state),
            _ => {}
        }
    }

    /// Under the lock of `state`: a read that ends in between would be kept.
    fn drop_all(&self, state: &mut State) {
        state.clear();
        self.drops.change_all();
    }
}

/// A change under way. At its end, cancelled or not, nothing read before it counts any more.
struct Changing<'c> {
    cache: &'c Cached,
    path: &'c SecretPath,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.cache.own_cell(self.path).step();
        self.cache.state().forget(self.path);
    }
}

/// Every process must pick the same counter, so the key of the hash is nobody's secret.
fn hash(path: &SecretPath) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new();
    path.as_str().hash(&mut hasher);
    hasher.finish()
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
