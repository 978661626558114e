//! The fuzz targets on stable: their seeds, cut short and with bytes changed.

use std::fs;
use std::path::Path;

/// Changes of each seed; some ten seconds in all.
const CHANGES: u64 = 2_000;

/// A step of xorshift64: the same inputs in each run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn below(state: &mut u64, end: usize) -> usize {
    usize::try_from(next(state) % u64::try_from(end).unwrap()).unwrap()
}

#[test]
fn seeds_and_their_neighbours_pass() {
    for (name, target) in strongroom_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name);
        let mut seeds: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        seeds.sort();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for seed in seeds {
            let whole = fs::read(seed).unwrap();
            target(&whole);
            for _ in 0..CHANGES {
                let mut bytes = whole.clone();
                bytes.truncate(below(&mut state, whole.len() + 1));
                for _ in 0..below(&mut state, 4) {
                    if !bytes.is_empty() {
                        let at = below(&mut state, bytes.len());
                        bytes[at] = next(&mut state).to_le_bytes()[0];
                    }
                }
                target(&bytes);
            }
        }
    }
}

#[test]
fn random_bytes_pass() {
    for (_, target) in strongroom_fuzz::TARGETS {
        let mut state = 0x2545_f491_4f6c_dd1d;
        for _ in 0..CHANGES {
            let length = below(&mut state, 256);
            let bytes: Vec<u8> = (0..length)
                .map(|_| next(&mut state).to_le_bytes()[0])
                .collect();
            target(&bytes);
        }
    }
}
