//! The log's file under its lock: what stands at its end, and appending to it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::claim::{self, Claim, Hex32, Live};
use crate::error::Error;
use crate::files::{self, LockFile, Secrecy};
use crate::journal::format::{Counted, counter_of};
use crate::keys::{Keys, MAX_EPOCHS, MacKey};
use crate::line::{self, MAX_LINE, RawLine};
use crate::record::{self, Action, SYSTEM};

/// Makes what was written to a file survive a power cut.
pub(crate) type SyncFn = Arc<dyn Fn(&File) -> std::io::Result<()> + Send + Sync>;

/// Everything a process knows of the end of the log. All methods but [`looks_whole`](Self::looks_whole)
/// are called under the log's lock.
pub(crate) struct Chain {
    pub(crate) path: PathBuf,
    pub(crate) lock: Arc<LockFile>,
    pub(crate) keys: Keys,
    pub(crate) claim: Claim,
    pub(crate) file: Arc<File>,
    key_path: PathBuf,
    allow_links: bool,
    /// Epoch of the key in the key file.
    stored_epoch: u64,
    live: Live,
    boot: String,
    /// Whose lines we must not write twice.
    writer: String,
    sync: SyncFn,
    whole: bool,
    tip: Tip,
    next_key: MacKey,
    counted: Vec<Counted>,
    /// Highest call of our own found in lines that we did not know to be written.
    pub(crate) found_own: u64,
    /// Bytes of a torn last line that were cut; to be noted in the log.
    pub(crate) cut: u64,
}

/// The end of the chain while a batch is made.
#[derive(Clone, Copy)]
struct Tip {
    seq: u64,
    mac: [u8; 32],
    hash: [u8; 32],
    last: u64,
    len: u64,
    ratcheted: u64,
}

