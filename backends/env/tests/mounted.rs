//! Mounted secrets, which are farms of links, and JSON files.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{config, get, kind_of, list, open, write, write_mode};
use strongroom_backend::{Backend, ErrorKind, SecretPath};
use strongroom_backend_env::{FilesBackend, FilesConfig, MAX_FILE, MAX_JSON};
use strongroom_backend_testkit::Canary;

/// A volume as the kubelet writes one: `key` leads to `..data/key`, `..data` to the newest folder.
fn mount(volume: &Path, stamp: &str, secrets: &[(&str, &[u8])]) {
    let folder = format!("..{stamp}");
    for (name, value) in secrets {
        write_mode(&volume.join(&folder).join(name), value, 0o644);
        let first = name.split('/').next().unwrap();
        let link = volume.join(first);
        if link.symlink_metadata().is_err() {
            symlink(format!("..data/{first}"), link).unwrap();
        }
    }
    symlink(&folder, volume.join("..data_tmp")).unwrap();
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[tokio::test]
async fn a_mounted_volume_is_served_with_both_switches() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("s");
    std::fs::create_dir(&volume).unwrap();
    mount(
        &volume,
        "2026_01",
        &[("api-key", b"one"), ("db/main", b"two")],
    );
    let store = open(dir.path(), &config("s", true, true));
    assert_eq!(get(&store, "api-key").await.unwrap(), b"one");
    assert_eq!(get(&store, "db/main").await.unwrap(), b"two");
    assert_eq!(list(&store, "").await, ["api-key", "db/main"]);
    assert_eq!(store.check().await.unwrap().len(), 1);
    mount(&volume, "2026_02", &[("api-key", b"new")]);
    std::fs::remove_dir_all(volume.join("..2026_01")).unwrap();
    assert_eq!(get(&store, "api-key").await.unwrap(), b"new");
    assert_eq!(kind_of(&store, "db/main").await, ErrorKind::NotFound);
    assert_eq!(list(&store, "").await, ["api-key"]);
    for strict in [config("s", true, false), config("s", false, true)] {
        let store = open(dir.path(), &strict);
        assert_eq!(
            kind_of(&store, "api-key").await,
            ErrorKind::PermissionDenied
        );
    }
    assert!(
        list(&open(dir.path(), &config("s", false, true)), "")
            .await
            .is_empty()
    );
}

/// While the volume is replaced over and over, a read finds one value or the next, never nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_is_replaced_never_looks_empty() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("s");
    std::fs::create_dir(&volume).unwrap();
    mount(&volume, "0", &[("key", b"value")]);
    let store = open(dir.path(), &config("s", true, true));
    let done = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (volume, done) = (volume.clone(), Arc::clone(&done));
        move || {
            for n in 1..80 {
                mount(&volume, &n.to_string(), &[("key", b"value")]);
                std::fs::remove_dir_all(volume.join(format!("..{}", n - 1))).unwrap();
                // The kubelet needs a minute; this is time enough to look again.
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    let mut reads = 0;
    while !done.load(Ordering::SeqCst) || reads == 0 {
        assert_eq!(get(&store, "key").await.unwrap(), b"value");
        reads += 1;
    }
    writer.join().unwrap();
}

#[tokio::test]
async fn links_stay_within_the_folder_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let s = dir.path().join("s");
    write(&dir.path().join("out/a"), b"canary");
    write(&s.join("a"), b"x");
    write(&s.join("sub/b"), b"y");
    for (name, target) in [
        ("good", "a"),
        ("dots", "./sub/.././a"),
        ("chain", "good"),
        ("tree", "sub"),
        ("sub/back", "../a"),
        ("absolute", s.join("a").to_str().unwrap()),
        ("up", "../out/a"),
        ("out-and-in", "../s/a"),
        ("loop", "loop"),
        ("ping", "pong"),
        ("pong", "ping"),
        ("circle", "."),
        ("nowhere", "none"),
        ("file-as-folder", "a/.."),
    ] {
        symlink(target, s.join(name)).unwrap();
    }
    let store = open(dir.path(), &config("s", true, false));
    for (name, value) in [
        ("good", b"x"),
        ("dots", b"x"),
        ("chain", b"x"),
        ("tree/b", b"y"),
        ("tree/back", b"x"),
    ] {
        assert_eq!(get(&store, name).await.unwrap(), value, "{name}");
    }
    for name in ["absolute", "up", "out-and-in", "loop", "ping"] {
        assert_eq!(
            kind_of(&store, name).await,
            ErrorKind::PermissionDenied,
            "{name}"
        );
    }
    for name in ["nowhere", "circle", "file-as-folder", "tree"] {
        assert_eq!(kind_of(&store, name).await, ErrorKind::NotFound, "{name}");
    }
    let served = [
        "a",
        "chain",
        "dots",
        "good",
        "sub/b",
        "sub/back",
        "tree/b",
        "tree/back",
    ];
    assert_eq!(list(&store, "").await, served);
}

