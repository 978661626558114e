//! Which files in the folder of journals are journals, and whether their writers live.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::files;
use crate::journal::layout::MAX_JOURNAL;

/// Files in the folder of journals that are named as none; more are counted.
const MAX_STRANGE: u64 = 8;

/// A journal is rounded up to whole pages.
const JOURNAL_SLACK: usize = 64 * 1024;

/// The folder of a log's journals.
pub(crate) fn journal_folder(log: &Path) -> PathBuf {
    files::with_suffix(log, ".journals")
}

/// A journal found in the folder.
pub(crate) struct Found {
    pub(crate) writer: String,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Its process lives.
    pub(crate) live: bool,
}

/// What the folder of journals holds.
#[derive(Default)]
pub(crate) struct Journals {
    /// Those that are not live stay locked by us until they are dropped.
    pub(crate) found: Vec<Found>,
    /// What is no journal of ours and is left alone.
    pub(crate) notes: Vec<String>,
}

/// Looks into the folder. Names and files there may be anybody's who runs as our user: only what a
/// writer of ours makes counts.
pub(crate) fn journals(log: &Path) -> Result<Journals, Error> {
    let folder = journal_folder(log);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Journals::default()),
        Err(e) => return Err(Error::io("cannot list", &folder, e)),
    };
    let mut journals = Journals::default();
    let mut strange = 0;
    for entry in entries {
        let name = entry
            .map_err(|e| Error::io("cannot list", &folder, e))?
            .file_name();
        let path = folder.join(&name);
        let name = name.to_string_lossy();
        let writer = name.strip_suffix(".journal").filter(|id| is_writer_id(id));
        let draft = name.strip_prefix('.').and_then(|n| n.strip_suffix(".new"));
        let taken = match (writer, draft.filter(|id| is_writer_id(id))) {
            (None, None) => Err("its name is not a writer's".to_owned()),
            _ => open_journal(&path),
        };
        match (taken, writer) {
            (Ok(None), _) => {}
            (Ok(Some((file, live))), Some(writer)) => journals.found.push(Found {
                writer: writer.to_owned(),
                path,
                file,
                live,
            }),
            // Never came to be a journal: its writer died before it could record anything. One that
            // is not locked yet is younger than that.
            (Ok(Some((_, live))), None) => {
                if !live && is_old(&path) {
                    let _ = std::fs::remove_file(&path);
                }
            }
            (Err(why), _) => {
                strange += 1;
                if strange <= MAX_STRANGE {
                    // Debug form: the name may hold anything.
                    journals.notes.push(format!(
                        "{name:?} in {} is no journal and is left alone: {why}",
                        folder.display()
                    ));
                }
            }
        }
    }
    if strange > MAX_STRANGE {
        journals.notes.push(format!(
            "{} more files in {} are no journals and are left alone",
            strange - MAX_STRANGE,
            folder.display()
        ));
    }
    journals.found.sort_by(|a, b| a.writer.cmp(&b.writer));
    Ok(journals)
}

/// Opens what has a journal's name, and tells whether its process lives; `None` if it ended properly
/// while we looked, and why not if it is no journal.
fn open_journal(path: &Path) -> Result<Option<(File, bool)>, String> {
    // Asked before opening: opening a pipe or a device may do something.
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Err("it is not a regular file".to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    }
    let file = match files::open(path, OpenOptions::new().read(true).write(true)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) if files::is_read_only(&e) => {
            files::open(path, OpenOptions::new().read(true)).map_err(|e| e.to_string())?
        }
        Err(e) => return Err(e.to_string()),
    };
    let meta = file.metadata().map_err(|e| e.to_string())?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err("it belongs to another user".to_owned());
    }
    if meta.mode() & 0o077 != 0 {
        return Err("group or others have rights to it".to_owned());
    }
    if meta.len() > (MAX_JOURNAL + JOURNAL_SLACK) as u64 {
        return Err("it is too large".to_owned());
    }
    let free = files::try_lock(&file, false).map_err(|e| e.to_string())?;
    if free && !matches!(files::same_file(path, &file), Ok(true)) {
        // Ended properly while we looked.
        return Ok(None);
    }
    Ok(Some((file, !free)))
}

/// Exactly what a writer's id is made of: nothing else may come into the log through a file's name.
fn is_writer_id(name: &str) -> bool {
    name.len() == 26
        && name
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z'))
}

fn is_old(path: &Path) -> bool {
    let modified = std::fs::metadata(path)
        .and_then(|meta| meta.modified())
        .ok();
    modified
        .and_then(|at| at.elapsed().ok())
        .is_some_and(|age| age.as_secs() > 60)
}
