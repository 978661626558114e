//! What depends on the platform's files: trust in owners and modes, atomic replacement, locks.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use zeroize::Zeroizing;

use crate::error::Error;

/// Key files are a few hundred bytes; more is not one.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// `path` with `suffix` added to its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder of a file; the current one for a bare name.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Opens without following a link at the end of the path, and never blocks on a pipe.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(flags.bits() as i32).open(path)
}

/// The filesystem, not the file, is read-only.
pub(crate) fn is_read_only(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::ROFS.raw_os_error())
}

/// Who may do what with a file of ours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Others may read it, not write it.
    Public,
    /// Nobody else may read it.
    Private,
}

/// Opens a file of the log that exists, and checks it and its folder.
pub(crate) fn open_checked(path: &Path, write: bool, secrecy: Secrecy) -> Result<File, Error> {
    let file = open(path, OpenOptions::new().read(true).write(write)).map_err(|source| {
        if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            Error::untrusted(path, "is a symbolic link")
        } else {
            Error::io("cannot open", path, source)
        }
    })?;
    check_file(path, &file, secrecy)?;
    check_folder(folder(path))?;
    Ok(file)
}

/// Creates a file that must not exist, 0600, with this content on disk.
pub(crate) fn create(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut file = open(
        path,
        OpenOptions::new().write(true).create_new(true).mode(0o600),
    )
    .map_err(|source| {
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            Error::Exists(path.to_owned())
        } else {
            Error::io("cannot create", path, source)
        }
    })?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(|e| Error::io("cannot write", path, e))?;
    sync_folder(folder(path))
}

/// Creates a folder only for us; one that exists is checked instead.
pub(crate) fn create_private_folder(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().recursive(false).mode(0o700).create(path) {
        Ok(()) => sync_folder(folder(path)),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let meta = std::fs::symlink_metadata(path);
            if !meta
                .map_err(|e| Error::io("cannot examine", path, e))?
                .is_dir()
            {
                return Err(Error::untrusted(path, "is not a folder"));
            }
            check_folder(path)
        }
        Err(e) => Err(Error::io("cannot create", path, e)),
    }
}

/// Replaces a file whole: a reader sees the old or the new one, also after a power cut.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temp = with_suffix(path, ".new");
    write_synced(&temp, content)?;
    std::fs::rename(&temp, path).map_err(|e| Error::io("cannot replace", path, e))?;
    sync_folder(folder(path))
}

/// Writes a new file, 0600, in place of whatever a crash left there.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("cannot remove", path, e));
        }
        _ => {}
    }
    let mut file = open(
        path,
        OpenOptions::new().write(true).create_new(true).mode(0o600),
    )
    .map_err(|e| Error::io("cannot create", path, e))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(|e| Error::io("cannot write", path, e))
}

/// As [`replace`], and what the old file held is overwritten, best as the filesystem can.
pub(crate) fn replace_and_erase(path: &Path, content: &[u8]) -> Result<(), Error> {
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = open(path, OpenOptions::new().write(true)).ok();
    replace(path, content)?;
    if let Some(mut old) = old {
        let size = old.metadata().map_or(0, |m| m.len()).min(MAX_KEY_FILE);
        let zeros = vec![0u8; usize::try_from(size).unwrap_or(0)];
        // The new key stands already: what fails here leaves no worse state than a journaling
        // filesystem's own copies would.
        let _ = old
            .rewind()
            .and_then(|()| old.write_all(&zeros))
            .and_then(|()| old.sync_all());
    }
    Ok(())
}

/// Makes creations, renames and removals in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| Error::io("cannot sync", path, e))
}

/// Reads a key file that only we can read, whole.
pub(crate) fn read_key(path: &Path, allow_links: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
    let real;
    let mut target = path;
    if allow_links {
        // The way to the target must be ours or root's as much as the target itself.
        check_folder(folder(path))?;
        real = std::fs::canonicalize(path).map_err(|e| Error::io("cannot open", path, e))?;
        target = &real;
    }
    let file = open_checked(target, false, Secrecy::Private)?;
    let size = file
        .metadata()
        .map_err(|e| Error::io("cannot read", path, e))?
        .len();
    if size > MAX_KEY_FILE {
        return Err(Error::malformed(path, "too large for a key file"));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE as usize + 1));
    file.take(MAX_KEY_FILE)
        .read_to_end(&mut content)
        .map_err(|e| Error::io("cannot read", path, e))?;
    Ok(content)
}

/// A regular file that is ours, that group and others cannot write, nor read where it is private.
pub(crate) fn check_file(path: &Path, file: &File, secrecy: Secrecy) -> Result<(), Error> {
    let meta = file
        .metadata()
        .map_err(|e| Error::io("cannot examine", path, e))?;
    if !meta.is_file() {
        return Err(Error::untrusted(path, "is not a regular file"));
    }
    check_owner(path, meta.uid())?;
    if meta.mode() & 0o022 != 0 {
        return Err(Error::untrusted(
            path,
            "group or others may write it; chmod go-w mends that",
        ));
    }
    if secrecy == Secrecy::Private && meta.mode() & 0o044 != 0 {
        return Err(Error::untrusted(
            path,
            "group or others may read it; chmod 600 mends that",
        ));
    }
    Ok(())
}