impl Chain {
    /// Opens the log's files; [`refresh`](Self::refresh) must follow under the lock.
    pub(crate) fn open(
        path: &Path,
        key_path: &Path,
        allow_links: bool,
        writer: &str,
        sync: SyncFn,
    ) -> Result<Self, Error> {
        files::check_folder(files::folder(path))?;
        let keys = Keys::load(key_path, allow_links)?;
        let file = match files::open_checked(path, true, Secrecy::Public) {
            // Rotation may have been cut short; refresh tells that from a log that was deleted.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                File::open("/dev/null").map_err(|e| Error::io("cannot open", path, e))?
            }
            other => other?,
        };
        let lock = Arc::new(LockFile::open(path)?);
        let live = Live::open(path)?;
        let claim = Claim::empty(String::new(), 0, 0);
        Ok(Self {
            path: path.to_owned(),
            lock,
            stored_epoch: keys.mac.epoch,
            next_key: keys.mac.clone(),
            keys,
            tip: Tip::of(&claim),
            claim,
            file: Arc::new(file),
            key_path: key_path.to_owned(),
            allow_links,
            live,
            boot: files::boot_id(),
            writer: writer.to_owned(),
            sync,
            whole: false,
            counted: Vec::new(),
            found_own: 0,
            cut: 0,
        })
    }

    /// Whether the log still looks as we left it, without the lock and without reading it.
    pub(crate) fn looks_whole(&self) -> bool {
        self.whole && self.check_file().is_ok()
    }

    fn check_file(&self) -> Result<u64, Error> {
        let at = std::fs::symlink_metadata(&self.path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::Missing(self.path.clone()),
            _ => Error::io("cannot examine", &self.path, e),
        })?;
        let held = self
            .file
            .metadata()
            .map_err(|e| Error::io("cannot examine", &self.path, e))?;
        if (at.dev(), at.ino()) != (held.dev(), held.ino()) {
            return Err(Error::tampered(format!(
                "{} was replaced by another file",
                self.path.display()
            )));
        }
        // Root may write what is read-only; the mode is the operator's word all the same.
        if at.mode() & 0o200 == 0 {
            return Err(Error::untrusted(
                &self.path,
                "is read-only; chmod u+w mends that",
            ));
        }
        if at.mode() & 0o022 != 0 {
            return Err(Error::untrusted(
                &self.path,
                "group or others may write it; chmod go-w mends that",
            ));
        }
        if at.len() < self.claim.len {
            return Err(Error::tampered(format!(
                "{} was cut to {} bytes of {}",
                self.path.display(),
                at.len(),
                self.claim.len
            )));
        }
        Ok(at.len())
    }

    /// Brings what we know up to what stands there, and mends what may be mended.
    pub(crate) fn refresh(&mut self) -> Result<(), Error> {
        if self.whole
            && self.live.unchanged()?
            && self.check_file().is_ok_and(|len| len == self.claim.len)
        {
            return Ok(());
        }
        self.whole = false;
        self.reload()?;
        self.whole = true;
        Ok(())
    }

    fn reload(&mut self) -> Result<(), Error> {
        let (mut claim, head) = self.newest_claim()?;
        if claim.seq < self.claim.seq {
            return Err(Error::tampered(format!(
                "the log was rolled back from record {} to {}",
                self.claim.seq, claim.seq
            )));
        }
        let ratchets = claim
            .epoch
            .checked_sub(self.keys.mac.epoch)
            .filter(|n| *n <= MAX_EPOCHS);
        let ratchets =
            ratchets.ok_or_else(|| Error::tampered("the log's head is older than its key"))?;
        let mut key = self.keys.mac.clone();
        for _ in 0..ratchets {
            key = key.next();
        }
        self.file = Arc::new(self.open_end(&mut claim)?);
        let old = std::mem::replace(&mut self.claim, claim);
        if let Err(e) = self.check_file().and_then(|len| self.walk(&mut key, len)) {
            self.claim = old;
            return Err(e);
        }
        let meta = self
            .file
            .metadata()
            .map_err(|e| Error::io("cannot examine", &self.path, e))?;
        self.claim.dev = meta.dev();
        self.claim.ino = meta.ino();
        self.claim.boot.clone_from(&self.boot);
        self.keys.mac = key;
        if self.stored_epoch < self.keys.mac.epoch {
            // Another process may have stored it meanwhile; only a key file left behind is ours to mend.
            self.stored_epoch = Keys::load(&self.key_path, self.allow_links)?.mac.epoch;
        }
        if head.boot != self.boot || self.stored_epoch < self.keys.mac.epoch {
            self.settle()?;
        }
        self.live.write(&self.claim, &self.keys.claim)?;
        self.tip = Tip::of(&self.claim);
        self.next_key = self.keys.mac.clone();
        self.counted.clear();
        Ok(())
    }

    /// The claim that binds: within a boot the live one, after it the durable head.
    fn newest_claim(&mut self) -> Result<(Claim, Claim), Error> {
        let Some(head) = claim::read_head(&self.path, &self.keys.claim)? else {
            return Err(match self.path.exists() {
                true => Error::tampered("the log's head is missing"),
                false => Error::Missing(self.path.clone()),
            });
        };
        let live = match self.live.read(&self.keys.claim, &self.boot) {
            Err(Error::Tampered(_)) if head.boot != self.boot => None,
            other => other?,
        };
        match live {
            Some(live) if live.seq < head.seq => {
                Err(Error::tampered("the live claim is behind the head"))
            }
            Some(live) => Ok((live, head)),
            None if head.boot == self.boot => Err(Error::tampered("the live claim is missing")),
            None => Ok((head.clone(), head)),
        }
    }

    /// Opens the file that the chain ends in, and ends a rotation that was cut short.
    fn open_end(&self, claim: &mut Claim) -> Result<File, Error> {
        let closed = closed_name(&self.path, claim.file);
        let same_boot = claim.boot == self.boot;
        let file = match files::open_checked(&self.path, true, Secrecy::Public) {
            Ok(file) => {
                let meta = file
                    .metadata()
                    .map_err(|e| Error::io("cannot examine", &self.path, e))?;
                let same = (meta.dev(), meta.ino()) == (claim.dev, claim.ino);
                if same || (!same_boot && !closed.exists()) {
                    return Ok(file);
                }
                if meta.len() != 0 || !self.is_closed_end(&closed, claim) {
                    return Err(Error::tampered(format!(
                        "{} was replaced by another file",
                        self.path.display()
                    )));
                }
                file
            }
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                if !self.is_closed_end(&closed, claim) {
                    return Err(Error::Missing(self.path.clone()));
                }
                create_log(&self.path)?
            }
            Err(e) => return Err(e),
        };
        claim.file = claim.seq + 1;
        claim.last = 0;
        claim.len = 0;
        Ok(file)
    }

    /// Whether a closed file is what the claim says, whole.
    fn is_closed_end(&self, closed: &Path, claim: &Claim) -> bool {
        let Ok(file) = files::open_checked(closed, false, Secrecy::Public) else {
            return false;
        };
        file.metadata().is_ok_and(|meta| meta.len() == claim.len)
            && hash_at(&file, claim).is_some_and(|hash| hash == claim.hash.0)
    }

    /// Checks the claim's last record and all lines after it; cuts a torn one.
    fn walk(&mut self, key: &mut MacKey, len: u64) -> Result<(), Error> {
        if self.claim.len > 0 && hash_at(&self.file, &self.claim) != Some(self.claim.hash.0) {
            return Err(Error::tampered(format!(
                "record {} is not what the head says",
                self.claim.seq
            )));
        }
        let mut rest = Vec::new();
        let mut at = self.claim.len;
        let mut chunk = vec![0u8; 1 << 20];
        while at < len {
            let size = files::read_at(&self.file, &mut chunk, at)
                .map_err(|e| Error::io("cannot read", &self.path, e))?;
            if size == 0 {
                break;
            }
            at += size as u64;
            rest.extend_from_slice(chunk.get(..size).unwrap_or_default());
            let mut used = 0;
            while let Some(end) = rest
                .get(used..)
                .unwrap_or_default()
                .iter()
                .position(|b| *b == b'\n')
            {
                let line = rest.get(used..used + end).unwrap_or_default();
                take_line(
                    &mut self.claim,
                    key,
                    line,
                    &self.writer,
                    &mut self.found_own,
                )?;
                used += end + 1;
            }
            rest.drain(..used);
            if rest.len() > MAX_LINE {
                return Err(Error::tampered(format!(
                    "no record follows record {}",
                    self.claim.seq
                )));
            }
        }
        if !rest.is_empty() {
            self.file
                .set_len(self.claim.len)
                .map_err(|e| Error::io("cannot cut", &self.path, e))?;
            self.cut += rest.len() as u64;
        }
        Ok(())
    }

    /// The seq and `prev` of the next line.
    pub(crate) fn next(&self) -> (u64, [u8; 32]) {
        (self.tip.seq + 1, self.tip.hash)
    }

    /// Where the next line begins in its file.
    pub(crate) fn next_offset(&self) -> u64 {
        self.tip.len
    }

    /// Ends the line that begins at `start` with its MAC, and makes it the end of the chain to be.
    pub(crate) fn push(
        &mut self,
        out: &mut Vec<u8>,
        start: usize,
        checkpoint: bool,
        counter: Option<Counted>,
    ) {
        let mac = self.next_key.mac(out.get(start..).unwrap_or_default());
        line::write_mac(out, &mac);
        let bytes = out.get(start..).unwrap_or_default();
        self.tip.seq += 1;
        self.tip.mac = mac;
        self.tip.hash = Sha256::digest(bytes).into();
        self.tip.last = self.tip.len;
        self.tip.len += bytes.len() as u64 + 1;
        out.push(b'\n');
        if checkpoint {
            self.next_key = self.next_key.next();
            self.tip.ratcheted = self.tip.seq;
        }
        self.counted.extend(counter);
    }

    /// Forgets lines that were pushed and not committed.
    pub(crate) fn discard(&mut self) {
        self.tip = Tip::of(&self.claim);
        self.next_key = self.keys.mac.clone();
        self.counted.clear();
    }

    /// Writes the lines that were pushed, whole or not at all.
    pub(crate) fn commit(&mut self, out: &[u8]) -> Result<(), Error> {
        if let Err(e) = self.file.write_all_at(out, self.claim.len) {
            self.whole = false;
            self.discard();
            // Where even that fails, refresh finds whole lines of ours and does not repeat them.
            let _ = self.file.set_len(self.claim.len);
            return Err(Error::io("cannot write", &self.path, e));
        }
        self.tip.apply(&mut self.claim);
        self.claim.epoch = self.next_key.epoch;
        for counted in std::mem::take(&mut self.counted) {
            self.claim.count(
                &counted.vault,
                &counted.store,
                counted.counter,
                counted.accept,
            );
        }
        let ratcheted = self.next_key.epoch > self.keys.mac.epoch;
        if ratcheted {
            self.claim.ratcheted_at = now_seconds();
            self.keys.mac = self.next_key.clone();
        }
        // The lines stand: from here on a failure must show at the next refresh, not as theirs.
        let settled = self
            .live
            .write(&self.claim, &self.keys.claim)
            .and_then(|()| if ratcheted { self.settle() } else { Ok(()) });
        if settled.is_err() {
            self.whole = false;
        }
        Ok(())
    }

    /// Makes log, head and key durable, in this order: a key file is never ahead of the head.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        (self.sync)(&self.file).map_err(|e| Error::io("cannot sync", &self.path, e))?;
        claim::write_head(&self.path, &self.claim, &self.keys.claim)?;
        if self.stored_epoch < self.keys.mac.epoch {
            self.keys.store(&self.key_path)?;
            self.stored_epoch = self.keys.mac.epoch;
        }
        Ok(())
    }

    /// Closes the file under its name for good and begins the next one.
    pub(crate) fn rotate(&mut self) -> Result<(), Error> {
        if self.claim.len == 0 {
            return Ok(());
        }
        self.whole = false;
        self.settle()?;
        let closed = closed_name(&self.path, self.claim.file);
        if closed.exists() {
            return Err(Error::Exists(closed));
        }
        std::fs::rename(&self.path, &closed)
            .map_err(|e| Error::io("cannot rename", &self.path, e))?;
        let file = create_log(&self.path)?;
        let meta = file
            .metadata()
            .map_err(|e| Error::io("cannot examine", &self.path, e))?;
        self.file = Arc::new(file);
        self.claim.file = self.claim.seq + 1;
        self.claim.last = 0;
        self.claim.len = 0;
        self.claim.dev = meta.dev();
        self.claim.ino = meta.ino();
        self.live.write(&self.claim, &self.keys.claim)?;
        claim::write_head(&self.path, &self.claim, &self.keys.claim)?;
        self.discard();
        self.whole = true;
        Ok(())
    }

    /// Writes again, from `durable` on, what a failed sync may have lost, and syncs a fresh handle.
    /// The pages that a failed sync leaves behind pass for clean: syncing again would prove nothing.
    pub(crate) fn rewrite(&mut self, durable: &Claim) -> Result<(), Error> {
        let start = if durable.file == self.claim.file {
            durable.len
        } else {
            0
        };
        let file = files::open_checked(&self.path, true, Secrecy::Public)?;
        let mut chunk = vec![0u8; 1 << 20];
        let mut at = start;
        while at < self.claim.len {
            let size = files::read_at(&file, &mut chunk, at)
                .map_err(|e| Error::io("cannot read", &self.path, e))?;
            let size = size.min(usize::try_from(self.claim.len - at).unwrap_or(usize::MAX));
            let bytes = chunk.get(..size).filter(|bytes| !bytes.is_empty());
            let bytes = bytes.ok_or_else(|| Error::tampered("the log became shorter"))?;
            file.write_all_at(bytes, at)
                .map_err(|e| Error::io("cannot write", &self.path, e))?;
            at += size as u64;
        }
        (self.sync)(&file).map_err(|e| Error::io("cannot sync", &self.path, e))?;
        if self.claim.len > 0 && hash_at(&file, &self.claim) != Some(self.claim.hash.0) {
            return Err(Error::tampered(format!(
                "record {} is not what was written",
                self.claim.seq
            )));
        }
        Ok(())
    }
}

