//! The broker without guests: decisions, records, freshness, races and limits.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod chain;
mod decide;
mod fields;
mod fresh;
mod hang;
mod layers;
mod list;
mod quota;
mod race;
mod reload;
mod sync;
mod write;
