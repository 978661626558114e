//! The store's lock: one writer at a time, over all processes.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::{Fault, Result};
use crate::files;

/// How long a writer waits for the others. A batch of a key rotation takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A lock file. The kernel frees the lock when its holder dies.
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: files::open_lock(path)?,
        })
    }

    /// Waits for the lock, and holds it until the answer is dropped.
    pub(crate) fn hold(&mut self) -> Result<Held<'_>> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(200);
        loop {
            match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                // Who removes the file would split the writers into two groups.
                Ok(()) if self.is_in_place() => return Ok(Held(&self.file)),
                Ok(()) => self.file = files::open_lock(&self.path)?,
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    if Instant::now() >= deadline {
                        return Err(Fault::Busy(
                            "another program has been writing to the store for 10 seconds",
                        ));
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(5));
                }
                Err(error) => return Err(Fault::io("cannot lock", &self.path)(error.into())),
            }
        }
    }

    fn is_in_place(&self) -> bool {
        let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        match (self.file.metadata(), self.path.symlink_metadata()) {
            (Ok(held), Ok(named)) => id(held) == id(named),
            _ => false,
        }
    }
}

/// The lock, held.
pub(crate) struct Held<'l>(&'l File);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Closing the file or dying unlocks as well.
        let _ = rustix::fs::flock(self.0, FlockOperation::Unlock);
    }
}
