//! Change counters: how a reader learns, without a system call, that another process wrote.
//!
//! A [`ChangeTable`] is 4,096 counters, in memory or in a mapped file that every process on the
//! machine shares. A secret's name picks its counter, so one writer does not empty everyone's
//! cache. A writer, who holds the store's lock, makes the counter odd before its commit and even
//! after. A reader takes the counter before it reads, and uses or keeps what it read only while the
//! number is even and unchanged.
#![expect(
    unsafe_code,
    reason = "the counters are atomics in a mapping that processes share"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapRaw;
use rustix::fs::{FallocateFlags, Mode, OFlags};

/// How many counters a table has.
const CELLS: usize = 4096;
const BYTES: usize = CELLS * size_of::<AtomicU64>();

/// 4,096 change counters that processes may share.
pub struct ChangeTable {
    storage: Storage,
}

enum Storage {
    Memory(Box<[AtomicU64]>),
    Mapped(MmapRaw),
}

impl ChangeTable {
    /// A table of this process alone.
    pub fn in_memory() -> Arc<Self> {
        let cells = (0..CELLS).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            storage: Storage::Memory(cells),
        })
    }

    /// The table in `path`, made with mode 0600 if missing and shared by all who open it.
    ///
    /// The file's blocks are allocated before it is mapped: a sparse file on a full disk would kill
    /// the process at the first store.
    ///
    /// # Errors
    ///
    /// A symbolic link, a file of another user or one that others may write is refused; otherwise
    /// what the operating system says.
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
        let stat = rustix::fs::fstat(&file)?;
        let mine = stat.st_uid == rustix::process::geteuid().as_raw();
        if !mine || stat.st_mode & 0o022 != 0 || stat.st_mode & 0o170_000 != 0o100_000 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the change counter file is not a plain file that only this user may write",
            ));
        }
        rustix::fs::fallocate(file.as_fd(), FallocateFlags::empty(), 0, BYTES as u64)?;
        let map = memmap2::MmapOptions::new().len(BYTES).map_raw(&file)?;
        Ok(Arc::new(Self {
            storage: Storage::Mapped(map),
        }))
    }

    /// The counter that a name picks. `hash` may be any hash that all processes agree on.
    pub fn cell(self: &Arc<Self>, hash: u64) -> ChangeCell {
        ChangeCell {
            table: Arc::clone(self),
            index: (hash % CELLS as u64) as usize,
        }
    }

    /// Makes every counter that a dead writer left odd even again. Only for the holder of the
    /// store's lock, before its own first change.
    pub fn mend(&self) {
        for cell in self.cells() {
            let value = cell.load(Ordering::SeqCst);
            if value % 2 == 1 {
                cell.store(value + 1, Ordering::SeqCst);
            }
        }
    }

    /// Changes every counter: for a change that is not of one name.
    pub fn change_all(&self) {
        for cell in self.cells() {
            cell.fetch_add(2, Ordering::SeqCst);
        }
    }

    fn cells(&self) -> &[AtomicU64] {
        match &self.storage {
            Storage::Memory(cells) => cells,
            // SAFETY: the mapping has BYTES bytes, is page aligned and lives as long as `self`;
            // every process touches it through atomics only.
            Storage::Mapped(map) => unsafe {
                std::slice::from_raw_parts(map.as_ptr().cast::<AtomicU64>(), CELLS)
            },
        }
    }
}

/// The counter of one name.
#[derive(Clone)]
pub struct ChangeCell {
    table: Arc<ChangeTable>,
    index: usize,
}

impl ChangeCell {
    /// The number now; odd while a writer is between its commit's beginning and end.
    #[inline]
    pub fn load(&self) -> u64 {
        self.atomic().load(Ordering::Acquire)
    }

    /// Marks a change as begun; dropping the guard marks it as over, whether or not it was
    /// committed. Only for the holder of the store's lock.
    pub fn begin_write(&self) -> WriteGuard<'_> {
        let value = self.atomic().load(Ordering::SeqCst);
        // A number that a dead writer left odd stays odd for us: readers never saw it as stable.
        self.atomic().store(value | 1, Ordering::SeqCst);
        WriteGuard(self)
    }

    /// Moves the number to the next even one, atomically. For writers that no lock keeps apart:
    /// each calls it when its change is over, so that nothing read before counts after.
    pub fn step(&self) {
        self.atomic().fetch_add(2, Ordering::SeqCst);
    }

    fn atomic(&self) -> &AtomicU64 {
        #[expect(
            clippy::indexing_slicing,
            reason = "`index` is below CELLS by construction"
        )]
        &self.table.cells()[self.index]
    }
}

/// A change under way; its end is the guard's drop.
pub struct WriteGuard<'c>(&'c ChangeCell);

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        let value = self.0.atomic().load(Ordering::SeqCst);
        self.0
            .atomic()
            .store((value | 1).wrapping_add(1), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_odd_while_under_way_and_moves_the_number() {
        let cell = ChangeTable::in_memory().cell(7);
        let before = cell.load();
        let guard = cell.begin_write();
        assert_eq!(cell.load() % 2, 1);
        drop(guard);
        assert_eq!(cell.load(), before + 2);
    }

    #[test]
    fn processes_share_a_file_and_a_dead_writer_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("changes");
        let (one, two) = (
            ChangeTable::open(&path).unwrap(),
            ChangeTable::open(&path).unwrap(),
        );
        std::mem::forget(one.cell(3).begin_write());
        assert_eq!(two.cell(3).load(), 1);
        two.mend();
        assert_eq!(one.cell(3).load(), 2);
        assert_eq!(one.cell(3 + CELLS as u64).load(), 2);
    }

    #[test]
    fn a_link_in_place_of_the_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("changes");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(ChangeTable::open(&path).is_err());
    }
}
