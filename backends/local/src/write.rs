//! Writing: one frame around every change, and the changes of single secrets.

use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior};
use strongroom_backend::{
    Change, ChangeCell, Error, ErrorKind, Metadata, PutOptions, SecretPath, SecretValue,
    VersionState,
};
use zeroize::Zeroizing;

use crate::error::{Fault, Result};
use crate::header::StoreHeader;
use crate::index::{self, Listing};
use crate::keys::{self, NameHash, Place, Roots, SharedKeks, WRAPPED};
use crate::read::MAX_VALUE;
use crate::record::Record;
use crate::schema::{self, Checkpoint};
use crate::store::{Store, Writer, lock, now};
use crate::sum::Sum;

/// How long a destroy waits for readers of the write-ahead log; a read takes microseconds.
const DESTROY_WAIT: Duration = Duration::from_secs(1);

/// How long a write waits for them after it pruned a version; the next writer goes on.
const PRUNE_WAIT: Duration = Duration::from_millis(20);

/// A transaction under way, with what its end needs.
pub(crate) struct Writing<'w> {
    pub(crate) transaction: &'w Transaction<'w>,
    pub(crate) roots: &'w Roots,
    pub(crate) header: StoreHeader,
    pub(crate) sum: Sum,
    pub(crate) keks: SharedKeks,
    /// Whether an earlier change left destroyed bytes behind, even if this one wiped them.
    unfinished: bool,
    /// What the change log will say.
    listing: Listing,
}

/// What a change left.
pub(crate) struct Written<R> {
    pub(crate) answer: R,
    pub(crate) counter: u64,
    /// Whether destroyed bytes are gone from the write-ahead log too.
    pub(crate) scrubbed: Checkpoint,
}

impl Store {
    /// Runs `change` in a transaction, under the store's lock. The header's counter and sum move
    /// in the same transaction; `cell` is odd while it is committed.
    pub(crate) fn write<R>(
        &self,
        cell: Option<&ChangeCell>,
        wait: Duration,
        change: impl FnOnce(&mut Writing<'_>) -> Result<R>,
    ) -> Result<Written<R>> {
        let mut writer = lock(&self.writer);
        let Writer { connection, lock } = &mut *writer;
        let _held = lock.hold()?;
        self.refuse_replaced()?;
        self.changes.mend();
        let (transaction, header, unfinished) = {
            let transaction =
                Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let mut header = self.header(&transaction)?;
            if header.scrub {
                // Someone destroyed something. An empty log says that it was wiped as well.
                let unfinished = self.paths.log_length() > 0;
                drop(transaction);
                let done = schema::checkpoint(connection, Duration::ZERO)?;
                let transaction =
                    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
                header = self.header(&transaction)?;
                header.scrub = done == Checkpoint::Held;
                (transaction, header, unfinished)
            } else {
                (transaction, header, false)
            }
        };
        let mut writing = Writing {
            keks: self.keks_for(&header)?,
            sum: header.sum(&self.roots.header),
            transaction: &transaction,
            roots: &self.roots,
            header,
            unfinished,
            listing: Listing::Same,
        };
        let answer = change(&mut writing)?;
        let header = writing.finish()?;
        {
            let _changing = cell.map(ChangeCell::begin_write);
            transaction.commit()?;
        }
        let scrubbed = if header.scrub {
            // The change is committed: a failure here is only "not yet".
            schema::checkpoint(connection, wait).unwrap_or(Checkpoint::Held)
        } else {
            Checkpoint::Done
        };
        Ok(Written {
            answer,
            counter: header.counter,
            scrubbed,
        })
    }

    pub(crate) fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        if value.len() > MAX_VALUE {
            return Err(Error::too_large(MAX_VALUE as u64).into());
        }
        let name = self.roots.name(path);
        let cell = self.cell(&name);
        let written = self.write(Some(&cell), PRUNE_WAIT, |writing| {
            let (mut record, row) = writing
                .load(&name)?
                .unwrap_or_else(|| (Record::new(path.clone()), None));
            let now = now();
            let version = record.history.put(options, now)?;
            for pruned in record.history.prune(self.keep) {
                writing.remove_version(&name, pruned)?;
            }
            let place = Place {
                name,
                version,
                created: now,
            };
            writing.insert_version(&place, value)?;
            writing.save(&name, &mut record, row)?;
            Ok(version)
        })?;
        Ok(written.change(written.answer))
    }

