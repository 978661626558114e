//! A host that runs sees what others do meanwhile: new values, new grants; and two who write at the
//! same time do not take each other's write for their own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where its helper fails, and prints its figures"
)]

#[path = "support/guests.rs"]
mod guests;
#[path = "proof/live.rs"]
mod live;
mod support;

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use guests::{allow_probe, probe};
use live::{Live, value_line};
use support::Room;

/// What `set` writes is seen at the next call, however often.
const ALTERNATIONS: usize = 200;
/// A grant is taken away and given back this often.
const EDITS: usize = 24;
/// An edit counts within this time, at least for every second edit on a machine that has other work.
const EDIT_COUNTS: Duration = Duration::from_millis(100);
/// And never later than this, however loaded the machine.
const EDIT_AT_MOST: Duration = Duration::from_secs(1);
/// Rounds of two who expect the same version.
const RACES: u64 = 50;

#[test]
fn a_running_host_gives_the_value_that_another_process_wrote() {
    let room = room();
    let started = Instant::now();
    room.set("app/key", "value 0");
    let mut host = Live::start(&mut room.command(probe(&["script"])));
    let mut held = Live::start(&mut room.command(probe(&["hold", "app/other"])));
    assert_eq!(held.line(), "open 1");
    for number in 1..=ALTERNATIONS {
        // Cached by now, in the version before.
        let before = format!("value {}", number - 1);
        assert_eq!(host.ask_one("get app/key"), value_line(before));
        let value = format!("value {number}");
        room.set("app/key", &value);
        assert_eq!(
            host.ask_one("get app/key"),
            value_line(&value),
            "after {number} writes"
        );
        let read = host.ask("read app/key");
        assert_eq!(read, [format!("version {}", number + 1), value_line(value)]);
        // The other secret's handle is as good as before.
        held.say("");
        assert_eq!(held.line(), value_line("other"));
    }
    room.run(["delete", "app/key"]).ok();
    assert_eq!(host.ask_one("get app/key"), "error: not-found");
    room.run(["undelete", "app/key"]).ok();
    assert_eq!(
        host.ask_one("get app/key"),
        value_line(format!("value {ALTERNATIONS}"))
    );
    room.run(["destroy", "app/other", "--version", "1"]).ok();
    held.say("");
    let answer = held.line();
    assert!(answer.starts_with("error: "), "{answer}");
    println!(
        "{ALTERNATIONS} alternations in {:.0?}, no stale value",
        started.elapsed()
    );
}

#[test]
fn an_edit_of_the_configuration_counts_for_handles_that_are_open() {
    let room = room();
    let granted = fs::read_to_string(room.path("strongroom.toml")).unwrap();
    let pattern = "\"app/**\"";
    assert!(granted.contains(pattern));
    let taken = granted.replace(pattern, "\"other/**\"");
    let mut host = Live::start(&mut room.command(probe(&["hold", "app/other"])));
    assert_eq!(host.line(), "open 1");
    let mut latencies = Vec::new();
    for edit in 0..EDITS {
        let (text, expected) = match edit % 2 {
            0 => (&taken, "error: denied".to_owned()),
            _ => (&granted, value_line("other")),
        };
        // Every way in which editors write: over the old file, or a new one in its place.
        let started = if edit % 4 < 2 {
            let new = room.path("strongroom.toml.new");
            fs::write(&new, text).unwrap();
            fs::rename(new, room.path("strongroom.toml")).unwrap();
            Instant::now()
        } else {
            fs::write(room.path("strongroom.toml"), text).unwrap();
            Instant::now()
        };
        let latency = loop {
            let asked = started.elapsed();
            host.say("");
            let answer = host.line();
            if answer == expected {
                break started.elapsed();
            }
            assert!(
                asked < EDIT_AT_MOST,
                "edit {edit}: still {answer:?} after {asked:?}"
            );
            thread::sleep(Duration::from_millis(1));
        };
        latencies.push(latency);
        // And it stays so.
        thread::sleep(Duration::from_millis(20));
        host.say("");
        assert_eq!(host.line(), expected, "edit {edit}");
    }
    latencies.sort();
    let median = latencies[latencies.len() / 2];
    println!(
        "{EDITS} edits counted after {:?} at best, {median:?} in the median, {:?} at worst",
        latencies[0],
        latencies[latencies.len() - 1]
    );
    assert!(median <= EDIT_COUNTS, "{latencies:?}");

    // A file that is wrong changes nothing.
    fs::write(room.path("strongroom.toml"), "nonsense = [").unwrap();
    thread::sleep(Duration::from_millis(300));
    host.say("");
    assert_eq!(host.line(), value_line("other"));
    fs::write(room.path("strongroom.toml"), &granted).unwrap();
    assert_eq!(host.end(), Some(0));
    room.run(["audit", "verify"]).ok();
}

#[test]
fn of_two_who_expect_the_same_version_one_writes() {
    let room = room();
    room.set("app/key", "first");
    let mut wins = [0, 0];
    for round in 1..=RACES {
        let mut racers = [0, 1].map(|who| {
            let expected = round.to_string();
            let child = room
                .command(["set", "app/key", "--if-version", &expected])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            (who, child)
        });
        // Both have started and wait for their value.
        for (who, child) in &mut racers {
            let value = format!("round {round} of {who}");
            child
                .stdin
                .take()
                .unwrap()
                .write_all(value.as_bytes())
                .unwrap();
        }
        let [first, second] = racers.map(|(_, child)| finish(child));
        let winner = match (first.0, second.0) {
            (0, 6) => 0,
            (6, 0) => 1,
            codes => panic!("round {round}: {codes:?}\n{}\n{}", first.1, second.1),
        };
        wins[winner] += 1;
        assert_eq!(
            room.get("app/key"),
            format!("round {round} of {winner}").as_bytes()
        );
    }
    let versions = room.run(["versions", "app/key", "--json"]).ok().json();
    assert_eq!(versions["versions"][0]["version"], RACES + 1);
    assert_eq!(
        versions["versions"].as_array().unwrap().len() as u64,
        RACES + 1
    );
    println!("{RACES} races: {} to {}", wins[0], wins[1]);
    room.run(["audit", "verify"]).ok();
}

fn room() -> Room {
    let room = Room::new();
    allow_probe(&room, "[\"read\"]");
    room.set("app/other", "other");
    room.run(probe(&["exit", "0"])).ok();
    room
}

fn finish(child: Child) -> (i32, String) {
    let output = child.wait_with_output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
