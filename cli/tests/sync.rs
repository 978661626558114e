//! `strongroom sync`: a copy that serves when its source does not, also after a kill at any moment.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where its helper fails, and prints its figures"
)]

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "proof/dice.rs"]
mod dice;
mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread;

use dice::Dice;
use support::Room;

/// `local` is the source; `offline` has a part of it.
fn room() -> Room {
    let room = Room::new();
    room.run(["init", "second", "--vault", "offline"]).ok();
    room.configure(
        "[vault.offline]\nbackend = \"local\"\npath = \"second/offline.vault\"\n\
         key = { file = \"second/keys/offline.key\" }\n\
         [vault.offline.sync]\nfrom = \"local:app/\"\nevery = \"1h\"\n",
    );
    room
}

#[test]
fn a_copy_is_made_told_of_and_only_read() {
    let room = room();
    room.set("app/a", "one");
    room.set("other", "not copied");
    room.run(["get", "offline:a"]).exits(5).says("not made yet");
    let doctor = room.run(["doctor", "offline"]).exits(5);
    assert!(
        doctor
            .text()
            .contains("next: bring it in step with its source: strongroom sync offline")
    );

    let first = room.run(["sync", "offline"]).ok();
    assert_eq!(first.text(), "offline: 1 copied, 0 unchanged, 0 deleted\n");
    let again = room.run(["sync", "offline", "--json"]).ok().json();
    assert_eq!(
        (&again["copied"], &again["unchanged"]),
        (&0.into(), &1.into())
    );
    assert_eq!(room.get("offline:a"), b"one");
    let doctor = room.run(["doctor", "offline"]).ok();
    assert!(
        doctor.text().contains("a copy of local:app/, 0m old"),
        "{}",
        doctor.text()
    );
    let described = room.run(["describe", "offline:a"]).ok();
    assert!(
        described.text().contains("synced-age"),
        "{}",
        described.text()
    );
    for args in [
        &["set", "offline:a"][..],
        &["delete", "offline:a"],
        &["rollback", "offline:a", "--to", "1"],
        &["copy", "local:other", "offline:other"],
    ] {
        let refused = room.feed(args, "mine");
        assert_ne!(refused.code, 0, "{args:?}");
    }
    room.run(["sync", "local"]).exits(1).says("no copy");
    room.run(["sync", "none"]).exits(1);

    room.set("app/a", "two");
    room.run(["sync", "offline"]).ok();
    assert_eq!(room.get("offline:a"), b"two");
    room.run(["get", "offline:a", "--version", "1"]).exits(4);
    room.run(["delete", "app/a"]).ok();
    room.run(["sync", "offline"])
        .exits(1)
        .says("--accept-empty");
    assert_eq!(room.get("offline:a"), b"two");
    let emptied = room.run(["sync", "offline", "--accept-empty"]).ok();
    assert_eq!(
        emptied.text(),
        "offline: 0 copied, 0 unchanged, 1 deleted\n"
    );
    room.run(["get", "offline:a"]).exits(4);
    room.run(["audit", "verify"]).ok();
}

#[test]
fn the_copy_serves_while_its_source_is_damaged() {
    let room = room();
    room.set("app/a", "one");
    room.run(["sync", "offline"]).ok();
    let away = room.path("away");
    fs::rename(room.path("local.vault"), &away).unwrap();
    assert_ne!(room.run(["get", "app/a"]).code, 0);
    assert_ne!(room.run(["sync", "offline"]).code, 0);
    assert_eq!(room.get("offline:a"), b"one");
    fs::rename(away, room.path("local.vault")).unwrap();
    let last = room.run(["sync", "offline"]).ok();
    assert_eq!(last.text(), "offline: 0 copied, 1 unchanged, 0 deleted\n");
}

