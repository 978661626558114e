//! What someone who can write to the file can do: nothing that goes unnoticed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use common::*;
use strongroom_backend::{Backend, ErrorKind, Which};
use strongroom_backend_local::LocalBackend;

fn damaged(store: &LocalBackend) -> bool {
    matches!(wait(store.check()), Err(error) if error.kind() == ErrorKind::Damaged)
}

/// One bit of each byte that holds anything, and of every sixteenth byte that holds nothing.
#[test]
fn a_flipped_bit_gives_an_error_or_the_right_answer() {
    let dir = folder();
    let store = create(dir.path());
    for text in ["old", "first"] {
        put(&store, "a/one", text);
    }
    put(&store, "b", "second");
    drop(store);
    let file = dir.path().join("app.vault");
    let good = std::fs::read(&file).unwrap();
    let (mut refused, mut answered, mut flips) = (0, 0, 0);
    for at in 0..good.len() {
        let empty = good[at.saturating_sub(16)..(at + 16).min(good.len())]
            .iter()
            .all(|byte| *byte == 0);
        if empty && at % 16 != 0 {
            continue;
        }
        flips += 1;
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&file, &bad).unwrap();
        let Ok(store) = LocalBackend::open(&config(), dir.path()) else {
            refused += 1;
            continue;
        };
        let answers = [
            (read(&store, "a/one", Which::Current), "first"),
            (read(&store, "a/one", Which::Version(1)), "old"),
            (read(&store, "b", Which::Current), "second"),
        ];
        let mut right = true;
        for (answer, expected) in answers {
            match answer {
                Ok(text) => assert_eq!(text, expected, "byte {at}"),
                Err(_) => right = false,
            }
        }
        match names(&store) {
            Ok(names) => {
                assert!(names.iter().all(|name| name == "a/one" || name == "b"));
                right &= names.len() == 2;
            }
            Err(_) => right = false,
        }
        if right {
            answered += 1;
        } else {
            assert!(wait(store.check()).is_err(), "byte {at} goes unnoticed");
            refused += 1;
        }
        drop(store);
        for beside in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.path().join(format!("app.vault{beside}")));
        }
    }
    assert!(
        flips > 2000 && refused > 1000,
        "{flips}, {refused}, {answered}"
    );
    std::fs::write(&file, &good).unwrap();
    wait(open(dir.path()).check()).unwrap();
}

#[test]
fn values_do_not_move_between_names() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one");
    put(&store, "b", "two");
    sql(
        dir.path(),
        "CREATE TEMP TABLE t AS SELECT name, slot, seal, body FROM versions;
         UPDATE versions SET (slot, seal, body) =
             (SELECT slot, seal, body FROM t WHERE t.name <> versions.name);",
    );
    assert_eq!(read(&store, "a", Which::Current), Err(ErrorKind::Damaged));
    assert_eq!(read(&store, "b", Which::Current), Err(ErrorKind::Damaged));
    assert!(damaged(&store));
}

#[test]
fn records_do_not_move_between_names() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one");
    put(&store, "b", "two");
    assert_eq!(names(&store).unwrap(), ["a", "b"]);
    sql(
        dir.path(),
        "CREATE TEMP TABLE t AS SELECT name, record FROM secrets;
         UPDATE secrets SET record = (SELECT record FROM t WHERE t.name <> secrets.name);",
    );
    assert_eq!(read(&store, "a", Which::Current), Err(ErrorKind::Damaged));
    assert_eq!(names(&open(dir.path())), Err(ErrorKind::Damaged));
    assert!(damaged(&store));
}

#[test]
fn a_version_number_below_zero_is_damage() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one");
    put(&store, "a", "two");
    for version in [2, 1] {
        sql(
            dir.path(),
            &format!("UPDATE versions SET version = -{version} WHERE version = {version}"),
        );
        assert!(damaged(&store), "{version}");
        let rotated = store.rotate_keys(|_, _| {});
        assert_eq!(rotated.unwrap_err().kind(), ErrorKind::Damaged);
    }
    let described = wait(store.describe(&path("a")));
    assert_eq!(described.unwrap_err().kind(), ErrorKind::Damaged);
    for which in [Which::Current, Which::Version(1)] {
        assert_eq!(read(&store, "a", which), Err(ErrorKind::Damaged));
    }
}

#[test]
fn values_do_not_move_between_versions() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one");
    put(&store, "a", "two");
    sql(
        dir.path(),
        "UPDATE versions SET version = -1 WHERE version = 1;
         UPDATE versions SET version = 1 WHERE version = 2;
         UPDATE versions SET version = 2 WHERE version = -1;",
    );
    assert_eq!(read(&store, "a", Which::Current), Err(ErrorKind::Damaged));
    assert_eq!(
        read(&store, "a", Which::Version(1)),
        Err(ErrorKind::Damaged)
    );
    assert!(damaged(&store));
}

