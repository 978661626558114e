//! Journals of writers that died: what they recorded goes into the log before anything of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;

use crate::chain::{self, Chain};
use crate::claim;
use crate::error::Error;
use crate::files;
use crate::journal::format::{Formatter, Next};
use crate::journal::image::{self, Image};
use crate::journal::layout::{
    At, INTENTS, Layout, W_BATCH_FILE, W_BATCH_OFFSET, W_BOOT, W_DRAINED_CALL, W_DRAINED_POS,
    Words, read_slot,
};
use crate::journals::{Found, Journals, journals};
use crate::keys::SlotKey;
use crate::line::{self, Parts, RawLine, TimeText};
use crate::record::{Action, Outcome, Phase, Record, SYSTEM, split_call, word};
use crate::retention;

/// Recovers every dead journal. Call under the log's lock, after a refresh.
pub(crate) fn recover_all(chain: &mut Chain, recoverer: &str) -> Result<Vec<String>, Error> {
    let Journals { found, mut notes } = journals(&chain.path)?;
    for found in found.into_iter().filter(|found| !found.live) {
        let mut recovery = Recovery::new(chain, &found, recoverer)?;
        notes.push(recovery.run()?);
        // What it was about to make the head; there need be none.
        let _ = std::fs::remove_file(claim::next_head(&chain.path, &found.writer));
        std::fs::remove_file(&found.path)
            .map_err(|e| Error::io("cannot remove", &found.path, e))?;
    }
    Ok(notes)
}

struct Recovery<'a> {
    chain: &'a mut Chain,
    found: &'a Found,
    recoverer: &'a str,
    image: Image,
    key: SlotKey,
    out: Vec<u8>,
    /// Highest call of the dead writer that the log has already.
    known: u64,
    /// Intents: where their lines stand, or the lines themselves.
    intents: BTreeMap<u64, Option<Record>>,
    ended: BTreeSet<u64>,
    /// Its `close` is in the log or goes there now: only the journal was left to remove.
    closed: bool,
    /// Whether it has records in the log, and the boot that its `open` names there.
    opened: Option<Option<String>>,
    /// Calls that a power cut took from both the log and the journal.
    lost: Option<(u64, u64)>,
}

impl<'a> Recovery<'a> {
    fn new(chain: &'a mut Chain, found: &'a Found, recoverer: &'a str) -> Result<Self, Error> {
        let key = chain.keys.slot_key(&found.writer);
        let image = Image::read(&found.file, &found.writer, &key)
            .map_err(|e| Error::io("cannot read", &found.path, e))?;
        Ok(Self {
            chain,
            found,
            recoverer,
            image,
            key,
            out: Vec::new(),
            known: 0,
            intents: BTreeMap::new(),
            ended: BTreeSet::new(),
            closed: false,
            opened: None,
            lost: None,
        })
    }

    fn run(&mut self) -> Result<String, Error> {
        let last = match self.image.layout(&self.found.writer, &self.key) {
            Some(layout) => self.take_ring(&layout)?,
            None => None,
        };
        let (mut call, damaged) = match last {
            Some(last) => last,
            // The header went with a power cut: the log alone tells how far this writer came.
            None => (self.last_in_log()?, true),
        };
        let open: Vec<(u64, Option<Record>)> = std::mem::take(&mut self.intents)
            .into_iter()
            .filter(|(intent, _)| !self.ended.contains(intent))
            .collect();
        // Nothing may follow a writer's end, but for what a power cut took before it.
        if self.closed && self.lost.is_none() {
            self.commit()?;
            return Ok(format!(
                "writer {} had ended; its journal is removed",
                self.found.writer
            ));
        }
        let unknown = open.len();
        let last_call = call;
        for (intent, record) in open {
            call += 1;
            self.write_unknown(call, intent, record.as_ref());
        }
        call += 1;
        let lost = self.lost.map_or_else(String::new, |(from, to)| {
            format!(" lost-from={from} lost-to={to}")
        });
        let damage = if damaged || self.lost.is_some() {
            format!(" boot={} damaged", self.boot()?)
        } else {
            String::new()
        };
        let detail = format!(
            "writer={} last-call={last_call} unknown={unknown} by={}{lost}{damage}",
            self.found.writer, self.recoverer
        );
        self.write_recovered(call, &detail);
        self.commit()?;
        Ok(format!("recovered writer {}: {detail}", self.found.writer))
    }