#[test]
fn killed_at_any_moment_it_leaves_old_or_new_values_and_the_next_run_mends_it() {
    const NAMES: usize = 8;
    let room = room();
    let mut dice = Dice::new();
    let write = |round: usize| {
        for number in 0..NAMES {
            room.set(
                &format!("app/{number}"),
                format!("{number} in round {round}"),
            );
        }
    };
    write(0);
    room.run(["sync", "offline"]).ok();
    let mut killed = 0;
    for round in 1..=12 {
        write(round);
        let mut child = room
            .command(["sync", "offline"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(dice.millis(10, 250));
        let _ = child.kill();
        killed += usize::from(child.wait().unwrap().signal() == Some(9));
        for number in 0..NAMES {
            let value = String::from_utf8(room.get(&format!("offline:{number}"))).unwrap();
            let of = |round| value == format!("{number} in round {round}");
            assert!((0..=round).any(of), "{value:?} in round {round}");
        }
    }
    assert!(killed > 2, "only {killed} were killed");
    room.run(["sync", "offline"]).ok();
    for number in 0..NAMES {
        let value = room.get(&format!("offline:{number}"));
        assert_eq!(value, format!("{number} in round 12").into_bytes());
        // No superseded value stays behind, whenever the runs before were killed: seen by another
        // project, for which the store is no copy.
        let all = room.run([
            "--config",
            "second/strongroom.toml",
            "versions",
            &number.to_string(),
            "--json",
        ]);
        let all = all.ok().json();
        let states: Vec<_> = all["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["state"].as_str().unwrap())
            .collect();
        let (current, old) = states.split_first().unwrap();
        assert_eq!(*current, "current");
        assert!(
            !old.is_empty() && old.iter().all(|state| *state == "destroyed"),
            "{states:?}"
        );
    }
    for check in [&["doctor"][..], &["audit", "verify"]] {
        room.run(check).ok();
    }
}

#[test]
fn who_has_a_copy_made_or_emptied_is_on_record() {
    let room = room();
    room.set("app/a", "one");
    room.run(["sync", "offline"]).ok();
    room.run(["delete", "app/a"]).ok();
    room.run(["sync", "offline"]).exits(1);
    room.run(["sync", "offline", "--accept-empty"]).ok();
    let records = room.run(["audit", "show", "--json"]).ok();
    let text = records.text();
    let by_operator: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|it: &serde_json::Value| {
            let via = it["via"].as_str().unwrap_or_default();
            via.starts_with("strongroom sync") && it["phase"] == "outcome"
        })
        .collect();
    let told: Vec<_> = by_operator
        .iter()
        .map(|it| {
            assert!(it["principal"].as_str().unwrap().starts_with("operator:"));
            assert_eq!(it["vault"], "offline");
            (it["via"].as_str().unwrap(), it["outcome"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("strongroom sync", "allowed"),
            ("strongroom sync", "failed"),
            ("strongroom sync --accept-empty", "allowed"),
        ]
    );
}

/// In another project the same store is a vault like any other.
#[test]
fn what_was_written_by_hand_is_neither_replaced_nor_destroyed() {
    let room = room();
    room.set("app/a", "one");
    room.run(["sync", "offline"]).ok();
    let elsewhere = |args: &[&str], input: &str| {
        let args: Vec<_> = ["--config", "second/strongroom.toml"]
            .iter()
            .chain(args)
            .copied()
            .collect();
        room.feed(&args, input)
    };
    elsewhere(&["set", "a"], "by hand").ok();
    room.set("app/a", "two");
    room.run(["sync", "offline"]).exits(1).says("by hand");
    room.run(["delete", "app/a"]).ok();
    room.run(["sync", "offline", "--accept-empty"])
        .exits(1)
        .says("by hand");
    assert_eq!(elsewhere(&["get", "a"], "").ok().stdout, b"by hand");
}

#[test]
fn what_is_copied_out_of_a_copy_does_not_pass_for_one() {
    let room = room();
    room.feed(["set", "app/a"], "one").ok();
    room.run(["sync", "offline"]).ok();
    room.run(["copy", "offline:a", "local:restored"]).ok();
    let restored = room.run(["describe", "restored", "--json"]).ok().json();
    let text = restored.to_string();
    assert!(!text.contains("synced"), "{text}");
}
