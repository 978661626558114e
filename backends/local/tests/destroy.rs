//! Destroyed means gone: from the file, its free space and the write-ahead log.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::path::Path;

use common::*;
use strongroom_backend::{Backend, ErrorKind, Which};
use strongroom_backend_local::LocalBackend;

/// What stands in the file for one version: its wrapped data key, its seal and its body.
fn bytes_of(dir: &Path, version: i64) -> [Vec<u8>; 3] {
    rusqlite::Connection::open(dir.join("app.vault"))
        .unwrap()
        .query_row(
            "SELECT substr(k.wrapped, 5), v.seal, v.body FROM versions v \
             JOIN data_keys k ON k.slot = v.slot WHERE v.version = ?1",
            [version],
            |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]),
        )
        .unwrap()
}

/// Whether the bytes stand anywhere in the store's files.
fn found(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .any(|path| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
}

fn destroy(store: &LocalBackend, name: &str, version: u64) -> Result<(), ErrorKind> {
    let destroyed = wait(store.versioning().unwrap().destroy(&path(name), version));
    destroyed.map(|_| ()).map_err(|error| error.kind())
}

#[test]
fn a_destroyed_version_leaves_no_bytes() {
    let dir = folder();
    let store = create(dir.path());
    for text in ["one one one one", "two two two two"] {
        put(&store, "a", text);
    }
    let needles = bytes_of(dir.path(), 1);
    assert!(needles.iter().all(|needle| found(dir.path(), needle)));
    destroy(&store, "a", 1).unwrap();
    assert!(!needles.iter().any(|needle| found(dir.path(), needle)));
    assert_eq!(
        read(&store, "a", Which::Current).unwrap(),
        "two two two two"
    );
}

#[test]
fn a_large_value_leaves_no_bytes() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", &"x".repeat(300_000));
    let [wrapped, seal, body] = bytes_of(dir.path(), 1);
    destroy(&store, "a", 1).unwrap();
    for needle in [&wrapped[..], &seal, &body[..64], &body[200_000..200_064]] {
        assert!(!found(dir.path(), needle));
    }
}

#[test]
fn pruned_versions_leave_no_data_keys() {
    let dir = folder();
    let mut config = config();
    config.keep_versions = 3;
    let store = LocalBackend::create(&config, dir.path()).unwrap();
    for number in 0..3 {
        put(&store, "a", &format!("the value of version {number}"));
    }
    let needles: Vec<_> = (1..=3)
        .map(|version| bytes_of(dir.path(), version))
        .collect();
    for number in 3..6 {
        put(&store, "a", &format!("the value of version {number}"));
    }
    assert!(
        !needles
            .iter()
            .flatten()
            .any(|needle| found(dir.path(), needle))
    );
}

/// Rows that B-trees move leave copies behind; wrapped data keys never move.
#[test]
fn data_keys_are_gone_after_much_moving_about() {
    let dir = folder();
    let store = create(dir.path());
    for number in 0..400_u32 {
        let name = format!("s/{:x}", number.wrapping_mul(2_654_435_761));
        put(&store, &name, &"v".repeat((number % 90) as usize));
    }
    let connection = rusqlite::Connection::open(dir.path().join("app.vault")).unwrap();
    let wrapped: Vec<Vec<u8>> = connection
        .prepare("SELECT substr(wrapped, 5) FROM data_keys")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    drop(connection);
    store.rotate_keys(|_, _| ()).unwrap();
    for name in names(&store).unwrap() {
        destroy(&store, &name, 1).unwrap();
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            all.extend(std::fs::read(path).unwrap());
        }
    }
    let wrapped: std::collections::HashSet<&[u8]> = wrapped.iter().map(|w| &w[..16]).collect();
    assert_eq!(wrapped.len(), 400);
    assert!(!all.windows(16).any(|window| wrapped.contains(window)));
    wait(store.check()).unwrap();
}

#[test]
fn a_reader_in_the_way_is_told_and_the_next_writer_ends_it() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one one one one");
    let [wrapped, ..] = bytes_of(dir.path(), 1);
    let reader = rusqlite::Connection::open(dir.path().join("app.vault")).unwrap();
    reader
        .execute_batch("BEGIN; SELECT * FROM secrets")
        .unwrap();
    let count: i64 = reader
        .query_row("SELECT count(*) FROM versions", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
    assert_eq!(destroy(&store, "a", 1), Err(ErrorKind::Unavailable));
    assert_eq!(
        read(&store, "a", Which::Version(1)),
        Err(ErrorKind::NotFound)
    );
    assert!(found(dir.path(), &wrapped), "the reader still needs it");
    drop(reader);
    // Another process, and another secret.
    put(&open(dir.path()), "b", "two");
    assert!(!found(dir.path(), &wrapped));
}

#[test]
fn asking_again_ends_a_destroy_that_a_reader_held_up() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one one one one");
    let [wrapped, ..] = bytes_of(dir.path(), 1);
    let reader = rusqlite::Connection::open(dir.path().join("app.vault")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader
        .query_row("SELECT count(*) FROM versions", [], |_| Ok(()))
        .unwrap();
    assert_eq!(destroy(&store, "a", 1), Err(ErrorKind::Unavailable));
    assert_eq!(destroy(&store, "a", 1), Err(ErrorKind::Unavailable));
    drop(reader);
    assert_eq!(destroy(&store, "a", 1), Ok(()));
    assert!(!found(dir.path(), &wrapped));
}

#[test]
fn opening_ends_it_too() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one one one one");
    let [wrapped, ..] = bytes_of(dir.path(), 1);
    let reader = rusqlite::Connection::open(dir.path().join("app.vault")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader
        .query_row("SELECT count(*) FROM versions", [], |_| Ok(()))
        .unwrap();
    assert_eq!(destroy(&store, "a", 1), Err(ErrorKind::Unavailable));
    reader.execute_batch("COMMIT").unwrap();
    assert!(found(dir.path(), &wrapped));
    let _second = open(dir.path());
    assert!(!found(dir.path(), &wrapped));
    drop(reader);
}

#[test]
fn an_old_kek_leaves_no_bytes_after_a_rotation_nor_a_source_after_a_rekey() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one");
    let header = || -> Vec<u8> {
        rusqlite::Connection::open(dir.path().join("app.vault"))
            .unwrap()
            .query_row("SELECT header FROM store", [], |row| row.get(0))
            .unwrap()
    };
    // The end of the header is the only key-encryption key, wrapped.
    let before = header();
    let kek = &before[before.len() - 32..];
    assert!(found(dir.path(), kek));
    store.rotate_keys(|_, _| ()).unwrap();
    assert!(!found(dir.path(), kek));
    let before = header();
    let kek = &before[before.len() - 32..];
    let new = strongroom_backend_local::KeySource::file("keys/new.key");
    store.rekey(&new, dir.path()).unwrap();
    assert!(!found(dir.path(), kek));
}
