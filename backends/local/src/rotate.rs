//! New keys for the same values: another key-encryption key, another key source.

use std::time::Duration;

use rusqlite::OptionalExtension;
use strongroom_backend::Change;

use crate::crypto;
use crate::error::{Fault, Result};
use crate::header::{MAX_KEKS, StoreHeader};
use crate::keys::{Keks, NameHash, Place, SharedKeks};
use crate::read;
use crate::record::Record;
use crate::schema::Checkpoint;
use crate::source::SourceKey;
use crate::store::{Origin, Store};
use crate::write::Writing;

/// How many data keys are wrapped in one transaction: other writers wait milliseconds, not more.
const BATCH: u32 = 1000;

/// How long the end of a rotation waits for readers of the write-ahead log.
const WAIT: Duration = Duration::from_secs(1);

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotation {
    /// The number of the key-encryption key now in use.
    pub key: u32,
    /// How many data keys were wrapped again.
    pub rewrapped: u64,
    /// Whether the old wrapped keys are gone from the write-ahead log too. Where a reader was in
    /// the way, the next writer wipes them.
    pub scrubbed: bool,
    /// The store's change counter after it.
    pub counter: u64,
}

impl Store {
    /// Makes a new key-encryption key and wraps every data key with it; goes on with a rotation
    /// that was broken off. The old key goes when nothing uses it, and not before.
    pub(crate) fn rotate(&self, mut progress: impl FnMut(u64, u64)) -> Result<Rotation> {
        let total = self
            .write(None, WAIT, |writing| {
                if writing.header.keks.len() == 1 {
                    self.add_kek(writing)?;
                }
                count(writing)
            })?
            .answer;
        let mut rewrapped = 0;
        let mut done = 0;
        let mut after = None;
        progress(done, total);
        loop {
            let batch = self
                .write(None, Duration::ZERO, |writing| writing.rewrap(after))?
                .answer;
            rewrapped += batch.rewrapped;
            done += u64::from(batch.seen);
            progress(done.min(total), total);
            match batch.last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        let end = self.write(None, WAIT, |writing| writing.drop_old_keks())?;
        Ok(Rotation {
            key: end.answer,
            rewrapped,
            scrubbed: end.scrubbed == Checkpoint::Done,
            counter: end.counter,
        })
    }

    fn add_kek(&self, writing: &mut Writing<'_>) -> Result<()> {
        let header = &mut writing.header;
        let source = self.source();
        if source.key.epoch != header.source.epoch {
            return Err(Fault::Rekeyed);
        }
        let newest = header.keks.iter().map(|kek| kek.number).max();
        let number = newest
            .and_then(|newest| newest.checked_add(1))
            .filter(|_| header.keks.len() < MAX_KEKS)
            .ok_or(Fault::Limit("there are no more numbers for keys"))?;
        let kek = source
            .key
            .wrap_kek(&header.store, number, 0, &crypto::make_key()?)?;
        header.keks.push(kek);
        header.active = number;
        writing.keks = SharedKeks::new(Keks::open(header, &source.key)?);
        Ok(())
    }

    /// Wraps the root key and the key-encryption keys under a new source.
    pub(crate) fn rekey(&self, origin: &Origin<'_>) -> Result<Change> {
        // The new key is on disk, and readable, before the store depends on it.
        origin.make()?;
        let material = origin.read()?;
        let written = self.write(None, WAIT, |writing| {
            let old = self.source();
            let header = &mut writing.header;
            if old.key.epoch != header.source.epoch {
                return Err(Fault::Rekeyed);
            }
            let epoch = header
                .source
                .epoch
                .checked_add(1)
                .ok_or(Fault::Limit("the store has had too many key sources"))?;
            let root = old.key.open_root(header)?;
            let (new, mut entry) = SourceKey::make(&material, epoch)?;
            new.wrap_root(&header.store, &mut entry, &root)?;
            for kek in &mut header.keks {
                let key = old.key.open_kek(&header.store, kek)?;
                *kek = new.wrap_kek(&header.store, kek.number, kek.wraps, &key)?;
            }
            header.source = entry;
            header.scrub = true;
            // What another process will do with these bytes must work before the old way goes.
            let header = StoreHeader::parse(&header.encode(&self.roots.header)?)?;
            let again = SourceKey::open(&origin.read()?, &header.source)?;
            if !crypto::equal(again.open_root(&header)?.as_slice(), root.as_slice()) {
                return Err(Fault::Broken);
            }
            Keks::open(&header, &again)?;
            Ok(new)
        })?;
        let mut source = self.source();
        source.key = written.answer;
        source.origin = origin.remembered();
        Ok(Change {
            version: 0,
            counter: Some(written.counter),
        })
    }
}

/// One batch of a rotation.
struct Batch {
    seen: u32,
    rewrapped: u64,
    /// The last version seen; none at the end.
    last: Option<(NameHash, i64)>,
}

impl Writing<'_> {
    /// Wraps the data keys of the versions after `after` under the active key.
    fn rewrap(&mut self, after: Option<(NameHash, i64)>) -> Result<Batch> {
        let (name, version) = after.unwrap_or(([0; 16], 0));
        let rows = self
            .transaction
            .prepare_cached(
                "SELECT v.name, v.version, v.slot, k.wrapped FROM versions v \
                 JOIN data_keys k ON k.slot = v.slot \
                 WHERE (v.name, v.version) > (?1, ?2) ORDER BY v.name, v.version LIMIT ?3",
            )?
            .query_map((name, version, BATCH), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<rusqlite::Result<Vec<(NameHash, i64, i64, Vec<u8>)>>>()?;
        let mut batch = Batch {
            seen: u32::try_from(rows.len()).unwrap_or(BATCH),
            rewrapped: 0,
            last: None,
        };
        let active = self.header.active.to_be_bytes();
        let mut record: Option<(NameHash, Record)> = None;
        for (name, version, slot, wrapped) in rows {
            if wrapped.first_chunk() != Some(&active) {
                let known = match record.take() {
                    Some((of, record)) if of == name => record,
                    _ => self
                        .load(&name)?
                        .map(|(record, _)| record)
                        .ok_or(Fault::Damaged("a version has no record"))?,
                };
                self.rewrap_one(&name, version, slot, &wrapped, &known)?;
                record = Some((name, known));
                batch.rewrapped += 1;
            }
            batch.last = Some((name, version));
        }
        if batch.seen < BATCH {
            batch.last = None;
        }
        Ok(batch)
    }

    fn rewrap_one(
        &mut self,
        name: &NameHash,
        version: i64,
        slot: i64,
        wrapped: &[u8],
        record: &Record,
    ) -> Result<()> {
        let version = read::number(version)?;
        let (created, _) = record
            .history
            .times(version)
            .ok_or(Fault::Damaged("a version is not in its record"))?;
        let place = Place {
            name: *name,
            version,
            created,
        };
        let keks = SharedKeks::clone(&self.keks);
        let data_key = keks
            .unwrap(self.roots, &place, wrapped)?
            .ok_or(Fault::Damaged(
                "a data key is wrapped by a key that is missing",
            ))?;
        let again = keks.wrap(self.roots, &mut self.header, &place, &data_key)?;
        self.transaction
            .prepare_cached("UPDATE data_keys SET wrapped = ?2 WHERE slot = ?1")?
            .execute((slot, &again))?;
        self.sum.remove(self.roots.data_key_row(slot, wrapped));
        self.sum.add(self.roots.data_key_row(slot, &again));
        Ok(())
    }

    /// Forgets all keys but the active one, once no data key needs them.
    fn drop_old_keks(&mut self) -> Result<u32> {
        let active = self.header.active;
        let needed: Option<i64> = self
            .transaction
            .prepare_cached(
                "SELECT slot FROM data_keys WHERE used = 1 AND substr(wrapped, 1, 4) <> ?1 LIMIT 1",
            )?
            .query_row([active.to_be_bytes()], |row| row.get(0))
            .optional()?;
        if needed.is_some() {
            return Err(Fault::Damaged(
                "a data key that belongs to no version uses an old key",
            ));
        }
        self.header.keks.retain(|kek| kek.number == active);
        self.header.scrub = true;
        Ok(active)
    }
}

fn count(writing: &Writing<'_>) -> Result<u64> {
    let count: i64 = writing
        .transaction
        .query_row("SELECT count(*) FROM versions", [], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}
