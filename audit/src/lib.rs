//! Strongroom's fail-closed, tamper-evident audit log.

mod chain;
mod checkpoint;
mod claim;
mod entry;
mod error;
mod files;
mod journal;
mod keys;
mod line;
mod log;
mod options;
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
