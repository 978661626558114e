//! One call for all who want the same at the same time.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_backend::{Error, ErrorKind, SecretPath};
use tokio::sync::OnceCell;

use super::shelf::Key;
use super::{Kept, Numbers, Stamp, State};

/// What a call came to.
pub(super) type Landed = Result<Kept, (Shared, Stamp)>;

type Landing = OnceCell<Landed>;

/// Calls under way, each under the numbers of the change counters that it began with.
#[derive(Default)]
pub(super) struct Flights(BTreeMap<Key, (Numbers, Arc<Landing>)>);

impl Flights {
    /// Joins the call for `key`, or begins one. A call from before a change is left to those who
    /// wait for it already.
    pub(super) fn join<'s>(
        &mut self,
        key: &Key,
        numbers: Numbers,
        state: &'s Mutex<State>,
    ) -> Ticket<'s> {
        let begun = self.0.get(key).filter(|(under, _)| *under == numbers);
        let landing = match begun {
            Some((_, landing)) => Arc::clone(landing),
            None => {
                let landing = Arc::new(Landing::new());
                self.0.insert(key.clone(), (numbers, Arc::clone(&landing)));
                landing
            }
        };
        Ticket {
            key: key.clone(),
            landing,
            state,
        }
    }

    pub(super) fn drop_path(&mut self, path: &SecretPath) {
        self.0.retain(|(of, _), _| of != path);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A place in a call. The call ends for good when it has landed or the last of these is dropped.
pub(super) struct Ticket<'s> {
    key: Key,
    landing: Arc<Landing>,
    state: &'s Mutex<State>,
}

impl Ticket<'_> {
    /// The answer. One of those who wait makes the call; where it is cancelled, the next one does.
    pub(super) async fn land<C>(&self, call: impl FnOnce() -> C) -> Landed
    where
        C: Future<Output = Landed>,
    {
        self.landing.get_or_init(call).await.clone()
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = state.flights.0.get(&self.key);
        let over = mine.is_some_and(|(_, landing)| {
            // Two: the map's and this one. More are made under this lock only.
            Arc::ptr_eq(landing, &self.landing)
                && (landing.initialized() || Arc::strong_count(landing) == 2)
        });
        if over {
            state.flights.0.remove(&self.key);
        }
    }
}

/// A failure that several callers get.
#[derive(Clone)]
pub(super) struct Shared(Arc<Error>);

impl Shared {
    pub(super) fn new(error: Error) -> Self {
        Self(Arc::new(error))
    }

    pub(super) fn into_error(self) -> Error {
        let kind: ErrorKind = self.0.kind();
        let text = self.0.to_string();
        Error::new(kind, text).with_source(self)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
