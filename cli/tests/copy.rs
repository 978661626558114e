//! `strongroom copy` by pattern and with all versions, between two vaults, and to one that lies.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

#[path = "support/parameters.rs"]
mod parameters;
mod support;

use parameters::Far;
use support::{Answer, Room};

fn two_vaults() -> Room {
    let room = Room::new();
    room.run(["init", "second", "--vault", "second"]).ok();
    room.configure(
        "[vault.second]\nbackend = \"local\"\npath = \"second/second.vault\"\nkey = { file = \"second/keys/second.key\" }\n",
    );
    room
}

fn copy(room: &Room, args: &[&str]) -> Answer {
    let mut all = vec!["copy"];
    all.extend(args);
    room.run(all)
}

fn names(room: &Room, prefix: &str) -> Vec<String> {
    let answer = room.run(["list", prefix]).ok();
    answer.text().lines().map(str::to_owned).collect()
}

/// Every version that can be read, oldest first.
fn history(room: &Room, reference: &str) -> Vec<Vec<u8>> {
    let versions = room.run(["versions", reference, "--json"]).ok().json();
    let mut numbers: Vec<u64> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|version| ["current", "superseded"].contains(&version["state"].as_str().unwrap()))
        .map(|version| version["version"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    let read = |number: u64| {
        room.run(["get", reference, "--version", &number.to_string()])
            .ok()
            .stdout
    };
    numbers.into_iter().map(read).collect()
}

#[test]
fn a_pattern_copies_what_a_grant_of_it_would_cover() {
    let room = two_vaults();
    for name in ["app/one/key", "app/two/key", "app/two/other", "key"] {
        room.set(name, name);
    }
    copy(&room, &["local:app/*/key", "second:got/"]).ok();
    assert_eq!(
        names(&room, "second:"),
        ["second:got/one/key", "second:got/two/key"]
    );
    copy(&room, &["app/**", "second:all/"]).ok();
    assert_eq!(names(&room, "second:all/").len(), 3);
    copy(&room, &["local:*/nothing/*", "second:"]).exits(4);
    copy(&room, &["local:**/key", "second:"]).exits(2);
    copy(&room, &["local:app/*", "second:one"]).exits(2);
}

#[test]
fn an_export_takes_a_pattern_too() {
    let room = Room::new();
    room.set("app/A", "1");
    room.set("app/deep/B", "2");
    let answer = room.run(["export", "local:app/*", "--format", "env"]).ok();
    assert_eq!(answer.text(), "A=1\n");
}

#[test]
fn all_versions_go_over_in_order_and_an_interrupted_copy_goes_on() {
    let room = two_vaults();
    for value in ["one", "two", "three"] {
        room.set("a", value);
    }
    let all = [&b"one"[..], b"two", b"three"];
    let args = ["local:a", "second:a", "--all-versions"];
    let plan = copy(&room, &[&args[..], &["--dry-run"]].concat()).ok();
    assert!(plan.text().contains("create: second:a"), "{}", plan.text());
    room.run(["get", "second:a"]).exits(4);

    // As if it had been stopped after the first.
    room.set("second:a", "one");
    copy(&room, &args).ok();
    assert_eq!(history(&room, "second:a"), all);
    let again = copy(&room, &args).ok();
    assert!(again.text().contains("1 same"), "{}", again.text());
    assert_eq!(history(&room, "second:a"), all);

    room.set("second:a", "theirs");
    copy(&room, &args).exits(6);
    assert_eq!(history(&room, "second:a").len(), 4);
    copy(&room, &[&args[..], &["--overwrite"]].concat()).ok();
    assert_eq!(room.get("second:a"), b"three");
}

#[test]
fn an_older_version_does_not_become_current_elsewhere() {
    let room = two_vaults();
    room.set("a", "old");
    room.set("a", "new");
    room.run(["destroy", "a", "--version", "2"]).ok();
    copy(&room, &["local:a", "second:a", "--all-versions"]).exits(4);
    copy(&room, &["local:a", "second:a"]).exits(4);
    room.run(["get", "second:a"]).exits(4);
}

#[test]
fn a_move_with_all_versions_leaves_nothing_behind() {
    let room = two_vaults();
    room.set("a", "one");
    room.set("a", "two");
    copy(&room, &["local:", "second:", "--all-versions", "--move"]).ok();
    assert_eq!(history(&room, "second:a"), [&b"one"[..], b"two"]);
    room.run(["get", "a"]).exits(4);
}

#[test]
fn many_secrets_are_moved_in_several_calls() {
    let room = two_vaults();
    let lines: String = (0..45).map(|i| format!("V{i}=value {i}\n")).collect();
    std::fs::write(room.path("many.env"), lines).unwrap();
    room.run(["import", "many.env", "--to", "local:"]).ok();
    let answer = copy(&room, &["local:", "second:", "--move"]).ok();
    assert!(answer.text().contains("45 created"), "{}", answer.text());
    assert!(names(&room, "local:").is_empty());
    assert_eq!(room.get("second:V44"), b"value 44");
}

/// What it printed, which no value may be in.
#[track_caller]
fn quiet(answer: &Answer) -> &str {
    for output in [answer.text(), &answer.stderr] {
        assert!(!output.contains("canary"), "{output}");
    }
    answer.text()
}

#[test]
fn a_source_stays_whose_copy_reads_back_as_another_value() {
    let far = Far::new("");
    for name in ["app/lost", "app/sealed", "app/whole"] {
        far.room.set(name, format!("canary of {name}"));
    }
    far.lie("app/lost", "canary of a lie");
    far.seal("app/sealed");
    let answer = far
        .run(["copy", "local:app/", "far:app/", "--move"])
        .exits(1)
        .says("1 failed, 1 kept another value");
    let told = quiet(&answer);
    assert!(told.contains("differs: far:app/lost\n"), "{told}");
    assert!(told.contains("failed: far:app/sealed: "), "{told}");
    assert!(told.ends_with("1 created, 1 differs, 1 failed\n"), "{told}");
    // All were written: it is the reading that failed.
    assert_eq!(far.calls("PutParameter"), 3);
    assert_eq!(
        names(&far.room, "local:"),
        ["local:app/lost", "local:app/sealed"]
    );
    for name in ["app/lost", "app/sealed"] {
        assert_eq!(far.room.get(name), format!("canary of {name}").into_bytes());
    }
    let whole = far.run(["get", "far:app/whole"]).ok();
    assert_eq!(whole.text(), "canary of app/whole");

    // What differs now is neither written again nor deleted by another run.
    let again = ["copy", "local:app/lost", "far:app/lost", "--move"];
    quiet(&far.run(again).exits(6));
    assert_eq!(far.calls("PutParameter"), 3);
    assert_eq!(far.room.get("app/lost"), b"canary of app/lost");
}

#[test]
fn a_source_stays_whose_versions_read_back_as_another_value() {
    let far = Far::new("");
    far.room.set("a", "canary of before");
    far.room.set("a", "canary of now");
    far.lie("a", "canary of a lie");
    let args = ["copy", "local:a", "far:a", "--all-versions", "--move"];
    let answer = far.run(args).exits(6).says("1 kept another value");
    assert!(quiet(&answer).contains("differs: far:a\n"));
    assert_eq!(far.calls("PutParameter"), 2);
    assert_eq!(
        history(&far.room, "a"),
        [&b"canary of before"[..], b"canary of now"]
    );
}
