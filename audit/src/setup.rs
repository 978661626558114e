//! Beginning a log, and beginning it anew.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::chain::{self, Chain, create_log};
use crate::claim::{self, Claim, Hex32, Live};
use crate::error::Error;
use crate::files::{self, LockFile};
use crate::keys::{Keys, first_key_path};
use crate::line::{self, Parts, TimeText};
use crate::log::Log;
use crate::options::Options;
use crate::read::{Location, Snapshot};
use crate::record::{Action, Outcome, Phase, SYSTEM};
use crate::retention;
use crate::verify::{self, Verify, verify_snapshot};

/// How long the log's lock is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `resume` did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resumed {
    /// The first record of the new file.
    pub seq: u64,
    /// What was lost, as the record says it.
    pub gap: String,
    /// Where the file that was written to was moved.
    pub kept: Option<PathBuf>,
    /// Where closed files were moved: the damaged one and those after it.
    pub also_kept: Vec<PathBuf>,
}

impl Log {
    /// Makes an empty log with its key, and the first key in a file of its own (see
    /// [`first_key_path`]) to be moved off the machine. The key's folder is made, 0700, if need be.
    ///
    /// # Errors
    /// Overwrites nothing: whatever exists already is an error.
    pub fn init(path: &Path, key: &Path) -> Result<(), Error> {
        let first = first_key_path(key);
        for taken in [
            path,
            key,
            &first,
            &files::with_suffix(path, ".head"),
            &files::with_suffix(path, ".live"),
        ] {
            if std::fs::symlink_metadata(taken).is_ok() {
                return Err(Error::Exists(taken.to_owned()));
            }
        }
        files::check_folder(files::folder(path))?;
        files::create_private_folder(files::folder(key))?;
        let keys = Keys::generate()?;
        files::create(key, b"")?;
        keys.store(key)?;
        keys.store_first(&first)?;
        let lock = LockFile::open(path)?;
        let _held = lock.lock(false, PATIENCE)?;
        begin(path, &keys, Claim::empty(files::boot_id(), 0, 0))?;
        Ok(())
    }

    /// Begins anew after a log was lost or damaged, with a record of the gap. The file that
    /// [`verify`](fn@crate::verify) refuses without the first key, and those after it, are kept beside it
    /// under other names.
    ///
    /// # Errors
    /// [`Error::Healthy`] if nothing is wrong with the log.
    pub fn resume(options: &Options) -> Result<Resumed, Error> {
        files::check_folder(files::folder(&options.path))?;
        let mut keys = Keys::load(&options.key, options.allow_links)?;
        let lock = LockFile::open(&options.path)?;
        let _held = lock.lock(false, PATIENCE)?;
        let Some((trouble, bad_file)) = why_lost(options)? else {
            return Err(Error::Healthy);
        };
        let known = newest_known(&options.path, &keys);
        let seq = known.as_ref().map_or(0, |claim| claim.seq);
        let kept = set_aside(&options.path, seq)?;
        let mut lost_first = None;
        let mut also_kept = Vec::new();
        // The newest first: cut short, what is left still begins with the bad one.
        for (first, path) in retention::closed_files(&options.path)?.into_iter().rev() {
            if bad_file.as_ref().is_none_or(|bad| path < *bad) {
                break;
            }
            also_kept.extend(move_aside(&path, seq)?);
            lost_first = Some(first);
        }
        let boot = files::boot_id();
        let mut claim = Claim {
            boot: boot.clone(),
            ..known.clone().unwrap_or_else(|| Claim::empty(boot, 0, 0))
        };
        while keys.mac.epoch < claim.epoch
            && claim.epoch - keys.mac.epoch <= crate::keys::MAX_EPOCHS
        {
            keys.mac = keys.mac.next();
        }
        claim.epoch = keys.mac.epoch;
        let lost = lost_first.unwrap_or(claim.file);
        claim.file = claim.seq + 1;
        claim.len = 0;
        claim.last = 0;
        let gap = match &known {
            Some(known) if known.len > 0 => format!(
                "lost-from={lost} lost-to={} mac={} why={}",
                known.seq,
                hex::encode(known.mac.0),
                trouble.replace(' ', "_")
            ),
            Some(known) => format!(
                "lost-from={lost} lost-to={} why={}",
                known.seq,
                trouble.replace(' ', "_")
            ),
            None => format!(
                "lost-from=unknown lost-to=unknown why={}",
                trouble.replace(' ', "_")
            ),
        };
        let seq = claim.file;
        write_first(options, &keys, claim, &gap)?;
        Ok(Resumed {
            seq,
            gap,
            kept,
            also_kept,
        })
    }
}

/// Makes the log's file, live claim and head. Call under the lock.
fn begin(path: &Path, keys: &Keys, mut claim: Claim) -> Result<(std::fs::File, Claim), Error> {
    let file = create_log(path)?;
    let meta = file
        .metadata()
        .map_err(|e| Error::io("cannot examine", path, e))?;
    claim.dev = meta.dev();
    claim.ino = meta.ino();
    Live::open(path)?.write(&claim, &keys.claim)?;
    claim::write_head(path, &claim, &keys.claim)?;
    Ok((file, claim))
}

