//! Queries: what was recorded, and what is being recorded.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::time::{Duration, Instant};

use crate::chain::closed_name;
use crate::error::Error;
use crate::files::{self, Secrecy};
use crate::line::{MAX_LINE, parse_line};
use crate::read::{FilePart, Lines, Location, Snapshot};
use crate::record::{Action, Outcome, Record};

/// Which records to show; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A path, or a pattern as in grants: `stripe/*`, `db/**`.
    pub secret: Option<String>,
    /// A component's name.
    pub component: Option<String>,
    /// A principal, such as `operator:root`.
    pub principal: Option<String>,
    /// How calls ended.
    pub outcome: Option<Outcome>,
    /// What was asked for.
    pub action: Option<Action>,
    /// Microseconds since 1970, first to show.
    pub since: Option<i64>,
    /// Microseconds since 1970, last to show.
    pub until: Option<i64>,
}

impl Filter {
    /// Whether a record is to be shown.
    pub fn matches(&self, record: &Record) -> bool {
        let time = record.time_us();
        self.outcome
            .is_none_or(|outcome| record.outcome == Some(outcome))
            && self.action.is_none_or(|action| record.action == action)
            && self
                .principal
                .as_ref()
                .is_none_or(|principal| record.principal == *principal)
            && self
                .component
                .as_ref()
                .is_none_or(|name| record.principal.strip_prefix("component:") == Some(name))
            && self.secret.as_ref().is_none_or(|pattern| {
                record
                    .secret
                    .as_deref()
                    .is_some_and(|path| matches_path(pattern, path))
            })
            && self
                .since
                .is_none_or(|since| time.is_some_and(|t| t >= since))
            && self
                .until
                .is_none_or(|until| time.is_some_and(|t| t <= until))
    }
}

/// One record, and the line that it came from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shown {
    /// The line without its newline. A pending record has no `seq`, `prev` and `mac` yet: they are 0.
    pub line: Vec<u8>,
    /// The record.
    pub record: Record,
    /// It still is in a journal.
    pub pending: bool,
}

/// Shows what stands in the log now, in order, then what still is in journals.
///
/// # Errors
/// Fails where the log cannot be read; a line that is no record is an error of its own, and the
/// next call goes on after it.
pub fn show(location: &Location, filter: Filter) -> Result<Show, Error> {
    let snapshot = Snapshot::take(location)?;
    let pending = snapshot
        .journals
        .into_iter()
        .flat_map(|journal| journal.lines)
        .collect();
    Ok(Show {
        files: snapshot.files.into(),
        lines: None,
        pending,
        seen: HashMap::new(),
        filter,
    })
}

/// The records of a log. See [`show`].
pub struct Show {
    files: VecDeque<FilePart>,
    lines: Option<Lines>,
    pending: VecDeque<Vec<u8>>,
    seen: HashMap<String, u64>,
    filter: Filter,
}

impl std::fmt::Debug for Show {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Show")
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

impl Iterator for Show {
    type Item = Result<Shown, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (line, pending) = match self.next_line() {
                Ok(Some(line)) => (line, false),
                Ok(None) => (self.pending.pop_front()?, true),
                Err(e) => return Some(Err(e)),
            };
            let record = match parse_line(&line) {
                Ok(record) => record,
                Err(e) => return Some(Err(self.bad_line(&e.to_string()))),
            };
            if let Some((writer, call)) = record.call_parts() {
                if pending && self.seen.get(writer).is_some_and(|last| call <= *last) {
                    continue;
                }
                match self.seen.get_mut(writer) {
                    Some(last) => *last = call,
                    None => drop(self.seen.insert(writer.to_owned(), call)),
                }
            }
            if self.filter.matches(&record) {
                return Some(Ok(Shown {
                    line,
                    record,
                    pending,
                }));
            }
        }
    }
}

impl Show {
    fn bad_line(&self, what: &str) -> Error {
        Error::tampered(match &self.lines {
            Some(lines) => format!("{}:{}: {what}", lines.path().display(), lines.number),
            None => format!("in a journal: {what}"),
        })
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(lines) = &mut self.lines {
                let (mut line, mut whole) = (Vec::new(), false);
                let there = lines.next(&mut line, &mut whole)?;
                // A torn last line is shorter than a record may be.
                if there && (whole || line.len() > MAX_LINE) {
                    return Ok(Some(line));
                }
            }
            match self.files.pop_front() {
                Some(part) => self.lines = Some(part.lines()),
                None => {
                    self.lines = None;
                    return Ok(None);
                }
            }
        }
    }
}

