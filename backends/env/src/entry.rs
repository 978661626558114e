//! A file that was found, and how it is read.

use std::ffi::CString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::error::{Fault, Result};
use crate::trust::Rules;

/// A name that was looked up in an open folder and is no folder, and what stands there.
pub(crate) struct Entry {
    pub(crate) parent: OwnedFd,
    pub(crate) name: CString,
    /// What stood there when it was found.
    pub(crate) stat: Stat,
    /// Its path, for messages.
    pub(crate) shown: PathBuf,
}

/// The bytes of a file, and its state when they were read.
pub(crate) type Content = (Zeroizing<Vec<u8>>, Stat);

impl Entry {
    /// Whether it is a plain file. Its owner and mode are looked at when it is read.
    pub(crate) fn is_plain(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::RegularFile
    }

    /// Its checked state.
    pub(crate) fn stat(self, rules: Rules) -> Result<Stat> {
        rules.check_file(&self.shown, &self.stat)?;
        Ok(self.stat)
    }

    /// Its bytes, of at most `limit`.
    pub(crate) fn read(self, rules: Rules, limit: u64) -> Result<Content> {
        // Before it is opened: opening a FIFO waits, and opening a device can do anything.
        rules.check_file(&self.shown, &self.stat)?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.parent, &self.name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => {
                return Err(Fault::Changed(self.shown));
            }
            file => File::from(file.map_err(Fault::io("cannot open", &self.shown))?),
        };
        let before = self.look_at(&file)?;
        if (before.st_dev, before.st_ino) != (self.stat.st_dev, self.stat.st_ino) {
            return Err(Fault::Changed(self.shown));
        }
        rules.check_file(&self.shown, &before)?;
        let bytes = self.read_whole(&file, &before, limit)?;
        if stamp(&before) == stamp(&self.look_at(&file)?) {
            Ok((bytes, before))
        } else {
            Err(Fault::Changed(self.shown))
        }
    }

    /// Reads as many bytes as the file said to have, into a buffer that never grows: one that does
    /// leaves copies behind.
    fn read_whole(&self, mut file: &File, stat: &Stat, limit: u64) -> Result<Zeroizing<Vec<u8>>> {
        let too_large = || Fault::TooLarge {
            path: self.shown.clone(),
            limit,
        };
        let size = u64::try_from(stat.st_size).map_err(|_| too_large())?;
        if size > limit {
            return Err(too_large());
        }
        let size = usize::try_from(size).map_err(|_| too_large())?;
        // One more byte, which only a file that grew has.
        let mut bytes = Zeroizing::new(vec![0; size + 1]);
        let mut filled = 0;
        while let Some(space) = bytes.get_mut(filled..).filter(|space| !space.is_empty()) {
            match file.read(space) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(Fault::Io {
                        what: "cannot read",
                        path: self.shown.clone(),
                        source,
                    });
                }
            }
        }
        if filled != size {
            return Err(Fault::Changed(self.shown.clone()));
        }
        bytes.truncate(size);
        Ok(bytes)
    }

    fn look_at(&self, file: &File) -> Result<Stat> {
        rustix::fs::fstat(file).map_err(Fault::io("cannot look at", &self.shown))
    }
}

/// When and how a file was last changed: the same before and after a whole read.
fn stamp(stat: &Stat) -> (i64, i64, u64, i64, u64) {
    (
        stat.st_size,
        stat.st_mtime,
        stat.st_mtime_nsec,
        stat.st_ctime,
        stat.st_ctime_nsec,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_or_shrinks_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let shown = dir.path().join("a");
        std::fs::write(&shown, "0123456789").unwrap();
        let file = File::open(&shown).unwrap();
        let entry = Entry {
            parent: File::open(dir.path()).unwrap().into(),
            name: c"a".to_owned(),
            stat: rustix::fs::fstat(&file).unwrap(),
            shown,
        };
        for claimed in [0, 9, 11, 1000] {
            let mut stat = entry.look_at(&file).unwrap();
            stat.st_size = claimed;
            std::io::Seek::rewind(&mut &file).unwrap();
            let read = entry.read_whole(&file, &stat, 1000);
            assert!(matches!(read, Err(Fault::Changed(_))), "{claimed}");
        }
        let mut stat = entry.look_at(&file).unwrap();
        stat.st_size = 1001;
        let read = entry.read_whole(&file, &stat, 1000);
        assert!(matches!(read, Err(Fault::TooLarge { limit: 1000, .. })));
    }
}
