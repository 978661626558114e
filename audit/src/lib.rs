//! Strongroom's fail-closed, tamper-evident audit log.
//!
//! A [`Log`] takes one record for each decision before its effect leaves the process. Recording costs
//! some tens of nanoseconds: [`Log::append`] puts a 64-byte slot into a memory-mapped journal that
//! outlives the process; a writer thread turns slots into chained, MACed JSON Lines.
//!
//! ```
//! use strongroom_audit::{Action, Entry, Location, Log, Options, Outcome, Verify, first_key_path, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let (path, key) = (dir.path().join("audit.jsonl"), dir.path().join("keys/audit.key"));
//! Log::init(&path, &key)?;
//! let log = Log::open(Options::new(&path, &key))?;
//!
//! // Once per component and secret, then kept:
//! let billing = log.subject("component:billing", Some("01J"), None);
//! let api_key = log.target(&billing, Some("app-secrets"), Some("stripe/api-key"));
//!
//! // For each call, before the value leaves:
//! let mut entry = Entry::outcome(&billing, Action::Read, Outcome::Allowed);
//! entry.target = Some(&api_key);
//! log.append_blocking(&entry)?;
//!
//! log.close()?;
//! let location = Location { log: path, key: key.clone(), allow_links: false };
//! let report = verify(&Verify { location, first_key: Some(first_key_path(&key)), checkpoint: None })?;
//! assert!(report.is_whole());
//! # Ok(())
//! # }
//! ```
//!
//! # Files
//!
//! | file | holds |
//! | --- | --- |
//! | `audit.jsonl` | the records, one line each, 0600; [`Record`] lists the fields in their order |
//! | `audit-<first seq>.jsonl` | closed files, never renamed again |
//! | `audit.jsonl.head` | how far the log is on disk, under a MAC; replaced whole after a sync |
//! | `audit.jsonl.live` | how far it is written, under a MAC; binds within one boot |
//! | `audit.jsonl.lock` | the lock that carries the chain from process to process; never removed |
//! | `audit.jsonl.journals/` | one journal for each living writer, and for dead ones until the next open |
//! | the key file | the MAC key of the present epoch, and a fixed key for head and journals |
//! | the key file`.first` | the first MAC key, with which [`verify`](fn@verify) starts: move it off the machine |
//!
//! Each line has `prev`, the SHA-256 of the line before, and `mac`, an HMAC-SHA-256 over its bytes
//! before `,"mac"`. After each `checkpoint` record the MAC key becomes `HKDF(key)` and the old one is
//! erased. Records of the log itself have the principal `host:audit`, which nobody else can have:
//! `open`, `close`, `recovered`, `checkpoint`, `removed`, `resumed`, `clock`, `policy`, `cut`.
//!
//! # Guarantees
//!
//! - A record that [`Log::append`] acknowledged survives SIGKILL at any moment: whoever opens the log
//!   next brings it into the log before anything of its own, and ends intents without outcome as
//!   `unknown`. After [`Log::wait_durable`] it survives a power cut.
//! - When the log cannot be written, was deleted, replaced, cut or made read-only, or the disk hangs,
//!   [`Log::append`] fails within a second, idle or not, and goes on when that is mended. It never
//!   makes a new log; [`Log::resume`] does, and leaves the gap on record. A failed sync is not
//!   repeated but written again.
//! - No principal can fill the journal, or its names, for the others. All waits have a deadline.
//! - [`verify`](fn@verify) names the first record that was changed, removed, swapped, doubled or inserted, a cut
//!   tail, a lost journal or one that was damaged within a boot, and a gap in a writer's calls.
//!
//! # What it cannot do alone
//!
//! - Who takes over the host's user has the key of the present epoch and can forge from the last
//!   checkpoint on. What came before needs the first key to be forged, so keep that elsewhere.
//! - Log, head, live claim and key file rolled back together look like a log that never went
//!   further, and one wiped and begun anew with the key in force like one whose old files were
//!   removed. A [`Checkpoint`] line kept elsewhere shows both; [`Verify::checkpoint`] compares.
//! - Who can write our folders can also truncate a mapped journal, which kills the process (SIGBUS)
//!   rather than lets it release anything.
//! - Files on network filesystems have no dependable locks and are not supported.

mod chain;
mod checkpoint;
mod claim;
mod entry;
mod error;
mod files;
#[cfg(test)]
mod forged_tests;
mod journal;
mod journals;
mod keys;
mod line;
mod log;
mod options;
#[cfg(test)]
mod powercut_tests;
mod read;
mod record;
mod recover;
mod retention;
mod setup;
mod shared;
mod show;
mod sync;
mod verify;
mod writer;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use claim::StoreCounter;
pub use entry::{Counter, Entry, Subject, Target, Text, Via};
pub use error::{AppendError, Error};
pub use keys::first_key_path;
pub use line::{LineError, MAX_LINE, parse_line};
pub use log::{Health, Log};
pub use options::{Durability, Options};
pub use read::Location;
pub use record::{Action, Cache, Call, Outcome, Phase, Record, UnknownWord};
pub use setup::Resumed;
pub use show::{Filter, Follow, Show, Shown, follow, show};
pub use verify::{Bad, Report, Verify, verify};
