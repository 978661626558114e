//! What a cache is told and what it tells.

use std::time::Duration;

use strongroom_backend::Secret;

/// How long and how much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long a value is taken for current.
    pub ttl: Duration,
    /// How old a value may be, counted from when it was read, that stands in during an outage. No
    /// more than `ttl` means never.
    pub max_stale: Duration,
    /// How long a missing name is taken for missing.
    pub negative_ttl: Duration,
    /// The bytes of all entries together, with what keeping them costs.
    pub max_bytes: usize,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(300),
            max_stale: Duration::from_secs(3600),
            negative_ttl: Duration::from_secs(5),
            max_bytes: 4 << 20,
        }
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The store answered now.
    Fresh,
    /// Read this many milliseconds ago, within `ttl`.
    Cached {
        /// Its age.
        age_ms: u64,
    },
    /// Read this many milliseconds ago, and the store does not answer.
    Stale {
        /// Its age.
        age_ms: u64,
    },
}

/// A value, where it came from and how long it may be remembered.
#[derive(Debug)]
pub struct Answer {
    /// The value.
    pub secret: Secret,
    /// Where it came from.
    pub origin: Origin,
    /// Until when, in milliseconds since the Unix epoch, it may be remembered above.
    pub good_until: u64,
}
