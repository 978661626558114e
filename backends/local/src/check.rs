//! The check of a whole store, for `doctor`: every row, every record, every value.

use rusqlite::Connection;

use crate::error::{Fault, Result};
use crate::header::StoreHeader;
use crate::index;
use crate::keys::{self, MAX_WRAPS, NameHash, Place, SharedKeks};
use crate::read::{self, MAX_VALUE, blob};
use crate::record::Record;
use crate::schema;
use crate::store::Store;
use crate::sum::Sum;

/// What was counted.
#[derive(Default)]
struct Tally {
    secrets: u64,
    versions: u64,
    bytes: u64,
}

impl Store {
    /// Verifies everything, one row in memory at a time, on one snapshot.
    pub(crate) fn check(&self) -> Result<Vec<String>> {
        self.paths.check()?;
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            schema::check(&snapshot)?;
            structure(&snapshot)?;
            let header = self.header(&snapshot)?;
            let keks = self.keks_for(&header)?;
            let mut sum = Sum::default();
            let used = self.check_data_keys(&snapshot, &header, &mut sum)?;
            let mut tally = Tally::default();
            self.check_secrets(&snapshot, &keks, &mut sum, &mut tally)?;
            if used != tally.versions {
                return Err(Fault::Damaged("versions and data keys do not match"));
            }
            if sum != header.sum(&self.roots.header) {
                return Err(Fault::Damaged(
                    "a row was removed, added or put back from an older copy",
                ));
            }
            self.check_changes(&snapshot, &header)?;
            Ok(report(&header, &tally))
        })
    }

    fn check_data_keys(
        &self,
        connection: &Connection,
        header: &StoreHeader,
        sum: &mut Sum,
    ) -> Result<u64> {
        let mut statement = connection.prepare("SELECT slot, used, wrapped FROM data_keys")?;
        let mut rows = statement.query([])?;
        let mut used = 0;
        while let Some(row) = rows.next()? {
            let wrapped = blob(row, 2)?;
            if row.get::<_, i64>(1)? == 0 {
                if wrapped.iter().any(|byte| *byte != 0) {
                    return Err(Fault::Damaged("a destroyed data key was put back"));
                }
                continue;
            }
            let number = wrapped
                .first_chunk()
                .map(|number| u32::from_be_bytes(*number));
            if !header.keks.iter().any(|kek| Some(kek.number) == number) {
                return Err(Fault::Damaged(
                    "a data key is wrapped by a key that is missing",
                ));
            }
            sum.add(self.roots.data_key_row(row.get(0)?, wrapped));
            used += 1;
        }
        Ok(used)
    }

    fn check_secrets(
        &self,
        connection: &Connection,
        keks: &SharedKeks,
        sum: &mut Sum,
        tally: &mut Tally,
    ) -> Result<()> {
        let mut statement = connection.prepare("SELECT name, record FROM secrets")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: NameHash = row.get(0)?;
            let sealed = blob(row, 1)?;
            let record = Record::open(&self.roots, &name, sealed)
                .map_err(|_| damaged_at(&name, "its record does not open"))?;
            sum.add(self.roots.record_row(&name, sealed));
            tally.secrets += 1;
            self.check_versions(connection, keks, &name, &record, sum, tally)?;
        }
        let strays: i64 = connection.query_row(
            "SELECT count(*) FROM versions WHERE name NOT IN (SELECT name FROM secrets)",
            [],
            |row| row.get(0),
        )?;
        if strays != 0 {
            return Err(Fault::Damaged("a version has no record"));
        }
        Ok(())
    }

    fn check_versions(
        &self,
        connection: &Connection,
        keks: &SharedKeks,
        name: &NameHash,
        record: &Record,
        sum: &mut Sum,
        tally: &mut Tally,
    ) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT v.version, v.slot, v.seal, v.body, k.wrapped FROM versions v \
             JOIN data_keys k ON k.slot = v.slot AND k.used = 1 WHERE v.name = ?1",
        )?;
        let mut rows = statement.query([name])?;
        let mut kept: std::collections::BTreeSet<u64> = record
            .history
            .versions()
            .into_iter()
            .filter(|info| info.state != strongroom_backend::VersionState::Destroyed)
            .map(|info| info.version)
            .collect();
        while let Some(row) = rows.next()? {
            let version = read::number(row.get(0)?)?;
            let (seal, body, wrapped) = (blob(row, 2)?, blob(row, 3)?, blob(row, 4)?);
            let times = record.history.times(version);
            let (true, Some((created, _))) = (kept.remove(&version), times) else {
                return Err(Fault::DamagedAt(format!(
                    "version {version} of {} is not in its record",
                    record.path
                )));
            };
            let place = Place {
                name: *name,
                version,
                created,
            };
            let broken = || {
                Fault::DamagedAt(format!(
                    "version {version} of {} does not authenticate",
                    record.path
                ))
            };
            let data_key = keks
                .unwrap(&self.roots, &place, wrapped)
                .ok()
                .flatten()
                .ok_or_else(broken)?;
            if body.len() > MAX_VALUE {
                return Err(broken());
            }
            let mut value = zeroize::Zeroizing::new(body.to_vec());
            keys::open_value(&self.roots, &place, &data_key, seal, &mut value)
                .map_err(|_| broken())?;
            let length = body.len() as u64;
            sum.add(
                self.roots
                    .version_row(name, version, row.get(1)?, seal, length),
            );
            tally.versions += 1;
            tally.bytes += length;
        }
        match kept.first() {
            None => Ok(()),
            Some(version) => Err(Fault::DamagedAt(format!(
                "version {version} of {} is missing",
                record.path
            ))),
        }
    }

    /// The change log must be whole up to the header's counter.
    fn check_changes(&self, connection: &Connection, header: &StoreHeader) -> Result<()> {
        let mut statement =
            connection.prepare("SELECT counter, sealed FROM changes ORDER BY counter DESC")?;
        let mut rows = statement.query([])?;
        let mut expected = header.counter;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(0)?.cast_unsigned() != expected {
                return Err(Fault::Damaged("its change log has a gap"));
            }
            index::open(&self.roots, expected, blob(row, 1)?)?;
            expected = expected.saturating_sub(1);
        }
        if header.counter > 0 && expected == header.counter {
            return Err(Fault::Damaged("its change log is missing"));
        }
        Ok(())
    }
}

/// SQLite's own check of pages and indexes.
fn structure(connection: &Connection) -> Result<()> {
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(Fault::DamagedAt(format!("SQLite says: {verdict}")))
    }
}

fn damaged_at(name: &NameHash, what: &str) -> Fault {
    Fault::DamagedAt(format!("secret {}: {what}", hex::encode(name)))
}

fn report(header: &StoreHeader, tally: &Tally) -> Vec<String> {
    let mut lines = vec![
        format!(
            "store {}, format {}, change {}",
            hex::encode(header.store),
            header.format,
            header.counter
        ),
        format!(
            "{} secrets, {} versions, {} bytes: every record and value authenticates",
            tally.secrets, tally.versions, tally.bytes
        ),
    ];
    for kek in &header.keks {
        let state = if kek.number == header.active {
            "in use"
        } else {
            "old: run `strongroom keys rotate` to finish its rotation"
        };
        lines.push(format!(
            "key {}: {} of {MAX_WRAPS} wraps, {state}",
            kek.number, kek.wraps
        ));
    }
    if header.scrub {
        lines.push("destroyed bytes may stand in the write-ahead log until the next write".into());
    }
    lines
}
