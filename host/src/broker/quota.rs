//! What one component may use in a second, and at once.

use std::sync::atomic::{AtomicU64, Ordering};

/// A rate with a burst of one second, by the generic cell rate algorithm: one atomic, no timer.
///
/// The state is the time, in nanoseconds, at which all that was taken so far is paid for.
pub(crate) struct Rate {
    /// Nanoseconds that one unit costs, with 10 binary places; 0 for no limit.
    cost: AtomicU64,
    paid_until: AtomicU64,
}

const BURST_NS: u64 = 1_000_000_000;
const SCALE_BITS: u32 = 10;

impl Rate {
    /// `per_second` units a second; 0 for no limit.
    pub(crate) fn new(per_second: u64) -> Self {
        let rate = Self {
            cost: AtomicU64::new(0),
            paid_until: AtomicU64::new(0),
        };
        rate.set(per_second);
        rate
    }

    /// Puts another rate in force.
    pub(crate) fn set(&self, per_second: u64) {
        let cost = match per_second {
            0 => 0,
            rate => ((BURST_NS << SCALE_BITS) / rate).max(1),
        };
        self.cost.store(cost, Ordering::Relaxed);
    }

    /// Takes `units` at the time `now_us`.
    ///
    /// Where the clock steps back, what was paid for is capped to one second ahead of `now_us`.
    ///
    /// # Errors
    ///
    /// The milliseconds until they will be there; nothing is taken then.
    #[inline]
    pub(crate) fn take(&self, units: u64, now_us: u64) -> Result<(), u64> {
        let cost = self.cost.load(Ordering::Relaxed);
        if cost == 0 {
            return Ok(());
        }
        let now = now_us.saturating_mul(1000);
        // More than a burst can hold is charged as a full one, so that a large value can pass.
        let price = (units.saturating_mul(cost) >> SCALE_BITS).min(BURST_NS);
        let mut state = self.paid_until.load(Ordering::Relaxed);
        loop {
            let from = state.clamp(now, now.saturating_add(BURST_NS));
            let until = from.saturating_add(price);
            if until > now.saturating_add(BURST_NS) {
                let wait = until - now - BURST_NS;
                return Err(wait.div_ceil(1_000_000));
            }
            let swap = self.paid_until.compare_exchange_weak(
                state,
                until,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swap {
                Ok(_) => return Ok(()),
                Err(now_there) => state = now_there,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_next_call_waits() {
        let rate = Rate::new(10);
        let now = 1_000_000_000;
        for _ in 0..10 {
            assert_eq!(rate.take(1, now), Ok(()));
        }
        assert_eq!(rate.take(1, now), Err(100));
        assert_eq!(rate.take(1, now + 99_000), Err(1));
        assert_eq!(rate.take(1, now + 100_000), Ok(()));
    }

    #[test]
    fn no_limit_means_none() {
        let rate = Rate::new(0);
        assert!((0..1000).all(|_| rate.take(u64::MAX, 5).is_ok()));
    }

    #[test]
    fn a_clock_that_steps_back_does_not_block_for_long() {
        let rate = Rate::new(1);
        assert_eq!(rate.take(1, 9_000_000_000), Ok(()));
        assert_eq!(rate.take(1, 1_000_000), Err(1000));
        assert_eq!(rate.take(1, 2_000_000), Err(1000), "refusals take nothing");
    }
}
