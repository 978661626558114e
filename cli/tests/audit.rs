//! `strongroom audit`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use support::Room;

fn room() -> Room {
    let room = Room::new();
    room.set("stripe/key", "v");
    room.get("stripe/key");
    room.run(["get", "db/none"]).exits(4);
    room
}

fn records(room: &Room, filter: &[&str]) -> Vec<serde_json::Value> {
    let mut args = vec!["audit", "show", "--json"];
    args.extend(filter);
    let shown = room.run(args).ok();
    shown
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn records_are_found_by_what_they_say() {
    let room = room();
    assert_eq!(
        records(&room, &["--secret", "stripe/key", "--action", "read"]).len(),
        1
    );
    assert_eq!(
        records(&room, &["--secret", "local:stripe/*", "--action", "write"]).len(),
        2
    );
    assert_eq!(
        records(&room, &["--outcome", "not-found"])[0]["secret"],
        "db/none"
    );
    assert!(records(&room, &["--component", "billing"]).is_empty());
    assert!(records(&room, &["--until", "1d"]).is_empty());
    assert!(!records(&room, &["--since", "1h"]).is_empty());
    let all = records(&room, &[]);
    for (at, record) in all.iter().enumerate() {
        assert_eq!(record["seq"], at as u64 + 1);
    }
    room.run(["audit", "show", "--outcome", "perhaps"]).exits(2);
    room.run(["audit", "show", "--since", "yesterday"]).exits(2);
}

#[test]
fn people_get_one_aligned_line_a_record() {
    let room = room();
    let shown = room
        .run([
            "audit",
            "show",
            "--secret",
            "stripe/key",
            "--action",
            "read",
        ])
        .ok();
    let line = shown.text().trim_end();
    for part in [
        "allowed",
        "read",
        "operator:",
        "local:stripe/key v1",
        "strongroom get",
    ] {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn a_whole_log_verifies_and_a_changed_one_names_the_record() {
    let room = room();
    let whole = room.run(["audit", "verify"]).ok();
    assert!(whole.text().contains("verified"));
    let log = room.path("audit.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let at = text
        .lines()
        .position(|line| line.contains("\"not-found\""))
        .unwrap()
        + 1;
    fs::write(&log, text.replacen("\"not-found\"", "\"allowed\"", 1)).unwrap();
    room.run(["audit", "verify"])
        .exits(1)
        .says("audit.jsonl")
        .says(&format!("line {at}"));
    let json = room.run(["audit", "verify", "--json"]).exits(1).json();
    assert_eq!(json["verified"], false);
    assert_eq!(json["bad"]["seq"], at as u64);
    fs::write(&log, &text).unwrap();
    room.run(["audit", "verify", "--key", "keys/audit.key.first"])
        .ok();
}

#[test]
fn a_checkpoint_kept_elsewhere_shows_a_log_set_back() {
    let room = room();
    let keep = |room: &Room| {
        let files = ["audit.jsonl", "audit.jsonl.head", "keys/audit.key"];
        files.map(|name| (room.path(name), fs::read(room.path(name)).unwrap()))
    };
    let earlier = keep(&room);
    room.get("stripe/key");
    let line = room.run(["audit", "checkpoint"]).ok();
    fs::write(room.path("kept"), format!("older\n{}", line.text())).unwrap();
    room.run(["audit", "verify", "--checkpoint", line.text().trim()])
        .ok();
    room.run(["audit", "verify", "--checkpoint", "@kept"]).ok();
    room.run(["audit", "verify", "--checkpoint", "@none"])
        .exits(2);
    room.run(["audit", "verify", "--checkpoint", "nonsense"])
        .exits(2);
    for (path, bytes) in earlier {
        fs::write(path, bytes).unwrap();
    }
    room.run(["audit", "verify", "--checkpoint", "@kept"])
        .exits(1);
}

#[test]
fn follow_shows_what_another_process_does() {
    let room = room();
    let mut child = room
        .command(["audit", "follow", "--json", "--action", "read"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    std::thread::sleep(Duration::from_millis(500));
    while lines.try_recv().is_ok() {}
    room.get("stripe/key");
    let line = lines.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(line.contains("\"stripe/key\""), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_lost_log_begins_anew_only_when_told() {
    let room = room();
    room.run(["audit", "resume"]).exits(1).says("whole");
    fs::remove_file(room.path("audit.jsonl")).unwrap();
    room.run(["get", "stripe/key"]).exits(5).says("resume");
    assert!(!room.path("audit.jsonl").exists());
    room.run(["audit", "resume"]).ok();
    room.get("stripe/key");
    let all = records(&room, &[]);
    assert!(all.iter().any(|record| record["action"] == "resumed"));
}
