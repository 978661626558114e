//! The listing: names decrypted once, sorted in memory, kept current from the change log.

use std::collections::BTreeSet;
use std::ops::Bound;

use rusqlite::{Connection, Transaction};
use strongroom_backend::{ListPage, SecretPath};

use crate::error::{Fault, Result};
use crate::keys::{NameHash, Roots};
use crate::read::blob;
use crate::record::Record;
use crate::store::{Store, lock};

/// How many changes the log holds. A process that lags further reads all names again.
const KEPT: u64 = 4096;

/// The names that a listing shows, as of one change.
#[derive(Default)]
pub(crate) struct NameIndex {
    /// The change counter that `names` are current for; none before the first listing.
    counter: Option<u64>,
    names: BTreeSet<SecretPath>,
}

/// What a change meant for listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// Nothing.
    Same,
    /// The name is shown from now on.
    Listed(SecretPath),
    /// The name is not shown from now on.
    Unlisted(SecretPath),
}

impl Store {
    pub(crate) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let mut index = lock(&self.index);
        self.read(|connection| self.refresh(&mut index, connection))?;
        Ok(index.page(prefix, after, limit))
    }

    fn refresh(&self, index: &mut NameIndex, connection: &Connection) -> Result<()> {
        // Counter, log and records must be of one snapshot.
        let transaction = connection.unchecked_transaction()?;
        let counter = self.header(&transaction)?.counter;
        let caught_up = match index.counter {
            Some(known) if known == counter => return Ok(()),
            Some(known) if known < counter && counter - known <= KEPT => {
                index.catch_up(&transaction, &self.roots, known, counter)?
            }
            _ => false,
        };
        if !caught_up {
            *index = NameIndex::default();
            index.names = all_names(&transaction, &self.roots)?;
        }
        index.counter = Some(counter);
        Ok(())
    }
}

impl NameIndex {
    /// Applies the changes after `known`; `false` where the log has a gap.
    fn catch_up(
        &mut self,
        connection: &Connection,
        roots: &Roots,
        known: u64,
        counter: u64,
    ) -> Result<bool> {
        let mut statement = connection.prepare_cached(
            "SELECT counter, sealed FROM changes WHERE counter > ?1 ORDER BY counter",
        )?;
        let mut rows = statement.query([known.cast_signed()])?;
        let mut next = known + 1;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(0)?.cast_unsigned() != next {
                return Ok(false);
            }
            match open(roots, next, blob(row, 1)?)? {
                Listing::Same => {}
                Listing::Listed(path) => {
                    self.names.insert(path);
                }
                Listing::Unlisted(path) => {
                    self.names.remove(&path);
                }
            }
            next += 1;
        }
        Ok(next == counter + 1)
    }

    fn page(&self, prefix: &str, after: Option<&str>, limit: usize) -> ListPage {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut names = self
            .names
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|path| path.as_str().starts_with(prefix));
        let paths = names.by_ref().take(limit).cloned().collect();
        ListPage {
            paths,
            more: names.next().is_some(),
        }
    }
}

/// Adds a row to the change log and drops the oldest.
pub(crate) fn log(
    transaction: &Transaction<'_>,
    roots: &Roots,
    counter: u64,
    listing: &Listing,
) -> Result<()> {
    let (kind, path) = match listing {
        Listing::Same => (0, ""),
        Listing::Listed(path) => (1, path.as_str()),
        Listing::Unlisted(path) => (2, path.as_str()),
    };
    let mut plaintext = vec![kind];
    plaintext.extend_from_slice(path.as_bytes());
    let sealed = roots
        .change_cipher(counter)
        .seal(&roots.change_fields(counter), &plaintext)?;
    transaction
        .prepare_cached("INSERT INTO changes (counter, sealed) VALUES (?1, ?2)")?
        .execute((counter.cast_signed(), sealed))?;
    transaction
        .prepare_cached("DELETE FROM changes WHERE counter <= ?1")?
        .execute([counter.saturating_sub(KEPT).cast_signed()])?;
    Ok(())
}

/// A row of the change log.
pub(crate) fn open(roots: &Roots, counter: u64, sealed: &[u8]) -> Result<Listing> {
    const DAMAGED: Fault = Fault::Damaged("its change log does not authenticate");
    let plaintext = roots
        .change_cipher(counter)
        .open(&roots.change_fields(counter), sealed)
        .ok_or(DAMAGED)?;
    let (kind, path) = plaintext.split_first().ok_or(DAMAGED)?;
    let path = || {
        std::str::from_utf8(path)
            .ok()
            .and_then(|path| SecretPath::parse(path).ok())
            .ok_or(DAMAGED)
    };
    match kind {
        0 => Ok(Listing::Same),
        1 => path().map(Listing::Listed),
        2 => path().map(Listing::Unlisted),
        _ => Err(DAMAGED),
    }
}

fn all_names(connection: &Connection, roots: &Roots) -> Result<BTreeSet<SecretPath>> {
    let mut statement = connection.prepare_cached("SELECT name, record FROM secrets")?;
    let mut rows = statement.query([])?;
    let mut names = Vec::new();
    while let Some(row) = rows.next()? {
        let name: NameHash = row.get(0)?;
        let record = Record::open(roots, &name, blob(row, 1)?)?;
        if record.history.is_listed() {
            names.push(record.path);
        }
    }
    // Collecting sorts once and builds the tree in bulk.
    Ok(names.into_iter().collect())
}
