//! Key sources, rotation and rekeying.
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
use strongroom_backend_local::{Builder, Config, KeySource, LocalBackend};

fn with_key(key: KeySource) -> Config {
    Config::new("app.vault", key)
}

fn kind(config: &Config, dir: &std::path::Path) -> ErrorKind {
    LocalBackend::open(config, dir).err().unwrap().kind()
}

fn write_key(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_passphrase_opens_what_it_made() {
    let dir = folder();
    write_key(&dir.path().join("pass"), "correct horse\n");
    let config = with_key(KeySource::passphrase_file("pass"));
    put(
        &LocalBackend::create(&config, dir.path()).unwrap(),
        "a",
        "one",
    );
    let store = LocalBackend::open(&config, dir.path()).unwrap();
    assert_eq!(read(&store, "a", Which::Current).unwrap(), "one");
    // Typed at a prompt it is the same passphrase.
    let typed = Builder::new(config.clone())
        .with_base_dir(dir.path())
        .with_passphrase(value("correct horse"));
    assert!(typed.open().is_ok());
    write_key(&dir.path().join("pass"), "battery staple\n");
    assert_eq!(kind(&config, dir.path()), ErrorKind::Unauthenticated);
    write_key(&dir.path().join("pass"), "\n");
    assert_eq!(kind(&config, dir.path()), ErrorKind::Config);
}

#[test]
fn rotation_keeps_every_value_and_other_processes_notice() {
    let dir = folder();
    let store = create(dir.path());
    // Stands for another process: it shares nothing but the files.
    let other = open(dir.path());
    for number in 0..30 {
        put(&store, &format!("s/{}", number % 10), &number.to_string());
    }
    assert_eq!(read(&other, "s/3", Which::Current).unwrap(), "23");
    let mut told = Vec::new();
    let rotation = store
        .rotate_keys(|done, total| told.push((done, total)))
        .unwrap();
    assert_eq!((rotation.key, rotation.rewrapped), (2, 30));
    assert!(rotation.scrubbed);
    assert_eq!(told, [(0, 30), (30, 30)]);
    assert_eq!(read(&other, "s/3", Which::Version(1)).unwrap(), "3");
    assert_eq!(put(&other, "s/3", "new"), 4);
    assert_eq!(read(&store, "s/3", Which::Current).unwrap(), "new");
    assert_eq!(store.rotate_keys(|_, _| ()).unwrap().rewrapped, 31);
    wait(other.check()).unwrap();
    wait(open(dir.path()).check()).unwrap();
}

#[test]
fn values_can_be_written_while_keys_rotate() {
    let dir = folder();
    let store = create(dir.path());
    for number in 0..1500 {
        put(&store, &format!("s/{}", number % 50), &number.to_string());
    }
    let other = open(dir.path());
    let mut written = 0;
    store
        .rotate_keys(|_, _| {
            put(&other, "s/0", "during");
            put(&other, "new", "during");
            written += 1;
        })
        .unwrap();
    assert!(written >= 3);
    assert_eq!(read(&store, "s/0", Which::Current).unwrap(), "during");
    assert_eq!(
        read(&open(dir.path()), "new", Which::Version(1)).unwrap(),
        "during"
    );
    wait(store.check()).unwrap();
}

#[test]
fn a_new_source_replaces_the_old_one() {
    let dir = folder();
    let store = create(dir.path());
    let other = open(dir.path());
    put(&store, "a", "one");
    let new = KeySource::file("elsewhere/new.key");
    store.rekey(&new, dir.path()).unwrap();
    assert_eq!(kind(&config(), dir.path()), ErrorKind::Unauthenticated);
    let opened = LocalBackend::open(&with_key(new), dir.path()).unwrap();
    assert_eq!(read(&opened, "a", Which::Current).unwrap(), "one");
    // Who has the store open goes on, until a key is made that only the new source wraps.
    assert_eq!(read(&other, "a", Which::Current).unwrap(), "one");
    assert_eq!(put(&other, "a", "two"), 2);
    opened.rotate_keys(|_, _| ()).unwrap();
    assert_eq!(
        read(&other, "a", Which::Current),
        Err(ErrorKind::Unauthenticated)
    );
    // The process that did it goes on as well.
    assert_eq!(read(&store, "a", Which::Current).unwrap(), "two");
    wait(opened.check()).unwrap();
    let typed = value("correct horse");
    opened.rekey_with_passphrase(&typed).unwrap();
    let back = Builder::new(config())
        .with_base_dir(dir.path())
        .with_passphrase(typed)
        .open();
    assert_eq!(read(&back.unwrap(), "a", Which::Current).unwrap(), "two");
}

#[test]
fn a_rekey_without_its_new_source_changes_nothing() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one");
    let missing = KeySource::passphrase_file("nowhere");
    assert!(store.rekey(&missing, dir.path()).is_err());
    assert!(
        store
            .rekey(&KeySource::Keyring("k".into()), dir.path())
            .is_err()
    );
    assert_eq!(read(&open(dir.path()), "a", Which::Current).unwrap(), "one");
}

