//! How far this machine's clock and the service's are apart.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use strongroom_backend::Result;
use strongroom_backend_remote::clock::compared;

/// Beyond this a signature may be refused; the service allows five minutes.
const MOST_SECONDS: u64 = 240;
const UNKNOWN: i64 = i64::MIN;

/// The difference that the last reply showed.
#[derive(Debug)]
pub(crate) struct Clock(AtomicI64);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }

    /// Takes the `Date` header of a reply.
    pub(crate) fn look(&self, date: Option<&str>) {
        if let Some(seconds) = date.and_then(ahead) {
            self.0.store(seconds, Ordering::Relaxed);
        }
    }

    /// By how many seconds the service's clock is ahead of ours.
    pub(crate) fn seconds(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|seconds| *seconds != UNKNOWN)
    }
}

/// By how many seconds the clock behind a `Date` header is ahead of ours.
pub(crate) fn ahead(date: &str) -> Option<i64> {
    let theirs = DateTime::from_str(date, Format::HttpDate).ok()?.secs();
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    theirs.checked_sub(i64::try_from(ours).ok()?)
}

/// What a check says of it.
pub(crate) fn line(seconds: i64) -> Result<String> {
    compared(
        seconds,
        MOST_SECONDS,
        "its signatures are refused beyond five minutes",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_tells_the_difference() {
        let clock = Clock::new();
        clock.look(None);
        clock.look(Some("yesterday"));
        assert_eq!(clock.seconds(), None);
        let now = DateTime::from(SystemTime::now()).secs();
        let date = DateTime::from_secs(now + 600)
            .fmt(Format::HttpDate)
            .unwrap();
        clock.look(Some(&date));
        let seconds = clock.seconds().unwrap();
        assert!((598..=602).contains(&seconds), "{seconds}");
        assert!(line(seconds).unwrap_err().to_string().contains("behind"));
    }
}