    pub(crate) fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.change(path, |record| record.history.delete(version, now()))
    }

    pub(crate) fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.change(path, |record| record.history.undelete(version, now()))
    }

    pub(crate) fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        self.change(path, |record| {
            record.history.set_metadata(metadata, now());
            Ok(record.history.describe().version.unwrap_or(0))
        })
    }

    /// A change of the record alone.
    fn change(
        &self,
        path: &SecretPath,
        change: impl FnOnce(&mut Record) -> strongroom_backend::Result<u64>,
    ) -> Result<Change> {
        let name = self.roots.name(path);
        let cell = self.cell(&name);
        let written = self.write(Some(&cell), PRUNE_WAIT, |writing| {
            let (mut record, row) = writing.load(&name)?.ok_or_else(Error::not_found)?;
            let version = change(&mut record)?;
            writing.save(&name, &mut record, row)?;
            Ok(version)
        })?;
        Ok(written.change(written.answer))
    }

    /// Destroys a version: its data key is gone from the file and the write-ahead log when this
    /// answers. Where a reader holds the log, this is `Unavailable`; calling again finishes it, and
    /// so does any later writer.
    pub(crate) fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let name = self.roots.name(path);
        let cell = self.cell(&name);
        let written = self.write(Some(&cell), DESTROY_WAIT, |writing| {
            let (mut record, row) = writing.load(&name)?.ok_or_else(Error::not_found)?;
            let again =
                writing.unfinished
                    && record.history.versions().iter().any(|info| {
                        info.version == version && info.state == VersionState::Destroyed
                    });
            if !again {
                record.history.destroy(version, now())?;
                writing.remove_version(&name, version)?;
                writing.save(&name, &mut record, row)?;
                writing.header.scrub = true;
            }
            Ok(version)
        })?;
        match written.scrubbed {
            Checkpoint::Done => Ok(written.change(version)),
            Checkpoint::Held => Err(Error::new(
                ErrorKind::Unavailable,
                "the version is destroyed, but a reader keeps its bytes in the write-ahead log: \
                 try again, or the next write wipes them",
            )
            .into()),
        }
    }
}

