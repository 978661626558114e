//! The order of the layers, in one place.

use std::sync::Arc;
use std::time::Duration;

use strongroom_backend::{Backend, ChangeTable};

use crate::{
    Breaker, BreakerSettings, CacheSettings, Cached, Deadline, Direct, Jitter, Retry,
    RetrySettings, Store,
};

/// What stands around a store that is across a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// How long a call may take, all its tries together.
    pub deadline: Duration,
    /// How often a read is tried.
    pub retry: RetrySettings,
    /// When the store is left alone.
    pub breaker: BreakerSettings,
    /// What is kept; none where every read goes to the store.
    pub cache: Option<CacheSettings>,
}

impl Layers {
    /// The longest that a call may take where nothing is said: what a person waits.
    pub const DEADLINE: Duration = Duration::from_secs(10);

    /// The part of the deadline that one of several tries of a read may take, in tenths: three of them and
    /// their pauses fit.
    const ONE_TRY: u32 = 3;

    /// Puts the layers around `store`. `changes` carries the writes made on this machine.
    pub fn around(&self, store: Arc<dyn Backend>, changes: Arc<ChangeTable>) -> Arc<dyn Store> {
        let jitter = Jitter::random();
        let one_try = match self.retry.attempts {
            0 | 1 => self.deadline,
            _ => self.deadline * Self::ONE_TRY / 10,
        };
        let store = Arc::new(Deadline::of_tries(store, one_try, self.deadline));
        let store = Arc::new(Retry::new(store, self.retry, jitter.clone()));
        let store = Arc::new(Deadline::new(store, self.deadline));
        let store = Arc::new(Breaker::new(store, self.breaker, jitter));
        match self.cache {
            Some(settings) => Arc::new(Cached::new(store, settings, changes)),
            None => Arc::new(Direct::far(store)),
        }
    }
}

impl Default for Layers {
    fn default() -> Self {
        Self {
            deadline: Self::DEADLINE,
            retry: RetrySettings::default(),
            breaker: BreakerSettings::default(),
            cache: Some(CacheSettings::default()),
        }
    }
}
