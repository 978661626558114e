//! The proof that a log is whole, or the first record that is not.

mod end;

use std::path::PathBuf;

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use crate::chain::is_checkpoint;
use crate::checkpoint::Checkpoint;
use crate::claim::Claim;
use crate::error::Error;
use crate::files;
use crate::keys::{self, MAX_EPOCHS, MacKey};
use crate::line::{MAX_LINE, RawLine};
use crate::read::{FilePart, Location, Snapshot};
use crate::record::{Action, SYSTEM, split_call, word};

/// What to verify, and with what.
#[derive(Clone, Debug)]
pub struct Verify {
    /// The log.
    pub location: Location,
    /// The first key, brought from where it is kept. Without it MACs are checked only from the
    /// last ratchet on: before that, the chain of hashes alone, which its writer could have forged.
    pub first_key: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere. Without it a log that was rolled back together with
    /// its head cannot be told from one that never went further. That its record is no longer in
    /// the log is wrong too, unless [`Checkpoint::allow_removed`] says otherwise.
    pub checkpoint: Option<Checkpoint>,
}

/// What `verify` found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Records that stand in the log.
    pub records: u64,
    /// Files that they stand in.
    pub files: u64,
    /// The last record.
    pub last_seq: u64,
    /// The first record whose MAC was checked.
    pub macs_from: Option<u64>,
    /// What is wrong; `None` if the log is whole.
    pub bad: Option<Bad>,
    /// What is not wrong, but should be known.
    pub notes: Vec<String>,
    /// Records that still are in journals.
    pub pending: u64,
}

impl Report {
    /// Nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.bad.is_none()
    }
}

/// The first record that is not as it was written, or not there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bad {
    /// The file it stands, or should stand, in.
    pub file: PathBuf,
    /// Its line, from 1; 0 where no line can be named.
    pub line: u64,
    /// Its `seq`.
    pub seq: u64,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}: record {}: {}",
            self.file.display(),
            self.line,
            self.seq,
            self.what
        )
    }
}

/// Verifies a log from its first file to its head.
///
/// # Errors
/// Only where files cannot be read at all; what is wrong with the log itself is in the report.
pub fn verify(what: &Verify) -> Result<Report, Error> {
    verify_snapshot(what, Snapshot::take(&what.location)?)
}

/// The proof of what was taken already.
pub(crate) fn verify_snapshot(what: &Verify, snapshot: Snapshot) -> Result<Report, Error> {
    let first_key = what
        .first_key
        .as_ref()
        .map(|path| keys::load_mac_key(path, what.location.allow_links))
        .transpose()?;
    let mut run = Run::new(what, &snapshot, first_key);
    let Snapshot {
        files,
        journals,
        notes,
        ..
    } = snapshot;
    run.report.notes.extend(notes);
    let mut current = None;
    for part in files {
        if part.first.is_none() {
            current = Some(part.place);
        }
        if run.report.bad.is_none() {
            run.file(part)?;
        }
    }
    for journal in &journals {
        run.report.pending += journal.lines.len() as u64;
        if journal.damaged {
            run.report.notes.push(format!(
                "the journal of writer {} is damaged",
                journal.writer
            ));
        }
        if !journal.live {
            run.report.notes.push(format!(
                "writer {} died; the next writer recovers its {} records",
                journal.writer,
                journal.lines.len()
            ));
        }
    }
    if run.report.bad.is_none() {
        let damaged = journals.iter().filter(|journal| journal.damaged);
        run.report.bad = damaged
            .filter_map(|journal| run.damaged(&journal.writer))
            .next();
    }
    if run.report.bad.is_none() {
        run.end(current, |writer| {
            journals.iter().any(|journal| journal.writer == writer)
        });
    }
    Ok(run.report)
}

/// What is wrong with a closed file of no bytes.
pub(crate) const EMPTY: &str = "is not there: the file is empty, which no closed file is; put it back, or remove the empty one";