impl Writing<'_> {
    /// A secret's record and its row's hash.
    pub(crate) fn load(&self, name: &NameHash) -> Result<Option<(Record, Option<[u8; 32]>)>> {
        let (sealed, newest): (Option<Vec<u8>>, Option<i64>) = self
            .transaction
            .prepare_cached(
                "SELECT (SELECT record FROM secrets WHERE name = ?1), \
                 (SELECT max(version) FROM versions WHERE name = ?1)",
            )?
            .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let record = sealed
            .as_deref()
            .map(|sealed| Record::open(self.roots, name, sealed))
            .transpose()?;
        let last = record.as_ref().map_or(0, Record::last);
        if newest.is_some_and(|newest| newest.unsigned_abs() > last) {
            return Err(Fault::Damaged("an older record was put back"));
        }
        let row = sealed.map(|sealed| self.roots.record_row(name, &sealed));
        Ok(record.map(|record| (record, row)))
    }

    /// Writes a changed record over its old row, if it had one.
    fn save(&mut self, name: &NameHash, record: &mut Record, row: Option<[u8; 32]>) -> Result<()> {
        let sealed = record.seal(self.roots, name)?;
        self.listing = if record.history.is_listed() {
            Listing::Listed(record.path.clone())
        } else {
            Listing::Unlisted(record.path.clone())
        };
        match row {
            Some(row) => {
                self.transaction
                    .prepare_cached("UPDATE secrets SET record = ?2 WHERE name = ?1")?
                    .execute((name, &sealed))?;
                self.sum.remove(row);
            }
            None => {
                self.transaction
                    .prepare_cached("INSERT INTO secrets (name, record) VALUES (?1, ?2)")?
                    .execute((name, &sealed))?;
            }
        }
        self.sum.add(self.roots.record_row(name, &sealed));
        Ok(())
    }

    fn insert_version(&mut self, place: &Place, value: &SecretValue) -> Result<()> {
        // Plaintext until it is sealed: wiped if sealing fails.
        let mut body = Zeroizing::new(value.expose().to_vec());
        let (data_key, seal) = keys::seal_value(self.roots, place, &mut body)?;
        let keks = SharedKeks::clone(&self.keks);
        let wrapped = keks.wrap(self.roots, &mut self.header, place, &data_key)?;
        let slot = self.take_slot(&wrapped)?;
        let version = i64::try_from(place.version).map_err(|_| Fault::Broken)?;
        self.transaction
            .prepare_cached(
                "INSERT INTO versions (name, version, slot, seal, body) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((&place.name, version, slot, &seal, body.as_slice()))?;
        let length = body.len() as u64;
        self.sum.add(
            self.roots
                .version_row(&place.name, place.version, slot, &seal, length),
        );
        self.sum.add(self.roots.data_key_row(slot, &wrapped));
        Ok(())
    }

    fn take_slot(&self, wrapped: &[u8; WRAPPED]) -> Result<i64> {
        let free: Option<i64> = self
            .transaction
            .prepare_cached("SELECT slot FROM data_keys WHERE used = 0 LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        if let Some(slot) = free {
            self.transaction
                .prepare_cached("UPDATE data_keys SET used = 1, wrapped = ?2 WHERE slot = ?1")?
                .execute((slot, wrapped))?;
            return Ok(slot);
        }
        self.transaction
            .prepare_cached("INSERT INTO data_keys (used, wrapped) VALUES (1, ?1)")?
            .execute([wrapped])?;
        Ok(self.transaction.last_insert_rowid())
    }

    /// Removes a version's row and overwrites its data key. Versions without a row are fine.
    fn remove_version(&mut self, name: &NameHash, version: u64) -> Result<()> {
        let number = i64::try_from(version).map_err(|_| Fault::Broken)?;
        let found: Option<(i64, Vec<u8>, i64, Vec<u8>)> = self
            .transaction
            .prepare_cached(
                "SELECT v.slot, v.seal, length(v.body), k.wrapped FROM versions v \
                 JOIN data_keys k ON k.slot = v.slot WHERE v.name = ?1 AND v.version = ?2",
            )?
            .query_row((name, number), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((slot, seal, length, wrapped)) = found else {
            return Ok(());
        };
        self.transaction
            .prepare_cached(
                "UPDATE data_keys SET used = 0, wrapped = zeroblob(length(wrapped)) WHERE slot = ?1",
            )?
            .execute([slot])?;
        self.transaction
            .prepare_cached("DELETE FROM versions WHERE name = ?1 AND version = ?2")?
            .execute((name, number))?;
        let row = self
            .roots
            .version_row(name, version, slot, &seal, length.unsigned_abs());
        self.sum.remove(row);
        self.sum.remove(self.roots.data_key_row(slot, &wrapped));
        self.header.scrub = true;
        Ok(())
    }

    /// Moves the header on: the counter, the sum, the change log.
    fn finish(mut self) -> Result<StoreHeader> {
        self.header.counter = self
            .header
            .counter
            .checked_add(1)
            .ok_or(Fault::Limit("the change counter is at its end"))?;
        index::log(
            self.transaction,
            self.roots,
            self.header.counter,
            &self.listing,
        )?;
        self.header.set_sum(&self.roots.header, &self.sum)?;
        let bytes = self.header.encode(&self.roots.header)?;
        self.transaction
            .prepare_cached("UPDATE store SET header = ?1 WHERE id = 1")?
            .execute([bytes])?;
        Ok(self.header)
    }
}

impl<R> Written<R> {
    fn change(&self, version: u64) -> Change {
        Change {
            version,
            counter: Some(self.counter),
        }
    }
}
