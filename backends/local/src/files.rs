//! Who may touch the files of a store: owners, modes, links and kinds of disk.
//!
//! Everything that another user could plant or change is refused before it is opened. Names are
//! checked within a folder that only we and root can write, so nothing can change between the
//! check and the use.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use zeroize::Zeroizing;

use crate::error::{Fault, Result};

/// Bits with which group or others write.
const OTHERS_WRITE: u32 = 0o022;
/// Bits with which group or others do anything.
const OTHERS: u32 = 0o077;

/// The paths of a store: the SQLite file and what stands beside it.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) store: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) changes: PathBuf,
}

impl Paths {
    /// The paths for `path`, in a folder that is fit for a store. Links in the folder's path are
    /// resolved; the file's own name may not be one.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| Fault::Config(format!("{} names no file", path.display())))?;
        let folder = check_folder(parent(path))?;
        refuse_network(&folder)?;
        let store = folder.join(name);
        Ok(Self {
            lock: beside(&store, ".lock"),
            changes: beside(&store, ".changes"),
            store,
        })
    }

    /// Device and inode of the store's file.
    pub(crate) fn identity(&self) -> Result<(u64, u64)> {
        let stat = rustix::fs::stat(&self.store)
            .map_err(|error| Fault::io("cannot find", &self.store)(error.into()))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// The length of the write-ahead log in bytes.
    pub(crate) fn log_length(&self) -> u64 {
        beside(&self.store, "-wal")
            .symlink_metadata()
            .map_or(0, |log| log.len())
    }

    /// Checks the store and what SQLite and we put beside it.
    pub(crate) fn check(&self) -> Result<()> {
        check_file(&self.store, OTHERS_WRITE)?;
        for suffix in ["-wal", "-shm", "-journal", ".lock", ".changes"] {
            match check_file(&beside(&self.store, suffix), OTHERS_WRITE) {
                Err(Fault::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                other => {
                    other?;
                }
            }
        }
        Ok(())
    }
}

/// Checks that the folder of `file` is fit for a store or a key, as opening one does.
///
/// # Errors
///
/// `PermissionDenied` where others could change what it holds, `Config` where there is no such
/// folder or it is on a network file system.
pub fn check_place(file: &Path) -> strongroom_backend::Result<()> {
    Paths::new(file).map(drop).map_err(Into::into)
}

/// `path` with `suffix` at the end of its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes a file that is not there yet, with mode 0600 whatever the umask.
pub(crate) fn make_private(path: &Path) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::fs::open(path, flags, mode)
        .and_then(|fd| rustix::fs::fchmod(&fd, mode).map(|()| fd))
        .map_err(|error| Fault::io("cannot make", path)(error.into()))?;
    Ok(File::from(file))
}

/// Makes a folder with mode 0700 where there is none, and checks one that is there.
pub(crate) fn make_private_folder(path: &Path) -> Result<PathBuf> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) => rustix::fs::chmod(path, Mode::RWXU)
            .map_err(|error| Fault::io("cannot set the mode of", path)(error.into()))?,
        Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(Fault::io("cannot make the folder", path)(error.into())),
    }
    check_folder(path)
}

/// Writes a new private file, whole or not at all, and makes it last through a power cut.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = parent(path).join(format!(".{name}.{}.new", std::process::id()));
    // Left by a process of our number that died here: nothing has ever used it.
    let _ = std::fs::remove_file(&draft);
    let written = write_draft(&draft, bytes).and_then(|()| {
        let here = rustix::fs::CWD;
        rustix::fs::renameat_with(here, &draft, here, path, RenameFlags::NOREPLACE)
            .map_err(|error| Fault::io("cannot make", path)(error.into()))
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written?;
    sync_folder(parent(path))
}

fn write_draft(draft: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = make_private(draft)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(Fault::io("cannot write", draft))
}

/// Makes the names in a folder last through a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Fault::io("cannot sync", folder))
}

/// Opens or makes the lock file.
pub(crate) fn open_lock(path: &Path) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| Fault::io("cannot open", path)(error.into()))?;
    let stat = rustix::fs::fstat(&file)
        .map_err(|error| Fault::io("cannot look at", path)(error.into()))?;
    judge(path, &stat, OTHERS_WRITE)?;
    Ok(File::from(file))
}

/// Reads a key or passphrase file that nobody else can read, of at most `limit` bytes.
pub(crate) fn read_private(
    path: &Path,
    allow_links: bool,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>> {
    let real = if allow_links {
        let real = std::fs::canonicalize(path).map_err(Fault::io("cannot find", path))?;
        check_ancestors(path)?;
        check_ancestors(&real)?;
        real
    } else {
        let name = path
            .file_name()
            .ok_or_else(|| Fault::Config(format!("{} names no file", path.display())))?;
        check_folder(parent(path))?.join(name)
    };
    // Without NONBLOCK a FIFO in place of the file would hang us before the check.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(&real, flags, Mode::empty()) {
        Err(rustix::io::Errno::LOOP) => {
            return Err(Fault::Refused(format!(
                "{} is a symbolic link: say `allow-links = true` if it is meant to be one",
                path.display()
            )));
        }
        other => File::from(other.map_err(|error| Fault::io("cannot open", path)(error.into()))?),
    };
    let stat = rustix::fs::fstat(&file)
        .map_err(|error| Fault::io("cannot look at", path)(error.into()))?;
    judge(path, &stat, OTHERS)?;
    // Whole capacity from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(Fault::io("cannot read", path))?;
    if bytes.len() > limit {
        return Err(Fault::Config(format!(
            "{} is longer than {limit} bytes",
            path.display()
        )));
    }
    Ok(bytes)
}

