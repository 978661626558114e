//! The store: its files, its keys and its connections.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;
use strongroom_backend::{ChangeCell, ChangeTable, SecretValue, StoreMark};

use crate::config::{Config, KeySource, MAX_KEEP_VERSIONS};
use crate::crypto;
use crate::error::{Fault, Result};
use crate::files::{self, Paths};
use crate::header::StoreHeader;
use crate::index::NameIndex;
use crate::keys::{Keks, NameHash, Roots, SharedKeks};
use crate::lock::Lock;
use crate::schema;
use crate::source::{self, Material, SourceKey};

/// The most reading connections that are kept; each has a page cache and three open files.
const MAX_READERS: usize = 4;

/// For how many milliseconds reads trust that the file's name is still its own.
const LOOK_AGAIN: u64 = 10;

/// An open store. All methods block; those that write may wait for other writers.
pub(crate) struct Store {
    pub(crate) paths: Paths,
    pub(crate) roots: Roots,
    pub(crate) keep: usize,
    pub(crate) changes: Arc<ChangeTable>,
    pub(crate) index: Mutex<NameIndex>,
    pub(crate) writer: Mutex<Writer>,
    /// Device and inode of the file that was opened.
    file: (u64, u64),
    opened: Instant,
    /// When the name was last seen to be of that file, in milliseconds after `opened`.
    seen: AtomicU64,
    source: Mutex<Source>,
    keks: RwLock<SharedKeks>,
    readers: Mutex<Vec<Connection>>,
}

/// What the one writer of this process has.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) lock: Lock,
}

/// The key source, and where it can be read again after a rekey elsewhere.
pub(crate) struct Source {
    pub(crate) key: SourceKey,
    pub(crate) origin: Option<(KeySource, PathBuf)>,
}

/// Where the key is to come from: the settings, or a passphrase that the caller asked for.
pub(crate) enum Origin<'o> {
    Settings(&'o KeySource, &'o Path),
    Typed(&'o SecretValue),
}

impl Origin<'_> {
    pub(crate) fn read(&self) -> Result<Material> {
        match self {
            Self::Settings(source, base) => Material::read(source, base),
            Self::Typed(passphrase) => Material::typed(passphrase),
        }
    }

    pub(crate) fn remembered(&self) -> Option<(KeySource, PathBuf)> {
        match self {
            Self::Settings(source, base) => Some(((*source).clone(), base.to_path_buf())),
            Self::Typed(_) => None,
        }
    }

    /// Makes the key file of a file source unless it is there. Returns the file it made.
    pub(crate) fn make(&self) -> Result<Option<PathBuf>> {
        match self {
            Self::Settings(KeySource::File { path, .. }, base) => {
                let path = base.join(path);
                Ok(source::make_key_file(&path)?.then_some(path))
            }
            _ => Ok(None),
        }
    }
}

impl Store {
    /// Makes a new store. The file gets its name only when it is complete, and never replaces one.
    pub(crate) fn create(config: &Config, base: &Path, origin: &Origin<'_>) -> Result<()> {
        let paths = Paths::new(&base.join(&config.path))?;
        refuse_existing(&paths.store)?;
        let made = origin.make()?;
        let created = Self::create_file(&paths, origin);
        if let (Err(_), Some(key)) = (&created, made) {
            // Nothing was encrypted under it.
            let _ = std::fs::remove_file(key);
        }
        created
    }

    fn create_file(paths: &Paths, origin: &Origin<'_>) -> Result<()> {
        let header = new_header(&origin.read()?)?;
        let suffix = format!(".new-{}", hex::encode(crypto::make_random::<8>()?));
        let draft = files::beside(&paths.store, &suffix);
        drop(files::make_private(&draft)?);
        let named = schema::create(&draft, &header).and_then(|()| {
            std::fs::File::open(&draft)
                .and_then(|file| file.sync_all())
                .map_err(Fault::io("cannot sync", &draft))?;
            // A link, unlike a rename, fails where the name is taken.
            std::fs::hard_link(&draft, &paths.store).map_err(Fault::io("cannot make", &paths.store))
        });
        for leftover in ["", "-journal", "-wal", "-shm"] {
            let _ = std::fs::remove_file(files::beside(&draft, leftover));
        }
        named?;
        files::sync_folder(files::parent(&paths.store))
    }

    /// Opens a store.
    pub(crate) fn open(config: &Config, base: &Path, origin: &Origin<'_>) -> Result<Self> {
        if !(1..=MAX_KEEP_VERSIONS).contains(&config.keep_versions) {
            return Err(Fault::Config(format!(
                "`keep-versions` is from 1 to {MAX_KEEP_VERSIONS}"
            )));
        }
        let paths = Paths::new(&base.join(&config.path))?;
        paths.check()?;
        let file = paths.identity()?;
        let connection = schema::open_writer(&paths.store)?;
        schema::check(&connection)?;
        let bytes = schema::header(&connection)?;
        let header = StoreHeader::parse(&bytes)?;
        let key = SourceKey::open(&origin.read()?, &header.source)?;
        let roots = Roots::derive(header.store, &key.open_root(&header)?);
        StoreHeader::verify(&bytes, &roots.header)?;
        let keks = Keks::open(&header, &key)?;
        let store = Self {
            keep: config.keep_versions,
            file,
            opened: Instant::now(),
            seen: AtomicU64::new(0),
            changes: ChangeTable::open(&paths.changes)
                .map_err(Fault::io("cannot open", &paths.changes))?,
            index: Mutex::default(),
            writer: Mutex::new(Writer {
                connection,
                lock: Lock::open(&paths.lock)?,
            }),
            source: Mutex::new(Source {
                key,
                origin: origin.remembered(),
            }),
            keks: RwLock::new(Arc::new(keks)),
            readers: Mutex::default(),
            roots,
            paths,
        };
        if header.scrub {
            store.finish_scrub();
        }
        Ok(store)
    }

