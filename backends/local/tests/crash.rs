//! Processes that are killed, and processes that write at once.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::io::{BufRead, BufReader};
use std::time::Duration;

use common::*;
use strongroom_backend::{Backend, ErrorKind, Which};
use strongroom_backend_local::LocalBackend;

const ROUNDS: u64 = 30;

/// Values are `<name> <number>`: one that is torn or of another name shows.
fn whole(name: &str, text: &str, version: u64) -> bool {
    text == format!("{name} {version} {}", "x".repeat(3000))
}

#[test]
#[ignore = "run by others in a process of its own"]
fn child_writes_until_killed() {
    let store = open(&spawned_dir());
    for _ in 0..100_000 {
        for name in ["a", "b"] {
            let known = wait(store.describe(&path(name)))
                .ok()
                .and_then(|d| d.version);
            let next = known.unwrap_or(0) + 1;
            let text = format!("{name} {next} {}", "x".repeat(3000));
            let change = wait(store.put(&path(name), &value(&text), &expect(next - 1))).unwrap();
            println!("done {name} {}", change.version);
        }
    }
}

#[test]
fn a_killed_writer_leaves_the_old_value_or_the_new_one() {
    let dir = folder();
    drop(create(dir.path()));
    let mut written = 0;
    for round in 0..ROUNDS {
        let mut child = spawn("child_writes_until_killed", dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = std::collections::BTreeMap::new();
        let mut note = |line: String| {
            let words: Vec<&str> = line.split(' ').collect();
            // The test runner's own output shares the pipe.
            if let [.., "done", name, version] = words.as_slice() {
                acknowledged.insert((*name).to_owned(), version.parse::<u64>().unwrap());
                true
            } else {
                false
            }
        };
        while let Some(Ok(line)) = lines.next() {
            if note(line) {
                break;
            }
        }
        std::thread::sleep(Duration::from_micros(700 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            note(line);
        }
        let store = open(dir.path());
        for (name, acknowledged) in acknowledged {
            let secret = wait(store.get(&path(&name), Which::Current)).unwrap();
            let text = String::from_utf8(secret.value.expose().to_vec()).unwrap();
            assert!(whole(&name, &text, secret.version));
            let next = acknowledged..=acknowledged + 1;
            assert!(
                next.contains(&secret.version),
                "{} in {next:?}",
                secret.version
            );
            let numbers: Vec<u64> = wait(store.versions(&path(&name)))
                .unwrap()
                .iter()
                .map(|info| info.version)
                .collect();
            let expected: Vec<u64> = (1..=secret.version).rev().take(100).collect();
            assert_eq!(numbers, expected, "contiguous");
            written = written.max(secret.version);
        }
        wait(store.check()).unwrap();
        // A counter that the dead writer left odd is even again after the next change.
        put(&store, "mend", "x");
        for name in ["a", "b"] {
            assert_eq!(store.change_cell(&path(name)).unwrap().load() % 2, 0);
        }
    }
    assert!(written > ROUNDS, "{written}");
}

#[test]
#[ignore = "run by others in a process of its own"]
fn child_counts() {
    let store = open(&spawned_dir());
    let (mut won, mut lost) = (0, 0);
    while won < 40 {
        let current = wait(store.get(&path("counter"), Which::Current)).unwrap();
        let text = String::from_utf8(current.value.expose().to_vec()).unwrap();
        let next = text.parse::<u64>().unwrap() + 1;
        let options = expect(current.version);
        match wait(store.put(&path("counter"), &value(&next.to_string()), &options)) {
            Ok(change) => {
                assert_eq!(change.version, current.version + 1);
                won += 1;
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Conflict(now) if now > current.version));
                lost += 1;
            }
        }
    }
    println!("lost {lost}");
}

#[test]
fn processes_that_compare_and_set_lose_no_update() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "counter", "0");
    let children: Vec<_> = (0..4).map(|_| spawn("child_counts", dir.path())).collect();
    let mut lost = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let words = text.split_whitespace().collect::<Vec<_>>();
        let at = words.iter().position(|word| *word == "lost").unwrap();
        lost += words[at + 1].parse::<u64>().unwrap();
    }
    assert_eq!(read(&store, "counter", Which::Current).unwrap(), "160");
    assert!(lost > 0, "they never met");
    wait(store.check()).unwrap();
}