/// Watches a log from now on, over rotations, without missing or repeating a record.
///
/// # Errors
/// Fails where the log cannot be read.
pub fn follow(location: &Location, filter: Filter) -> Result<Follow, Error> {
    let snapshot = Snapshot::take(location)?;
    let claim = match (snapshot.live?, snapshot.head?) {
        (Some(live), _) => live,
        (None, Some(head)) => head,
        (None, None) => return Err(Error::Missing(location.log.clone())),
    };
    let end = snapshot
        .files
        .into_iter()
        .next_back()
        .filter(|part| part.first.is_none());
    let part = end.ok_or_else(|| Error::Missing(location.log.clone()))?;
    Ok(Follow {
        location: location.clone(),
        filter,
        file: part.file,
        offset: claim.len.min(part.len),
        seq: claim.seq,
        rest: Vec::new(),
    })
}

/// New records of a log. See [`follow`].
#[derive(Debug)]
pub struct Follow {
    location: Location,
    filter: Filter,
    file: File,
    offset: u64,
    seq: u64,
    rest: Vec<u8>,
}

impl Follow {
    /// The next record, waiting for one at most `patience`.
    ///
    /// # Errors
    /// Fails where the log cannot be read, or has a line that is no record.
    pub fn poll(&mut self, patience: Duration) -> Result<Option<Shown>, Error> {
        let end = Instant::now() + patience;
        loop {
            while let Some(at) = self.rest.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.rest.drain(..=at).collect();
                line.pop();
                let record = parse_line(&line)
                    .map_err(|e| Error::tampered(format!("after record {}: {e}", self.seq)))?;
                if record.seq <= self.seq {
                    continue;
                }
                self.seq = record.seq;
                if self.filter.matches(&record) {
                    return Ok(Some(Shown {
                        line,
                        record,
                        pending: false,
                    }));
                }
            }
            // Asked before reading: what is written between the two is read before we move on.
            let moved = !matches!(files::same_file(&self.location.log, &self.file), Ok(true));
            if self.read_more()? {
                continue;
            }
            if moved && self.rest.is_empty() && self.next_file()? {
                continue;
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(
                Duration::from_millis(20).min(end.saturating_duration_since(Instant::now())),
            );
        }
    }

    fn read_more(&mut self) -> Result<bool, Error> {
        let mut chunk = vec![0; 64 * 1024];
        let size = files::read_at(&self.file, &mut chunk, self.offset)
            .map_err(|e| Error::io("cannot read", &self.location.log, e))?;
        self.offset += size as u64;
        self.rest
            .extend_from_slice(chunk.get(..size).unwrap_or_default());
        Ok(size > 0)
    }

    /// Goes on in the file that begins after the record seen last.
    fn next_file(&mut self) -> Result<bool, Error> {
        for path in [
            closed_name(&self.location.log, self.seq + 1),
            self.location.log.clone(),
        ] {
            match files::open_checked(&path, false, Secrecy::Public) {
                Ok(file) => {
                    self.file = file;
                    self.offset = 0;
                    return Ok(true);
                }
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(false)
    }
}

/// Literal segments; `*` within a segment; `**` at the end for one or more segments.
fn matches_path(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let mut parts = pattern.split('/').peekable();
    while let Some(part) = parts.next() {
        if part == "**" && parts.peek().is_none() {
            return segments.next().is_some();
        }
        match segments.next() {
            Some(segment) if matches_segment(part, segment) => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

fn matches_segment(pattern: &str, segment: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| segment.strip_prefix(first)) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some((_, after)) = rest.split_once(piece) else {
            return false;
        };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_grants() {
        for (pattern, path, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/*", "a", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("**", "x", true),
            ("a*c/d", "abc/d", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            ("*", "", true),
            ("a", "b", false),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(matches_path(pattern, path), expected, "{pattern} {path}");
        }
    }
}
