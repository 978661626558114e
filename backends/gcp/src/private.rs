//! Reading a file that nobody else may read or change.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use zeroize::Zeroizing;

use crate::error::{Fault, Result};

/// The longest file: the largest kind, a service account's key, has some 2,400 bytes.
const MAX: usize = 64 << 10;
/// Bits with which group or others write.
const OTHERS_WRITE: u32 = 0o022;
/// Bits with which group or others do anything.
const OTHERS: u32 = 0o077;
/// In a sticky folder nobody can rename or replace what another user made.
const STICKY: u32 = 0o1000;

/// Reads a file with a credential.
pub(crate) fn read(path: &Path, allow_links: bool) -> Result<Zeroizing<Vec<u8>>> {
    let real = resolve(path, allow_links)?;
    // Without NONBLOCK a FIFO in place of the file would hang us before the check.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(&real, flags, Mode::empty()) {
        Err(rustix::io::Errno::LOOP) => {
            return Err(Fault::Config(format!(
                "{} is a symbolic link: say `allow-links = true` if it is meant to be one",
                path.display()
            )));
        }
        other => File::from(other.map_err(|error| unreadable(path, error.into()))?),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| unreadable(path, error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refused(path, "is not a plain file"));
    }
    check_owner(path, stat.st_uid)?;
    if stat.st_mode & OTHERS != 0 {
        return Err(refused(
            path,
            "can be used by group or others: take that away with `chmod 600`",
        ));
    }
    // Whole capacity from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX + 1));
    file.take(MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, error))?;
    if bytes.len() > MAX {
        return Err(refused(path, "is too long for a file of credentials"));
    }
    Ok(bytes)
}

/// The file without links on the way to it; nobody else may change a folder on either way.
fn resolve(path: &Path, allow_links: bool) -> Result<PathBuf> {
    let given = std::path::absolute(path).map_err(|error| unreadable(path, error))?;
    let real = if allow_links {
        std::fs::canonicalize(&given).map_err(|error| unreadable(path, error))?
    } else {
        let (Some(folder), Some(name)) = (given.parent(), given.file_name()) else {
            return Err(refused(path, "names no file"));
        };
        std::fs::canonicalize(folder)
            .map_err(|error| unreadable(path, error))?
            .join(name)
    };
    for folder in given.ancestors().skip(1).chain(real.ancestors().skip(1)) {
        let stat = rustix::fs::stat(folder).map_err(|error| unreadable(folder, error.into()))?;
        check_owner(folder, stat.st_uid)?;
        let sticky = stat.st_mode & STICKY != 0 && stat.st_uid == 0;
        if stat.st_mode & OTHERS_WRITE != 0 && !sticky {
            return Err(refused(
                folder,
                "can be written by group or others: take that away with `chmod go-w`",
            ));
        }
    }
    Ok(real)
}

fn check_owner(path: &Path, owner: u32) -> Result<()> {
    if owner == 0 || owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(refused(
        path,
        "belongs to another user, who could change it at any time",
    ))
}

fn refused(path: &Path, why: &str) -> Fault {
    Fault::Config(format!("{} {why}", path.display()))
}

fn unreadable(path: &Path, error: std::io::Error) -> Fault {
    Fault::Config(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn file(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        std::fs::write(&path, "{}").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn only_a_private_file_is_read() {
        for mode in [0o600, 0o400] {
            let (_dir, path) = file(mode);
            assert_eq!(&**read(&path, false).unwrap(), b"{}");
        }
        for mode in [0o640, 0o604, 0o620, 0o602, 0o666, 0o611] {
            let (_dir, path) = file(mode);
            assert!(read(&path, true).is_err(), "{mode:o}");
        }
    }

    #[test]
    fn a_link_is_followed_only_where_that_was_said() {
        let (dir, path) = file(0o600);
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(read(&link, false).is_err());
        assert!(read(&link, true).is_ok());
        assert!(read(dir.path(), false).is_err());
        assert!(read(&dir.path().join("missing"), false).is_err());
    }

    #[test]
    fn a_folder_that_others_write_is_refused() {
        let (dir, path) = file(0o600);
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(dir.path(), open).unwrap();
        assert!(read(&path, false).is_err());
    }
}