#[test]
fn a_change_shows_in_every_process() {
    let dir = folder();
    let store = create(dir.path());
    put(&store, "counter", "0");
    assert_eq!(names(&store).unwrap(), ["counter"]);
    let cell = store.change_cell(&path("counter")).unwrap();
    let before = cell.load();
    assert_eq!(before % 2, 0);
    let output = spawn("child_counts", dir.path())
        .wait_with_output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(cell.load(), before + 80, "two for each change");
    assert_eq!(read(&store, "counter", Which::Current).unwrap(), "40");
    let output = spawn("child_adds_and_deletes", dir.path())
        .wait_with_output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(names(&store).unwrap(), ["added/new"]);
}

#[test]
#[ignore = "run by others in a process of its own"]
fn child_adds_and_deletes() {
    let store = open(&spawned_dir());
    put(&store, "added/new", "x");
    wait(store.delete(&path("counter"), None)).unwrap();
}

#[test]
#[ignore = "run by others in a process of its own"]
fn child_rotates() {
    let store = open(&spawned_dir());
    let stop: u64 = std::fs::read_to_string(spawned_dir().join("stop"))
        .unwrap()
        .parse()
        .unwrap();
    let mut calls = 0;
    store
        .rotate_keys(|_, _| {
            if calls == stop {
                // Stands for a kill at this step: nothing is cleaned up.
                std::process::abort();
            }
            calls += 1;
        })
        .unwrap();
}

/// A rotation tells its progress before and after each batch. It dies at each of them in turn;
/// between batches the transactions of `a_killed_writer...` are what can be cut.
#[test]
fn a_rotation_can_die_at_each_step() {
    let dir = folder();
    let store = create(dir.path());
    for number in 0..2100 {
        put(&store, &format!("s/{}", number % 300), &number.to_string());
    }
    let expected: Vec<_> = (0..300)
        .map(|n| read(&store, &format!("s/{n}"), Which::Current).unwrap())
        .collect();
    let mut finished = false;
    for stop in 0..10 {
        std::fs::write(dir.path().join("stop"), stop.to_string()).unwrap();
        let output = spawn("child_rotates", dir.path())
            .wait_with_output()
            .unwrap();
        // This process holds the old keys all along.
        for (n, text) in expected.iter().enumerate() {
            assert_eq!(
                &read(&store, &format!("s/{n}"), Which::Current).unwrap(),
                text
            );
        }
        put(&store, "between", "x");
        wait(store.check()).unwrap();
        if output.status.success() {
            finished = true;
            break;
        }
    }
    assert!(finished);
    // The same, at moments that nobody chose.
    for round in 0..10 {
        std::fs::write(dir.path().join("stop"), u64::MAX.to_string()).unwrap();
        let mut child = spawn("child_rotates", dir.path());
        std::thread::sleep(Duration::from_millis(20 + 17 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        wait(store.check()).unwrap();
        assert_eq!(read(&store, "s/7", Which::Current).unwrap(), expected[7]);
    }
    store.rotate_keys(|_, _| ()).unwrap();
    let lines = wait(open(dir.path()).check()).unwrap();
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("key ")).count(),
        1,
        "{lines:?}"
    );
}

#[test]
#[ignore = "run by others in a process of its own"]
fn child_rekeys() {
    let dir = spawned_dir();
    let store = LocalBackend::open(&config(), &dir).unwrap();
    let source = strongroom_backend_local::KeySource::file("keys/new.key");
    println!("begin");
    store.rekey(&source, &dir).unwrap();
    println!("end");
}

#[test]
fn a_killed_rekey_leaves_a_store_that_one_of_the_keys_opens() {
    let mut config_new = config();
    config_new.key = strongroom_backend_local::KeySource::file("keys/new.key");
    let mut opened_by = [0, 0];
    for round in 0..12 {
        let dir = folder();
        put(&create(dir.path()), "a", "one");
        let mut child = spawn("child_rekeys", dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            if line.ends_with("begin") {
                break;
            }
        }
        std::thread::sleep(Duration::from_micros(round * 600));
        child.kill().unwrap();
        child.wait().unwrap();
        let old = LocalBackend::open(&config(), dir.path());
        let new = LocalBackend::open(&config_new, dir.path());
        assert!(old.is_ok() != new.is_ok());
        opened_by[usize::from(new.is_ok())] += 1;
        let store = old.or(new).unwrap();
        assert_eq!(read(&store, "a", Which::Current).unwrap(), "one");
        wait(store.check()).unwrap();
        // Asking again ends it.
        let source = strongroom_backend_local::KeySource::file("keys/new.key");
        store.rekey(&source, dir.path()).unwrap();
        assert!(LocalBackend::open(&config_new, dir.path()).is_ok());
    }
    assert_eq!(opened_by.iter().sum::<i32>(), 12);
}