/// What is wrong with a log, and the closed file that it begins in, if it is one; `None` if a writer
/// could open it and it verifies. Call under the lock.
fn why_lost(options: &Options) -> Result<Option<(String, Option<PathBuf>)>, Error> {
    let sync = Arc::clone(&options.sync);
    let trouble = Chain::open(&options.path, &options.key, options.allow_links, "", sync)
        .and_then(|mut chain| chain.refresh())
        .err();
    // What only needs its mode or its disk mended is not lost.
    if let Some(Error::Untrusted { .. }) = trouble {
        return Ok(None);
    }
    let what = Verify {
        location: Location {
            log: options.path.clone(),
            key: options.key.clone(),
            allow_links: options.allow_links,
        },
        first_key: None,
        checkpoint: None,
    };
    let report =
        Snapshot::take_locked(&what.location).and_then(|snapshot| verify_snapshot(&what, snapshot));
    let bad = match report {
        Ok(report) => report.bad,
        // Where it cannot be read the writer's trouble stands alone.
        Err(_) if trouble.is_some() => None,
        Err(e) => return Err(e),
    };
    let Some(bad) = bad else {
        return Ok(trouble.map(|trouble| (trouble.to_string(), None)));
    };
    if bad.what == verify::EMPTY {
        return Err(Error::Untrusted {
            path: bad.file,
            why: "is empty, which no closed file is; put it back, or remove the empty one".into(),
        });
    }
    let text = trouble.map_or_else(
        || format!("record {}: {}", bad.seq, bad.what),
        |e| e.to_string(),
    );
    let file = Some(bad.file).filter(|file| *file != options.path);
    Ok(Some((text, file)))
}

/// The furthest claim that still can be read.
fn newest_known(path: &Path, keys: &Keys) -> Option<Claim> {
    let head = claim::read_head(path, &keys.claim).ok().flatten();
    let live = Live::open(path)
        .ok()
        .and_then(|mut live| live.read(&keys.claim, &files::boot_id()).ok().flatten());
    head.into_iter()
        .chain(live)
        .max_by_key(|claim| claim.seq)
        .or_else(|| from_closed_files(path, keys))
}

/// Without any claim the closed files still tell how far the chain came.
fn from_closed_files(path: &Path, keys: &Keys) -> Option<Claim> {
    let (_, last) = retention::closed_files(path).ok()?.pop()?;
    let line = retention::last_line(&last).ok()?;
    let record = line::parse_line(&line).ok()?;
    Some(Claim {
        seq: record.seq,
        mac: Hex32(record.mac),
        hash: Hex32(Sha256::digest(&line).into()),
        file: record.seq + 1,
        epoch: keys.mac.epoch,
        ..Claim::empty(files::boot_id(), 0, 0)
    })
}

/// Moves what stands in the way, never over anything.
fn set_aside(path: &Path, seq: u64) -> Result<Option<PathBuf>, Error> {
    let live = files::with_suffix(path, ".live");
    match std::fs::remove_file(&live) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("cannot remove", &live, e));
        }
        _ => {}
    }
    move_aside(path, seq)
}

fn move_aside(path: &Path, seq: u64) -> Result<Option<PathBuf>, Error> {
    if std::fs::symlink_metadata(path).is_err() {
        return Ok(None);
    }
    for n in 1..1000 {
        let kept = files::with_suffix(path, &format!(".damaged-{seq}-{n}"));
        if std::fs::symlink_metadata(&kept).is_err() {
            std::fs::rename(path, &kept).map_err(|e| Error::io("cannot rename", path, e))?;
            return Ok(Some(kept));
        }
    }
    Err(Error::Exists(files::with_suffix(
        path,
        &format!(".damaged-{seq}-1"),
    )))
}

/// Begins the new file with the record of the gap.
fn write_first(options: &Options, keys: &Keys, claim: Claim, gap: &str) -> Result<(), Error> {
    let subject = line::subject_piece(SYSTEM, None, None);
    let (target, detail) = (line::target_piece(None, None), line::text_piece(Some(gap)));
    let mut time = TimeText::default();
    let mut out = Vec::new();
    // A writer of its own with a single record, so that no numbering is broken.
    let writer = format!("resume-{}", claim.file);
    let parts = Parts {
        seq: claim.file,
        time: time.format(chain::now_us()),
        writer: &writer,
        call: 1,
        of: None,
        subject: &subject,
        via: b"null",
        action: Action::Resumed,
        target: &target,
        version: None,
        phase: Phase::Outcome,
        outcome: Some(Outcome::Allowed),
        grant: b"null",
        policy: 0,
        cache: None,
        detail: &detail,
    };
    line::write_signed(&mut out, &parts, &claim.hash.0);
    let mac = keys.mac.mac(&out);
    line::write_mac(&mut out, &mac);
    let hash = Sha256::digest(&out).into();
    out.push(b'\n');
    // Written beside and renamed: the log appears with its first record or not at all.
    let temp = files::with_suffix(&options.path, ".resume");
    files::write_synced(&temp, &out)?;
    let meta = std::fs::metadata(&temp).map_err(|e| Error::io("cannot examine", &temp, e))?;
    let claim = Claim {
        seq: claim.file,
        mac: Hex32(mac),
        hash: Hex32(hash),
        len: out.len() as u64,
        dev: meta.dev(),
        ino: meta.ino(),
        ..claim
    };
    claim::write_head(&options.path, &claim, &keys.claim)?;
    Live::open(&options.path)?.write(&claim, &keys.claim)?;
    std::fs::rename(&temp, &options.path).map_err(|e| Error::io("cannot rename", &temp, e))?;
    files::sync_folder(files::folder(&options.path))
}
