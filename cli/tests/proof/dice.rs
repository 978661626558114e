//! Random numbers from a seed that is printed, so that a run can be repeated.

use std::time::{Duration, SystemTime};

/// The variable that sets the seed.
const SEED: &str = "STRONGROOM_PROOF_SEED";

/// The xorshift64* generator.
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice with the seed of the environment, or else of the clock.
    pub(crate) fn new() -> Self {
        let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            u64::try_from(now.unwrap().as_nanos()).unwrap()
        });
        println!("{SEED}={seed}");
        Self::of(seed)
    }

    fn of(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Other dice whose numbers follow from these.
    pub(crate) fn split(&mut self) -> Self {
        Self::of(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A time in milliseconds.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1000 + self.next() % ((to - from) * 1000))
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }
}
