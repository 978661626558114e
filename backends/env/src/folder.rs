//! A folder whose files are read without ever leaving it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::entry::{Content, Entry};
use crate::error::{Fault, Result};
use crate::trust::{Rules, check_folder, real_folder};

/// The most links on the way to one file. Mounted secrets have two; a loop has no end.
const MAX_LINKS: usize = 8;

/// How often a file is looked up again that was replaced while it was read.
const ATTEMPTS: usize = 4;

/// A folder that nobody else can change, and how strictly what is in it is taken.
pub(crate) struct Folder {
    /// Its path without links.
    path: PathBuf,
    pub(crate) rules: Rules,
}

/// What a name within the folder leads to.
pub(crate) enum Node {
    File(Entry),
    Folder(OwnedFd),
}

struct Walked {
    node: Option<Node>,
    followed_links: bool,
}

impl Folder {
    /// Checks the folder and those above it.
    pub(crate) fn new(path: &Path, rules: Rules) -> Result<Self> {
        let path = real_folder(path)?;
        Ok(Self { path, rules })
    }

    /// Checks again what [`new`](Self::new) did.
    pub(crate) fn check(&self) -> Result<()> {
        real_folder(&self.path).map(drop)
    }

    /// Its path without links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file of a name, of at most `limit` bytes; none where there is no file.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Content>> {
        self.find(name, |node| match node {
            Node::File(entry) => entry.read(self.rules, limit).map(Some),
            Node::Folder(_) => Ok(None),
        })
    }

    /// The checked state of a file without its content; none where there is no file.
    pub(crate) fn stat(&self, name: &str) -> Result<Option<Stat>> {
        self.find(name, |node| match node {
            Node::File(entry) => entry.stat(self.rules).map(Some),
            Node::Folder(_) => Ok(None),
        })
    }

    /// Looks a name up and uses what is there, again where it was replaced in between. An empty
    /// name is the folder itself.
    pub(crate) fn find<R>(
        &self,
        name: &str,
        mut found: impl FnMut(Node) -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        let mut attempt = 1;
        loop {
            let walked = self.walk(name);
            let (answer, again) = match walked {
                Ok(Walked {
                    node: Some(node), ..
                }) => (found(node), false),
                // A farm of links that was replaced on the way looks as if the file were gone.
                Ok(Walked { followed_links, .. }) => (Ok(None), followed_links),
                Err(fault) => (Err(fault), false),
            };
            let again = again || matches!(answer, Err(Fault::Changed(_)));
            if !again || attempt == ATTEMPTS {
                return answer;
            }
            attempt += 1;
        }
    }

    /// Walks along a name, and along links where they are allowed. Every folder is opened beneath
    /// the one before, so that what was checked is what is used.
    fn walk(&self, name: &str) -> Result<Walked> {
        let mut open = vec![self.open()?];
        let mut shown = self.path.clone();
        let mut rest: Vec<Vec<u8>> = components(name.as_bytes()).collect();
        let mut given = rest.len();
        let mut links = 0;
        let nothing = |links| {
            Ok(Walked {
                node: None,
                followed_links: links > 0,
            })
        };
        while let Some(component) = rest.pop() {
            // Counted from the end: what is left of the name comes after what links put on top.
            let from_name = rest.len() < given;
            given = given.min(rest.len());
            if component == b".." {
                open.pop();
                shown.pop();
                if open.is_empty() {
                    return Err(leaves(&self.path));
                }
                continue;
            }
            let Some(here) = open.last() else {
                return Err(leaves(&self.path));
            };
            shown.push(std::ffi::OsStr::from_bytes(&component));
            let Ok(component) = CString::new(component) else {
                return nothing(links);
            };
            let stat = match rustix::fs::statat(here, &component, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT | Errno::NOTDIR) => return nothing(links),
                stat => stat.map_err(Fault::io("cannot look at", &shown))?,
            };
            if from_name && !is_spelled_so(here, &component, &stat)? {
                return nothing(links);
            }
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    self.rules.check_link(&shown, &stat)?;
                    links += 1;
                    let target = read_link(here, &component, &shown)?;
                    if links > MAX_LINKS || target.starts_with(b"/") {
                        return Err(leaves(&shown));
                    }
                    shown.pop();
                    rest.extend(components(&target));
                }
                FileType::Directory => {
                    let folder = open_folder(here, &component, &shown)?;
                    open.push(folder);
                }
                _ if !rest.is_empty() => return nothing(links),
                _ => {
                    let parent = open.pop().ok_or_else(|| leaves(&self.path))?;
                    return Ok(Walked {
                        node: Some(Node::File(Entry {
                            parent,
                            name: component,
                            stat,
                            shown,
                        })),
                        followed_links: links > 0,
                    });
                }
            }
        }
        Ok(Walked {
            node: open.pop().map(Node::Folder),
            followed_links: links > 0,
        })
    }

    fn open(&self) -> Result<OwnedFd> {
        open_folder(CWD, self.path.as_os_str(), &self.path)
    }
}

