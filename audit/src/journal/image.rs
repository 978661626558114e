//! A copy of a journal's file, for those who must not map what they do not own: a mapping of a
//! file that shrinks kills the process.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::layout::{HEADER, Layout, W_BATCH_FILE, W_BATCH_OFFSET, Words};
use crate::files;
use crate::keys::SlotKey;

/// The words of a journal file as they were when it was read.
pub(crate) struct Image(Vec<u64>);

impl Image {
    /// Reads no more than a whole header claims: without one, the header alone.
    pub(crate) fn read(file: &File, writer: &str, key: &SlotKey) -> std::io::Result<Self> {
        let head = Self::words(file, HEADER)?;
        let count = usize::try_from(file.metadata()?.len() / 8).unwrap_or(usize::MAX);
        match Layout::of(&head, count, writer, key) {
            Some(layout) => Self::words(file, layout.words()),
            None => Ok(head),
        }
    }

    fn words(file: &File, count: usize) -> std::io::Result<Self> {
        let mut bytes = vec![0; count * 8];
        let size = files::read_at(file, &mut bytes, 0)?;
        bytes.truncate(size);
        Ok(Self(
            bytes
                .chunks_exact(8)
                .map(|word| word.try_into().map_or(0, u64::from_le_bytes))
                .collect(),
        ))
    }

    pub(crate) fn layout(&self, writer: &str, key: &SlotKey) -> Option<Layout> {
        Layout::of(self, self.0.len(), writer, key)
    }
}

impl Words for Image {
    fn load(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or_default()
    }
}

/// Notes in a dead writer's journal where the batch begins that is about to be written for it.
pub(crate) fn begin_batch(journal: &File, at: u64, offset: u64) -> std::io::Result<()> {
    journal.write_all_at(&offset.to_le_bytes(), W_BATCH_OFFSET as u64 * 8)?;
    journal.write_all_at(&at.to_le_bytes(), W_BATCH_FILE as u64 * 8)
}
