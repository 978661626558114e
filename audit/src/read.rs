//! Reading a log beside its writers.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::claim::{self, Claim};
use crate::error::Error;
use crate::files::{self, LockFile, Secrecy};
use crate::journals::{Journals, journals};
use crate::keys::Keys;
use crate::recover;
use crate::retention;

/// How long the log's lock is waited for; writers hold it for milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a log and its key are.
#[derive(Clone, Debug)]
pub struct Location {
    /// The log's file.
    pub log: PathBuf,
    /// The key file.
    pub key: PathBuf,
    /// The key may be a symbolic link.
    pub allow_links: bool,
}

/// Everything that belongs to a log at one moment.
pub(crate) struct Snapshot {
    pub(crate) files: Vec<FilePart>,
    pub(crate) head: Result<Option<Claim>, Error>,
    pub(crate) live: Result<Option<Claim>, Error>,
    pub(crate) keys: Keys,
    pub(crate) journals: Vec<Journal>,
    /// What lies among the journals and is none.
    pub(crate) notes: Vec<String>,
}

/// One file of the log, as far as it was written at that moment.
pub(crate) struct FilePart {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// From its name; `None` for the file that is written to.
    pub(crate) first: Option<u64>,
    pub(crate) len: u64,
    pub(crate) place: (u64, u64),
}

/// A writer's journal, and the records in it that the log does not have yet.
pub(crate) struct Journal {
    pub(crate) writer: String,
    pub(crate) live: bool,
    pub(crate) damaged: bool,
    pub(crate) lines: Vec<Vec<u8>>,
}

impl Snapshot {
    pub(crate) fn take(location: &Location) -> Result<Self, Error> {
        let lock = LockFile::open_to_read(&location.log)?;
        let held = lock.as_ref().map(|lock| lock.lock(true, PATIENCE));
        let held = held.transpose()?;
        let snapshot = Self::take_locked(location)?;
        drop(held);
        Ok(snapshot)
    }

    /// The same for one who holds the log's lock.
    pub(crate) fn take_locked(location: &Location) -> Result<Self, Error> {
        let log = &location.log;
        let keys = Keys::load(&location.key, location.allow_links)?;
        let mut found = Vec::new();
        for (first, path) in retention::closed_files(log)? {
            found.push(FilePart::open(path, Some(first))?);
        }
        match FilePart::open(log.clone(), None) {
            Ok(part) => found.push(part),
            // That the log is missing is for the reader to say.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let head = claim::read_head(log, &keys.claim);
        let live = claim::read_live(log, &keys.claim, &files::boot_id());
        let Journals {
            found: there,
            notes,
        } = journals(log)?;
        let mut waiting = Vec::new();
        for found in there {
            let mut lines = Vec::new();
            let key = keys.slot_key(&found.writer);
            let damaged = recover::waiting(&found, &key, |line| lines.push(line.to_vec()));
            waiting.push(Journal {
                writer: found.writer.clone(),
                live: found.live,
                damaged,
                lines,
            });
        }
        Ok(Self {
            files: found,
            head,
            live,
            keys,
            journals: waiting,
            notes,
        })
    }
}

impl FilePart {
    fn open(path: PathBuf, first: Option<u64>) -> Result<Self, Error> {
        let file = files::open_checked(&path, false, Secrecy::Public)?;
        let meta = file
            .metadata()
            .map_err(|e| Error::io("cannot examine", &path, e))?;
        Ok(Self {
            first,
            len: meta.len(),
            place: (meta.dev(), meta.ino()),
            file,
            path,
        })
    }

    pub(crate) fn lines(self) -> Lines {
        let Self {
            path, file, len, ..
        } = self;
        Lines {
            reader: BufReader::with_capacity(1 << 20, file.take(len)),
            path,
            number: 0,
        }
    }
}

/// The lines of one file.
pub(crate) struct Lines {
    reader: BufReader<std::io::Take<File>>,
    path: PathBuf,
    /// Of the line read last, from 1.
    pub(crate) number: u64,
}

impl Lines {
    /// Reads the next line without its newline into `line`; false at the end. `whole` tells whether
    /// it had one. Of a line that is too long for a record only the beginning is given, still more
    /// than [`MAX_LINE`](crate::MAX_LINE), and as not whole.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>, whole: &mut bool) -> Result<bool, Error> {
        line.clear();
        // A file without newlines must not fill the memory.
        let limit = crate::line::MAX_LINE as u64 + 2;
        let size = self
            .reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', line)
            .map_err(|e| Error::io("cannot read", &self.path, e))?;
        *whole = line.last() == Some(&b'\n');
        if *whole {
            line.pop();
        }
        self.number += 1;
        if !*whole && size as u64 == limit {
            self.reader
                .skip_until(b'\n')
                .map_err(|e| Error::io("cannot read", &self.path, e))?;
        }
        Ok(size > 0)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