impl Tip {
    fn of(claim: &Claim) -> Self {
        Self {
            seq: claim.seq,
            mac: claim.mac.0,
            hash: claim.hash.0,
            last: claim.last,
            len: claim.len,
            ratcheted: claim.ratcheted,
        }
    }

    fn apply(&self, claim: &mut Claim) {
        claim.seq = self.seq;
        claim.mac = Hex32(self.mac);
        claim.hash = Hex32(self.hash);
        claim.last = self.last;
        claim.len = self.len;
        claim.ratcheted = self.ratcheted;
    }
}

/// Takes a line that stands after the claim into it, if it is the one that must come next.
fn take_line(
    claim: &mut Claim,
    key: &mut MacKey,
    line: &[u8],
    writer: &str,
    found_own: &mut u64,
) -> Result<(), Error> {
    let seq = claim.seq + 1;
    let raw = RawLine::parse(line).map_err(|e| Error::tampered(format!("record {seq}: {e}")))?;
    let what = if raw.seq != seq {
        Some("has another number")
    } else if raw.prev != claim.hash.0 {
        Some("does not follow the one before")
    } else if !key.verifies(raw.signed, &raw.mac) {
        Some("has a wrong MAC")
    } else {
        None
    };
    if let Some(what) = what {
        return Err(Error::tampered(format!("record {seq} {what}")));
    }
    claim.seq = seq;
    claim.mac = Hex32(raw.mac);
    claim.hash = Hex32(Sha256::digest(line).into());
    claim.last = claim.len;
    claim.len += line.len() as u64 + 1;
    if is_checkpoint(&raw) {
        *key = key.next();
        claim.epoch = key.epoch;
        claim.ratcheted = seq;
        claim.ratcheted_at = now_seconds();
    }
    if let Some(counted) = counter_of(raw.vault, raw.detail) {
        claim.count(
            &counted.vault,
            &counted.store,
            counted.counter,
            counted.accept,
        );
    }
    if let Some((_, call)) = record::split_call(raw.call).filter(|(name, _)| *name == writer) {
        *found_own = call.max(*found_own);
    }
    Ok(())
}

