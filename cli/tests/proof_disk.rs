//! A full disk, and a log that is taken away: commands fail and say why, nothing is lost, and a host
//! that runs stops releasing and goes on by itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where its helper fails, and prints its figures"
)]

#[path = "proof/full.rs"]
mod full;
#[path = "support/guests.rs"]
mod guests;
#[path = "proof/live.rs"]
mod live;
mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use full::{Disk, Limited, Small, with_mounts};
use guests::{allow_probe, probe};
use live::{Live, value_line};
use support::{Answer, Room};

/// What a host's journal takes.
const JOURNAL: u64 = 16 << 20;
/// Free bytes: too few for a journal, and then from none to enough for what is written beside it.
fn amounts() -> impl Iterator<Item = u64> {
    let beside = (0..=24).map(|blocks| JOURNAL + blocks * (4 << 10));
    [0, 4 << 10, 64 << 10, 8 << 20]
        .into_iter()
        .chain(beside)
        .chain([JOURNAL + (1 << 20), 40 << 20])
}

/// A host stops releasing this soon after its log cannot be written, and a margin for a loaded machine.
const STOPS: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(500);
/// And goes on at the latest this long after it can.
const GOES_ON: Duration = Duration::from_secs(5);

#[test]
fn a_full_small_disk_loses_nothing() {
    if with_mounts("a_full_small_disk_loses_nothing") == Some(true) {
        loses_nothing(Small::new());
    }
}

#[test]
fn files_that_cannot_grow_lose_nothing() {
    loses_nothing(Limited::new());
}

#[test]
fn a_host_on_a_full_small_disk_stops_and_goes_on() {
    if with_mounts("a_host_on_a_full_small_disk_stops_and_goes_on") == Some(true) {
        stops_and_goes_on(Small::new());
    }
}

#[test]
fn a_host_whose_files_cannot_grow_stops_and_goes_on() {
    stops_and_goes_on(Limited::new());
}

#[test]
fn a_project_is_made_whole_or_can_be_made_again() {
    if with_mounts("a_project_is_made_whole_or_can_be_made_again") == Some(true) {
        made_whole(Small::new());
    } else {
        made_whole(Limited::new());
    }
}

#[test]
fn a_host_whose_log_is_taken_away_stops_and_goes_on() {
    let room = Room::new();
    set_up(&room);
    let log = room.path("audit.jsonl");
    let away = room.path("away");
    let mut host = Live::start(&mut room.command(probe(&["script"])));
    assert_eq!(host.ask_one("get app/key"), value_line("kept"));
    let mode = |mode| fs::set_permissions(&log, fs::Permissions::from_mode(mode)).unwrap();
    let mut figures = Vec::new();
    for way in ["deleted", "replaced", "writable by others"] {
        match way {
            "deleted" => fs::rename(&log, &away).unwrap(),
            "replaced" => {
                fs::rename(&log, &away).unwrap();
                fs::copy(&away, &log).unwrap();
                mode(0o600);
            }
            _ => mode(0o666),
        }
        let stopped = until(
            &mut host,
            |answer| answer.starts_with("error: unavailable"),
            STOPS + MARGIN,
            way,
        );
        match way {
            "writable by others" => mode(0o600),
            _ => fs::rename(&away, &log).unwrap(),
        }
        let went_on = until(
            &mut host,
            |answer| answer == value_line("kept"),
            GOES_ON,
            way,
        );
        figures.push(format!(
            "{way}: stopped after {stopped:.0?}, went on after {went_on:.0?}"
        ));
    }
    println!("{figures:#?}");
    assert_eq!(host.end(), Some(0));
    room.run(["audit", "verify"]).ok();
    room.run(["doctor"]).ok();
}

fn set_up(room: &Room) {
    allow_probe(room, "[\"read\"]");
    room.set("app/key", "kept");
    room.run(probe(&["exit", "0"])).ok();
}

/// A vault beside the first that is a copy of a part of it.
fn add_copy(room: &Room) {
    room.run(["init", "second", "--vault", "offline"]).ok();
    room.configure(
        "[vault.offline]\nbackend = \"local\"\npath = \"second/offline.vault\"\n\
         key = { file = \"second/keys/offline.key\" }\nsync = { from = \"local:app/\" }\n",
    );
    room.set("app/changed", "first");
    room.run(["sync", "offline"]).ok();
}

