//! What a vault answered, as the broker records and remembers it.

use std::fmt::Write as _;

use strongroom_audit::Cache as CacheState;
use strongroom_backend::Secret;
use strongroom_backend_layers::{Answer, Origin, Standing, age_text};

use super::error::CallError;
use super::session::now_us;

/// How long an answer whose age is on record is remembered: about as long as that age is right.
const AGED_MS: u64 = 60_000;

/// An answer, ready for the record.
pub(crate) struct Heard {
    pub(crate) secret: Result<Secret, CallError>,
    pub(crate) cache: CacheState,
    /// Until when, in milliseconds since the epoch, it may be remembered.
    pub(crate) until: u64,
    /// What else must hold for that; none where it may not be remembered.
    pub(crate) standing: Option<Standing>,
    /// Which vault of a chain answered, how old a stale value is, how old the copy is: `key=value`
    /// words. Ages are rounded, so that a journal has few of these texts to hold.
    pub(crate) detail: Option<String>,
}

impl Heard {
    /// No vault was asked, or none answered in time.
    pub(crate) fn failed(error: CallError) -> Self {
        Self {
            secret: Err(error),
            cache: CacheState::Miss,
            until: 0,
            standing: None,
            detail: None,
        }
    }

    /// What it hangs on, where it is to be remembered at all.
    pub(crate) fn remembered(&mut self, now_ms: u64) -> Option<Standing> {
        self.standing.take().filter(|_| now_ms < self.until)
    }
}

impl From<Answer> for Heard {
    fn from(answer: Answer) -> Self {
        let mut detail = String::new();
        let mut until = answer.good_until;
        if let Some(from) = &answer.from {
            let _ = write!(detail, " from={from}");
        }
        let cache = match answer.origin {
            Origin::Fresh => CacheState::Miss,
            Origin::Cached { .. } => CacheState::Hit,
            Origin::Stale { age_ms } => {
                let _ = write!(detail, " age={}", age_text(age_ms));
                CacheState::Stale
            }
        };
        if let Some(copied) = answer.copied {
            let now = now_us() / 1000;
            let _ = write!(detail, " synced={}", age_text(now.saturating_sub(copied)));
            until = until.min(now + AGED_MS);
        }
        Self {
            secret: answer.secret.map_err(CallError::from),
            cache,
            until,
            standing: answer.standing,
            detail: (!detail.is_empty()).then(|| detail.trim_start().to_owned()),
        }
    }
}
