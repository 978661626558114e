//! What is kept, by path and version, least recently used first out.

use std::collections::BTreeMap;

use strongroom_backend::{SecretPath, Which};

/// What an entry costs beside its value and its path: the maps' nodes and their slack, rounded up.
const ENTRY_COST: usize = 256;

/// A path and a version of it; `None` is the current one.
pub(super) type Key = (SecretPath, Option<u64>);

pub(super) fn key(path: &SecretPath, which: Which) -> Key {
    let number = match which {
        Which::Current => None,
        Which::Version(number) => Some(number),
    };
    (path.clone(), number)
}

/// Entries up to a number of bytes.
pub(super) struct Shelf<T> {
    entries: BTreeMap<Key, Held<T>>,
    /// By last use.
    order: BTreeMap<u64, Key>,
    tick: u64,
    bytes: usize,
    limit: usize,
}

struct Held<T> {
    content: T,
    cost: usize,
    tick: u64,
}

impl<T> Shelf<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            tick: 0,
            bytes: 0,
            limit,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entry, now the most recently used one.
    pub(super) fn find(&mut self, key: &Key) -> Option<&T> {
        let held = self.entries.get_mut(key)?;
        self.tick += 1;
        self.order.remove(&held.tick);
        self.order.insert(self.tick, key.clone());
        held.tick = self.tick;
        Some(&held.content)
    }

    /// Keeps `content`, whose own size is `size`, and evicts what no longer fits.
    pub(super) fn keep(&mut self, key: Key, content: T, size: usize) {
        self.drop_one(&key);
        let cost = size + 2 * key.0.as_str().len() + ENTRY_COST;
        if cost > self.limit {
            return;
        }
        while self.bytes + cost > self.limit {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.drop_one(&oldest);
        }
        self.tick += 1;
        self.bytes += cost;
        self.order.insert(self.tick, key.clone());
        let tick = self.tick;
        self.entries.insert(
            key,
            Held {
                content,
                cost,
                tick,
            },
        );
    }

    /// Whether there was one.
    pub(super) fn drop_one(&mut self, key: &Key) -> bool {
        let Some(held) = self.entries.remove(key) else {
            return false;
        };
        self.bytes -= held.cost;
        self.order.remove(&held.tick);
        true
    }

    /// Drops the current and every numbered entry of `path`; whether there was any.
    pub(super) fn drop_path(&mut self, path: &SecretPath) -> bool {
        let range = (path.clone(), None)..=(path.clone(), Some(u64::MAX));
        let keys: Vec<Key> = self.entries.range(range).map(|(k, _)| k.clone()).collect();
        for key in &keys {
            self.drop_one(key);
        }
        !keys.is_empty()
    }

    /// Drops what `stands` refuses.
    pub(super) fn sweep(&mut self, stands: impl Fn(&Key, &T) -> bool) {
        let gone: Vec<Key> = self
            .entries
            .iter()
            .filter(|(key, held)| !stands(key, &held.content))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &gone {
            self.drop_one(key);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }
}
