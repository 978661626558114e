//! The life of one secret: its versions, their states and what is known of it.
//!
//! This is the one state machine for soft delete, undelete, destroy and pruning. It is plain data
//! without values, so a store can keep it in whatever form it has.

use serde::{Deserialize, Serialize};

use crate::{
    Description, Error, ErrorKind, Metadata, PutOptions, Result, VersionInfo, VersionState, Which,
};

/// The versions and metadata of one secret.
///
/// Numbers count from 1, only go up and are never used twice. When the current version is deleted
/// or destroyed there is no current one until a write or an undelete: an older value never comes
/// back by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    last: u64,
    current: Option<u64>,
    /// What an undelete makes current again.
    restore: Option<u64>,
    created: u64,
    updated: u64,
    kind: Option<String>,
    description: Option<String>,
    labels: Vec<(String, String)>,
    /// Oldest first.
    versions: Vec<Version>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    number: u64,
    created: u64,
    expires: Option<u64>,
    author: Option<String>,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Life {
    Live,
    /// Deleted by number.
    Deleted,
    /// Deleted together with the secret.
    DeletedWithSecret,
    Destroyed,
}

impl History {
    /// The number of the version that `which` reads at the time `now`.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none, where it is deleted or destroyed, and after its expiry.
    pub fn readable(&self, which: Which, now: u64) -> Result<u64> {
        let number = match which {
            Which::Current => self.current,
            Which::Version(number) => Some(number),
        };
        number
            .and_then(|number| self.version(number))
            .filter(|v| v.life == Life::Live && v.expires.is_none_or(|at| now < at))
            .map(|v| v.number)
            .ok_or_else(Error::not_found)
    }

    /// When a version was written and when it expires.
    pub fn times(&self, number: u64) -> Option<(u64, Option<u64>)> {
        self.version(number).map(|v| (v.created, v.expires))
    }

    /// Begins a new version, makes it current and returns its number. What was deleted before stays
    /// deleted, and comes back only by its own number.
    ///
    /// # Errors
    ///
    /// `Conflict` where `options.expected` is not the current version (0: there is none).
    pub fn put(&mut self, options: &PutOptions, now: u64) -> Result<u64> {
        let current = self.current.unwrap_or(0);
        if options.expected.is_some_and(|expected| expected != current) {
            return Err(Error::conflict(current));
        }
        let used_up = || Error::new(ErrorKind::Failed, "the version numbers are used up");
        let number = self.last.checked_add(1).ok_or_else(used_up)?;
        if self.versions.is_empty() {
            self.created = now;
        }
        // A later undelete of the secret takes back a later delete, not one from before this write.
        for version in &mut self.versions {
            if version.life == Life::DeletedWithSecret {
                version.life = Life::Deleted;
            }
        }
        self.last = number;
        self.versions.push(Version {
            number,
            created: now,
            expires: options.expires,
            author: options.author.clone(),
            life: Life::Live,
        });
        self.current = Some(number);
        self.restore = None;
        self.set_metadata(&options.metadata, now);
        Ok(number)
    }

    /// Replaces what `metadata` gives and keeps the rest.
    pub fn set_metadata(&mut self, metadata: &Metadata, now: u64) {
        if let Some(kind) = &metadata.kind {
            self.kind = Some(kind.clone());
        }
        if let Some(description) = &metadata.description {
            self.description = Some(description.clone());
        }
        if let Some(labels) = &metadata.labels {
            self.labels = labels.clone();
            self.labels.sort();
            self.labels.dedup_by(|a, b| a.0 == b.0);
        }
        self.updated = now;
    }

