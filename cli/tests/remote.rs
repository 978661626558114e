//! The command over the servers of other people's stores: every verb, copies between them, what
//! `doctor` says of each way to be wrong, and what never shows.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

#[path = "remote/chains.rs"]
mod chains;
#[path = "remote/configuration.rs"]
mod configuration;
#[path = "remote/copies.rs"]
mod copies;
#[path = "remote/doctor.rs"]
mod doctor;
// No Key Vault can be installed; this one of ours is held to account by the tests of its store.
#[allow(unreachable_pub, reason = "the tests of the store use the rest of it")]
#[path = "../../backends/azure/tests/fake/mod.rs"]
mod fake;
#[path = "remote/leaks.rs"]
mod leaks;
#[path = "remote/programs.rs"]
mod programs;
#[path = "remote/servers.rs"]
mod servers;
// The emulator of GCP drops the annotations that listings need; this one of ours does not.
#[allow(unreachable_pub, reason = "the tests of the store use the rest of it")]
#[path = "../../backends/gcp/tests/strict/mod.rs"]
mod strict;
mod support;
#[path = "remote/sync.rs"]
mod sync;
#[path = "remote/verbs.rs"]
mod verbs;
