//! What the service knows of a secret: its labels, and what they mean to us.
//!
//! The service puts a label on one version at a time and moves it in one step, `AWSCURRENT` only from the
//! version that the caller names. We use two of our own:
//!
//! - `STRONGROOM-WRITTEN`, on the version that was written last, current or not yet;
//! - `STRONGROOM-FIRST`, on the first version after a delete: what is older stays deleted.

use std::collections::BTreeMap;

use strongroom_backend::{Description, Error, ErrorKind};

use crate::error::{Fault, Result};
use crate::tags::Tags;
use crate::version::{Id, Ids};

pub(crate) const CURRENT: &str = "AWSCURRENT";
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";
pub(crate) const PENDING: &str = "AWSPENDING";
pub(crate) const WRITTEN: &str = "STRONGROOM-WRITTEN";
pub(crate) const FIRST: &str = "STRONGROOM-FIRST";

/// A secret at one moment.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) ids: Ids,
    /// Whether the service will remove the secret, and refuses reads and writes until then.
    pub(crate) scheduled: bool,
    /// Whether there are copies in other regions, with which it cannot be deleted.
    pub(crate) replicated: bool,
    /// The labels of each version that has one.
    pub(crate) labels: Vec<(String, Vec<String>)>,
    /// When versions of other tools were made, in milliseconds: their numbers.
    pub(crate) dates: BTreeMap<String, u64>,
    pub(crate) tags: Tags,
    pub(crate) description: Option<String>,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) rotates: Option<u64>,
}

/// What `AWSCURRENT` is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Current {
    /// Nothing: made without a value by another tool.
    None,
    /// The mark of our delete, with its id.
    Deleted(String),
    /// A value.
    Value { id: String, number: u64 },
}

impl Current {
    /// What a write expects: 0 where there is no value.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Value { number, .. } => *number,
            Self::None | Self::Deleted(_) => 0,
        }
    }

    /// The id, to move the label from.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Deleted(id) | Self::Value { id, .. } => Some(id),
        }
    }
}

impl State {
    /// The id of the version that has `label`.
    pub(crate) fn labelled(&self, label: &str) -> Option<&str> {
        let has = |(_, labels): &&(String, Vec<String>)| labels.iter().any(|other| other == label);
        self.labels.iter().find(has).map(|(id, _)| id.as_str())
    }

    /// What is current.
    ///
    /// # Errors
    ///
    /// A fault where a version of another tool has no date.
    pub(crate) fn current(&self) -> Result<Current> {
        let Some(id) = self.labelled(CURRENT) else {
            return Ok(Current::None);
        };
        let id = id.to_owned();
        Ok(match self.ids.parse(&id) {
            Id::Deleted(_) => Current::Deleted(id),
            _ => {
                let number = self.number(&id).ok_or(Fault::Strange("no date"))?;
                Current::Value { id, number }
            }
        })
    }

    /// Whether the secret is deleted: by us, or by another tool.
    pub(crate) fn is_deleted(&self) -> bool {
        let marked = |id: &str| matches!(self.ids.parse(id), Id::Deleted(_));
        self.scheduled || self.labelled(CURRENT).is_some_and(marked)
    }

    /// Whether the version of `id` and `number` is out of a delete's reach.
    pub(crate) fn is_readable(&self, id: &str, number: u64) -> bool {
        let is_current = self.labelled(CURRENT) == Some(id);
        let is_unfinished = self.unfinished() == Some(number);
        is_current || (number >= self.first() && !is_unfinished)
    }

    /// The number of the first version after the last delete that was followed by a write.
    fn first(&self) -> u64 {
        match self.labelled(FIRST).map(|id| self.ids.parse(id)) {
            Some(Id::Value(number)) => number,
            _ => 0,
        }
    }

    /// The number that was written but is not current yet: somebody is between the two steps of a
    /// write, or died there.
    pub(crate) fn unfinished(&self) -> Option<u64> {
        let id = self.labelled(WRITTEN)?;
        let Id::Value(number) = self.ids.parse(id) else {
            return None;
        };
        let was_current = [CURRENT, PREVIOUS]
            .iter()
            .any(|label| self.labelled(label) == Some(id));
        let current = match self.labelled(CURRENT) {
            Some(current) => match self.ids.parse(current) {
                Id::Deleted(at) => at,
                _ => self.number(current)?,
            },
            None => 0,
        };
        (!was_current && number > current).then_some(number)
    }

    /// The number of the next version: above all that have labels, so above every one that is or was
    /// current, or is about to be.
    pub(crate) fn next(&self) -> Result<u64> {
        let mut last = 0;
        for (id, labels) in &self.labels {
            let number = match self.ids.parse(id) {
                Id::Value(number) | Id::Deleted(number) => number,
                // Some servers list versions without labels too; theirs are no numbers to be above.
                Id::Foreign if labels.is_empty() => continue,
                Id::Foreign => self.number(id).ok_or(Fault::Strange("no date"))?,
            };
            last = last.max(number);
        }
        let used_up = || Error::new(ErrorKind::Failed, "the version numbers are used up");
        Ok(last.checked_add(1).ok_or_else(used_up)?)
    }

