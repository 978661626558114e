//! Listings: the names below a folder, within bounds, and pages of names.

use std::collections::BTreeSet;
use std::ops::Bound;

use rustix::fs::FileType;
use strongroom_backend::{ListPage, SecretPath, limits};

use crate::error::{Fault, Result};
use crate::folder::{Folder, Node, names};

/// The most entries that are looked at for one listing, secrets or not; also the most keys of a
/// JSON file. Bounds the time and memory of a call on a folder that was chosen by mistake.
pub const MAX_ENTRIES: usize = 10_000;

/// A folder still to be listed.
struct Waiting {
    path: String,
    /// Device and inode of the folders above: a link to one of these begins a circle.
    above: Vec<(u64, u64)>,
}

/// The paths below `folder` that begin with `prefix`.
pub(crate) fn walk(folder: &Folder, prefix: &str) -> Result<BTreeSet<SecretPath>> {
    let mut paths = BTreeSet::new();
    let mut waiting = vec![Waiting {
        path: String::new(),
        above: Vec::new(),
    }];
    let mut seen = 0;
    while let Some(next) = waiting.pop() {
        let read = folder.find(&next.path, |node| match node {
            Node::Folder(open) => read_folder(folder, &next, &open, prefix, &mut seen).map(Some),
            Node::File(_) => Ok(None),
        })?;
        // A folder that is gone since its name was read has no secrets.
        if let Some((files, folders)) = read {
            paths.extend(files);
            waiting.extend(folders);
        }
    }
    Ok(paths)
}

/// The files and folders in one folder that can matter for `prefix`.
fn read_folder(
    folder: &Folder,
    at: &Waiting,
    open: &std::os::fd::OwnedFd,
    prefix: &str,
    seen: &mut usize,
) -> Result<(Vec<SecretPath>, Vec<Waiting>)> {
    let shown = folder.path().join(&at.path);
    let stat = rustix::fs::fstat(open).map_err(Fault::io("cannot look at", &shown))?;
    let here = (stat.st_dev, stat.st_ino);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    if at.above.contains(&here) {
        return Ok((files, folders));
    }
    for name in names(open, &shown)? {
        let name = name?;
        *seen += 1;
        if *seen > MAX_ENTRIES {
            return Err(Fault::Limit(format!(
                "{} has more than {MAX_ENTRIES} entries: too many to list",
                folder.path().display()
            )));
        }
        // Hidden names, `.` and `..` are no segments, nor are those of other characters.
        let Some(path) = path_of(&at.path, name.bytes.to_bytes()) else {
            continue;
        };
        let text = path.as_str();
        let leads_on = text.len() < limits::PATH - 1 && is_on_the_way(text, prefix);
        if !(text.starts_with(prefix) || leads_on) {
            continue;
        }
        match kind_of(folder, &path, name.kind)? {
            Some(FileType::RegularFile) if text.starts_with(prefix) => files.push(path),
            Some(FileType::Directory) if leads_on => folders.push(Waiting {
                path: text.to_owned(),
                above: at.above.iter().copied().chain([here]).collect(),
            }),
            _ => {}
        }
    }
    Ok((files, folders))
}

/// What a name leads to, through links where they are allowed; none where it is not served.
fn kind_of(folder: &Folder, path: &SecretPath, listed: FileType) -> Result<Option<FileType>> {
    let look = match listed {
        FileType::RegularFile | FileType::Directory => return Ok(Some(listed)),
        FileType::Symlink => folder.rules.allow_links,
        // Some disks do not say in a listing.
        FileType::Unknown => true,
        _ => false,
    };
    if !look {
        return Ok(None);
    }
    let found = folder.find(path.as_str(), |node| {
        Ok(match node {
            Node::File(entry) if entry.is_plain() => Some(FileType::RegularFile),
            Node::File(_) => None,
            Node::Folder(_) => Some(FileType::Directory),
        })
    });
    match found {
        // Of a link that leads astray `get` tells the reason.
        Err(Fault::Refused(_)) => Ok(None),
        found => found,
    }
}

fn path_of(folder: &str, name: &[u8]) -> Option<SecretPath> {
    let name = std::str::from_utf8(name).ok()?;
    match folder {
        "" => SecretPath::parse(name).ok(),
        folder => SecretPath::parse(&format!("{folder}/{name}")).ok(),
    }
}

/// Whether paths below the folder `path` can begin with `prefix`.
fn is_on_the_way(path: &str, prefix: &str) -> bool {
    match prefix.strip_prefix(path) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => path.starts_with(prefix),
    }
}

/// A page of sorted names.
pub(crate) fn page(
    names: &BTreeSet<SecretPath>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> ListPage {
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    let mut names = names
        .range::<str, _>((from, Bound::Unbounded))
        .take_while(|path| path.as_str().starts_with(prefix));
    let paths = names.by_ref().take(limit).cloned().collect();
    ListPage {
        paths,
        more: names.next().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_on_the_way_to_a_prefix() {
        for (path, prefix, expected) in [
            ("a", "", true),
            ("a", "a", true),
            ("a", "a/", true),
            ("a", "a/b", true),
            ("a", "ab", false),
            ("ab", "a", true),
            ("b", "a", false),
            ("a/b", "a/bc/d", false),
            ("a/b", "a/b/c", true),
        ] {
            assert_eq!(is_on_the_way(path, prefix), expected, "{path} {prefix}");
        }
    }

    #[test]
    fn pages_go_on_after_the_cursor() {
        let names = ["a", "a-b", "a/b", "b"];
        let names = names
            .iter()
            .map(|n| SecretPath::parse(n).unwrap())
            .collect();
        let page = |prefix, after, limit| {
            let page = page(&names, prefix, after, limit);
            let paths: Vec<_> = page.paths.iter().map(ToString::to_string).collect();
            (paths.join(" "), page.more)
        };
        assert_eq!(page("", None, 2), ("a a-b".to_owned(), true));
        assert_eq!(page("", Some("a-b"), 2), ("a/b b".to_owned(), false));
        assert_eq!(page("a", Some("0"), 9), ("a a-b a/b".to_owned(), false));
        assert_eq!(page("a", Some("b"), 9), (String::new(), false));
        assert_eq!(page("", None, 0), (String::new(), true));
    }
}
