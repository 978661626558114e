//! Reading secrets: one statement, one snapshot, no waiting.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Row};
use strongroom_backend::{Error, Secret, SecretPath, SecretValue, Which};

use crate::error::{Fault, Result};
use crate::keys::{self, Keks, NameHash, Place};
use crate::record::{self, Record};
use crate::store::{Store, now};

/// The largest value.
pub(crate) const MAX_VALUE: usize = 1 << 20;

/// The newest version is the current one, or there is none: it comes with the record.
const CURRENT: &str = "SELECT s.record, v.version, v.seal, v.body, k.wrapped FROM secrets s \
    LEFT JOIN versions v ON v.name = s.name \
    LEFT JOIN data_keys k ON k.slot = v.slot AND k.used = 1 \
    WHERE s.name = ?1 ORDER BY v.version DESC LIMIT 1";

const BY_NUMBER: &str = "SELECT s.record, (SELECT max(version) FROM versions WHERE name = ?1), \
    v.seal, v.body, k.wrapped FROM secrets s \
    LEFT JOIN versions v ON v.name = s.name AND v.version = ?2 \
    LEFT JOIN data_keys k ON k.slot = v.slot AND k.used = 1 \
    WHERE s.name = ?1";

/// How often a read begins again because keys were rotated under it.
const ATTEMPTS: usize = 3;

impl Store {
    /// The value of a version that can be read now.
    pub(crate) fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        let name = self.roots.name(path);
        for _ in 0..ATTEMPTS {
            let keks = self.keks();
            let found = self.read(|connection| {
                let mut statement = connection.prepare_cached(match which {
                    Which::Current => CURRENT,
                    Which::Version(_) => BY_NUMBER,
                })?;
                let mut rows = match which {
                    Which::Current => statement.query([&name])?,
                    Which::Version(number) => {
                        let number = i64::try_from(number).map_err(|_| Error::not_found())?;
                        statement.query((&name, number))?
                    }
                };
                let row = rows.next()?.ok_or_else(Error::not_found)?;
                self.open_row(row, path, &name, which, &keks)
            })?;
            if let Some(secret) = found {
                return Ok(secret);
            }
            // The data key is wrapped by a key that was made after ours were opened.
            let header = self.read(|connection| self.header(connection))?;
            self.keks_for(&header)?;
        }
        Err(Fault::Damaged(
            "a data key is wrapped by a key that is missing",
        ))
    }

    /// Decrypts a row of one of the two statements above; `None` where `keks` are not the ones.
    fn open_row(
        &self,
        row: &Row<'_>,
        path: &SecretPath,
        name: &NameHash,
        which: Which,
        keks: &Keks,
    ) -> Result<Option<Secret>> {
        let plaintext = record::unseal(&self.roots, name, blob(row, 0)?)?;
        let head = record::head(&plaintext)?;
        if head.path != path.as_str() {
            return Err(Fault::Damaged("a record stands under another name"));
        }
        let newest: Option<i64> = row.get(1)?;
        let newest = newest.map(number).transpose()?;
        if newest.is_some_and(|newest| newest > head.last) {
            return Err(Fault::Damaged("an older record was put back"));
        }
        let version = match which {
            Which::Current => {
                let current = head.current.ok_or_else(Error::not_found)?;
                if current.expires.is_some_and(|at| at <= now()) {
                    return Err(Error::not_found().into());
                }
                if newest != Some(current.number) {
                    return Err(Fault::Damaged("the current version is missing"));
                }
                current
            }
            Which::Version(_) => Record::decode(&plaintext)?.readable(which, now())?,
        };
        let place = Place {
            name: *name,
            version: version.number,
            created: version.created,
        };
        let (Some(seal), Some(body), Some(wrapped)) = (
            maybe_blob(row, 2)?,
            maybe_blob(row, 3)?,
            maybe_blob(row, 4)?,
        ) else {
            return Err(Fault::Damaged("a version is missing"));
        };
        let Some(data_key) = keks.unwrap(&self.roots, &place, wrapped)? else {
            return Ok(None);
        };
        if body.len() > MAX_VALUE {
            return Err(Fault::Damaged("a value is too large"));
        }
        let mut value = body.to_vec();
        keys::open_value(&self.roots, &place, &data_key, seal, &mut value)?;
        Ok(Some(Secret {
            value: Arc::new(SecretValue::new(value)),
            version: version.number,
            expires: version.expires,
        }))
    }

    /// What is kept of a secret beside its values.
    pub(crate) fn record(&self, path: &SecretPath) -> Result<Record> {
        let name = self.roots.name(path);
        self.read(|connection| {
            let found: Option<(Vec<u8>, Option<i64>)> = connection
                .prepare_cached(
                    "SELECT record, (SELECT max(version) FROM versions WHERE name = ?1) \
                     FROM secrets WHERE name = ?1",
                )?
                .query_row([&name], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let (sealed, newest) = found.ok_or_else(Error::not_found)?;
            let record = Record::open(&self.roots, &name, &sealed)?;
            let newest = newest.map(number).transpose()?;
            if newest.is_some_and(|newest| newest > record.last()) {
                return Err(Fault::Damaged("an older record was put back"));
            }
            Ok(record)
        })
    }
}

/// The number of a version, as its row has it.
pub(crate) fn number(row: i64) -> Result<u64> {
    u64::try_from(row).map_err(|_| Fault::Damaged("a version has a number below zero"))
}

/// A column that must be a blob.
pub(crate) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8]> {
    maybe_blob(row, column)?.ok_or(Fault::Damaged("a column is missing"))
}

fn maybe_blob<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r [u8]>> {
    row.get_ref(column)?
        .as_blob_or_null()
        .map_err(|_| Fault::Damaged("a column has another type"))
}