    /// Whether other tools wrote versions that have labels, whose dates we need.
    pub(crate) fn has_foreign(&self) -> bool {
        let foreign = |id: &str| self.ids.parse(id) == Id::Foreign;
        self.labels
            .iter()
            .any(|(id, labels)| !labels.is_empty() && foreign(id))
    }

    /// The number of a version: ours, or the time when another tool made it.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        match self.ids.parse(id) {
            Id::Value(number) | Id::Deleted(number) => Some(number),
            Id::Foreign => self.dates.get(id).copied(),
        }
    }

    /// What `describe` answers.
    pub(crate) fn describe(&self) -> Result<Description> {
        let version = if self.is_deleted() {
            None
        } else {
            Some(self.current()?.number()).filter(|number| *number > 0)
        };
        Ok(Description {
            version,
            created: self.created,
            updated: self.updated.max(self.created),
            expires: None,
            rotates: self.rotates,
            kind: self.tags.kind(),
            description: self.description.clone().filter(|text| !text.is_empty()),
            labels: self.tags.labels(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "4f9f1d2e-97a5-4e0c-8f0b-2d2f6d8c5a11";
    const TIME: u64 = 1_790_000_000_000;

    fn ids() -> Ids {
        Ids::of("a")
    }

    fn state(labels: &[(String, &[&str])]) -> State {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        State {
            ids: ids(),
            scheduled: false,
            replicated: false,
            labels: labels
                .iter()
                .map(|(id, l)| (id.clone(), owned(l)))
                .collect(),
            dates: [(THEIRS.to_owned(), TIME)].into(),
            tags: Tags::default(),
            description: None,
            created: 2,
            updated: 1,
            rotates: None,
        }
    }

    #[test]
    fn numbers_go_on_from_whatever_is_or_was_current() {
        let (one, two, gone) = (ids().value(1), ids().value(2), ids().deleted(5));
        for (labels, next) in [
            (vec![], 1),
            (vec![(one.clone(), &[CURRENT][..])], 2),
            (vec![(one.clone(), &[CURRENT]), (two, &[WRITTEN])], 3),
            (vec![(one.clone(), &[CURRENT]), (gone, &[PREVIOUS])], 6),
            (vec![(THEIRS.to_owned(), &[CURRENT])], TIME + 1),
            (
                vec![(one.clone(), &[CURRENT]), (THEIRS.to_owned(), &[PREVIOUS])],
                TIME + 1,
            ),
            (
                vec![(one.clone(), &[CURRENT]), ("unlabelled".to_owned(), &[])],
                2,
            ),
        ] {
            assert_eq!(state(&labels).next().unwrap(), next);
        }
        let last = state(&[(ids().value(u64::MAX), &[CURRENT])]);
        assert!(last.next().is_err());
        let unknown = state(&[("unknown".to_owned(), &[CURRENT])]);
        assert!(unknown.next().is_err() && unknown.current().is_err());
    }

    #[test]
    fn a_write_that_stopped_between_its_steps_shows() {
        let (one, two, three) = (ids().value(1), ids().value(2), ids().value(3));
        let stopped = state(&[(one.clone(), &[CURRENT]), (two.clone(), &[WRITTEN])]);
        assert_eq!(stopped.unfinished(), Some(2));
        assert!(!stopped.is_readable(&two, 2));
        let done = state(&[
            (one.clone(), &[PREVIOUS]),
            (two.clone(), &[CURRENT, WRITTEN]),
        ]);
        assert_eq!(done.unfinished(), None);
        let moved_back = state(&[(one.clone(), &[CURRENT]), (two, &[PREVIOUS, WRITTEN])]);
        assert_eq!(moved_back.unfinished(), None);
        let theirs = state(&[(THEIRS.to_owned(), &[CURRENT]), (three, &[WRITTEN])]);
        assert_eq!(theirs.unfinished(), None);
        let marked = state(&[(one, &[PREVIOUS]), (ids().deleted(2), &[CURRENT, WRITTEN])]);
        assert_eq!(marked.unfinished(), None);
    }

    #[test]
    fn what_is_older_than_the_first_version_after_a_delete_stays_deleted() {
        let (old, new) = (ids().value(1), ids().value(3));
        let state = state(&[(new.clone(), &[CURRENT, FIRST, WRITTEN])]);
        assert!(!state.is_readable(&old, 1));
        assert!(state.is_readable(&new, 3));
        assert!(!state.is_deleted());
    }

    #[test]
    fn a_mark_is_no_version() {
        let gone = state(&[
            (ids().value(1), &[PREVIOUS]),
            (ids().deleted(2), &[CURRENT]),
        ]);
        assert!(gone.is_deleted());
        assert_eq!(gone.current().unwrap().number(), 0);
        assert_eq!(gone.describe().unwrap().version, None);
        let mut scheduled = state(&[(ids().value(1), &[CURRENT])]);
        scheduled.scheduled = true;
        assert_eq!(scheduled.describe().unwrap().version, None);
        assert_eq!(scheduled.describe().unwrap().updated, 2);
    }
}
