//! What a component asked before: decision, version and value under the text it gave.
//!
//! A hit costs one look-up and a few comparisons: the policy generation, the time at which the first
//! thing expires, and the change counters that the answer hangs on. The lock is held from the comparison to the end of
//! the release, so that a reload, which takes the lock after it has moved the generation, returns
//! only when no value is on its way out under the old policy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use strongroom_audit::{Target, Text};
use strongroom_backend::SecretValue;
use strongroom_backend_layers::Standing;

/// Answers held for one component. A normal program names a few dozen secrets.
const MAX_ENTRIES: usize = 4096;

/// Value bytes held for one component; each component pays for its own, so that none can push
/// out another's.
const MAX_BYTES: usize = 16 << 20;

/// The longest text that is remembered: a canonical reference is never longer.
pub(crate) const MAX_TEXT: usize = strongroom_backend::limits::REFERENCE;

pub(crate) struct Cache {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Box<str>, Entry>,
    bytes: usize,
}

/// A remembered answer and what it depends on.
pub(crate) struct Entry {
    pub(crate) answer: Answer,
    pub(crate) target: Target,
    pub(crate) grant: Option<Text>,
    /// The field of the secret that the value is, where the grant gives no more.
    pub(crate) field: Option<Arc<str>>,
    /// When the version expires.
    pub(crate) expires: Option<u64>,
    pub(crate) generation: u64,
    /// What the record says beside the rest, such as which vault of a chain answered.
    pub(crate) detail: Option<Text>,
    /// Milliseconds since the epoch at which grant or version expires, or the vault's own cache would
    /// ask anew.
    pub(crate) until: u64,
    /// The change counters that it hangs on, with their numbers when the answer was read.
    pub(crate) standing: Standing,
    /// Used since the last sweep.
    pub(crate) used: bool,
}

pub(crate) enum Answer {
    Denied,
    NotFound,
    Value {
        value: Arc<SecretValue>,
        version: u64,
    },
}

impl Entry {
    #[inline]
    pub(crate) fn stands(&self, generation: u64, now_ms: u64) -> bool {
        self.generation == generation && now_ms < self.until && self.standing.holds()
    }

    fn bytes(&self) -> usize {
        match &self.answer {
            Answer::Value { value, .. } => value.len(),
            Answer::Denied | Answer::NotFound => 0,
        }
    }
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_> {
        // Entries are whole whenever the lock is free, so a panic elsewhere leaves them usable.
        Locked(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops what no longer stands, so that a superseded value does not stay in memory until the
    /// component happens to ask again.
    pub(crate) fn sweep(&self, generation: u64, now_ms: u64) {
        let mut locked = self.lock();
        locked.0.retain(|entry| entry.stands(generation, now_ms));
    }
}

/// The cache while nobody else can release from it.
pub(crate) struct Locked<'c>(MutexGuard<'c, State>);

impl Locked<'_> {
    #[inline]
    pub(crate) fn find(&mut self, text: &str) -> Option<&mut Entry> {
        self.0.entries.get_mut(text)
    }

    /// Remembers an answer, making room by dropping what was not used since room was last made.
    pub(crate) fn insert(&mut self, text: &str, entry: Entry) {
        let bytes = entry.bytes();
        if text.len() > MAX_TEXT || bytes > MAX_BYTES / 4 {
            return;
        }
        self.remove(text);
        if self.0.is_full(bytes) {
            self.0.retain(|entry| std::mem::take(&mut entry.used));
        }
        if self.0.is_full(bytes) {
            self.0.clear();
        }
        self.0.bytes += bytes;
        self.0.entries.insert(text.into(), entry);
    }

    pub(crate) fn remove(&mut self, text: &str) {
        if let Some(old) = self.0.entries.remove(text) {
            self.0.bytes -= old.bytes();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl State {
    fn is_full(&self, more: usize) -> bool {
        self.entries.len() >= MAX_ENTRIES || self.bytes + more > MAX_BYTES
    }

    fn retain(&mut self, mut keep: impl FnMut(&mut Entry) -> bool) {
        let mut bytes = 0;
        self.entries.retain(|_, entry| {
            let kept = keep(entry);
            bytes += if kept { entry.bytes() } else { 0 };
            kept
        });
        self.bytes = bytes;
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }
}