/// The names in an open folder, as they come, with whether each may be a file, folder or link.
pub(crate) fn names(folder: &OwnedFd, shown: &Path) -> Result<impl Iterator<Item = Result<Name>>> {
    let failed = || Fault::io("cannot list", shown);
    let dir = Dir::read_from(folder).map_err(failed())?;
    let shown = shown.to_owned();
    Ok(dir.map(move |entry| {
        let entry = entry.map_err(Fault::io("cannot list", &shown))?;
        Ok(Name {
            bytes: entry.file_name().to_owned(),
            kind: entry.file_type(),
        })
    }))
}

/// A name in a folder, and what kind of thing it was when it was listed, where the disk says so.
pub(crate) struct Name {
    pub(crate) bytes: CString,
    pub(crate) kind: FileType,
}

/// The components of a path, last first, without the empty ones and `.`.
fn components(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.rsplit(|byte| *byte == b'/')
        .filter(|component| !component.is_empty() && *component != b".")
        .map(<[u8]>::to_vec)
}

fn open_folder(beneath: impl AsFd, name: impl rustix::path::Arg, shown: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(beneath, name, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
            return Err(Fault::Changed(shown.to_owned()));
        }
        folder => folder.map_err(Fault::io("cannot open the folder", shown))?,
    };
    let stat = rustix::fs::fstat(&folder).map_err(Fault::io("cannot look at", shown))?;
    check_folder(shown, &stat)?;
    Ok(folder)
}

fn read_link(folder: impl AsFd, name: &CStr, shown: &Path) -> Result<Vec<u8>> {
    match rustix::fs::readlinkat(folder, name, Vec::new()) {
        Err(Errno::NOENT | Errno::INVAL) => Err(Fault::Changed(shown.to_owned())),
        target => Ok(target
            .map_err(Fault::io("cannot read the link", shown))?
            .into_bytes()),
    }
}

/// Whether a name that was found is the one on the disk. Disks that ignore case or dots at the end
/// find one file under several names, and then only the listed one counts.
fn is_spelled_so(folder: &OwnedFd, name: &CStr, stat: &Stat) -> Result<bool> {
    let bytes = name.to_bytes();
    let swapped: Vec<u8> = bytes
        .iter()
        .map(|b| match b.is_ascii_lowercase() {
            true => b.to_ascii_uppercase(),
            false => b.to_ascii_lowercase(),
        })
        .collect();
    let undotted = bytes.strip_suffix(b".").unwrap_or_default();
    let others = [swapped.as_slice(), undotted];
    for other in others.into_iter().filter(|o| !o.is_empty() && *o != bytes) {
        let same = rustix::fs::statat(folder, other, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|other| (other.st_dev, other.st_ino) == (stat.st_dev, stat.st_ino));
        if same {
            return lists(folder, name);
        }
    }
    Ok(true)
}

fn lists(folder: &OwnedFd, name: &CStr) -> Result<bool> {
    let shown = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    for entry in names(folder, shown)? {
        if entry?.bytes.as_c_str() == name {
            return Ok(true);
        }
    }
    Ok(false)
}

fn leaves(path: &Path) -> Fault {
    Fault::Refused(format!(
        "the links at {} lead out of the store's folder, or in a circle",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_the_listed_spelling_counts() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Key"), "x").unwrap();
        let folder: OwnedFd = File::open(dir.path()).unwrap().into();
        assert!(lists(&folder, c"Key").unwrap());
        assert!(!lists(&folder, c"key").unwrap());
        assert!(!lists(&folder, c"Key.").unwrap());
        // Two names of one file look like a disk that ignores case, and both are listed.
        std::fs::hard_link(dir.path().join("Key"), dir.path().join("kEY")).unwrap();
        let stat = rustix::fs::statat(&folder, c"Key", AtFlags::SYMLINK_NOFOLLOW).unwrap();
        assert!(is_spelled_so(&folder, c"Key", &stat).unwrap());
        // What such a disk would find under this name, it does not list.
        assert!(!is_spelled_so(&folder, c"Key.", &stat).unwrap());
    }
}
