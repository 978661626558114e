use super::reader::{At, Section};
use super::units::parse_size;

/// How much one component may ask for. A rate allows a burst of one second's worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quotas {
    /// Calls of every kind a second.
    pub calls_per_second: u32,
    /// Calls that change something a second.
    pub changes_per_second: u32,
    /// Pages of listings a second.
    pub pages_per_second: u32,
    /// Bytes of values read and written a second.
    pub bytes_per_second: u64,
    /// Calls that wait for an answer at the same time.
    pub pending_calls: u32,
    /// Handles that an instance holds at the same time.
    pub open_handles: u32,
}

impl Quotas {
    /// A server that reads three secrets for each of 30,000 requests a second stays below; above it,
    /// records of some 500 bytes would fill the log with 50 MB a second.
    pub const CALLS_PER_SECOND: u32 = 100_000;
    /// Each change waits for the disk twice, so that a program which changes more is in a loop.
    pub const CHANGES_PER_SECOND: u32 = 1_000;
    /// 100 pages are some 10,000 names: a listing is for people and for start-up.
    pub const PAGES_PER_SECOND: u32 = 100;
    /// 64 MiB a second are 1,000 values of the largest size that a cloud store holds.
    pub const BYTES_PER_SECOND: u64 = 64 << 20;
    /// A guest with one call for each of its connections stays below what a host has in memory for it.
    pub const PENDING_CALLS: u32 = 256;
    /// One handle for each secret of a large program; each holds a value in memory.
    pub const OPEN_HANDLES: u32 = 1_024;
    /// The highest rate or count that can be set: ten million a second is no limit any more.
    pub const MOST: u64 = 10_000_000;
    /// The highest rate of bytes that can be set.
    pub const MOST_BYTES: u64 = 1 << 40;
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            calls_per_second: Self::CALLS_PER_SECOND,
            changes_per_second: Self::CHANGES_PER_SECOND,
            pages_per_second: Self::PAGES_PER_SECOND,
            bytes_per_second: Self::BYTES_PER_SECOND,
            pending_calls: Self::PENDING_CALLS,
            open_handles: Self::OPEN_HANDLES,
        }
    }
}

/// Reads a `quotas` table; what it does not name stays as in `outer`.
pub(super) fn quotas(section: Option<Section<'_, '_>>, outer: Quotas) -> Quotas {
    let Some(mut section) = section else {
        return outer;
    };
    let quotas = Quotas {
        calls_per_second: count(&mut section, "calls-per-second", outer.calls_per_second),
        changes_per_second: count(&mut section, "changes-per-second", outer.changes_per_second),
        pages_per_second: count(&mut section, "pages-per-second", outer.pages_per_second),
        bytes_per_second: bytes(&mut section, "bytes-per-second", outer.bytes_per_second),
        pending_calls: count(&mut section, "pending-calls", outer.pending_calls),
        open_handles: count(&mut section, "open-handles", outer.open_handles),
    };
    section.finish();
    quotas
}

fn count(section: &mut Section<'_, '_>, key: &'static str, outer: u32) -> u32 {
    let set = section.integer(key);
    let within = bounded(section, key, set, Quotas::MOST);
    within.and_then(|n| u32::try_from(n).ok()).unwrap_or(outer)
}

fn bytes(section: &mut Section<'_, '_>, key: &'static str, outer: u64) -> u64 {
    let Some(At { value, span }) = section.string(key) else {
        return outer;
    };
    let set = match parse_size(value) {
        Ok(value) => Some(At { value, span }),
        Err(error) => {
            let message = || format!("'{key}': {error}");
            section.reader.report(&span, message);
            None
        }
    };
    bounded(section, key, set, Quotas::MOST_BYTES).unwrap_or(outer)
}

fn bounded(section: &Section<'_, '_>, key: &str, set: Option<At<u64>>, most: u64) -> Option<u64> {
    let At { value, span } = set?;
    if (1..=most).contains(&value) {
        return Some(value);
    }
    let message = || format!("'{key}' must be from 1 to {most}: to allow nothing, give no grants");
    section.reader.report(&span, message);
    None
}
