//! The guest that the benches call: the same loop over `vault.get` and over a bare host function.
//!
//! It calls the bindings and not the SDK, whose wiping would count for one side only.

#[expect(
    unsafe_code,
    reason = "generated code: exports are raw functions of the canonical ABI"
)]
mod bindings {
    use super::Bench;

    wit_bindgen::generate!({ path: "wit", world: "bench-guest", generate_all });

    export!(Bench with_types_in self);
}

use std::cell::RefCell;
use std::time::{Duration, Instant};

use strongroom_test_guests::Latencies;

use crate::bindings::bench::bare::bare;
use crate::bindings::strongroom::vault::handle::Secret;
use crate::bindings::strongroom::vault::{types::Error, vault};
use crate::bindings::{FloodReport, Guest};

struct Bench;

thread_local! {
    static HELD: RefCell<Vec<Secret>> = const { RefCell::new(Vec::new()) };
}

impl Guest for Bench {
    fn run_get(reference: String, n: u32) -> u64 {
        checksum(n, || vault::get(&reference))
    }

    fn run_bare(reference: String, n: u32) -> u64 {
        checksum(n, || bare::get(&reference))
    }

    fn run_count(reference: String, n: u32) -> u64 {
        (0..n).fold(0, |errors, _| {
            errors + u64::from(vault::get(&reference).is_err())
        })
    }

    fn run_distinct(prefix: String, first: u32, step: u32, size: u32, n: u32) -> u64 {
        let mut at = u64::from(first);
        checksum(n, || {
            let reference = format!("{prefix}{at}");
            at = (at + u64::from(step)) % u64::from(size);
            vault::get(&reference)
        })
    }

    fn run_flood(reference: String, seconds: u32) -> FloodReport {
        let duration = Duration::from_secs(seconds.into());
        let mut latencies = Latencies::new();
        let mut errors = 0;
        let begin = Instant::now();
        let mut now = begin;
        while now.duration_since(begin) < duration {
            errors += u64::from(vault::get(&reference).is_err());
            let after = Instant::now();
            latencies.record(after.duration_since(now));
            now = after;
        }
        FloodReport {
            count: latencies.count(),
            errors,
            p50_ns: latencies.quantile_ns(500_000),
            p99_ns: latencies.quantile_ns(990_000),
            p9999_ns: latencies.quantile_ns(999_900),
            max_ns: latencies.max_ns(),
        }
    }

    fn hold(reference: String) -> u64 {
        match Secret::open(&reference) {
            Ok(secret) => {
                let version = secret.version();
                HELD.with_borrow_mut(|held| held.push(secret));
                version
            }
            #[expect(clippy::panic, reason = "nothing would be held")]
            Err(error) => panic!("the handle did not open: {error}"),
        }
    }
}

/// A number that only calls which answered can yield.
fn checksum(n: u32, mut get: impl FnMut() -> Result<Vec<u8>, Error>) -> u64 {
    let mut sum = 0_u64;
    for _ in 0..n {
        match get() {
            Ok(value) => {
                let first = value.first().copied().unwrap_or_default();
                sum = sum.wrapping_add(value.len() as u64 + u64::from(first));
            }
            #[expect(clippy::panic, reason = "a bench of failing calls measures nothing")]
            Err(error) => panic!("the call failed: {error}"),
        }
    }
    sum
}
