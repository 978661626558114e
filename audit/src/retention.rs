//! Closed files: their names, ends and ages.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::files::{self, Secrecy};
use crate::line::{MAX_LINE, parse_line};

/// The end of a closed file, as the record of its removal names it.
pub(crate) struct FileEnd {
    pub(crate) path: PathBuf,
    seq: u64,
    mac: [u8; 32],
    hash: [u8; 32],
}

impl FileEnd {
    pub(crate) fn detail(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!(
            "last-seq={} mac={} hash={} file={name}",
            self.seq,
            hex::encode(self.mac),
            hex::encode(self.hash)
        )
    }
}

/// Closed files of a log with their first seq, in order.
pub(crate) fn closed_files(log: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let folder = files::folder(log);
    let stem = format!("{}-", log.file_stem().unwrap_or_default().to_string_lossy());
    let extension = log
        .extension()
        .map_or_else(String::new, |e| format!(".{}", e.to_string_lossy()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io("cannot list", folder, e))? {
        let name = entry
            .map_err(|e| Error::io("cannot list", folder, e))?
            .file_name();
        let name = name.to_string_lossy();
        let digits = name
            .strip_prefix(&stem)
            .and_then(|rest| rest.strip_suffix(&extension));
        let digits = digits.filter(|d| d.len() == 20 && d.bytes().all(|b| b.is_ascii_digit()));
        if let Some(digits) = digits {
            // More than a number holds is no file of ours, and must not be passed over in silence.
            let first = digits.parse().unwrap_or(u64::MAX);
            found.push((first, folder.join(&*name)));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Oldest closed files whose last record is older than `keep_for`; a younger one ends the list.
pub(crate) fn removable(log: &Path, keep_for: Duration, now: i64) -> Result<Vec<FileEnd>, Error> {
    let keep = i64::try_from(keep_for.as_micros()).unwrap_or(i64::MAX);
    let mut ends = Vec::new();
    for (_, path) in closed_files(log)? {
        let line = last_line(&path)?;
        let record =
            parse_line(&line).map_err(|e| Error::tampered(format!("{}: {e}", path.display())))?;
        let Some(time) = record.time_us() else { break };
        if now.saturating_sub(time) <= keep {
            break;
        }
        ends.push(FileEnd {
            path,
            seq: record.seq,
            mac: record.mac,
            hash: Sha256::digest(&line).into(),
        });
    }
    Ok(ends)
}

pub(crate) fn remove(log: &Path, file: &Path) -> Result<(), Error> {
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove", file, e))
        }
        _ => files::sync_folder(files::folder(log)),
    }
}

pub(crate) fn last_line(path: &Path) -> Result<Vec<u8>, Error> {
    let file: File = files::open_checked(path, false, Secrecy::Public)?;
    let size = file
        .metadata()
        .map_err(|e| Error::io("cannot examine", path, e))?
        .len();
    let start = size.saturating_sub(MAX_LINE as u64);
    let mut tail = vec![0; MAX_LINE];
    let read =
        files::read_at(&file, &mut tail, start).map_err(|e| Error::io("cannot read", path, e))?;
    tail.truncate(read);
    let whole = tail.strip_suffix(b"\n").unwrap_or(&tail);
    Ok(whole
        .rsplit(|b| *b == b'\n')
        .next()
        .unwrap_or_default()
        .to_vec())
}
