//! Whose files are taken: owners, modes, links and kinds.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use crate::error::{Fault, Result};

/// Bits with which group or others write.
const OTHERS_WRITE: u32 = 0o022;
/// Bits with which group or others read.
const OTHERS_READ: u32 = 0o044;
/// In a sticky folder nobody can rename or replace what another user made.
const STICKY: u32 = 0o1000;

/// How strictly a store looks at what it finds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) allow_links: bool,
    pub(crate) readable_by_others: bool,
}

impl Rules {
    /// Checks a file that is about to be read.
    pub(crate) fn check_file(self, path: &Path, stat: &Stat) -> Result<()> {
        let shown = path.display();
        let mode = stat.st_mode;
        if FileType::from_raw_mode(mode) != FileType::RegularFile {
            return Err(Fault::Refused(format!("{shown} is not a plain file")));
        }
        check_owner(path, stat)?;
        if mode & OTHERS_WRITE != 0 {
            return Err(Fault::Refused(format!(
                "group or others may write {shown}: take that away with `chmod go-w`"
            )));
        }
        if mode & OTHERS_READ != 0 && !self.readable_by_others {
            return Err(Fault::Refused(format!(
                "group or others may read {shown}: take that away with `chmod go-r`, or say \
                 `readable-by-others = true` if it is meant to be so"
            )));
        }
        // A second name may be what another user gave to a file of ours, or it may stand where
        // others can reach it.
        if stat.st_nlink > 1 && !self.allow_links {
            return Err(Fault::Refused(format!(
                "{shown} has further names (hard links): copy it, or say `allow-links = true`"
            )));
        }
        Ok(())
    }

    /// Checks a symbolic link that is about to be followed. Its mode means nothing.
    pub(crate) fn check_link(self, path: &Path, stat: &Stat) -> Result<()> {
        if self.allow_links {
            return check_owner(path, stat);
        }
        Err(Fault::Refused(format!(
            "{} is a symbolic link: say `allow-links = true` if it is meant to be one",
            path.display()
        )))
    }
}

/// Checks a folder that names are about to be looked up in.
pub(crate) fn check_folder(path: &Path, stat: &Stat) -> Result<()> {
    check_owner(path, stat)?;
    let sticky = stat.st_mode & STICKY != 0 && stat.st_uid == 0;
    if stat.st_mode & OTHERS_WRITE != 0 && !sticky {
        return Err(Fault::Refused(format!(
            "group or others may write to the folder {}: take that away with `chmod go-w`",
            path.display()
        )));
    }
    Ok(())
}

/// The folder at `path` without links; nobody else may change any folder on the way to it, by the
/// text of the path or by where that leads.
pub(crate) fn real_folder(path: &Path) -> Result<PathBuf> {
    let missing = |source: std::io::Error| {
        Fault::Config(format!(
            "cannot find the folder {}: {source}",
            path.display()
        ))
    };
    let real = std::fs::canonicalize(path).map_err(missing)?;
    let given = std::path::absolute(path).map_err(missing)?;
    for folder in given.ancestors().skip(1).chain(real.ancestors()) {
        let stat = rustix::fs::stat(folder).map_err(Fault::io("cannot look at", folder))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Fault::Config(format!(
                "{} is not a folder",
                folder.display()
            )));
        }
        check_folder(folder, &stat)?;
    }
    Ok(real)
}

/// Refuses what belongs neither to us nor to root, also where root asks.
fn check_owner(path: &Path, stat: &Stat) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    let (owner, shown) = (stat.st_uid, path.display());
    if owner == me || owner == 0 {
        return Ok(());
    }
    Err(Fault::Refused(if me == 0 {
        format!("{shown} belongs to user {owner}: run this as that user")
    } else {
        format!("{shown} belongs to user {owner}, who could change it at any time")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Rules = Rules {
        allow_links: false,
        readable_by_others: false,
    };
    const MOUNTED: Rules = Rules {
        allow_links: true,
        readable_by_others: true,
    };

    /// What a fresh file of ours looks like, with a mode.
    fn stat(mode: u32) -> Stat {
        let file = tempfile::tempfile().unwrap();
        let mut stat = rustix::fs::fstat(file).unwrap();
        (stat.st_mode, stat.st_nlink) = (mode, 1);
        stat
    }

    fn refuses(rules: Rules, stat: &Stat) -> bool {
        matches!(
            rules.check_file(Path::new("x"), stat),
            Err(Fault::Refused(_))
        )
    }

    #[test]
    fn modes_of_files() {
        for mode in [0o600, 0o400, 0o700, 0o711] {
            assert!(!refuses(STRICT, &stat(0o100_000 | mode)), "{mode:o}");
        }
        for mode in [0o640, 0o604, 0o444, 0o644] {
            assert!(refuses(STRICT, &stat(0o100_000 | mode)), "{mode:o}");
            assert!(!refuses(MOUNTED, &stat(0o100_000 | mode)), "{mode:o}");
        }
        for mode in [0o620, 0o602, 0o666, 0o664, 0o1666] {
            assert!(refuses(MOUNTED, &stat(0o100_000 | mode)), "{mode:o}");
        }
    }

    #[test]
    fn only_plain_files_with_one_name() {
        // FIFO, character device, folder, block device, link, socket.
        for kind in [
            0o010_000, 0o020_000, 0o040_000, 0o060_000, 0o120_000, 0o140_000,
        ] {
            assert!(refuses(MOUNTED, &stat(kind | 0o600)), "{kind:o}");
        }
        let mut linked = stat(0o100_600);
        linked.st_nlink = 2;
        assert!(refuses(STRICT, &linked));
        assert!(!refuses(MOUNTED, &linked));
    }

    #[test]
    fn other_owners_are_refused() {
        let mut other = stat(0o100_600);
        other.st_uid = rustix::process::geteuid().as_raw() + 1;
        assert!(refuses(MOUNTED, &other));
        assert!(MOUNTED.check_link(Path::new("x"), &other).is_err());
        assert!(check_folder(Path::new("x"), &other).is_err());
        other.st_uid = 0;
        assert!(!refuses(STRICT, &other));
        assert!(MOUNTED.check_link(Path::new("x"), &other).is_ok());
        assert!(STRICT.check_link(Path::new("x"), &other).is_err());
    }

    #[test]
    fn folders_of_others() {
        let check = |mode: u32, owner: u32| {
            let mut stat = stat(0o040_000 | mode);
            stat.st_uid = owner;
            check_folder(Path::new("x"), &stat).is_ok()
        };
        let me = rustix::process::geteuid().as_raw();
        assert!(check(0o755, me) && check(0o700, 0) && check(0o1777, 0));
        assert!(!check(0o777, me) && !check(0o775, 0) && !check(0o757, me));
        assert!(!check(0o1777, me + 1));
    }
}
