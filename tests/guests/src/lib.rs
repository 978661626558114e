//! What the test guests share, and where tests find them. The guests themselves are the programs in
//! `src/bin`.

#![forbid(unsafe_code)]

mod error;
mod latency;
#[cfg(not(target_family = "wasm"))]
mod locate;

pub use crate::error::{error_line, variant};
pub use crate::latency::Latencies;
#[cfg(not(target_family = "wasm"))]
pub use crate::locate::guest;
