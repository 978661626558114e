//! Who may change a file, or put another in its place.

use std::fs::Metadata;
use std::path::Path;

/// A file that somebody else could change or replace, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Exposed(String);

/// Passes a file that only this user and root can change or replace: it and the folder that it lies
/// in belong to them, and group and others may write neither. A symbolic link is followed, as
/// mounted configurations need, where they made it; the folder of its target counts as well.
///
/// `opened` is of the file that was opened under `path`, so that it is what was read. Folders above
/// the file's own are not looked at.
///
/// # Errors
///
/// [`Exposed`] with what is open to whom; it reads on from the name of the file.
pub fn refuse_others(path: &Path, opened: &Metadata) -> Result<(), Exposed> {
    platform::refuse_others(path, opened).map_err(Exposed)
}

#[cfg(unix)]
mod platform {
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use rustix::fs::StatVfsMountFlags;

    /// Group and others may write.
    const OPEN: u32 = 0o022;
    const STICKY: u32 = 0o1000;

    pub(super) fn refuse_others(path: &Path, opened: &Metadata) -> Result<(), String> {
        let mode = opened.mode();
        if mode & OPEN != 0 {
            let mode = mode & 0o7777;
            let path = path.display();
            return Err(format!(
                "may be written by group or others (mode {mode:04o}): run 'chmod go-w {path}'"
            ));
        }
        let uid = opened.uid();
        if foreign(uid) {
            return Err(format!(
                "belongs to user {uid}, who could change it: be that user, or make it yours"
            ));
        }
        let link = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
        let uid = link.uid();
        if link.is_symlink() && foreign(uid) {
            return Err(format!(
                "is a symbolic link of user {uid}, who could point it elsewhere"
            ));
        }
        refuse_folder(path)?;
        if link.is_symlink() {
            let target = path.canonicalize().map_err(|error| error.to_string())?;
            refuse_folder(&target)?;
        }
        Ok(())
    }

    /// The folder of a file that is known to be this user's or root's: in a sticky folder others
    /// cannot replace it. On a mount without writing nobody can: so are Kubernetes' ConfigMaps,
    /// whose folder is open to all.
    fn refuse_folder(path: &Path) -> Result<(), String> {
        let cannot = |error: &dyn std::fmt::Display| {
            format!("is in a folder that cannot be looked at: {error}")
        };
        let folder = match path.parent() {
            None => return Ok(()),
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
        };
        let folder = folder.canonicalize().map_err(|error| cannot(&error))?;
        let about = fs::metadata(&folder).map_err(|error| cannot(&error))?;
        let (uid, mode) = (about.uid(), about.mode());
        let open = mode & OPEN != 0 && mode & STICKY == 0;
        if !open && !foreign(uid) {
            return Ok(());
        }
        let mount = rustix::fs::statvfs(&folder).map_err(|error| cannot(&error))?;
        if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Ok(());
        }
        let name = folder.display();
        if foreign(uid) {
            return Err(format!(
                "is in the folder {name} of user {uid}, who could put another file in its place"
            ));
        }
        let mode = mode & 0o7777;
        Err(format!(
            "is in the folder {name}, where group or others could put another file in its place (mode {mode:04o}): run 'chmod go-w {name}'"
        ))
    }

    fn foreign(uid: u32) -> bool {
        uid != rustix::process::geteuid().as_raw() && uid != 0
    }
}

#[cfg(not(unix))]
mod platform {
    use std::fs::Metadata;
    use std::path::Path;

    /// Who may write a file cannot be told here: one that nobody checked is refused.
    pub(super) fn refuse_others(_: &Path, _: &Metadata) -> Result<(), String> {
        Err("cannot be checked for who may write it on this operating system".into())
    }
}