    /// Brings what was gathered into the log.
    fn commit(&mut self) -> Result<(), Error> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        image::begin_batch(
            &self.found.file,
            self.chain.claim.file,
            self.chain.claim.len,
        )
        .map_err(|e| Error::io("cannot write", &self.found.path, e))?;
        self.chain.commit(&out)
    }

    /// Takes the ring's records; gives the last call and whether something after it is damaged.
    /// `None` if the header makes no sense.
    fn take_ring(&mut self, layout: &Layout) -> Result<Option<(u64, bool)>, Error> {
        let mut drained = self.image.load(W_DRAINED_CALL);
        let mut pos = self.image.load(W_DRAINED_POS);
        self.known = self.written_since(drained)?;
        if self.image.load(W_BOOT) != files::boot_word(&files::boot_id()) {
            // After a power cut the log may have less than the journal remembers giving it.
            self.known = self.last_in_log()?;
            let missing = self.known + 1;
            if missing <= drained {
                match find_record(&self.image, layout, &self.key, missing) {
                    Some(at) => (drained, pos) = (self.known, at),
                    None => self.lost = Some((missing, drained)),
                }
            }
        }
        self.load_intents(layout)?;
        let mut formatter = Formatter::new(&self.found.writer, self.key, *layout);
        let mut call = drained;
        let damaged = loop {
            let start = self.out.len();
            let (seq, prev) = self.chain.next();
            match formatter.next(&self.image, pos, call + 1, seq, &prev, &mut self.out) {
                Next::Free => break later_records(&self.image, layout, &self.key, call + 1),
                Next::Damaged => break true,
                Next::Line(meta) => {
                    call += 1;
                    pos += meta.slots;
                    self.ended.extend(meta.of);
                    self.closed |= meta.action == Action::Close;
                    if meta.intent {
                        self.note_intent(call, start);
                    }
                    if call <= self.known {
                        self.out.truncate(start);
                    } else {
                        let checkpoint = meta.action == Action::Checkpoint;
                        self.chain
                            .push(&mut self.out, start, checkpoint, meta.counter);
                    }
                }
            }
        };
        Ok(Some((call, damaged)))
    }

    /// Keeps what a still unformatted intent says, for its unknown outcome.
    fn note_intent(&mut self, call: u64, start: usize) {
        let mut line = self.out.get(start..).unwrap_or_default().to_vec();
        line::write_mac(&mut line, &[0; 32]);
        self.intents.insert(call, line::parse_line(&line).ok());
    }

    /// Intents that the writer had noted as open, with their lines from the log.
    fn load_intents(&mut self, layout: &Layout) -> Result<(), Error> {
        for index in 0..INTENTS {
            let at = layout.intent(index);
            let call = self.image.load(at);
            if call == 0 {
                continue;
            }
            let (file, offset) = (self.image.load(at + 1), self.image.load(at + 2));
            if file == 0 {
                // In the ring or just written; or never committed, then the ring does not have it.
                if call <= self.known {
                    self.intents.insert(call, None);
                }
                continue;
            }
            let line = self.line_at(file, offset)?;
            let record = line.and_then(|line| line::parse_line(&line).ok());
            let name = format!("{}.{call}", self.found.writer);
            self.intents.insert(
                call,
                record.filter(|r| r.call == name && r.phase == Phase::Intent),
            );
        }
        Ok(())
    }

    fn line_at(&self, first: u64, offset: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(file) = self.open_file(first)? else {
            return Ok(None);
        };
        let mut line = vec![0; line::MAX_LINE];
        let size = files::read_at(&file, &mut line, offset)
            .map_err(|e| Error::io("cannot read", &self.chain.path, e))?;
        line.truncate(size);
        let end = line.iter().position(|b| *b == b'\n').unwrap_or(line.len());
        line.truncate(end);
        Ok(Some(line))
    }

    fn open_file(&self, first: u64) -> Result<Option<File>, Error> {
        let path = if first == self.chain.claim.file {
            self.chain.path.clone()
        } else {
            chain::closed_name(&self.chain.path, first)
        };
        match files::open_checked(&path, false, files::Secrecy::Public) {
            Ok(file) => Ok(Some(file)),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// The highest call of the dead writer that its last batch, or a recovery that died too, brought
    /// into the log.
    fn written_since(&mut self, drained: u64) -> Result<u64, Error> {
        let first = self.image.load(W_BATCH_FILE);
        let mut known = drained;
        if first == 0 {
            return Ok(known);
        }
        let Some(file) = self.open_file(first)? else {
            return Ok(known);
        };
        let offset = self.image.load(W_BATCH_OFFSET);
        let mut closed = false;
        self.each_line(&file, offset, |raw, call| {
            known = known.max(call);
            closed |= raw.principal == SYSTEM && raw.action == Action::Close;
            if let Some((_, of)) = raw.of.and_then(split_call) {
                return Some(of);
            }
            None
        })?;
        self.closed |= closed;
        Ok(known)
    }

    /// Whether the writer opened the log within this boot, by what stands in the log: the journal's own
    /// word is not under its checksum.
    fn boot(&mut self) -> Result<&'static str, Error> {
        self.last_in_log()?;
        Ok(match &self.opened {
            Some(Some(boot)) if *boot == files::boot_id() => "same",
            Some(Some(_)) => "other",
            Some(None) => "unknown",
            // Without its `open` in the log it released nothing, but in a boot that is over.
            None => "none",
        })
    }

    fn last_in_log(&mut self) -> Result<u64, Error> {
        let (mut last, mut closed) = (0, false);
        let mut opened = None;
        let mut paths: Vec<PathBuf> = retention::closed_files(&self.chain.path)?
            .into_iter()
            .map(|(_, path)| path)
            .collect();
        paths.push(self.chain.path.clone());
        for path in paths {
            let file = files::open_checked(&path, false, files::Secrecy::Public)?;
            self.each_line(&file, 0, |raw, call| {
                last = last.max(call);
                let boot = opened.get_or_insert(None);
                if raw.principal == SYSTEM && raw.action == Action::Open {
                    *boot = word(raw.detail.unwrap_or_default(), "boot").map(str::to_owned);
                }
                closed |= raw.principal == SYSTEM && raw.action == Action::Close;
                None
            })?;
        }
        self.closed |= closed;
        self.opened = opened;
        Ok(last)
    }

    /// Shows each line of the dead writer from an offset on; what comes back is an intent that ended.
    fn each_line(
        &mut self,
        file: &File,
        offset: u64,
        mut see: impl FnMut(&RawLine<'_>, u64) -> Option<u64>,
    ) -> Result<(), Error> {
        use std::io::{BufRead, Seek};
        let path = self.chain.path.clone();
        let mut reader = std::io::BufReader::with_capacity(1 << 20, file);
        reader
            .seek(std::io::SeekFrom::Start(offset))
            .map_err(|e| Error::io("cannot read", &path, e))?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let size = reader
                .read_until(b'\n', &mut line)
                .map_err(|e| Error::io("cannot read", &path, e))?;
            if size == 0 {
                return Ok(());
            }
            let Ok(raw) = RawLine::parse(line.strip_suffix(b"\n").unwrap_or(&line)) else {
                continue;
            };
            if let Some((_, call)) =
                split_call(raw.call).filter(|(writer, _)| *writer == self.found.writer)
            {
                let ended = see(&raw, call);
                self.ended.extend(ended);
            }
        }
    }

    fn write_unknown(&mut self, call: u64, intent: u64, record: Option<&Record>) {
        let null = || b"null".to_vec();
        let text = |text: Option<&str>| line::text_piece(text);
        let (subject, target) = match record {
            Some(r) => (
                line::subject_piece(&r.principal, r.instance.as_deref(), r.digest.as_deref()),
                line::target_piece(r.vault.as_deref(), r.secret.as_deref()),
            ),
            None => (
                line::subject_piece("host:unknown", None, None),
                line::target_piece(None, None),
            ),
        };
        let via = record.map_or_else(null, |r| text(r.via.as_deref()));
        let grant = record.map_or_else(null, |r| text(r.grant.as_deref()));
        let detail = line::text_piece(Some("the writer died between intent and outcome"));
        self.write(
            call,
            &Parts {
                seq: 0,
                time: &[],
                writer: &self.found.writer,
                call,
                of: Some(intent),
                subject: &subject,
                via: &via,
                action: record.map_or(Action::Any, |r| r.action),
                target: &target,
                version: None,
                phase: Phase::Outcome,
                outcome: Some(Outcome::Unknown),
                grant: &grant,
                policy: record.map_or(0, |r| r.policy),
                cache: None,
                detail: &detail,
            },
        );
    }

    fn write_recovered(&mut self, call: u64, detail: &str) {
        let subject = line::subject_piece(SYSTEM, None, None);
        let (target, detail) = (
            line::target_piece(None, None),
            line::text_piece(Some(detail)),
        );
        self.write(
            call,
            &Parts {
                seq: 0,
                time: &[],
                writer: &self.found.writer,
                call,
                of: None,
                subject: &subject,
                via: b"null",
                action: Action::Recovered,
                target: &target,
                version: None,
                phase: Phase::Outcome,
                outcome: Some(Outcome::Allowed),
                grant: b"null",
                policy: 0,
                cache: None,
                detail: &detail,
            },
        );
    }

    fn write(&mut self, call: u64, parts: &Parts<'_>) {
        if call <= self.known {
            return;
        }
        let mut time = TimeText::default();
        let (seq, prev) = self.chain.next();
        let start = self.out.len();
        let parts = Parts {
            seq,
            time: time.format(chain::now_us()),
            ..*parts
        };
        line::write_signed(&mut self.out, &parts, &prev);
        self.chain.push(&mut self.out, start, false, None);
    }
}

