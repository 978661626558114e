//! The tables, and connections to them.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::error::{Fault, Result};
use crate::header::FORMAT;

/// "Strm", in the field that SQLite keeps for telling files apart.
const APPLICATION_ID: i32 = 0x5374_726d;

/// Data keys stand in slots of one size that are overwritten where they are: rows that a B-tree
/// moves leave copies in the free space of pages, and a data key must be gone when it is destroyed.
const TABLES: [(&str, &str); 6] = [
    (
        "store",
        "CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), header BLOB NOT NULL) STRICT",
    ),
    (
        "secrets",
        "CREATE TABLE secrets (name BLOB PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "versions",
        "CREATE TABLE versions (name BLOB NOT NULL, version INTEGER NOT NULL, \
         slot INTEGER NOT NULL, seal BLOB NOT NULL, body BLOB NOT NULL, \
         PRIMARY KEY (name, version)) STRICT, WITHOUT ROWID",
    ),
    (
        "data_keys",
        "CREATE TABLE data_keys (slot INTEGER PRIMARY KEY, used INTEGER NOT NULL, \
         wrapped BLOB NOT NULL) STRICT",
    ),
    (
        "free_slots",
        "CREATE INDEX free_slots ON data_keys (slot) WHERE used = 0",
    ),
    (
        "changes",
        "CREATE TABLE changes (counter INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT",
    ),
];

/// How long a statement waits for another program that holds the file against all our rules, or
/// for the recovery after a crash.
pub(crate) const BUSY: Duration = Duration::from_secs(2);

/// SQLite's page cache for each connection, in KiB (negative: a size, not a count): holds the pages
/// of 100,000 small secrets. Used as far as the store is large.
const CACHE: i64 = -64 * 1024;

/// The most bytes that the write-ahead log keeps on disk between checkpoints.
const LOG_LIMIT: i64 = 4 << 20;

/// Makes the tables in an empty file.
pub(crate) fn create(path: &Path, header: &[u8]) -> Result<()> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let transaction = connection.transaction()?;
    for (_, sql) in TABLES {
        transaction.execute_batch(sql)?;
    }
    transaction.execute("INSERT INTO store (id, header) VALUES (1, ?1)", [header])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Config(
            "the disk cannot hold a write-ahead log: use a local disk".to_owned(),
        ));
    }
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// A connection that writes.
pub(crate) fn open_writer(path: &Path) -> Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "journal_size_limit", LOG_LIMIT)?;
    Ok(connection)
}

/// A connection that only reads. Its file is open for writing all the same: readers share a map
/// of the write-ahead log.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    // What a planted schema could do: run triggers and views, or write to the schema itself.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    // Without it SQLite prepares a statement again for each new value that it is given.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cache_size", CACHE)?;
    // Mapped pages would turn a file that someone cuts short into a dead process.
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(connection)
}

/// Checks that the file is a store of our format, with our tables and no others.
pub(crate) fn check(connection: &Connection) -> Result<()> {
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(Fault::Damaged("the file is not a strongroom store"));
    }
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > FORMAT {
        return Err(Fault::NewerFormat {
            found,
            known: FORMAT,
        });
    }
    if found != FORMAT {
        return Err(Fault::Damaged("its format number is wrong"));
    }
    let mut statement = connection.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_autoindex_%' ORDER BY rowid",
    )?;
    let tables = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(String, Option<String>)>>>()?;
    let ours = tables.len() == TABLES.len()
        && tables
            .iter()
            .zip(TABLES)
            .all(|((name, sql), ours)| (name.as_str(), sql.as_deref()) == (ours.0, Some(ours.1)));
    if !ours {
        return Err(Fault::Damaged("its tables were changed"));
    }
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Damaged("its journal mode was changed"));
    }
    Ok(())
}

/// The bytes of the store header.
pub(crate) fn header(connection: &Connection) -> Result<Vec<u8>> {
    connection
        .prepare_cached("SELECT header FROM store WHERE id = 1")?
        .query_row([], |row| row.get(0))
        .optional()?
        .ok_or(Fault::Damaged("its header is missing"))
}

/// How a checkpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checkpoint {
    /// The log is in the file, and empty.
    Done,
    /// A reader still needs the log.
    Held,
}

/// Moves the write-ahead log into the file and empties it, waiting at most `wait` for readers.
pub(crate) fn checkpoint(connection: &Connection, wait: Duration) -> Result<Checkpoint> {
    connection.busy_timeout(wait)?;
    let held = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, i64>(0)
    });
    connection.busy_timeout(BUSY)?;
    match held {
        Ok(0) => Ok(Checkpoint::Done),
        Ok(_) => Ok(Checkpoint::Held),
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
            ) =>
        {
            Ok(Checkpoint::Held)
        }
        Err(error) => Err(error.into()),
    }
}