    /// The counter of a secret.
    pub(crate) fn cell(&self, name: &NameHash) -> ChangeCell {
        let half = name.first_chunk().copied().unwrap_or_default();
        self.changes.cell(u64::from_le_bytes(half))
    }

    /// The header as it stands, authenticated.
    pub(crate) fn header(&self, connection: &Connection) -> Result<StoreHeader> {
        let bytes = schema::header(connection)?;
        let header = StoreHeader::parse(&bytes)?;
        StoreHeader::verify(&bytes, &self.roots.header)?;
        if header.store != self.roots.store {
            return Err(Fault::Damaged("its header is of another store"));
        }
        Ok(header)
    }

    pub(crate) fn mark(&self) -> Result<StoreMark> {
        self.refuse_replaced()?;
        let header = self.read(|connection| self.header(connection))?;
        Ok(StoreMark {
            store: hex::encode(header.store),
            counter: header.counter,
        })
    }

    /// Runs `read` on a connection of its own.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        self.refuse_replaced_lately()?;
        let pooled = lock(&self.readers).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => schema::open_reader(&self.paths.store)?,
        };
        let answer = read(&connection);
        let mut readers = lock(&self.readers);
        // After a failure of the file a fresh connection is the safer one.
        if matches!(answer, Ok(_) | Err(Fault::Answer(_))) && readers.len() < MAX_READERS {
            readers.push(connection);
        }
        answer
    }

    /// Refuses to go on with a file that another one took the name of: a restored backup must not
    /// wait for a restart, nor may values that it lacks be served until then.
    pub(crate) fn refuse_replaced(&self) -> Result<()> {
        if self.paths.identity()? == self.file {
            return Ok(());
        }
        Err(Fault::Busy(
            "the store's file was replaced while it was open: open it again",
        ))
    }

    /// As [`Self::refuse_replaced`], once in [`LOOK_AGAIN`]: a look costs a fifth of a read.
    fn refuse_replaced_lately(&self) -> Result<()> {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now.saturating_sub(self.seen.load(Ordering::Relaxed)) >= LOOK_AGAIN {
            self.refuse_replaced()?;
            self.seen.store(now, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn keks(&self) -> SharedKeks {
        Arc::clone(&self.keks.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys of `header`; unwraps them anew where another process rotated them.
    pub(crate) fn keks_for(&self, header: &StoreHeader) -> Result<SharedKeks> {
        let known = self.keks();
        if known.serve(header) {
            return Ok(known);
        }
        let mut source = lock(&self.source);
        if source.key.epoch != header.source.epoch {
            // The configuration may name the new source by the old path.
            let origin = source.origin.as_ref().ok_or(Fault::Rekeyed)?;
            let key = Material::read(&origin.0, &origin.1)
                .and_then(|material| SourceKey::open(&material, &header.source))
                .map_err(|_| Fault::Rekeyed)?;
            source.key = key;
        }
        let keks = Arc::new(Keks::open(header, &source.key)?);
        *self.keks.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&keks);
        Ok(keks)
    }

    pub(crate) fn source(&self) -> MutexGuard<'_, Source> {
        lock(&self.source)
    }

    /// Empties the write-ahead log of what an earlier writer destroyed but could not wipe.
    fn finish_scrub(&self) {
        let mut writer = lock(&self.writer);
        let Writer { connection, lock } = &mut *writer;
        if let Ok(_held) = lock.hold() {
            // Where a reader is in the way, the next writer tries again.
            let _ = schema::checkpoint(connection, Duration::ZERO);
        }
    }
}

/// Locks; what a panicking holder left is rolled back or replaced by whoever comes next.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn refuse_existing(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Fault::io("cannot look at", path)(error)),
        Ok(_) => Err(Fault::Config(format!(
            "{} is there already and is not overwritten",
            path.display()
        ))),
    }
}

/// The header of a new store: its id, its root key and its first key-encryption key.
fn new_header(material: &Material) -> Result<Vec<u8>> {
    let id = crypto::make_random::<16>()?;
    let root = crypto::make_key()?;
    let (source, mut entry) = SourceKey::make(material, 1)?;
    source.wrap_root(&id, &mut entry, &root)?;
    let kek = source.wrap_kek(&id, 1, 0, &crypto::make_key()?)?;
    let roots = Roots::derive(id, &root);
    let mut header = StoreHeader::new(id, entry, kek);
    header.set_sum(&roots.header, &Default::default())?;
    header.encode(&roots.header)
}