    /// Soft-deletes every version, or one; returns the newest number that was deleted, which is
    /// the current one where there is one.
    ///
    /// # Errors
    ///
    /// `NotFound` where nothing is left to delete.
    pub fn delete(&mut self, number: Option<u64>, now: u64) -> Result<u64> {
        let deleted = match number {
            Some(number) => {
                let version = self.version_mut(number).filter(|v| v.life == Life::Live);
                version.ok_or_else(Error::not_found)?.life = Life::Deleted;
                number
            }
            None => {
                let mut live = self
                    .versions
                    .iter_mut()
                    .filter(|v| v.life == Life::Live)
                    .peekable();
                live.peek().ok_or_else(Error::not_found)?;
                live.fold(0, |_, v| {
                    v.life = Life::DeletedWithSecret;
                    v.number
                })
            }
        };
        if number.is_none() || self.current == number {
            self.restore = self.current.take().or(self.restore);
        }
        self.updated = now;
        Ok(deleted)
    }

    /// Takes a soft delete back, of the secret or of one version; returns the newest number that
    /// was taken back. It is the current one after this unless a newer one was written, deleted on
    /// its own or destroyed.
    ///
    /// # Errors
    ///
    /// `NotFound` where nothing is deleted.
    pub fn undelete(&mut self, number: Option<u64>, now: u64) -> Result<u64> {
        let whole = self
            .versions
            .iter()
            .any(|v| v.life == Life::DeletedWithSecret);
        let restored = match number.or(if whole { None } else { self.restore }) {
            Some(number) => {
                let deleted =
                    |v: &&mut Version| matches!(v.life, Life::Deleted | Life::DeletedWithSecret);
                let version = self.version_mut(number).filter(deleted);
                version.ok_or_else(Error::not_found)?.life = Life::Live;
                number
            }
            None if whole => {
                let with_secret = |v: &&mut Version| v.life == Life::DeletedWithSecret;
                self.versions
                    .iter_mut()
                    .filter(with_secret)
                    .fold(0, |_, v| {
                        v.life = Life::Live;
                        v.number
                    })
            }
            None => return Err(Error::not_found()),
        };
        let back = self
            .restore
            .and_then(|n| self.version(n))
            .filter(|v| v.life == Life::Live);
        if self.current.is_none()
            && let Some(back) = back.map(|v| v.number)
        {
            self.current = Some(back);
            self.restore = None;
        }
        self.updated = now;
        Ok(restored)
    }

    /// Marks one version as unreadable for good; the store destroys its key material.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such version, or it is destroyed already.
    pub fn destroy(&mut self, number: u64, now: u64) -> Result<()> {
        let version = self
            .version_mut(number)
            .filter(|v| v.life != Life::Destroyed);
        version.ok_or_else(Error::not_found)?.life = Life::Destroyed;
        if self.current == Some(number) {
            self.current = None;
        }
        if self.restore == Some(number) {
            self.restore = None;
        }
        self.updated = now;
        Ok(())
    }

    /// Forgets the oldest versions until `keep` are left, never the current one; returns the
    /// numbers whose values the store must destroy.
    pub fn prune(&mut self, keep: usize) -> Vec<u64> {
        let excess = self.versions.len().saturating_sub(keep.max(1));
        let current = self.current;
        let mut pruned = Vec::with_capacity(excess);
        self.versions.retain(|v| {
            let goes = pruned.len() < excess && Some(v.number) != current;
            if goes {
                pruned.push(v.number);
            }
            !goes
        });
        if self.restore.is_some_and(|n| pruned.contains(&n)) {
            self.restore = None;
        }
        pruned
    }

    /// Whether a listing shows the secret: it has a current version.
    pub fn is_listed(&self) -> bool {
        self.current.is_some()
    }

    /// What `describe` answers.
    pub fn describe(&self) -> Description {
        Description {
            version: self.current,
            created: self.created,
            updated: self.updated,
            expires: self
                .current
                .and_then(|n| self.version(n))
                .and_then(|v| v.expires),
            rotates: None,
            kind: self.kind.clone(),
            description: self.description.clone(),
            labels: self.labels.clone(),
        }
    }

    /// The versions, newest first.
    pub fn versions(&self) -> Vec<VersionInfo> {
        let info = |v: &Version| VersionInfo {
            version: v.number,
            state: match v.life {
                Life::Live if self.current == Some(v.number) => VersionState::Current,
                Life::Live => VersionState::Superseded,
                Life::Deleted | Life::DeletedWithSecret => VersionState::Deleted,
                Life::Destroyed => VersionState::Destroyed,
            },
            created: v.created,
            expires: v.expires,
            author: v.author.clone(),
        };
        self.versions.iter().rev().map(info).collect()
    }

