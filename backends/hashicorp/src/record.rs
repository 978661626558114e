//! What the engine knows of one secret beside its values: the life of its versions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use strongroom_backend::{Description, VersionInfo, VersionState};

use crate::client::Reply;
use crate::custom::{self, Custom, DELETED};
use crate::error::{Fault, Result};

/// The longest list of deleted versions that is kept: what one value of custom metadata holds.
const MOST_DELETED: usize = 512;

/// The metadata of one secret, at one time of the server's clock.
pub(crate) struct Record {
    created: u64,
    updated: u64,
    newest: u64,
    versions: BTreeMap<u64, Version>,
    pub(crate) custom: Custom,
    /// Counts changes of the custom metadata, where the server compares it.
    pub(crate) revision: Option<u64>,
    now: u64,
}

struct Version {
    created: u64,
    /// When it was deleted, or will be.
    deleted: Option<u64>,
    destroyed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Live,
    Deleted,
    Destroyed,
}

#[derive(Deserialize)]
struct Raw {
    created_time: String,
    updated_time: String,
    current_version: u64,
    versions: BTreeMap<u64, RawVersion>,
    #[serde(default)]
    custom_metadata: Option<Custom>,
    #[serde(default)]
    current_metadata_version: Option<u64>,
}

#[derive(Deserialize)]
struct RawVersion {
    created_time: String,
    deletion_time: String,
    destroyed: bool,
}

impl Record {
    /// Reads the metadata. A secret that only has metadata was never written: `Missing`.
    pub(crate) fn read(reply: &Reply) -> Result<Self> {
        let raw: Raw = reply.data()?;
        if raw.current_version == 0 {
            return Err(Fault::Missing);
        }
        let mut versions = BTreeMap::new();
        for (number, version) in raw.versions {
            let deleted = match version.deletion_time.as_str() {
                "" => None,
                time => Some(millis(time)?),
            };
            versions.insert(
                number,
                Version {
                    created: millis(&version.created_time)?,
                    deleted,
                    destroyed: version.destroyed,
                },
            );
        }
        Ok(Self {
            created: millis(&raw.created_time)?,
            updated: millis(&raw.updated_time)?,
            newest: raw.current_version,
            versions,
            custom: raw.custom_metadata.unwrap_or_default(),
            revision: raw.current_metadata_version,
            now: reply.now(),
        })
    }

    /// The newest number ever written; what the engine compares `cas` with, deleted or not.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The current version: the newest, unless it is deleted or destroyed.
    pub(crate) fn current(&self) -> Option<u64> {
        self.is_live(self.newest).then_some(self.newest)
    }

    pub(crate) fn is_live(&self, number: u64) -> bool {
        self.life(number) == Some(Life::Live)
    }

    pub(crate) fn is_deleted(&self, number: u64) -> bool {
        self.life(number) == Some(Life::Deleted)
    }

    /// Whether there is something of `number` that can be destroyed.
    pub(crate) fn is_left(&self, number: u64) -> bool {
        self.life(number)
            .is_some_and(|life| life != Life::Destroyed)
    }

    /// The versions that can be read.
    pub(crate) fn live(&self) -> BTreeSet<u64> {
        let live = self.versions.keys().filter(|number| self.is_live(**number));
        live.copied().collect()
    }

    /// The versions that the last delete of the whole secret took and that are still deleted; none
    /// after a write.
    pub(crate) fn deleted_with_secret(&self) -> BTreeSet<u64> {
        let marked = self
            .custom
            .get(DELETED)
            .and_then(|text| marked(text, self.newest));
        let mut numbers = marked.unwrap_or_default();
        numbers.retain(|number| self.is_deleted(*number));
        numbers
    }