/// Checks that only we and root can change what a folder holds; its path without links.
fn check_folder(folder: &Path) -> Result<PathBuf> {
    let real =
        std::fs::canonicalize(folder).map_err(Fault::io("cannot find the folder", folder))?;
    let stat =
        rustix::fs::stat(&real).map_err(|e| Fault::io("cannot look at", folder)(e.into()))?;
    if stat.st_mode & OTHERS_WRITE != 0 {
        return Err(Fault::Refused(format!(
            "others may write to the folder {}: take that away with `chmod go-w`",
            real.display()
        )));
    }
    check_owner(&real, stat.st_uid)?;
    Ok(real)
}

/// Checks every folder on the way to `path`; in a sticky folder others cannot replace our files.
fn check_ancestors(path: &Path) -> Result<()> {
    let path = std::path::absolute(path).map_err(Fault::io("cannot find", path))?;
    for folder in path.ancestors().skip(1) {
        let stat =
            rustix::fs::stat(folder).map_err(|e| Fault::io("cannot look at", folder)(e.into()))?;
        let sticky = stat.st_mode & 0o1000 != 0;
        let root = stat.st_uid == 0;
        if (stat.st_mode & OTHERS_WRITE != 0 && !(sticky && root)) || !(root || mine(stat.st_uid)) {
            return Err(Fault::Refused(format!(
                "others may change the folder {}",
                folder.display()
            )));
        }
    }
    Ok(())
}

/// Checks a file by its name, which may not be a link.
fn check_file(path: &Path, forbidden: u32) -> Result<Stat> {
    let stat = rustix::fs::statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| Fault::io("cannot find", path)(error.into()))?;
    judge(path, &stat, forbidden)?;
    Ok(stat)
}

fn judge(path: &Path, stat: &Stat, forbidden: u32) -> Result<()> {
    let shown = path.display();
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => {
            return Err(Fault::Refused(format!("{shown} is a symbolic link")));
        }
        _ => return Err(Fault::Refused(format!("{shown} is not a plain file"))),
    }
    check_owner(path, stat.st_uid)?;
    if stat.st_mode & forbidden != 0 {
        return Err(Fault::Refused(format!(
            "group or others may use {shown}: take that away with `chmod 600`"
        )));
    }
    Ok(())
}

/// Refuses what another user owns. Root could read it, but would leave files behind that the
/// owner cannot open.
fn check_owner(path: &Path, owner: u32) -> Result<()> {
    if mine(owner) || (owner == 0 && path.is_dir()) {
        return Ok(());
    }
    let who = user_name(owner).unwrap_or_else(|| format!("user {owner}"));
    let shown = path.display();
    Err(Fault::Refused(if mine(0) {
        format!("{shown} belongs to {who}: run this as {who}")
    } else {
        format!("{shown} belongs to {who}, who could change it at any time")
    }))
}

fn mine(owner: u32) -> bool {
    owner == rustix::process::geteuid().as_raw()
}

fn user_name(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Refuses disks where locks and shared memory do not reach every process.
fn refuse_network(folder: &Path) -> Result<()> {
    let stat =
        rustix::fs::statfs(folder).map_err(|e| Fault::io("cannot look at", folder)(e.into()))?;
    // The magic numbers of statfs(2), which are 32 bits wide whatever the field's type.
    let kind = match stat.f_type as u32 {
        0x6969 => "NFS",
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => "SMB",
        0x0102_1997 => "9P",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x00c3_6400 => "Ceph",
        0x0bd0_0bd0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x6573_5546 if !is_local_fuse(folder) => "FUSE",
        _ => return Ok(()),
    };
    Err(Fault::Config(format!(
        "{} is on a network file system ({kind}), where locks do not hold: use a local disk",
        folder.display()
    )))
}

/// FUSE carries sshfs and its like, but also the layered disks of containers.
fn is_local_fuse(folder: &Path) -> bool {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
        return false;
    };
    local_fuse(&mounts, folder)
}

fn local_fuse(mounts: &str, folder: &Path) -> bool {
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let point = Path::new(place.split(' ').nth(4)?);
            folder
                .starts_with(point)
                .then(|| (point.components().count(), kind.split(' ').next()))
        })
        // The longest mount point holds the folder; of two at one place the later is on top.
        .max_by_key(|(depth, _)| *depth);
    matches!(mount, Some((_, Some("fuse.fuse-overlayfs" | "fuseblk"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuse_is_local_only_where_the_mount_says_so() {
        let mounts = "22 1 0:1 / / rw - ext4 /dev/a rw\n\
                      23 22 0:2 / /mnt/ssh rw - fuse.sshfs host: rw\n\
                      24 22 0:3 / /box rw - fuse.fuse-overlayfs x rw\n";
        assert!(!local_fuse(mounts, Path::new("/mnt/ssh/a")));
        assert!(local_fuse(mounts, Path::new("/box/a")));
        assert!(!local_fuse(mounts, Path::new("/home")));
    }

    #[test]
    fn root_has_a_name() {
        assert_eq!(user_name(0).as_deref(), Some("root"));
    }
}