/// Asks until the answer is as expected: after what time.
#[track_caller]
fn until(
    host: &mut Live,
    expected: impl Fn(&str) -> bool,
    patience: Duration,
    what: &str,
) -> Duration {
    let started = Instant::now();
    loop {
        let answer = host.ask_one("get app/key");
        if expected(&answer) {
            return started.elapsed();
        }
        assert!(started.elapsed() < patience, "{what}: still {answer:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Every command at every amount of free space: done, or an error that says what is wrong.
fn loses_nothing(mut disk: impl Disk) {
    run(&disk, &["init"], "").ok();
    set_up(disk.room());
    add_copy(disk.room());
    let (mut done, mut failed) = (0, 0);
    let mut copied = vec![b"first".to_vec()];
    for (round, free) in amounts().enumerate() {
        let old = format!("old {round}").repeat(40);
        let new = format!("new {round}").repeat(40);
        disk.room().set("app/changed", &old);
        disk.room().set("app/rolled", "a");
        disk.room().set("app/rolled", "b");
        let rolled = newest(disk.room(), "app/rolled");
        let mut changed = vec![old.clone().into_bytes()];
        copied.push(old.into_bytes());
        disk.leave(free, None);
        let failed_before = failed;
        let added = format!("app/added-{round}");
        let calls: [(&[&str], &str); 9] = [
            (&["sync", "offline"], ""),
            (&["get", "app/key"], ""),
            (&["set", "app/changed"], &new),
            (&["set", &added], "added"),
            (
                &["rollback", "app/rolled", "--to", &(rolled - 1).to_string()],
                "",
            ),
            (&["delete", &added], ""),
            (&["keys", "rotate"], ""),
            (&["list"], ""),
            (&["audit", "checkpoint"], ""),
        ];
        let mut written = None;
        for (args, input) in calls {
            let answer = run(&disk, args, input);
            let well = answer.code == 0 || (args[0] == "delete" && answer.code == 4);
            if well {
                done += 1;
            } else {
                failed += 1;
                assert!(
                    [1, 5].contains(&answer.code),
                    "{free} free, {args:?}: {answer:?}"
                );
                assert!(
                    answer.stderr.contains("error: "),
                    "{free} free, {args:?}: {answer:?}"
                );
                assert!(!answer.stderr.contains("internal error"), "{answer:?}");
            }
            match args[0] {
                "get" if well => assert_eq!(answer.stdout, b"kept"),
                "set" if args[1] == "app/changed" => {
                    if well {
                        changed.clear();
                    }
                    changed.push(new.clone().into_bytes());
                }
                "set" => written = Some(well),
                _ => {}
            }
        }
        disk.release(None);
        let room = disk.room();
        assert_eq!(room.get("app/key"), b"kept", "{free} free");
        let value = room.get("app/changed");
        assert!(
            changed.contains(&value),
            "{free} free: {}",
            value.escape_ascii()
        );
        assert!([&b"a"[..], b"b"].contains(&&room.get("app/rolled")[..]));
        if written == Some(true) {
            // Deleted or not, as far as that came.
            let code = room.run(["get", &added]).code;
            assert!(code == 0 || code == 4, "{free} free: {code}");
        }
        // The copy has a value that its source had, and the source's own as soon as it can.
        let copy = room.get("offline:changed");
        assert!(
            copied.contains(&copy),
            "{free} free: {}",
            copy.escape_ascii()
        );
        if failed > failed_before {
            room.run(["sync", "offline"]).ok();
            assert_eq!(room.get("offline:changed"), value, "{free} free");
            copied = vec![value];
        }
        is_whole(room, free);
    }
    println!(
        "{} amounts of free space: {done} commands done, {failed} failed with an error",
        amounts().count()
    );
    assert!(done > 0 && failed > 0, "{done} done, {failed} failed");
}

/// A host whose log has no room left answers `unavailable`, and goes on once there is room.
fn stops_and_goes_on(mut disk: impl Disk) {
    run(&disk, &["init"], "").ok();
    set_up(disk.room());
    let script = probe(&["script"]);
    let script: Vec<&str> = script.iter().map(|word| word.to_str().unwrap()).collect();
    let mut host = Live::start(&mut disk.command(&script));
    let mut values = 0;
    let mut figures = Vec::new();
    for round in 0..3 {
        assert_eq!(
            host.ask_one("get app/key"),
            value_line("kept"),
            "round {round}"
        );
        disk.leave(0, Some(host.id()));
        let full = Instant::now();
        // Until the last block of the log is full, too.
        let stopped = loop {
            let answer = host.ask_one("get app/key");
            if answer.starts_with("error: unavailable") {
                break full.elapsed();
            }
            assert_eq!(answer, value_line("kept"));
            values += 1;
            assert!(
                full.elapsed() < STOPS + MARGIN,
                "round {round}: still {answer:?}"
            );
            thread::sleep(Duration::from_millis(2));
        };
        // It does not come back by itself while the disk is full.
        for _ in 0..20 {
            let answer = host.ask_one("get app/key");
            assert!(answer.starts_with("error: unavailable"), "{answer}");
            thread::sleep(Duration::from_millis(10));
        }
        disk.release(Some(host.id()));
        let went_on = until(
            &mut host,
            |answer| answer == value_line("kept"),
            GOES_ON,
            "space is back",
        );
        values += 2;
        figures.push(format!(
            "stopped after {stopped:.0?}, went on after {went_on:.0?}"
        ));
        // `set` elsewhere is seen as before.
        disk.room().set("app/key", "kept");
    }
    assert_eq!(host.end(), Some(0));
    is_whole(disk.room(), 0);
    let shown = disk
        .room()
        .run([
            "audit",
            "show",
            "--json",
            "--component",
            "probe",
            "--outcome",
            "allowed",
        ])
        .ok();
    let records = shown.text().lines().count();
    println!("{figures:#?}\n{values} values, {records} reads on record");
    assert!(
        records >= values,
        "{values} values, {records} reads on record"
    );
}

/// `init` on a disk that is nearly full: afterwards the project works, or `init` makes it.
fn made_whole(mut disk: impl Disk) {
    let (mut done, mut failed) = (0, 0);
    for free in (0..=15)
        .map(|n| n * (4 << 10))
        .chain([128 << 10, 1 << 20, 20 << 20])
    {
        let name = format!("project-{free}");
        disk.leave(free, None);
        let made = run(&disk, &["init", &name], "");
        disk.release(None);
        if made.code == 0 {
            done += 1;
        } else {
            failed += 1;
            assert!([1, 5].contains(&made.code), "{free} free: {made:?}");
            assert!(made.stderr.contains("error: "), "{free} free: {made:?}");
            run(&disk, &["init", &name], "").ok();
        }
        let config = format!("{name}/strongroom.toml");
        run(&disk, &["--config", &config, "set", "a"], "value").ok();
        let got = run(&disk, &["--config", &config, "get", "a"], "").ok();
        assert_eq!(got.stdout, b"value");
        run(&disk, &["--config", &config, "doctor"], "").ok();
        run(&disk, &["--config", &config, "audit", "verify"], "").ok();
        fs::remove_dir_all(disk.room().path(&name)).unwrap();
    }
    println!("`init` at 19 amounts of free space: {done} done, {failed} failed and done again");
    assert!(done > 0 && failed > 0, "{done} done, {failed} failed");
}

#[track_caller]
fn is_whole(room: &Room, free: u64) {
    for args in [&["audit", "verify"][..], &["doctor"]] {
        let answer = room.run(args);
        assert_eq!(answer.code, 0, "after {free} free, {args:?}: {answer:?}");
    }
}

fn newest(room: &Room, reference: &str) -> u64 {
    let versions = room.run(["versions", reference, "--json"]).ok().json();
    versions["versions"][0]["version"].as_u64().unwrap()
}

fn run(disk: &impl Disk, args: &[&str], input: &str) -> Answer {
    let mut child = disk
        .command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may end before it has read.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap().into()
}