/// Where in the ring a record stands whole.
fn find_record(image: &Image, layout: &Layout, key: &SlotKey, call: u64) -> Option<u64> {
    let mut more = Vec::new();
    (0..layout.slots).find(|pos| {
        image.load(layout.slot(*pos)) == call
            && matches!(
                read_slot(image, layout, key, *pos, call, &mut more),
                At::Record(_)
            )
    })
}

/// Whether records stand in the ring after one that is missing.
fn later_records(image: &Image, layout: &Layout, key: &SlotKey, missing: u64) -> bool {
    let mut more = Vec::new();
    (0..layout.slots).any(|pos| {
        let call = image.load(layout.slot(pos));
        call > missing
            && call - missing < layout.slots
            && matches!(
                read_slot(image, layout, key, pos, call, &mut more),
                At::Record(_)
            )
    })
}

/// Shows what a journal holds that the log does not have, as lines without `seq`, `prev` and `mac`;
/// true if it is damaged. Changes nothing.
pub(crate) fn waiting(found: &Found, key: &SlotKey, mut each: impl FnMut(&[u8])) -> bool {
    let Ok(image) = Image::read(&found.file, &found.writer, key) else {
        return true;
    };
    let Some(layout) = image.layout(&found.writer, key) else {
        return true;
    };
    let mut formatter = Formatter::new(&found.writer, *key, layout);
    let (mut call, mut pos) = (image.load(W_DRAINED_CALL), image.load(W_DRAINED_POS));
    let mut line = Vec::new();
    loop {
        line.clear();
        match formatter.next(&image, pos, call + 1, 0, &[0; 32], &mut line) {
            Next::Line(meta) => {
                call += 1;
                pos += meta.slots;
                line::write_mac(&mut line, &[0; 32]);
                each(&line);
            }
            Next::Free => {
                return !found.live && later_records(&image, &layout, key, call + 1);
            }
            // While its process writes on, a copy need not be of one moment.
            Next::Damaged => return !found.live,
        }
    }
}