struct Run<'a> {
    first_file: Option<PathBuf>,
    /// The last file that was read whole, and how many lines it has.
    file_before: Option<(PathBuf, u64)>,
    log: &'a PathBuf,
    report: Report,
    seq: u64,
    hash: [u8; 32],
    key: Option<MacKey>,
    /// Where the current key takes over when there is no first key.
    takeover: Option<(u64, MacKey)>,
    /// The key's epoch is known; else it is searched for at the next record.
    settled: bool,
    claims: Vec<(&'static str, Claim)>,
    broken_claim: Option<String>,
    checkpoint: Option<&'a Checkpoint>,
    checkpoint_seen: bool,
    first: Option<(u64, [u8; 32], bool)>,
    removed: Vec<(u64, String)>,
    writers: HashMap<String, Writer>,
    /// Records up to here were lost, on record.
    gap: u64,
    /// Calls that are missing within a writer, and where that shows.
    gaps: Vec<(String, u64, u64, Bad)>,
}

struct Writer {
    call: u64,
    seq: u64,
    ended: bool,
    /// It ended by itself, and nothing came after that.
    closed: bool,
    time: [u8; 27],
    /// The boot that its `open` names.
    boot: Option<String>,
}

impl<'a> Run<'a> {
    fn new(what: &'a Verify, snapshot: &Snapshot, first_key: Option<MacKey>) -> Self {
        let mut claims = Vec::new();
        let mut broken_claim = None;
        let boot = files::boot_id();
        match &snapshot.head {
            Ok(Some(head)) => claims.push(("the head", head.clone())),
            Ok(None) => broken_claim = Some("the log's head is missing".to_owned()),
            Err(e) => broken_claim = Some(e.to_string()),
        }
        let this_boot = claims.first().is_some_and(|(_, head)| head.boot == boot);
        match &snapshot.live {
            Ok(Some(live)) => claims.push(("the live claim", live.clone())),
            Ok(None) if this_boot => broken_claim = Some("the live claim is missing".to_owned()),
            Err(e) if this_boot => broken_claim = Some(e.to_string()),
            _ => {}
        }
        let takeover = match &first_key {
            Some(_) => None,
            None => claims
                .iter()
                .map(|(_, claim)| claim)
                .max_by_key(|claim| claim.seq)
                .and_then(|claim| {
                    let key = forward(&snapshot.keys.mac, claim.epoch)?;
                    Some((claim.ratcheted, key))
                }),
        };
        Self {
            first_file: None,
            file_before: None,
            log: &what.location.log,
            report: Report::default(),
            seq: 0,
            hash: [0; 32],
            key: first_key,
            takeover,
            settled: false,
            claims,
            broken_claim,
            checkpoint: what.checkpoint.as_ref(),
            checkpoint_seen: false,
            first: None,
            removed: Vec::new(),
            writers: HashMap::new(),
            gap: 0,
            gaps: Vec::new(),
        }
    }

    fn file(&mut self, part: FilePart) -> Result<(), Error> {
        self.report.files += 1;
        let named = part.first;
        if named.is_some() && part.len == 0 {
            self.report.bad = Some(Bad {
                file: part.path,
                line: 0,
                seq: self.seq + 1,
                what: EMPTY.to_owned(),
            });
            return Ok(());
        }
        self.first_file.get_or_insert_with(|| part.path.clone());
        let mut lines = part.lines();
        let (mut line, mut whole) = (Vec::new(), false);
        while lines.next(&mut line, &mut whole)? {
            if line.len() > MAX_LINE {
                self.report.bad = Some(Bad {
                    file: lines.path().to_owned(),
                    line: lines.number,
                    seq: self.seq + 1,
                    what: "is not there; what stands in its place is longer than any record"
                        .to_owned(),
                });
                return Ok(());
            }
            if !whole && named.is_none() {
                self.report.notes.push(format!(
                    "the last line is torn after record {}; the next writer cuts it",
                    self.seq
                ));
                break;
            }
            let at_start = lines.number == 1;
            let found = if whole {
                self.line(&line, at_start, named.filter(|_| at_start))
            } else {
                Err((self.seq + 1, "is torn".to_owned()))
            };
            if let Some((.., gap)) = self.gaps.last_mut().filter(|(.., gap)| gap.line == 0) {
                gap.file = lines.path().to_owned();
                gap.line = lines.number;
            }
            if let Err((seq, what)) = found {
                // A break in the chain alone accuses the line before.
                let (file, line) = match &self.file_before {
                    Some(before) if seq == self.seq && at_start => before.clone(),
                    _ => (
                        lines.path().to_owned(),
                        lines.number - u64::from(seq == self.seq),
                    ),
                };
                self.report.bad = Some(Bad {
                    file,
                    line,
                    seq,
                    what,
                });
                return Ok(());
            }
        }
        self.file_before = Some((lines.path().to_owned(), lines.number - 1));
        Ok(())
    }

