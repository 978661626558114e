//! What a cache is told.

use std::time::Duration;

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
