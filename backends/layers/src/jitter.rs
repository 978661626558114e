//! Chance, replaceable in tests.

use std::sync::Arc;
use std::time::Duration;

/// Picks a part of a duration, so that clients that failed together do not come back together.
#[derive(Clone)]
pub struct Jitter(Arc<dyn Fn() -> u32 + Send + Sync>);

impl Jitter {
    /// Any part of the whole, from the operating system's random numbers; the whole where there
    /// are none.
    pub fn random() -> Self {
        Self::from_fn(|| getrandom::u32().unwrap_or(u32::MAX))
    }

    /// What `part` says, in 1/`u32::MAX` of the whole.
    pub fn from_fn(part: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(part))
    }

    /// A part of `whole`.
    pub fn of(&self, whole: Duration) -> Duration {
        whole.mul_f64(f64::from((self.0)()) / f64::from(u32::MAX))
    }
}

impl Default for Jitter {
    fn default() -> Self {
        Self::random()
    }
}
