//! `strongroom import`, `export` and `copy`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use proptest::prelude::*;
use support::{Answer, Room};

const ENV: &str =
    "# settings\nPLAIN=one\nexport QUOTED=\"a \\\"b\\\" $c\"\nMULTI='line 1\nline 2'\n";

fn import(room: &Room, text: &str, extra: &[&str]) -> Answer {
    fs::write(room.path(".env"), text).unwrap();
    let mut args = vec!["import", ".env", "--to", "local:"];
    args.extend(extra);
    room.run(args)
}

fn names(room: &Room) -> Vec<String> {
    room.run(["list"])
        .ok()
        .text()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn reads(room: &Room) -> usize {
    room.run(["audit", "show", "--action", "read", "--json"])
        .ok()
        .text()
        .lines()
        .count()
}

#[test]
fn variables_become_secrets_of_their_own_names() {
    let room = Room::new();
    import(&room, ENV, &["--dry-run"]).ok();
    assert!(names(&room).is_empty());
    let answer = import(&room, ENV, &[]).ok();
    assert!(answer.text().contains("3 created"), "{}", answer.text());
    assert_eq!(room.get("PLAIN"), b"one");
    assert_eq!(room.get("QUOTED"), b"a \"b\" $c");
    assert_eq!(room.get("MULTI"), b"line 1\nline 2");
    room.run(["import", ".env", "--to", "local:billing/"]).ok();
    assert_eq!(room.get("billing/PLAIN"), b"one");
}

#[test]
fn another_value_is_only_replaced_when_asked() {
    let room = Room::new();
    import(&room, "A=1\nB=2\n", &[]).ok();
    let answer = import(&room, "A=1\nB=canary-3\nC=4\n", &[])
        .exits(6)
        .says("local:B");
    assert!(!answer.stderr.contains("canary"));
    assert!(
        !names(&room).iter().any(|name| name.ends_with('C')),
        "nothing may be written"
    );
    assert_eq!(room.get("B"), b"2");
    let answer = import(&room, "A=1\nB=3\nC=4\n", &["--overwrite"]).ok();
    assert!(
        answer.text().contains("1 created, 1 overwritten, 1 same"),
        "{}",
        answer.text()
    );
    assert_eq!(room.get("B"), b"3");
}

#[test]
fn a_bad_file_is_refused_as_a_whole_and_without_its_values() {
    let room = Room::new();
    for (text, line) in [
        ("A=1\ncanary-9\n", "line 2"),
        ("A=1\nB='canary-9\n", "line 2"),
        ("A=1\nA=canary-9\n", "line 2"),
        ("{\"A\":\"x\",\n \"B\": canary-9}", "line 2"),
        ("{\"A b\":\"canary-9\"}", "A b"),
        ("{\"../x\":\"canary-9\"}", "../x"),
        ("{\"A\": 90210}", "quotes"),
    ] {
        let answer = import(&room, text, &[]).exits(2).says(line);
        assert!(
            !answer.stderr.contains("canary") && !answer.stderr.contains("90210"),
            "{}",
            answer.stderr
        );
    }
    assert!(names(&room).is_empty());
    room.run(["import", ".env", "--to", "local"])
        .exits(2)
        .says("local:");
    room.run(["import", "none.env", "--to", "local:"]).exits(4);
}

#[test]
fn an_export_is_one_read_a_secret_and_leaves_the_prefix_out() {
    let room = Room::new();
    room.set("billing/A", "1");
    room.set("billing/B", "it's");
    room.set("other", "x");
    let before = reads(&room);
    let answer = room
        .run(["export", "local:billing/", "--format", "env"])
        .ok();
    assert_eq!(answer.text(), "A=1\nB=\"it's\"\n");
    assert_eq!(reads(&room), before + 2);
    let json = room
        .run(["export", "local:billing/", "--format", "json"])
        .ok()
        .json();
    assert_eq!(json["B"]["value"], "it's");
}

#[test]
fn what_is_no_text_is_refused_as_env_and_base64_in_json() {
    let room = Room::new();
    room.set("BYTES", b"\xff\x00");
    let answer = room
        .run(["export", "local:", "--format", "env"])
        .exits(1)
        .says("local:BYTES");
    assert!(answer.stdout.is_empty());
    let json = room
        .run(["export", "local:", "--format", "json"])
        .ok()
        .json();
    assert_eq!(json["BYTES"]["value-base64"], "/wA=");
    room.set("a/b", "x");
    room.run(["export", "local:a", "--format", "env"])
        .exits(1)
        .says("local:a/b")
        .says("json");
}

#[test]
fn an_output_file_is_new_and_private() {
    let room = Room::new();
    room.set("A", "1");
    room.run(["export", "local:", "--output", "out.env"]).ok();
    assert_eq!(
        fs::metadata(room.path("out.env")).unwrap().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read(room.path("out.env")).unwrap(), b"A=1\n");
    let before = reads(&room);
    room.run(["export", "local:", "--output", "out.env"])
        .exits(2)
        .says("out.env");
    symlink("elsewhere", room.path("link")).unwrap();
    room.run(["export", "local:", "--output", "link"]).exits(2);
    assert!(!room.path("elsewhere").exists());
    assert_eq!(reads(&room), before);
    room.set("B", b"\xff");
    room.run(["export", "local:", "--output", "new.env"])
        .exits(1);
    assert!(
        !room.path("new.env").exists(),
        "a failed export leaves no file"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn import_of_an_export_is_the_same_secrets(
        values in proptest::collection::vec("[ -~\n\t\u{e9}]{0,30}|['\"\\\\$`# \n]{0,8}", 1..4),
        format in prop_oneof![Just("env"), Just("json")],
    ) {
        let room = Room::new();
        for (i, value) in values.iter().enumerate() {
            let reference = format!("from/V{i}");
            room.feed(["set", &reference, "--allow-empty"], value).ok();
        }
        room.run(["export", "local:from/", "--format", format, "--output", "file"]).ok();
        room.run(["import", "file", "--to", "local:to/"]).ok();
        for (i, value) in values.iter().enumerate() {
            prop_assert_eq!(room.get(&format!("to/V{i}")), value.as_bytes());
        }
    }
}

/// A room with a second local vault.
fn two_vaults() -> Room {
    let room = Room::new();
    room.run(["init", "second", "--vault", "second"]).ok();
    room.configure(
        "[vault.second]\nbackend = \"local\"\npath = \"second/second.vault\"\nkey = { file = \"second/keys/second.key\" }\n",
    );
    for name in ["a", "b", "deep/c"] {
        room.set(&format!("shared/{name}"), format!("value of {name}"));
    }
    room.set("apart", "x");
    room
}

#[test]
fn a_prefix_is_copied_compared_and_resumed() {
    let room = two_vaults();
    let copy = |extra: &[&str]| {
        let mut args = vec!["copy", "local:shared/", "second:got/"];
        args.extend(extra);
        room.run(args)
    };
    let plan = copy(&["--dry-run"]).ok();
    assert_eq!(
        plan.text().matches("create: second:got/").count(),
        3,
        "{}",
        plan.text()
    );
    room.run(["get", "second:got/a"]).exits(4);
    // As if an earlier copy had stopped in the middle.
    room.set("second:got/a", "value of a");
    let answer = copy(&[]).ok();
    assert!(
        answer.text().contains("2 created, 1 same"),
        "{}",
        answer.text()
    );
    assert_eq!(room.get("second:got/deep/c"), b"value of deep/c");
    room.run(["get", "second:apart"]).exits(4);
    let versions = room.run(["versions", "second:got/a", "--json"]).ok();
    assert!(
        !versions.text().contains("\"version\":2"),
        "what is the same is not written again"
    );
}

#[test]
fn a_different_target_is_kept_and_counted() {
    let room = two_vaults();
    room.set("second:got/a", "theirs");
    let answer = room
        .run(["copy", "local:shared/", "second:got/"])
        .exits(1)
        .says("1 kept");
    assert!(
        answer.text().contains("differs: second:got/a"),
        "{}",
        answer.text()
    );
    assert_eq!(room.get("second:got/a"), b"theirs");
    assert_eq!(room.get("second:got/b"), b"value of b");
    room.run(["copy", "local:shared/a", "second:got/a"])
        .exits(6);
    room.run(["copy", "local:shared/", "second:got/", "--overwrite"])
        .ok();
    assert_eq!(room.get("second:got/a"), b"value of a");
}

#[test]
fn a_move_deletes_only_what_was_copied() {
    let room = two_vaults();
    room.set("second:got/a", "theirs");
    room.run(["copy", "local:shared/", "second:got/", "--move"])
        .exits(1);
    assert_eq!(room.get("shared/a"), b"value of a");
    room.run(["get", "shared/b"]).exits(4);
    assert_eq!(room.get("second:got/b"), b"value of b");
}

#[test]
fn metadata_goes_along_and_names_are_as_cp_has_them() {
    let room = two_vaults();
    let set = [
        "set",
        "stripe/key",
        "--kind",
        "api-key",
        "--label",
        "team=pay",
        "--description",
        "d",
    ];
    room.feed(set, "sk").ok();
    room.run(["copy", "local:stripe/key", "second:"]).ok();
    let about = room
        .run(["describe", "second:stripe/key", "--json"])
        .ok()
        .json();
    assert_eq!(about["kind"], "api-key");
    assert_eq!(about["description"], "d");
    room.run(["copy", "local:stripe/key", "second:flat/"]).ok();
    assert_eq!(room.get("second:flat/key"), b"sk");
}

#[test]
fn a_copy_that_makes_no_sense_is_refused() {
    let room = two_vaults();
    room.run(["copy", "local:shared/", "second:one"]).exits(2);
    room.run(["copy", "shared/a", "local:shared/a"])
        .exits(2)
        .says("itself");
    room.run(["copy", "local:none/", "second:"]).exits(4);
    room.run(["copy", "local:none", "second:"]).exits(4);
    room.run(["copy", "local:a b", "second:"]).exits(2);
}
