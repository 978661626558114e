//! The one place with `unsafe`: words of a shared mapping as atomics.

#![expect(
    unsafe_code,
    reason = "atomics over a shared mapping; every other module goes through `Map::word`"
)]

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapRaw;

use super::layout::Words;

/// A file mapped shared and read-write, seen as 64-bit atomic words.
///
/// The file must stay as long as it is: a shorter file turns accesses into SIGBUS. It lies in a
/// folder that only we can enter, is allocated whole before it is mapped, and nothing of ours shortens it.
pub(crate) struct Map {
    map: MmapRaw,
    words: usize,
}

impl Map {
    pub(crate) fn new(file: &File) -> std::io::Result<Self> {
        let map = MmapRaw::map_raw(file)?;
        let words = map.len() / size_of::<u64>();
        Ok(Self { map, words })
    }

    #[inline]
    pub(crate) fn word(&self, index: usize) -> Option<&AtomicU64> {
        if index >= self.words {
            return None;
        }
        // SAFETY: the mapping is page-aligned, lives as long as `self`, and `index` is within it, so
        // the pointer is aligned and valid; all accesses in this process are atomic.
        Some(unsafe { &*self.map.as_mut_ptr().cast::<AtomicU64>().add(index) })
    }

    #[inline]
    pub(crate) fn store(&self, index: usize, value: u64) {
        if let Some(word) = self.word(index) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Publishes everything stored before it.
    #[inline]
    pub(crate) fn publish(&self, index: usize, value: u64) {
        if let Some(word) = self.word(index) {
            word.store(value, Ordering::Release);
        }
    }
}

impl Words for Map {
    #[inline]
    fn load(&self, index: usize) -> u64 {
        self.word(index)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }
}
