//! The service's clock, as its replies show it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use azure_core::http::headers::{HeaderName, Headers};
use azure_core::time::parse_rfc7231;

/// The last `Date` of the service, and when it came.
#[derive(Debug, Default)]
pub(crate) struct ServiceClock(Mutex<Option<Seen>>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Whole seconds; the service's clock was in this second.
    date: u64,
    came: Instant,
    /// By our own clock.
    local: u64,
}

const DATE: HeaderName = HeaderName::from_static("date");

/// The longest wait for the service's clock: it counts versions by the second, and another of its
/// servers may be a little behind.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);

impl ServiceClock {
    pub(crate) fn saw(&self, headers: &Headers) {
        let date = headers.get_optional_str(&DATE);
        let Some(Ok(date)) = date.map(parse_rfc7231) else {
            return;
        };
        *self.lock() = u64::try_from(date.unix_timestamp()).ok().map(|date| Seen {
            date,
            came: Instant::now(),
            local: local_ms() / 1000,
        });
    }

    /// How long until the service's clock is surely past `second`.
    pub(crate) fn until_past(&self, second: u64) -> Duration {
        let Some(seen) = *self.lock() else {
            return Duration::from_secs(1);
        };
        let ahead = second.saturating_add(1).saturating_sub(seen.date);
        let wait = Duration::from_secs(ahead).saturating_sub(seen.came.elapsed());
        wait.min(LONGEST_WAIT)
    }

    /// How many seconds the service's clock was ahead of ours (negative: behind).
    pub(crate) fn ahead(&self) -> Option<i64> {
        let seen = (*self.lock())?;
        i64::try_from(seen.date)
            .ok()?
            .checked_sub_unsigned(seen.local)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since the Unix epoch, by our own clock.
pub(crate) fn local_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(date: &'static str) -> ServiceClock {
        let clock = ServiceClock::default();
        let mut headers = Headers::new();
        headers.insert(DATE, date);
        clock.saw(&headers);
        clock
    }

    #[test]
    fn a_write_waits_until_the_second_of_the_last_one_is_over() {
        // 1571703760
        let clock = clock("Tue, 22 Oct 2019 00:22:40 GMT");
        assert_eq!(clock.until_past(1_571_703_759), Duration::ZERO);
        let wait = clock.until_past(1_571_703_760);
        assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1));
        assert_eq!(clock.until_past(1_571_703_790), LONGEST_WAIT);
    }

    #[test]
    fn without_a_date_a_second_is_waited() {
        assert_eq!(clock("yesterday").until_past(7), Duration::from_secs(1));
    }
}
