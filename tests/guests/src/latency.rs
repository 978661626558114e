//! A histogram of latencies that does not grow with their number.

use std::time::Duration;

/// Buckets for each power of two: an answer is off by at most 1/128.
const SUB_BUCKETS: u64 = 128;

/// log2 of [`SUB_BUCKETS`].
const SUB_BITS: u32 = SUB_BUCKETS.trailing_zeros();

/// Enough buckets for every number of nanoseconds in a `u64`.
const BUCKETS: usize = (SUB_BUCKETS * (65 - SUB_BITS as u64)) as usize;

/// Latencies by the nanosecond, in buckets whose width is under a hundredth of their value.
#[derive(Debug)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Latencies {
    /// None yet. All the memory there will be is taken here.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            max: 0,
        }
    }

    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(ns)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(ns);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, in nanoseconds.
    #[must_use]
    pub fn max_ns(&self) -> u64 {
        self.max
    }

    /// What `per_million` millionths of them do not exceed, in nanoseconds; 0 where there are none.
    #[must_use]
    pub fn quantile_ns(&self, per_million: u64) -> u64 {
        let rank = (self.count * per_million).div_ceil(1_000_000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_end_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

/// The first 2 x `SUB_BUCKETS` numbers have a bucket each, and each power of two after them
/// `SUB_BUCKETS`.
fn bucket_of(ns: u64) -> usize {
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(SUB_BITS + 1);
    (u64::from(shift) * SUB_BUCKETS + (ns >> shift)) as usize
}

/// The largest number in a bucket.
fn upper_end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / SUB_BUCKETS).saturating_sub(1);
    let top = bucket - shift * SUB_BUCKETS;
    u64::try_from(((u128::from(top) + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_lies_in_its_bucket() {
        let mut last = 0;
        for ns in (0..5_000)
            .chain((13..64).map(|bit| 1 << bit))
            .chain([u64::MAX])
        {
            let bucket = bucket_of(ns);
            assert!(bucket >= last && bucket < BUCKETS, "{ns}");
            last = bucket;
            let end = upper_end_of(bucket);
            assert!(
                end >= ns && end - ns <= ns / 128,
                "{ns} in a bucket that ends at {end}"
            );
        }
    }

    #[test]
    fn quantiles_are_those_of_the_numbers() {
        let mut latencies = Latencies::new();
        for ns in 1..=10_000 {
            latencies.record(Duration::from_nanos(ns));
        }
        assert_eq!((latencies.count(), latencies.max_ns()), (10_000, 10_000));
        for (per_million, exact) in [(500_000, 5_000), (990_000, 9_900), (999_900, 9_999)] {
            let ns = latencies.quantile_ns(per_million);
            assert!(
                ns >= exact && ns <= exact + exact / 100,
                "{per_million}: {ns}"
            );
        }
        assert_eq!(Latencies::new().quantile_ns(500_000), 0);
    }
}
