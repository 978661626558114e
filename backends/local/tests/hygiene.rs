//! Files that others could read, change or replace are refused.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use common::*;
use strongroom_backend::{Backend, ErrorKind, PutOptions, Which};
use strongroom_backend_local::{Config, KeySource, LocalBackend};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn refused(dir: &Path) -> String {
    let error = LocalBackend::open(&config(), dir).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    error.to_string()
}

#[test]
#[ignore = "run by others in a process of its own"]
fn child_creates_under_an_open_umask() {
    rustix::process::umask(rustix::fs::Mode::empty());
    let dir = spawned_dir();
    let store = create(&dir);
    put(&store, "a", "one");
    for name in [
        "app.vault",
        "app.vault-wal",
        "app.vault-shm",
        "app.vault.lock",
        "app.vault.changes",
    ] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&dir.join("keys/app.key")), 0o600);
    assert_eq!(mode(&dir.join("keys")), 0o700);
    let left: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".new-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn files_are_private_whatever_the_umask() {
    let dir = folder();
    let output = spawn("child_creates_under_an_open_umask", dir.path())
        .wait_with_output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn what_others_may_write_or_read_is_refused() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "a", "one");
    let cases = [
        ("keys/app.key", 0o640, 0o600),
        ("keys/app.key", 0o604, 0o600),
        ("keys", 0o770, 0o700),
        ("app.vault", 0o620, 0o600),
        ("app.vault", 0o602, 0o600),
        ("app.vault-wal", 0o602, 0o600),
        ("app.vault-shm", 0o602, 0o600),
        ("app.vault.lock", 0o602, 0o600),
        ("app.vault.changes", 0o602, 0o600),
        (".", 0o777, 0o700),
        (".", 0o1777, 0o700),
    ];
    for (name, bad, good) in cases {
        let path = dir.path().join(name);
        set_mode(&path, bad);
        refused(dir.path());
        set_mode(&path, good);
        assert!(LocalBackend::open(&config(), dir.path()).is_ok(), "{name}");
    }
}

#[test]
fn links_and_other_kinds_of_files_are_refused() {
    for name in [
        "keys/app.key",
        "app.vault",
        "app.vault.lock",
        "app.vault.changes",
    ] {
        let dir = folder();
        drop(create(dir.path()));
        let path = dir.path().join(name);
        let target = dir.path().join("target");
        std::fs::rename(&path, &target).unwrap();
        symlink(&target, &path).unwrap();
        let said = refused(dir.path());
        assert!(said.contains("symbolic link"), "{said}");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        refused(dir.path());
    }
    for name in ["app.vault-wal", "app.vault-shm", "app.vault-journal"] {
        let dir = folder();
        drop(create(dir.path()));
        symlink("/dev/null", dir.path().join(name)).unwrap();
        refused(dir.path());
    }
}

#[test]
fn a_dangling_link_is_not_written_through() {
    let dir = folder();
    let elsewhere = dir.path().join("elsewhere");
    symlink(&elsewhere, dir.path().join("app.vault")).unwrap();
    let error = LocalBackend::create(&config(), dir.path()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!elsewhere.exists());
    assert!(!dir.path().join("keys/app.key").exists());
}

#[test]
fn a_linked_key_opens_where_the_source_allows_it() {
    let dir = folder();
    put(&create(dir.path()), "a", "one");
    let (key, mounted) = (dir.path().join("keys/app.key"), dir.path().join("..data"));
    std::fs::create_dir(&mounted).unwrap();
    set_mode(&mounted, 0o700);
    let target = mounted.join("app.key");
    std::fs::rename(&key, &target).unwrap();
    symlink(&target, &key).unwrap();
    let allowed = Config::new(
        "app.vault",
        KeySource::File {
            path: "keys/app.key".into(),
            allow_links: true,
        },
    );
    let store = LocalBackend::open(&allowed, dir.path()).unwrap();
    assert_eq!(read(&store, "a", Which::Current).unwrap(), "one");
    let kind = || {
        LocalBackend::open(&allowed, dir.path())
            .err()
            .map(|error| error.kind())
    };
    set_mode(&target, 0o640);
    assert_eq!(kind(), Some(ErrorKind::PermissionDenied));
    set_mode(&target, 0o600);
    set_mode(&mounted, 0o777);
    assert_eq!(kind(), Some(ErrorKind::PermissionDenied));
    set_mode(&mounted, 0o700);
    assert_eq!(kind(), None);
}

/// Only root can make files of another user.
#[test]
fn another_users_store_is_refused_even_to_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = folder();
    drop(create(dir.path()));
    let other = Some(rustix::fs::Uid::from_raw(1));
    let name = std::fs::read_to_string("/etc/passwd")
        .unwrap()
        .lines()
        .find_map(|line| Some(line.split_once(":x:1:")?.0.to_owned()))
        .unwrap();
    for file in ["app.vault", "keys/app.key"] {
        let path = dir.path().join(file);
        rustix::fs::chown(&path, other, None).unwrap();
        let said = refused(dir.path());
        assert!(said.contains(&format!("run this as {name}")), "{said}");
        rustix::fs::chown(&path, Some(rustix::fs::Uid::ROOT), None).unwrap();
    }
    assert!(LocalBackend::open(&config(), dir.path()).is_ok());
}

#[test]
fn a_store_without_its_folder_or_key_says_so() {
    let dir = folder();
    let kind = |config: &Config| LocalBackend::open(config, dir.path()).err().unwrap().kind();
    assert_eq!(kind(&config()), ErrorKind::Config);
    let mut elsewhere = config();
    elsewhere.path = "no/such/folder/app.vault".into();
    assert_eq!(kind(&elsewhere), ErrorKind::Config);
    drop(create(dir.path()));
    std::fs::remove_file(dir.path().join("keys/app.key")).unwrap();
    assert_eq!(kind(&config()), ErrorKind::Config);
}

#[test]
fn a_file_that_took_the_stores_name_is_not_ignored() {
    let (dir, other) = (folder(), folder());
    let store = create(dir.path());
    put(&store, "a", "one");
    drop(create(other.path()));
    let file = dir.path().join("app.vault");
    let kept = dir.path().join("kept");
    std::fs::rename(&file, &kept).unwrap();
    std::fs::copy(other.path().join("app.vault"), &file).unwrap();
    assert_eq!(store.mark().err().unwrap().kind(), ErrorKind::Unavailable);
    // Reads look again every few milliseconds.
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(
        read(&store, "a", Which::Current),
        Err(ErrorKind::Unavailable)
    );
    assert_eq!(names(&store), Err(ErrorKind::Unavailable));
    let put_error = wait(store.put(&path("a"), &value("two"), &PutOptions::default()));
    assert_eq!(put_error.err().unwrap().kind(), ErrorKind::Unavailable);
    std::fs::rename(&kept, &file).unwrap();
    assert_eq!(read(&store, "a", Which::Current).unwrap(), "one");
}