    fn version(&self, number: u64) -> Option<&Version> {
        let at = self
            .versions
            .binary_search_by_key(&number, |v| v.number)
            .ok()?;
        self.versions.get(at)
    }

    fn version_mut(&mut self, number: u64) -> Option<&mut Version> {
        let at = self
            .versions
            .binary_search_by_key(&number, |v| v.number)
            .ok()?;
        self.versions.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(times: u64) -> History {
        let mut history = History::default();
        for now in 1..=times {
            assert_eq!(history.put(&PutOptions::default(), now).unwrap(), now);
        }
        history
    }

    fn current(history: &History) -> Option<u64> {
        history.readable(Which::Current, 0).ok()
    }

    #[test]
    fn an_older_value_never_comes_back_by_itself() {
        let mut history = written(2);
        history.delete(Some(2), 9).unwrap();
        assert_eq!(current(&history), None);
        assert_eq!(history.readable(Which::Version(1), 0).unwrap(), 1);
        history.undelete(Some(2), 9).unwrap();
        assert_eq!(current(&history), Some(2));
        history.destroy(2, 9).unwrap();
        assert_eq!(current(&history), None);
        assert!(history.undelete(None, 9).is_err());
        assert_eq!(history.put(&PutOptions::default(), 9).unwrap(), 3);
    }

    #[test]
    fn deleting_the_secret_hides_every_version_until_it_is_taken_back() {
        let mut history = written(2);
        history.delete(Some(1), 9).unwrap();
        history.delete(None, 9).unwrap();
        assert!(history.readable(Which::Version(2), 0).is_err());
        assert!(!history.is_listed());
        history.undelete(None, 9).unwrap();
        assert_eq!(current(&history), Some(2));
        assert!(
            history.readable(Which::Version(1), 0).is_err(),
            "deleted on its own before"
        );
    }

    #[test]
    fn a_write_after_a_delete_leaves_the_old_values_deleted() {
        let mut history = written(1);
        history.delete(None, 9).unwrap();
        let create = PutOptions {
            expected: Some(0),
            ..PutOptions::default()
        };
        assert_eq!(history.put(&create, 9).unwrap(), 2);
        assert!(history.readable(Which::Version(1), 0).is_err());
        history.undelete(Some(1), 9).unwrap();
        assert_eq!(current(&history), Some(2));
    }

    #[test]
    fn an_undelete_takes_back_the_last_delete_only() {
        let mut history = written(1);
        history.delete(None, 9).unwrap();
        history.put(&PutOptions::default(), 9).unwrap();
        assert!(history.undelete(None, 9).is_err(), "the secret is there");
        history.delete(None, 9).unwrap();
        assert_eq!(history.undelete(None, 9).unwrap(), 2);
        assert!(history.readable(Which::Version(1), 0).is_err());
    }

    #[test]
    fn expected_versions_conflict_with_the_current_number() {
        let mut history = written(3);
        let options = PutOptions {
            expected: Some(2),
            ..PutOptions::default()
        };
        let error = history.put(&options, 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict(3));
    }

    #[test]
    fn an_expired_version_is_gone_at_its_time() {
        let mut history = History::default();
        let options = PutOptions {
            expires: Some(100),
            ..PutOptions::default()
        };
        history.put(&options, 1).unwrap();
        assert!(history.readable(Which::Current, 99).is_ok());
        assert!(history.readable(Which::Version(1), 100).is_err());
    }

    #[test]
    fn pruning_takes_the_oldest_and_never_the_current_version() {
        let mut history = written(5);
        assert_eq!(history.prune(2), [1, 2, 3]);
        assert!(history.readable(Which::Version(3), 0).is_err());
        assert_eq!(current(&history), Some(5));
        assert_eq!(history.prune(0), [4]);
        assert_eq!(current(&history), Some(5));
    }
}
