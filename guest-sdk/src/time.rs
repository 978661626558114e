//! Milliseconds since the Unix epoch, as WIT has them, and the standard library's time.

use std::time::{Duration, SystemTime};

/// A time of the host as the standard library's.
///
/// One that the standard library cannot hold becomes the epoch.
pub(crate) fn from_wit(milliseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(milliseconds))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A time of the guest as the host's; before the epoch counts as the epoch.
pub(crate) fn to_wit(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// Whole seconds of a duration, rounded up so that a short one does not become none at all.
pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    let up = u64::from(duration.subsec_nanos() > 0);
    u32::try_from(duration.as_secs().saturating_add(up)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        for milliseconds in [0, 1, 1_790_000_000_123, u64::from(u32::MAX)] {
            assert_eq!(to_wit(from_wit(milliseconds)), milliseconds);
        }
    }

    #[test]
    fn a_hostile_time_does_not_panic() {
        let _ = from_wit(u64::MAX);
        assert_eq!(to_wit(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
    }

    #[test]
    fn seconds_round_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
        assert_eq!(whole_seconds(Duration::MAX), u32::MAX);
    }
}
