//! Turns, medians and ratios.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use strongroom_benches::Result;

/// From here on a sync is what a durable call waits for. Below, the disk answers from a cache of its own,
/// and what is measured is the processor.
pub(crate) const SLOW_SYNC: Duration = Duration::from_micros(500);

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) smoke: bool,
}

impl Scale {
    /// `full`, or `tiny` where only that it works is asked.
    pub(crate) fn of<T>(self, full: T, tiny: T) -> T {
        if self.smoke { tiny } else { full }
    }
}

/// What the two sides took, in nanoseconds, turn by turn.
#[derive(Default)]
pub(crate) struct Turns {
    ours: Vec<f64>,
    against: Vec<f64>,
}

/// A median, with the lowest and the highest.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl Turns {
    /// Adds one turn of each.
    pub(crate) fn add(&mut self, ours: f64, against: f64) {
        self.ours.push(ours);
        self.against.push(against);
    }

    pub(crate) fn ours(&self) -> Spread {
        Spread::of(&self.ours)
    }

    pub(crate) fn against(&self) -> Spread {
        Spread::of(&self.against)
    }

    /// Of each turn, ours by the other.
    pub(crate) fn ratio(&self) -> Spread {
        self.each(|ours, against| ours / against)
    }

    /// Of each turn, ours less the other.
    pub(crate) fn difference(&self) -> Spread {
        self.each(|ours, against| ours - against)
    }

    fn each(&self, of: impl Fn(f64, f64) -> f64) -> Spread {
        let pairs = self.ours.iter().zip(&self.against);
        let all: Vec<f64> = pairs.map(|(ours, against)| of(*ours, *against)).collect();
        Spread::of(&all)
    }
}

impl Spread {
    pub(crate) fn of(numbers: &[f64]) -> Self {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        Self {
            median: f64::midpoint(at(last / 2), at(last - last / 2)),
            lowest: at(0),
            highest: at(last),
        }
    }
}

/// Nanoseconds for one of `n`.
pub(crate) async fn each<T>(n: u32, work: impl Future<Output = Result<T>>) -> Result<(f64, T)> {
    let begun = Instant::now();
    let answer = work.await?;
    Ok((nanoseconds(begun.elapsed()) / f64::from(n), answer))
}

pub(crate) fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// What one `fsync` costs after 4 KiB were appended to a file in `folder`.
pub(crate) fn sync_cost(folder: &Path, times: u32) -> Result<Spread> {
    let path = folder.join("synced");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut costs = Vec::new();
    for _ in 0..times {
        let begun = Instant::now();
        file.write_all(&[b's'; 4096])?;
        file.sync_all()?;
        costs.push(nanoseconds(begun.elapsed()));
    }
    std::fs::remove_file(path)?;
    Ok(Spread::of(&costs))
}

/// Why a bound on waiting for the disk says nothing here; none where it does.
pub(crate) fn sync_is_too_fast(cost: Spread) -> Option<String> {
    (cost.median < nanoseconds(SLOW_SYNC))
        .then(|| format!("a sync costs no more than {:.0} us here", cost.median / 1e3))
}
