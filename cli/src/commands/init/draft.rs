//! What a killed `init` leaves: a draft that can be finished, or one to name.
//!
//! The configuration is the last piece that a draft gets and the last that leaves it. So a draft
//! without one was either never whole or is empty, and no piece of it is in use.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{CONFIG, Plan, cannot, exists};
use crate::failure::Failure;

/// How the folders begin that hold what is being made.
pub(super) const PREFIX: &str = ".strongroom-init-";

/// Keeps every other `init` out of a folder: a draft in it is then a dead one's.
pub(super) fn lock(folder: &Path) -> Result<File, Failure> {
    let file = File::open(folder).map_err(|e| cannot("open", folder, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::unavailable(format!(
            "another `strongroom init` is at work in {}",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(cannot("lock", folder, &error)),
    }
}

/// The draft of this plan in its folder, if there is one; those that were never whole go.
///
/// # Errors
///
/// There is one that this plan cannot finish: nothing of it is touched.
pub(super) fn left(plan: &Plan) -> Result<Option<PathBuf>, Failure> {
    if exists(&plan.folder.join(CONFIG)) {
        return Ok(None);
    }
    let entries = fs::read_dir(&plan.folder).map_err(|e| cannot("read", &plan.folder, &e))?;
    let mut found = None;
    for entry in entries {
        let entry = entry.map_err(|e| cannot("read", &plan.folder, &e))?;
        let draft = plan.folder.join(entry.file_name());
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
            || !is_ours(&draft)
        {
            continue;
        }
        if !exists(&draft.join(CONFIG)) {
            fs::remove_dir_all(&draft).map_err(|e| cannot("remove", &draft, &e))?;
            continue;
        }
        match wrong(plan, &draft) {
            Some(why) => return Err(stuck(plan, &draft, &why)),
            None if found.is_some() => {
                return Err(stuck(plan, &draft, "there are two of them"));
            }
            None => found = Some(draft),
        }
    }
    Ok(found)
}

/// The refusal that names a draft, and what it has in its place already.
pub(super) fn stuck(plan: &Plan, draft: &Path, why: &str) -> Failure {
    let placed = plan
        .results()
        .into_iter()
        .map(|name| plan.folder.join(name));
    let files: Vec<String> = std::iter::once(draft.to_owned())
        .chain(placed.filter(|path| exists(path)))
        .map(|path| path.display().to_string())
        .collect();
    Failure::usage(format!(
        "an `init` broke off here and left {}, which cannot be finished: {why}",
        draft.display()
    ))
    .hint(format!(
        "run it again with the arguments that it had; or, if no vault was used here yet, remove {}",
        files.join(", ")
    ))
}

/// Why a draft is not what this plan makes, or not whole together with what left it already.
fn wrong(plan: &Plan, draft: &Path) -> Option<String> {
    if fs::read(draft.join(CONFIG)).ok()? != plan.template().into_bytes() {
        return Some("it was made with other arguments".to_owned());
    }
    plan.results().into_iter().find_map(|name| {
        match (exists(&draft.join(&name)), exists(&plan.folder.join(&name))) {
            (true, true) => Some(format!("{name} is there twice")),
            (false, false) => Some(format!("{name} is missing")),
            _ => None,
        }
    })
}

/// Others could have made the folder in a place that all may write to.
fn is_ours(draft: &Path) -> bool {
    draft.symlink_metadata().is_ok_and(|about| {
        about.is_dir()
            && about.uid() == rustix::process::geteuid().as_raw()
            && about.mode() & 0o077 == 0
    })
}