/// A folder whose entries nobody else can replace.
pub(crate) fn check_folder(path: &Path) -> Result<(), Error> {
    let meta = std::fs::metadata(path).map_err(|e| Error::io("cannot examine", path, e))?;
    let user = rustix::process::geteuid().as_raw();
    if meta.uid() != user && meta.uid() != 0 {
        return Err(Error::untrusted(
            path,
            format!(
                "belongs to {}, not to the user who runs this",
                user_name(meta.uid())
            ),
        ));
    }
    // In a sticky folder such as /tmp others cannot replace what is ours.
    if meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0 {
        return Err(Error::untrusted(
            path,
            "group or others may write the folder; chmod go-w mends that",
        ));
    }
    Ok(())
}

fn check_owner(path: &Path, owner: u32) -> Result<(), Error> {
    let user = rustix::process::geteuid().as_raw();
    if owner == user {
        return Ok(());
    }
    let owner = user_name(owner);
    Err(Error::untrusted(
        path,
        match user {
            0 => format!("belongs to {owner}; run this as {owner}, not as root"),
            _ => format!("belongs to {owner}, not to the user who runs this"),
        },
    ))
}

fn user_name(uid: u32) -> String {
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("user {uid}"))
}

/// The boot that this machine is in: page caches do not outlive it.
pub(crate) fn boot_id() -> String {
    #[cfg(test)]
    if let Some(boot) = TEST_BOOT.with_borrow(Clone::clone) {
        return boot;
    }
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

#[cfg(test)]
thread_local! {
    /// Another boot, for tests of what a power cut leaves.
    pub(crate) static TEST_BOOT: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
}

/// The boot as one word, to tell whether a journal is of this one.
pub(crate) fn boot_word(boot: &str) -> u64 {
    siphasher::sip::SipHasher13::new_with_keys(0, 0).hash(boot.as_bytes())
}

/// Whether an open file and a path still are the same file.
pub(crate) fn same_file(path: &Path, file: &File) -> std::io::Result<bool> {
    let (at, held) = (std::fs::symlink_metadata(path)?, file.metadata()?);
    Ok(at.dev() == held.dev() && at.ino() == held.ino())
}

/// Reads as much as there is at an offset, up to the buffer's size.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], mut offset: u64) -> std::io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset) {
            Ok(0) => break,
            Ok(n) => {
                done += n;
                offset += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// The lock file of a log. It is never removed, so that all who wait for it wait for the same one.
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

/// A lock held; dropping it lets the next one in.
pub(crate) struct Locked<'a>(&'a File);

impl LockFile {
    pub(crate) fn open(log: &Path) -> Result<Self, Error> {
        let path = with_suffix(log, ".lock");
        let file = open(
            &path,
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600),
        )
        .map_err(|e| Error::io("cannot open", &path, e))?;
        check_file(&path, &file, Secrecy::Public)?;
        Ok(Self { file, path })
    }

    /// The lock for a reader: on a read-only filesystem it is opened as it is, as others may write the
    /// same log through another mount; `None` where there it has none, as on a medium that was copied.
    pub(crate) fn open_to_read(log: &Path) -> Result<Option<Self>, Error> {
        match Self::open(log) {
            Ok(lock) => return Ok(Some(lock)),
            Err(Error::Io { source, .. }) if is_read_only(&source) => {}
            Err(e) => return Err(e),
        }
        let path = with_suffix(log, ".lock");
        match open_checked(&path, false, Secrecy::Public) {
            Ok(file) => Ok(Some(Self { file, path })),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Waits for the lock, but never longer than `patience`: another process may hang with it.
    pub(crate) fn lock(&self, shared: bool, patience: Duration) -> Result<Locked<'_>, Error> {
        let end = Instant::now() + patience;
        let mut pause = Duration::from_micros(50);
        loop {
            if try_lock(&self.file, shared).map_err(|e| Error::io("cannot lock", &self.path, e))? {
                // Deleted and made anew, the lock file would keep two writers from seeing each other.
                return match same_file(&self.path, &self.file) {
                    Ok(true) => Ok(Locked(&self.file)),
                    _ => Err(Error::untrusted(
                        &self.path,
                        "the lock file was removed or replaced; restart what writes this log",
                    )),
                };
            }
            if Instant::now() >= end {
                return Err(Error::Unavailable(
                    "another process holds the log's lock for too long".into(),
                ));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

/// Takes the lock of a file if nobody has it.
pub(crate) fn try_lock(file: &File, shared: bool) -> std::io::Result<bool> {
    let operation = if shared {
        FlockOperation::NonBlockingLockShared
    } else {
        FlockOperation::NonBlockingLockExclusive
    };
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_that_others_may_read_a_link_and_a_pipe_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        create(&key, b"k").unwrap();
        assert_eq!(read_key(&key, false).unwrap().as_slice(), b"k");
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(
            read_key(&key, false),
            Err(Error::Untrusted { .. })
        ));
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&key, &link).unwrap();
        assert!(matches!(
            read_key(&link, false),
            Err(Error::Untrusted { .. })
        ));
        assert_eq!(read_key(&link, true).unwrap().as_slice(), b"k");
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        assert!(matches!(
            read_key(&pipe, false),
            Err(Error::Untrusted { .. })
        ));
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        create(&key, b"k").unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(matches!(
            read_key(&key, false),
            Err(Error::Untrusted { .. })
        ));
    }
}