#[test]
fn rows_do_not_move_between_stores_with_one_key() {
    let (dir, other) = (folder(), folder());
    let store = create(dir.path());
    put(&store, "a", "one");
    // The same key file opens both stores; their ids and root keys differ.
    std::fs::create_dir(other.path().join("keys")).unwrap();
    set_mode(&other.path().join("keys"), 0o700);
    std::fs::copy(
        dir.path().join("keys/app.key"),
        other.path().join("keys/app.key"),
    )
    .unwrap();
    let second = create(other.path());
    put(&second, "a", "two");
    let attach = format!(
        "ATTACH '{}' AS other;
         UPDATE main.versions SET (seal, body) = (SELECT seal, body FROM other.versions);
         UPDATE main.data_keys SET wrapped = (SELECT wrapped FROM other.data_keys);",
        other.path().join("app.vault").display()
    );
    sql(dir.path(), &attach);
    assert_eq!(read(&store, "a", Which::Current), Err(ErrorKind::Damaged));
    let header = format!(
        "ATTACH '{}' AS other; UPDATE main.store SET header = (SELECT header FROM other.store);",
        other.path().join("app.vault").display()
    );
    sql(dir.path(), &header);
    let error = wait(store.put(&path("b"), &value("x"), &Default::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

#[test]
fn an_older_record_put_back_is_found() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one");
    sql(dir.path(), "CREATE TABLE kept AS SELECT * FROM secrets");
    put(&store, "a", "two");
    sql(
        dir.path(),
        "UPDATE secrets SET record = (SELECT record FROM kept); DROP TABLE kept;",
    );
    // The newer version's row gives it away on a read.
    assert_eq!(read(&store, "a", Which::Current), Err(ErrorKind::Damaged));
    // Without that row, the sum over all rows does.
    sql(dir.path(), "DELETE FROM versions WHERE version = 2");
    assert_eq!(read(&store, "a", Which::Current).unwrap(), "one");
    assert!(damaged(&store));
    // A later write does not heal the sum.
    put(&store, "b", "x");
    assert!(damaged(&store));
}

#[test]
fn a_destroyed_version_put_back_is_found() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one");
    let copy = folder();
    std::fs::create_dir(copy.path().join("keys")).unwrap();
    drop(store);
    std::fs::copy(dir.path().join("app.vault"), copy.path().join("app.vault")).unwrap();
    let store = open(dir.path());
    wait(store.versioning().unwrap().destroy(&path("a"), 1)).unwrap();
    let statements = format!(
        "ATTACH '{}' AS old;
         DELETE FROM main.secrets; INSERT INTO main.secrets SELECT * FROM old.secrets;
         DELETE FROM main.versions; INSERT INTO main.versions SELECT * FROM old.versions;
         DELETE FROM main.data_keys; INSERT INTO main.data_keys SELECT * FROM old.data_keys;",
        copy.path().join("app.vault").display()
    );
    sql(dir.path(), &statements);
    assert!(damaged(&store));
}

#[test]
fn removed_rows_are_found() {
    for statement in [
        "DELETE FROM versions WHERE version = 1",
        "DELETE FROM secrets",
        "DELETE FROM data_keys",
        "DELETE FROM changes",
        "DELETE FROM changes WHERE counter = 2",
        "UPDATE data_keys SET used = 0 WHERE slot = 1",
    ] {
        let dir = folder();
        let store = create(dir.path());
        put(&store, "a", "one");
        put(&store, "a", "two");
        wait(store.check()).unwrap();
        sql(dir.path(), statement);
        assert!(damaged(&store), "{statement}");
    }
}

#[test]
fn an_older_file_shows_in_its_mark() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one");
    let before = store.mark().unwrap().unwrap();
    drop(store);
    let file = dir.path().join("app.vault");
    let old = std::fs::read(&file).unwrap();
    let store = open(dir.path());
    put(&store, "a", "two");
    let after = store.mark().unwrap().unwrap();
    assert_eq!(
        (after.store.clone(), after.counter),
        (before.store.clone(), before.counter + 1)
    );
    drop(store);
    std::fs::write(&file, old).unwrap();
    assert_eq!(open(dir.path()).mark().unwrap().unwrap(), before);
}

#[test]
fn a_wrong_key_and_a_damaged_file_are_told_apart() {
    let dir = folder();
    drop(create(dir.path()));
    let key = dir.path().join("keys/app.key");
    let kind = || {
        LocalBackend::open(&config(), dir.path())
            .err()
            .unwrap()
            .kind()
    };
    let right = std::fs::read(&key).unwrap();
    let other = folder();
    drop(create(other.path()));
    std::fs::copy(other.path().join("keys/app.key"), &key).unwrap();
    assert_eq!(kind(), ErrorKind::Unauthenticated);
    std::fs::write(&key, &right).unwrap();
    let file = dir.path().join("app.vault");
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, &good[..good.len() / 2]).unwrap();
    assert_eq!(kind(), ErrorKind::Damaged);
    std::fs::write(&file, b"something else altogether").unwrap();
    assert_eq!(kind(), ErrorKind::Damaged);
    std::fs::write(&file, b"").unwrap();
    assert_eq!(kind(), ErrorKind::Damaged);
    std::fs::write(&file, &good).unwrap();
    let header: Vec<u8> = rusqlite::Connection::open(&file)
        .unwrap()
        .query_row("SELECT header FROM store", [], |row| row.get(0))
        .unwrap();
    let mut bad = header;
    bad[90] ^= 1;
    sql(
        dir.path(),
        &format!("UPDATE store SET header = x'{}'", hex::encode(bad)),
    );
    assert_eq!(kind(), ErrorKind::Damaged);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(kind(), ErrorKind::Config);
}

#[test]
fn a_newer_format_is_named_and_an_older_one_refused() {
    let dir = folder();
    drop(create(dir.path()));
    sql(dir.path(), "PRAGMA user_version = 2");
    let error = LocalBackend::open(&config(), dir.path()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("format 2"), "{error}");
    sql(dir.path(), "PRAGMA user_version = 0");
    let error = LocalBackend::open(&config(), dir.path()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

#[test]
fn planted_tables_triggers_and_views_are_refused() {
    for statement in [
        "CREATE TABLE extra (a)",
        "CREATE TRIGGER t AFTER INSERT ON versions BEGIN DELETE FROM secrets; END",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE changes",
        "PRAGMA journal_mode = delete",
    ] {
        let dir = folder();
        drop(create(dir.path()));
        sql(dir.path(), statement);
        let error = LocalBackend::open(&config(), dir.path()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{statement}");
    }
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
