//! What the test guests share. The guests themselves are the programs in `src/bin`.

#![forbid(unsafe_code)]

mod latency;

pub use crate::latency::Latencies;