fn json(dir: &Path, text: &str) -> FilesBackend {
    write(&dir.join("s.json"), text.as_bytes());
    open(dir, &FilesConfig::json("s.json"))
}

#[tokio::test]
async fn a_json_file_has_a_key_for_each_secret() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"{"b": "two", "a/b": "one", "stripe": {"key": "sk"}, "../x": "no", "": "no",
        ".h": "no", "a b": "no", "n": 12}"#;
    let store = json(dir.path(), text);
    assert_eq!(get(&store, "a/b").await.unwrap(), b"one");
    assert_eq!(get(&store, "stripe").await.unwrap(), br#"{"key": "sk"}"#);
    assert_eq!(get(&store, "n").await.unwrap(), b"12");
    for name in ["stripe/key", "a", "s.json", "none"] {
        assert_eq!(kind_of(&store, name).await, ErrorKind::NotFound, "{name}");
    }
    assert_eq!(list(&store, "").await, ["a/b", "b", "n", "stripe"]);
    assert_eq!(list(&store, "a").await, ["a/b"]);
    let lines = store.check().await.unwrap();
    assert!(
        lines[0].ends_with("4 secrets") && lines[1].starts_with("4 keys"),
        "{lines:?}"
    );
    let described = store
        .describe(&SecretPath::parse("b").unwrap())
        .await
        .unwrap();
    assert!(described.updated > 1_500_000_000_000);
    write(&dir.path().join("s.json"), br#"{"b": "three"}"#);
    assert_eq!(get(&store, "b").await.unwrap(), b"three");
}

#[tokio::test]
async fn a_json_file_that_breaks_is_damaged_and_its_values_stay_unsaid() {
    let dir = tempfile::tempdir().unwrap();
    let canary = Canary::new("canary-b00c-json");
    let store = json(dir.path(), r#"{"a": "canary-b00c-json"}"#);
    for text in [
        r#"{"a": "canary-b00c-json""#,
        r#"{"a": "x", "a": "canary-b00c-json"}"#,
        r#"["canary-b00c-json"]"#,
        r#"{"a": "canary-b00c-json\ud800"}"#,
    ] {
        write(&dir.path().join("s.json"), text.as_bytes());
        let path = SecretPath::parse("a").unwrap();
        let error = store
            .get(&path, strongroom_backend::Which::Current)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(canary.found_in_error(&error).is_none());
    }
    let opened = FilesBackend::open(&FilesConfig::json("none.json"), dir.path());
    assert_eq!(opened.err().unwrap().kind(), ErrorKind::Config);
    std::fs::remove_file(dir.path().join("s.json")).unwrap();
    assert_eq!(kind_of(&store, "a").await, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_json_file_is_checked_as_other_files_are() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str| {
        let opened = FilesBackend::open(&FilesConfig::json(name), dir.path());
        opened.err().unwrap().kind()
    };
    write_mode(&dir.path().join("open.json"), b"{}", 0o644);
    assert_eq!(refused("open.json"), ErrorKind::PermissionDenied);
    write(&dir.path().join("real.json"), b"{}");
    symlink("real.json", dir.path().join("link.json")).unwrap();
    assert_eq!(refused("link.json"), ErrorKind::PermissionDenied);
    std::fs::create_dir(dir.path().join("folder.json")).unwrap();
    assert_eq!(refused("folder.json"), ErrorKind::Config);
    write(&dir.path().join("large.json"), b"");
    let large = std::fs::File::options()
        .write(true)
        .open(dir.path().join("large.json"))
        .unwrap();
    large.set_len(MAX_JSON + 1).unwrap();
    assert_eq!(refused("large.json"), ErrorKind::TooLarge(MAX_JSON));
    let value = "x".repeat(usize::try_from(MAX_FILE).unwrap() + 1);
    let store = json(dir.path(), &format!("{{\"a\": \"{value}\", \"b\": 1}}"));
    assert_eq!(kind_of(&store, "a").await, ErrorKind::TooLarge(MAX_FILE));
    assert_eq!(get(&store, "b").await.unwrap(), b"1");
}