#[test]
#[ignore = "run by others in a process of its own"]
fn child_opens_by_variable() {
    let config = with_key(KeySource::Env("STRONGROOM_TEST_KEY".into()));
    let dir = spawned_dir();
    let store = LocalBackend::open(&config, &dir).unwrap();
    assert_eq!(read(&store, "a", Which::Current).unwrap(), "one");
    let unset = with_key(KeySource::Env("STRONGROOM_TEST_UNSET".into()));
    assert_eq!(kind(&unset, &dir), ErrorKind::Config);
}

#[test]
fn a_variable_holds_the_text_of_a_key_file() {
    let dir = folder();
    put(&create(dir.path()), "a", "one");
    let key = std::fs::read_to_string(dir.path().join("keys/app.key")).unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_opens_by_variable", "--ignored"])
        .env("STRONGROOM_TEST_DIR", dir.path())
        .env("STRONGROOM_TEST_KEY", key)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn errors_and_debug_show_no_key() {
    let dir = folder();
    drop(create(dir.path()));
    let path = dir.path().join("keys/app.key");
    let key = std::fs::read_to_string(&path).unwrap();
    let body = key.lines().last().unwrap();
    write_key(&path, &format!("{body}x\n"));
    let error = LocalBackend::open(&config(), dir.path()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!format!("{error:?} {error} {:?}", config()).contains(&body[..8]));
}

/// Every data key is wrapped under a nonce of its own and used for one value: no two seals, and no
/// two wrapped keys, share one. Eight threads write, and a restored backup writes again.
#[test]
fn no_key_sees_a_nonce_twice() {
    let dir = folder();
    let store = create(dir.path());
    drop(store);
    let backup = std::fs::read(dir.path().join("app.vault")).unwrap();
    let mut seen = std::collections::HashSet::new();
    let mut rows = 0;
    for _ in 0..2 {
        std::fs::write(dir.path().join("app.vault"), &backup).unwrap();
        let store = open(dir.path());
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..100 {
                        put(store, &format!("t/{}", number % 7), &format!("{thread}"));
                    }
                });
            }
        });
        drop(store);
        let connection = rusqlite::Connection::open(dir.path().join("app.vault")).unwrap();
        let mut collect = |sql: &str| {
            let mut statement = connection.prepare(sql).unwrap();
            let mut found = statement.query([]).unwrap();
            while let Some(row) = found.next().unwrap() {
                seen.insert(row.get::<_, Vec<u8>>(0).unwrap());
                rows += 1;
            }
        };
        // Commitments stand for data keys; nonces stand for themselves.
        collect("SELECT substr(seal, 1, 32) FROM versions");
        collect("SELECT substr(seal, 33, 12) FROM versions");
        collect("SELECT substr(wrapped, 5, 12) FROM data_keys WHERE used = 1");
        collect("SELECT substr(record, 1, 12) FROM secrets");
        collect("SELECT substr(sealed, 1, 12) FROM changes");
    }
    assert!(rows > 4000, "{rows}");
    assert_eq!(seen.len(), rows);
}