    /// The mark that a delete of the whole secret leaves, for `deleted_with_secret` to read. Where
    /// it would be too long, the oldest are left out: they come back by their number only.
    pub(crate) fn mark(&self, numbers: &BTreeSet<u64>) -> String {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in numbers.iter().rev() {
            match ranges.last_mut() {
                Some((first, _)) if *first == number + 1 => *first = *number,
                _ => ranges.push((*number, *number)),
            }
        }
        let mut text = format!("{}:", self.newest);
        for (first, last) in ranges {
            let range = if first == last {
                format!("{first} ")
            } else {
                format!("{first}-{last} ")
            };
            if text.len() + range.len() > MOST_DELETED {
                break;
            }
            text.push_str(&range);
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// Whether a mark names `number`, in force or not.
    pub(crate) fn is_marked(&self, number: u64) -> bool {
        let text = self.custom.get(DELETED);
        text.and_then(|text| marked(text, self.newest))
            .is_some_and(|numbers| numbers.contains(&number))
    }

    /// The versions, newest first; who wrote them and when they expire stands with their values.
    pub(crate) fn versions(&self) -> Vec<VersionInfo> {
        let info = |(number, version): (&u64, &Version)| VersionInfo {
            version: *number,
            state: match self.life_of(version) {
                Life::Live if *number == self.newest => VersionState::Current,
                Life::Live => VersionState::Superseded,
                Life::Deleted => VersionState::Deleted,
                Life::Destroyed => VersionState::Destroyed,
            },
            created: version.created,
            expires: version.deleted.filter(|at| *at > self.now),
            author: None,
        };
        self.versions.iter().rev().map(info).collect()
    }

    /// What `describe` answers, but for the expiry that stands with the value.
    pub(crate) fn describe(&self) -> Description {
        let deleted = self.versions.values().filter_map(|version| version.deleted);
        let last = deleted.filter(|at| *at <= self.now).max().unwrap_or(0);
        Description {
            version: self.current(),
            created: self.created,
            updated: self.updated.max(last).max(self.created),
            expires: self
                .versions
                .get(&self.newest)
                .and_then(|version| version.deleted)
                .filter(|at| *at > self.now),
            rotates: None,
            kind: custom::kind(&self.custom),
            description: custom::description(&self.custom),
            labels: custom::labels(&self.custom),
        }
    }

    fn life(&self, number: u64) -> Option<Life> {
        self.versions
            .get(&number)
            .map(|version| self.life_of(version))
    }

    fn life_of(&self, version: &Version) -> Life {
        if version.destroyed {
            Life::Destroyed
        } else if version.deleted.is_some_and(|at| at <= self.now) {
            Life::Deleted
        } else {
            Life::Live
        }
    }
}

/// The numbers of a mark that was left when `newest` was the newest version.
fn marked(text: &str, newest: u64) -> Option<BTreeSet<u64>> {
    let (at, ranges) = text.split_once(':')?;
    if at.parse() != Ok(newest) {
        return None;
    }
    let mut numbers = BTreeSet::new();
    for range in ranges.split(' ').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        if last.checked_sub(first)? > MOST_RANGE || last > newest {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// More than an engine keeps; a mark that somebody else wrote must not make us count for ever.
const MOST_RANGE: u64 = 100_000;

/// A time of the server as milliseconds since the Unix epoch.
pub(crate) fn millis(time: &str) -> Result<u64> {
    let time: jiff::Timestamp = time
        .parse()
        .map_err(|_| Fault::Reply("a time is not in RFC 3339"))?;
    Ok(u64::try_from(time.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(newest: u64, deleted: &[u64], mark: Option<&str>) -> Record {
        let version = |number| Version {
            created: number,
            deleted: deleted.contains(&number).then_some(50),
            destroyed: false,
        };
        let custom = mark.map(|mark| (DELETED.to_owned(), mark.to_owned()));
        Record {
            created: 1,
            updated: newest,
            newest,
            versions: (1..=newest)
                .map(|number| (number, version(number)))
                .collect(),
            custom: custom.into_iter().collect(),
            revision: None,
            now: 100,
        }
    }

    #[test]
    fn a_mark_is_read_back_and_ends_with_the_next_write() {
        let all = BTreeSet::from([1, 2, 3, 5, 7, 8]);
        let mark = record(8, &[], None).mark(&all);
        assert_eq!(mark, "8:7-8 5 1-3");
        let deleted = record(8, &[1, 2, 3, 5, 7, 8], Some(&mark));
        assert_eq!(deleted.deleted_with_secret(), all);
        let partly = record(8, &[1, 8], Some(&mark));
        assert_eq!(partly.deleted_with_secret(), BTreeSet::from([1, 8]));
        let after = record(9, &[1, 2, 3, 5, 7, 8], Some(&mark));
        assert!(after.deleted_with_secret().is_empty() && !after.is_marked(1));
    }

    #[test]
    fn a_mark_stays_within_what_the_engine_takes() {
        let every_second: BTreeSet<u64> = (1..=1000).map(|n| n * 2).collect();
        let mark = record(2000, &[], None).mark(&every_second);
        assert!(mark.len() <= MOST_DELETED && mark.starts_with("2000:2000 1998 "));
        assert!(marked(&mark, 2000).unwrap().len() > 90);
    }

    #[test]
    fn a_mark_of_somebody_else_harms_nothing() {
        for mark in [
            "",
            "3",
            "3:",
            "3:x",
            "3:2-1",
            "3:1-4",
            "3:0-99999999999",
            "4:1",
            ":1",
        ] {
            let record = record(3, &[1, 2, 3], Some(mark));
            assert!(record.deleted_with_secret().is_empty(), "{mark}");
        }
    }

    #[test]
    fn what_will_be_deleted_is_live_and_expires() {
        let mut record = record(2, &[1], None);
        record.versions.get_mut(&2).unwrap().deleted = Some(150);
        assert_eq!(record.current(), Some(2));
        assert_eq!(record.describe().expires, Some(150));
        assert_eq!(record.describe().updated, 50);
        let states: Vec<_> = record
            .versions()
            .iter()
            .map(|v| (v.state, v.expires))
            .collect();
        assert_eq!(
            states,
            [
                (VersionState::Current, Some(150)),
                (VersionState::Deleted, None)
            ]
        );
        record.now = 150;
        assert_eq!(record.current(), None);
    }

    #[test]
    fn times_are_read() {
        assert_eq!(millis("1970-01-01T00:00:01.5021Z").unwrap(), 1502);
        assert!(millis("yesterday").is_err());
    }
}