/// Whether the key is ratcheted after this record.
pub(crate) fn is_checkpoint(raw: &RawLine<'_>) -> bool {
    raw.action == Action::Checkpoint && raw.principal == SYSTEM
}

/// The name that a closed file keeps for good.
pub(crate) fn closed_name(path: &Path, first: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path
        .extension()
        .map_or_else(String::new, |e| format!(".{}", e.to_string_lossy()));
    files::folder(path).join(format!("{stem}-{first:020}{extension}"))
}

/// Makes the empty file of a log, durably.
pub(crate) fn create_log(path: &Path) -> Result<File, Error> {
    let file = files::open(
        path,
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600),
    )
    .map_err(|e| Error::io("cannot create", path, e))?;
    files::sync_folder(files::folder(path))?;
    Ok(file)
}

/// The hash of the claim's last line as it stands in the file.
fn hash_at(file: &File, claim: &Claim) -> Option<[u8; 32]> {
    let size = usize::try_from(claim.len.checked_sub(claim.last)?.checked_sub(1)?).ok()?;
    if size > MAX_LINE {
        return None;
    }
    let mut line = vec![0; size];
    let read = files::read_at(file, &mut line, claim.last).ok()?;
    (read == size).then(|| Sha256::digest(&line).into())
}

pub(crate) fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

fn now_seconds() -> i64 {
    now_us() / 1_000_000
}
