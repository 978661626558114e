//! What the vault holds and how it changes.

use std::collections::BTreeMap;

use super::State;

/// A secret with its versions.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The name as it was first written; case does not count.
    pub(crate) name: String,
    /// Oldest first.
    pub(crate) versions: Vec<Version>,
    pub(crate) phase: Phase,
}

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) value: String,
    pub(crate) content_type: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) exp: Option<u64>,
    pub(crate) nbf: Option<u64>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// Deletes and recoveries take the service a while, in which the name is neither here nor there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Active,
    Deleting {
        left: u32,
        at: u64,
    },
    Deleted {
        at: u64,
    },
    Recovering {
        left: u32,
    },
    /// Neither here nor deleted, and the name cannot be written yet.
    Purging {
        left: u32,
    },
}

impl State {
    /// The secret of a name as it is now; whatever is under way comes a step nearer to its end.
    pub(crate) fn look(&mut self, name: &str) -> Option<&mut Stored> {
        let key = name.to_ascii_lowercase();
        if self.secrets.get(&key)?.phase == (Phase::Purging { left: 0 }) {
            self.secrets.remove(&key);
            return None;
        }
        let stored = self.secrets.get_mut(&key)?;
        stored.phase = match stored.phase {
            Phase::Deleting { left: 0, at } => Phase::Deleted { at },
            Phase::Deleting { left, at } => Phase::Deleting { left: left - 1, at },
            Phase::Recovering { left: 0 } => Phase::Active,
            Phase::Recovering { left } => Phase::Recovering { left: left - 1 },
            Phase::Purging { left } => Phase::Purging { left: left - 1 },
            settled => settled,
        };
        Some(stored)
    }

    /// A random id: the service lists versions in the order of these, which is none.
    pub(crate) fn new_id(&mut self) -> String {
        self.ids += 1;
        let mut z = self.ids.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^= z >> 27;
        format!("{z:016x}{:016x}", z.wrapping_mul(0x94d0_49bb_1331_11eb))
    }

    /// Writes as another tool would: a version of this value, with nothing in its tags.
    pub(crate) fn put(&mut self, name: &str, value: &str) -> String {
        let (id, now) = (self.new_id(), self.tick());
        let version = Version {
            id: id.clone(),
            value: value.to_owned(),
            content_type: None,
            enabled: true,
            created: now,
            updated: now,
            exp: None,
            nbf: None,
            tags: BTreeMap::new(),
        };
        let stored = self.secrets.entry(name.to_ascii_lowercase());
        let stored = stored.or_insert_with(|| Stored {
            name: name.to_owned(),
            versions: Vec::new(),
            phase: Phase::Active,
        });
        stored.versions.push(version);
        id
    }

    /// Deletes as another tool would, and is done with it.
    pub(crate) fn delete(&mut self, name: &str) {
        let at = self.now();
        if let Some(stored) = self.look(name) {
            stored.phase = Phase::Deleted { at };
        }
    }
}

impl Stored {
    /// The newest version, which is the current one whether enabled or not.
    pub(crate) fn newest(&self) -> &Version {
        self.versions.last().expect("a secret has a version")
    }

    pub(crate) fn find(&mut self, id: &str) -> Option<&mut Version> {
        if id.is_empty() {
            return self.versions.last_mut();
        }
        self.versions.iter_mut().find(|version| version.id == id)
    }
}
