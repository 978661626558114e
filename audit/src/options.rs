use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::SyncFn;

/// What a record of a read survives before the value is released. Intents are on disk in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process.
    #[default]
    Process,
    /// A power cut: wait for [`Log::wait_durable`](crate::Log::wait_durable) before each release.
    Disk,
}

/// How a log is opened.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The log's file.
    pub path: PathBuf,
    /// The key file.
    pub key: PathBuf,
    /// The key may be a symbolic link, as mounted secrets are; then target and folders are checked.
    pub allow_links: bool,
    /// What reads wait for. Default: [`Durability::Process`].
    pub durability: Durability,
    /// Size in bytes at which a new file begins. Default: 1 GiB.
    pub rotate: u64,
    /// Closed files whose last record is older are removed, on record. Default: none is.
    pub keep_for: Option<Duration>,
    /// Size of this process's journal in bytes, 256 KiB to 1 GiB. Default: 16 MiB.
    pub journal: usize,
    /// The MAC key is ratcheted after so many records, and each 24 hours. Default: 1,000,000.
    pub checkpoint_every: u64,
    /// How long a record, or a wait for the disk, may take before the answer is unavailable. Default: 1 s.
    pub deadline: Duration,
    /// Stands in for `fdatasync`, for tests of slow and failing disks.
    #[doc(hidden)]
    pub sync: SyncFn,
}

impl Options {
    /// Defaults for a log and its key.
    pub fn new(path: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            key: key.into(),
            allow_links: false,
            durability: Durability::default(),
            rotate: 1 << 30,
            keep_for: None,
            journal: 16 << 20,
            checkpoint_every: 1_000_000,
            deadline: Duration::from_secs(1),
            sync: Arc::new(std::fs::File::sync_data),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("path", &self.path)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
