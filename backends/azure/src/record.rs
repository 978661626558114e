//! What the versions of a secret in the vault mean.
//!
//! Key Vault knows enabled and disabled versions, and the newest one is its current one whether
//! enabled or not. A disabled version is a deleted one. Which of them an undelete of the secret
//! takes back stands in their tags.

use strongroom_backend::{Description, VersionInfo, VersionState};

use crate::error::{Fault, Result};
use crate::vault::{Deleted, Version};

/// The versions of one secret, newest first; at least one.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    newest: Version,
    older: Vec<Version>,
}

/// The life of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Live,
    /// Deleted by its number, or disabled by another tool.
    Deleted,
    /// Deleted together with the secret, since its last write.
    DeletedWithSecret,
}

impl Record {
    /// None without a version.
    pub(crate) fn new(mut versions: Vec<Version>) -> Option<Self> {
        versions.sort_by(|a, b| (b.number, &b.id).cmp(&(a.number, &a.id)));
        let mut versions = versions.into_iter();
        Some(Self {
            newest: versions.next()?,
            older: versions.collect(),
        })
    }

    pub(crate) fn newest(&self) -> &Version {
        &self.newest
    }

    /// Newest first.
    pub(crate) fn versions(&self) -> impl DoubleEndedIterator<Item = &Version> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    /// The one version of this number.
    pub(crate) fn find(&self, number: u64) -> Result<&Version> {
        let mut found = self.versions().filter(|v| v.number == number);
        match (found.next(), found.next()) {
            (Some(version), None) => Ok(version),
            (None, _) => Err(Fault::NotFound),
            (Some(_), Some(_)) => Err(Fault::Tie(number)),
        }
    }

    pub(crate) fn life(&self, version: &Version) -> Life {
        if version.enabled {
            Life::Live
        } else if version.tags.deleted_with() == Some(&*self.newest.id) {
            Life::DeletedWithSecret
        } else {
            Life::Deleted
        }
    }

    /// The number of the current version; none while it is deleted.
    pub(crate) fn current(&self) -> Option<u64> {
        self.newest.enabled.then_some(self.newest.number)
    }

    pub(crate) fn infos(&self) -> Vec<VersionInfo> {
        self.versions()
            .map(|version| VersionInfo {
                state: match self.life(version) {
                    Life::Live if version.id == self.newest.id => VersionState::Current,
                    Life::Live => VersionState::Superseded,
                    _ => VersionState::Deleted,
                },
                ..info(version)
            })
            .collect()
    }

    pub(crate) fn describe(&self) -> Description {
        let created = self.versions().map(|v| v.number).min();
        let updated = self.versions().map(|v| v.updated).max();
        Description {
            version: self.current(),
            expires: self.current().and_then(|_| expiry(&self.newest)),
            ..description(&self.newest, created, updated)
        }
    }
}

/// What is known of the versions of a deleted secret.
pub(crate) fn infos_of_deleted(deleted: &Deleted) -> Vec<VersionInfo> {
    let newest = info(&deleted.newest);
    let older = deleted.newest.tags.older(newest.version);
    let older = older.into_iter().map(|number| VersionInfo {
        version: number,
        state: VersionState::Deleted,
        created: ms(number),
        expires: None,
        author: None,
    });
    std::iter::once(newest).chain(older).collect()
}

pub(crate) fn describe_deleted(deleted: &Deleted) -> Description {
    let newest = &deleted.newest;
    let first = newest.tags.older(newest.number).last().copied();
    let updated = deleted.at.max(Some(newest.updated));
    description(newest, first, updated)
}

/// When a version expires, in milliseconds.
pub(crate) fn expiry(version: &Version) -> Option<u64> {
    version.tags.expires(version.expires)
}

fn info(version: &Version) -> VersionInfo {
    VersionInfo {
        version: version.number,
        state: VersionState::Deleted,
        created: ms(version.number),
        expires: expiry(version),
        author: version.tags.author(),
    }
}

fn description(newest: &Version, created: Option<u64>, updated: Option<u64>) -> Description {
    Description {
        version: None,
        created: ms(created.unwrap_or(newest.number)),
        updated: ms(updated.unwrap_or(newest.updated)),
        expires: None,
        rotates: None,
        kind: newest.tags.kind(),
        description: newest.tags.description(),
        labels: newest.tags.labels(),
    }
}

fn ms(seconds: u64) -> u64 {
    seconds.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags::Tags;

    fn version(id: &str, number: u64) -> Version {
        Version {
            id: id.to_owned(),
            number,
            updated: number,
            enabled: true,
            expires: None,
            content_type: None,
            recoverable: true,
            purgeable: true,
            tags: Tags::default(),
        }
    }

    #[test]
    fn the_newest_is_the_one_made_last_whatever_the_order() {
        let record = Record::new(vec![version("c", 5), version("a", 9), version("b", 7)]).unwrap();
        assert_eq!(record.current(), Some(9));
        let told: Vec<_> = record.infos().iter().map(|v| v.version).collect();
        assert_eq!(told, [9, 7, 5]);
        assert!(Record::new(Vec::new()).is_none());
    }

    #[test]
    fn two_of_one_second_are_refused_and_not_guessed() {
        let record = Record::new(vec![version("a", 5), version("b", 5), version("c", 7)]).unwrap();
        assert!(matches!(record.find(5), Err(Fault::Tie(5))));
        assert_eq!(record.find(7).unwrap().id, "c");
        assert!(matches!(record.find(6), Err(Fault::NotFound)));
    }

    #[test]
    fn a_disabled_newest_leaves_no_current_version() {
        let mut newest = version("b", 7);
        newest.enabled = false;
        let record = Record::new(vec![version("a", 5), newest]).unwrap();
        assert_eq!(record.current(), None);
        assert_eq!(record.life(record.newest()), Life::Deleted);
        let states: Vec<_> = record.infos().iter().map(|v| v.state).collect();
        assert_eq!(states, [VersionState::Deleted, VersionState::Superseded]);
    }

    #[test]
    fn a_mark_counts_until_the_next_write() {
        let mut old = version("a", 5);
        old.enabled = false;
        old.tags.mark_deleted_with("b");
        let mut newest = version("b", 7);
        newest.enabled = false;
        newest.tags.mark_deleted_with("b");
        let record = Record::new(vec![old.clone(), newest.clone()]).unwrap();
        assert_eq!(record.life(&old), Life::DeletedWithSecret);
        let record = Record::new(vec![old.clone(), newest, version("c", 8)]).unwrap();
        assert_eq!(record.life(&old), Life::Deleted);
    }
}