    fn line(
        &mut self,
        line: &[u8],
        at_start: bool,
        named: Option<u64>,
    ) -> Result<(), (u64, String)> {
        let expected = self.seq + 1;
        let begins = self.first.is_none();
        let raw = RawLine::parse(line).map_err(|e| (expected, e.to_string()))?;
        if named.is_some_and(|first| first != raw.seq) {
            return Err((raw.seq, "stands in a file of another name".to_owned()));
        }
        let resumed = at_start && raw.action == Action::Resumed && raw.principal == SYSTEM;
        if !begins && raw.seq != expected {
            if !(resumed && raw.seq > expected) {
                return Err((
                    expected,
                    format!("is not there; record {} stands in its place", raw.seq),
                ));
            }
        } else if begins && raw.seq == 0 {
            return Err((1, "is not there".to_owned()));
        }
        self.check_mac(&raw, resumed)?;
        if begins {
            if raw.seq == 1 && raw.prev != [0; 32] && !resumed {
                return Err((1, "is not the first record that was written".to_owned()));
            }
            self.first = Some((raw.seq, raw.prev, resumed));
            self.gap = raw.seq - 1;
        } else if raw.prev != self.hash && !(resumed && raw.seq > expected) {
            return Err((
                self.seq,
                "was changed: the next record has another hash of it".to_owned(),
            ));
        }
        if resumed {
            let gap = raw.detail.unwrap_or_default();
            self.report.notes.push(format!(
                "records were lost before record {}: {gap}",
                raw.seq
            ));
            self.gap = raw.seq - 1;
        }
        self.seq = raw.seq;
        self.hash = Sha256::digest(line).into();
        self.report.records += 1;
        self.report.last_seq = raw.seq;
        self.check_writer(&raw)?;
        self.check_claims(&raw)?;
        self.follow_system(&raw)
    }

    fn check_mac(&mut self, raw: &RawLine<'_>, resumed: bool) -> Result<(), (u64, String)> {
        if let Some((_, key)) = self.takeover.take_if(|(after, _)| raw.seq > *after) {
            self.key = Some(key);
            self.settled = true;
        }
        let Some(key) = &mut self.key else {
            return Ok(());
        };
        self.report.macs_from.get_or_insert(raw.seq);
        if key.verifies(raw.signed, &raw.mac) {
            self.settled = true;
            return Ok(());
        }
        // Where files were removed or lost, so were checkpoints.
        if (!self.settled && raw.seq > 1) || resumed {
            let mut later = key.clone();
            for _ in 0..MAX_EPOCHS.min(100_000) {
                later = later.next();
                if later.verifies(raw.signed, &raw.mac) {
                    *key = later;
                    self.settled = true;
                    return Ok(());
                }
            }
        }
        Err((
            raw.seq,
            "has a wrong MAC: it was changed, or not written by this log's writers".to_owned(),
        ))
    }

