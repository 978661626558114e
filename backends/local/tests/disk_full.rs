//! A disk that fills up loses nothing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::path::Path;
use std::process::Command;

use common::*;
use strongroom_backend::{Backend, ErrorKind, PutOptions, SecretValue, Which};

/// A small disk of its own, unmounted when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    /// None where this user may not mount.
    fn mount() -> Option<Self> {
        let dir = folder();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs"])
            .arg(dir.path())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

fn fill(dir: &Path) {
    let mut number = 0;
    for size in [64 * 1024, 4096] {
        while std::fs::write(dir.join(format!("filler-{number}")), vec![0; size]).is_ok() {
            number += 1;
        }
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let Some(disk) = Disk::mount() else {
        eprintln!("skipped: this user may not mount a small disk");
        return;
    };
    let dir = disk.path();
    let store = create(dir);
    for name in ["a", "b", "c"] {
        put(&store, name, "before");
    }
    let before = store.mark().unwrap();
    fill(dir);
    let large = SecretValue::new(vec![7; 200_000]);
    let mut failed = 0;
    for _ in 0..20 {
        match wait(store.put(&path("a"), &large, &PutOptions::default())) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                assert!(error.to_string().contains("app.vault"), "{error}");
                failed += 1;
            }
        }
    }
    assert_eq!(failed, 20);
    assert_eq!(read(&store, "a", Which::Current).unwrap(), "before");
    assert_eq!(store.mark().unwrap(), before);
    // Another process reads it too; nobody needs room to read.
    assert_eq!(read(&open(dir), "b", Which::Current).unwrap(), "before");
    std::fs::remove_file(dir.join("filler-0")).unwrap();
    for number in 1..8 {
        let _ = std::fs::remove_file(dir.join(format!("filler-{number}")));
    }
    assert_eq!(put(&store, "a", "after"), 2);
    drop(store);
    let store = open(dir);
    assert_eq!(read(&store, "a", Which::Current).unwrap(), "after");
    wait(store.check()).unwrap();
}

#[test]
#[ignore = "run by others in a process of its own"]
fn child_meets_a_file_limit() {
    let store = open(&spawned_dir());
    let value = SecretValue::new(vec![7; 100_000]);
    let mut written = 0;
    let error = loop {
        match wait(store.put(&path("a"), &value, &PutOptions::default())) {
            Ok(change) => written = change.version,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let now = wait(store.get(&path("a"), Which::Current)).unwrap();
    assert_eq!(now.version, written);
    println!("written {written}");
}

/// Works for every user: a limit on the size of files stands for a full disk.
#[test]
fn a_file_that_cannot_grow_keeps_what_it_has() {
    let dir = folder();
    put(&create(dir.path()), "a", "before");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1200; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_meets_a_file_limit",
            "--ignored",
            "--nocapture",
        ])
        .env("STRONGROOM_TEST_DIR", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words
        .iter()
        .position(|word| word.ends_with("written"))
        .unwrap();
    let written: u64 = words[at + 1].parse().unwrap();
    let store = open(dir.path());
    assert_eq!(
        wait(store.get(&path("a"), Which::Current)).unwrap().version,
        written
    );
    wait(store.check()).unwrap();
    assert_eq!(put(&store, "a", "after"), written + 1);
}