    fn check_writer(&mut self, raw: &RawLine<'_>) -> Result<(), (u64, String)> {
        let bad = |what: String| Err((raw.seq, what));
        let Some((name, call)) = split_call(raw.call) else {
            return bad("has no call number".to_owned());
        };
        let system = raw.principal == SYSTEM;
        let ended = system
            && matches!(
                raw.action,
                Action::Close | Action::Recovered | Action::Resumed
            );
        let closed = system && raw.action == Action::Close;
        let opened = Some(raw.detail.unwrap_or_default())
            .filter(|_| system && raw.action == Action::Open)
            .and_then(|detail| word(detail, "boot").map(str::to_owned));
        let mut time = [0; 27];
        for (to, from) in time.iter_mut().zip(raw.time.bytes()) {
            *to = from;
        }
        let Some(writer) = self.writers.get_mut(name) else {
            // What began in files that are gone by rights is known from here on only.
            if call != 1 && self.gap == 0 {
                return bad(format!(
                    "is call {call} of writer {name}, whose earlier calls are missing"
                ));
            }
            self.writers.insert(
                name.to_owned(),
                Writer {
                    call,
                    seq: raw.seq,
                    ended,
                    closed,
                    time,
                    boot: opened,
                },
            );
            return Ok(());
        };
        let recovers = system && raw.action == Action::Recovered;
        if writer.closed && recovers && call == writer.call + 1 {
            // A process that died right after its end; nothing of it can be missing or added.
            self.report.notes.push(format!(
                "record {}: writer {name} was recovered after its close",
                raw.seq
            ));
        } else if writer.ended {
            return bad(format!("comes after the end of its writer {name}"));
        }
        let lost = writer.seq <= self.gap && call > writer.call;
        if call <= writer.call && !lost {
            return bad(format!("is call {call} of writer {name} once more"));
        }
        if call != writer.call + 1 && !lost {
            // Unless its recovery says that a power cut took them.
            let what = format!(
                "is call {call} of writer {name}, but call {} is missing",
                writer.call + 1
            );
            let file = self.log.clone();
            let gap = Bad {
                file,
                line: 0,
                seq: raw.seq,
                what,
            };
            self.gaps
                .push((name.to_owned(), writer.call + 1, call - 1, gap));
        }
        if time < writer.time {
            self.report.notes.push(format!(
                "record {}: time goes back within writer {name}",
                raw.seq
            ));
        }
        *writer = Writer {
            call,
            seq: raw.seq,
            ended,
            closed,
            time,
            boot: opened.or_else(|| writer.boot.take()),
        };
        Ok(())
    }

    fn check_claims(&mut self, raw: &RawLine<'_>) -> Result<(), (u64, String)> {
        for (what, claim) in &self.claims {
            if claim.seq == raw.seq && (claim.mac.0 != raw.mac || claim.hash.0 != self.hash) {
                return Err((raw.seq, format!("is not the record that {what} names")));
            }
        }
        if let Some(kept) = self.checkpoint.filter(|kept| kept.seq == raw.seq) {
            if kept.mac != raw.mac || kept.hash != self.hash {
                return Err((
                    raw.seq,
                    "is not the record that the checkpoint names".to_owned(),
                ));
            }
            self.checkpoint_seen = true;
        }
        Ok(())
    }

    fn follow_system(&mut self, raw: &RawLine<'_>) -> Result<(), (u64, String)> {
        if raw.principal != SYSTEM {
            return Ok(());
        }
        let detail = raw.detail.unwrap_or_default();
        if is_checkpoint(raw) {
            self.key = self.key.as_ref().map(MacKey::next);
        }
        if raw.action == Action::Recovered {
            let number = |key| word(detail, key).and_then(|text| text.parse::<u64>().ok());
            let (from, to) = (number("lost-from"), number("lost-to"));
            let name = split_call(raw.call).map(|(name, _)| name);
            self.gaps.retain(|(writer, first, last, _)| {
                !(name == Some(writer) && from == Some(*first) && to == Some(*last))
            });
        }
        match raw.action {
            Action::Removed => {
                let last = word(detail, "last-seq").and_then(|seq| seq.parse().ok());
                let hash = word(detail, "hash");
                self.report.notes.push(format!(
                    "record {}: records were removed by age: {detail}",
                    raw.seq
                ));
                self.removed.extend(last.zip(hash.map(str::to_owned)));
            }
            // Of what a recovery could not tell the boot is taken for the same: a power cut shows.
            Action::Recovered
                if detail.ends_with(" damaged")
                    && matches!(word(detail, "boot"), Some("same" | "unknown")) =>
            {
                return Err((
                    raw.seq,
                    format!(
                        "tells of a journal that was damaged or emptied within one boot, which no power \
                         cut explains; records are missing: {detail}"
                    ),
                ));
            }
            Action::Recovered if detail.ends_with(" damaged") => {
                self.report.notes.push(format!("record {}: a dead writer's journal was damaged, records may be missing: {detail}", raw.seq));
            }
            Action::Clock => self
                .report
                .notes
                .push(format!("record {}: the clock went back: {detail}", raw.seq)),
            Action::Cut => self.report.notes.push(format!(
                "record {}: a torn last line was cut: {detail}",
                raw.seq
            )),
            _ => {}
        }
        Ok(())
    }
}

fn forward(key: &MacKey, epoch: u64) -> Option<MacKey> {
    let steps = epoch
        .checked_sub(key.epoch)
        .filter(|steps| *steps <= MAX_EPOCHS)?;
    Some((0..steps).fold(key.clone(), |key, _| key.next()))
}
