//! Values in and out, byte for byte.

mod support;

use serde_json::json;
use support::{Room, contains};

const CANARY: &str = "canary-5d1e77";

#[test]
fn every_byte_comes_back() {
    let room = Room::new();
    let bytes: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    room.set("bytes", &bytes);
    assert_eq!(room.get("bytes"), bytes);
    room.feed(["set", "empty", "--allow-empty"], b"").ok();
    assert_eq!(room.get("empty"), b"");
    room.set("newlines", b"\r\n\n\n");
    assert_eq!(room.get("newlines"), b"\r\n\n\n");
    let large: Vec<u8> = (0..300_000_u32).map(|i| (i % 253) as u8).collect();
    room.set("large", &large);
    assert!(room.get("large") == large);
}

#[test]
fn nothing_on_standard_input_replaces_nothing() {
    let room = Room::new();
    room.set("a", "good");
    room.feed(["set", "a"], b"").exits(2).says("--allow-empty");
    room.run(["set", "a", "--file", "-"]).exits(2);
    room.feed(["set", "a", "--trim"], b"\n").exits(2);
    assert_eq!(room.get("a"), b"good");
    std::fs::write(room.path("nothing"), "").unwrap();
    room.run(["set", "a", "--file", "nothing"])
        .ok()
        .says("empty");
    assert_eq!(room.get("a"), b"");
    room.feed(["set", "b", "--trim", "--allow-empty"], b"\n")
        .ok();
    assert_eq!(room.get("b"), b"");
}

#[test]
fn a_value_comes_from_a_stream_or_a_file() {
    let room = Room::new();
    std::fs::write(room.path("value.bin"), [0xff, 0, b'\n', 7]).unwrap();
    room.run(["set", "from/file", "--file", "value.bin"]).ok();
    assert_eq!(room.get("from/file"), [0xff, 0, b'\n', 7]);
    room.feed(["set", "from/stream", "--file", "-"], "abc").ok();
    assert_eq!(room.get("from/stream"), b"abc");
    room.run(["set", "x", "--file", "missing.bin"])
        .exits(4)
        .says("missing.bin");
    room.run(["set", "x", "--file", "."]).exits(2);
    room.run(["get", "x"]).exits(4);
}

#[test]
fn a_final_newline_is_kept_with_a_warning_and_dropped_by_trim() {
    let room = Room::new();
    room.feed(["set", "a"], "v\n").ok().says("--trim");
    assert_eq!(room.get("a"), b"v\n");
    let answer = room.feed(["set", "a", "--trim"], "v\n\n").ok();
    assert!(answer.stderr.is_empty(), "{}", answer.stderr);
    assert_eq!(room.get("a"), b"v\n");
    let answer = room.feed(["set", "a"], "v").ok();
    assert!(answer.stderr.is_empty(), "{}", answer.stderr);
}

#[test]
fn the_version_is_told_and_compared() {
    let room = Room::new();
    let set = |args: &[&str]| room.feed([&["set", "a", "--json"], args].concat(), "v");
    assert_eq!(
        set(&[]).ok().json(),
        json!({"reference": "local:a", "version": 1})
    );
    assert_eq!(set(&["--if-version", "1"]).ok().json()["version"], 2);
    set(&["--if-version", "1"]).exits(6).says("conflict");
    set(&["--if-version", "0"]).exits(6);
    assert_eq!(
        room.feed(["set", "b", "--if-version", "0"], "v")
            .ok()
            .text(),
        "local:b version 1\n"
    );
    let human = room.feed(["set", "a", "--if-version", "9"], "v").exits(6);
    assert!(human.stderr.contains("hint: ") && human.stderr.contains("--if-version 2"));
}

#[test]
fn an_older_version_is_read_by_number() {
    let room = Room::new();
    room.set("a", "one");
    room.feed(["set", "a", "--expires", "1h"], "two").ok();
    room.set("a", "three");
    assert_eq!(room.run(["get", "a", "--version", "1"]).ok().text(), "one");
    assert_eq!(
        room.run(["get", "a", "--version", "3"]).ok().text(),
        "three"
    );
    room.run(["get", "a", "--version", "4"]).exits(4);
    let document = room
        .run(["get", "a", "--version", "2", "--json"])
        .ok()
        .json();
    assert_eq!(document["value"], "two");
    assert!(document["expires"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        room.run(["get", "a", "--json"]).ok().json()["expires"],
        json!(null)
    );
}

#[test]
fn json_has_text_as_text_and_bytes_as_base64() {
    let room = Room::new();
    let args = [
        "set",
        "a",
        "--kind",
        "api-key",
        "--description",
        "d",
        "--label",
        "env=prod",
        "--expires",
        "2099-01-01T00:00:00Z",
    ];
    room.feed(args, "caf\u{e9} \"\\\n\0").ok();
    let document = room.run(["get", "a", "--json"]).ok().json();
    assert_eq!(document["reference"], "local:a");
    assert_eq!(document["version"], 1);
    assert_eq!(document["value"], "caf\u{e9} \"\\\n\0");
    assert_eq!(document["kind"], "api-key");
    assert_eq!(document["description"], "d");
    assert_eq!(document["labels"], json!({"env": "prod"}));
    assert_eq!(document["expires"], "2099-01-01T00:00:00.000Z");
    assert!(document["created"].as_str().unwrap().ends_with('Z'));
    assert!(document.get("value-base64").is_none());
    room.set("b", b"\xff\xfe\x00");
    let document = room.run(["get", "b", "--json"]).ok().json();
    assert_eq!(document["value-base64"], "//4A");
    assert!(document.get("value").is_none());
}

#[test]
fn a_field_of_a_json_value_is_printed_alone() {
    let room = Room::new();
    room.set(
        "db",
        r#"{"user":"app","password":"p\u00e9\n","port":5432,"tls":{"on":true}}"#,
    );
    let field = |name: &str| room.run(["get", "db", "--field", name]);
    assert_eq!(field("user").ok().text(), "app");
    assert_eq!(field("password").ok().text(), "p\u{e9}\n");
    assert_eq!(field("port").ok().text(), "5432");
    assert_eq!(field("tls").ok().text(), r#"{"on":true}"#);
    field("none").exits(4);
    let document = room
        .run(["get", "db", "--field", "user", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&document["value"], &document["field"]),
        (&json!("app"), &json!("user"))
    );
    room.set("text", CANARY);
    let refused = room
        .run(["get", "text", "--field", "a"])
        .exits(1)
        .says("not a JSON object");
    assert!(!refused.stderr.contains(CANARY));
}

#[test]
fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    let room = Room::new();
    for args in [
        &["set", "a", CANARY][..],
        &["set", "a", "--", CANARY],
        &["set", "a", CANARY, "--json"],
        &["set", "a", "--trim", CANARY],
        &["set", "a", "--value", CANARY],
        &["set", "a", "--canary-5d1e77"],
        &["set", "a", "-canary-5d1e77"],
        &["set", "a", "--canary-5d1e77=1", "--json"],
    ] {
        let answer = room.feed(args, "other").exits(2).says("command line");
        assert!(
            !answer.stderr.contains("5d1e77"),
            "{args:?}: {}",
            answer.stderr
        );
        assert!(answer.stdout.is_empty());
    }
    room.run(["get", "a"]).exits(4);
}

#[test]
fn a_value_passed_as_the_reference_is_not_repeated() {
    let room = Room::new();
    let secret = "sk_live_canary!5d1e77";
    for args in [
        &["get", secret][..],
        &["set", secret],
        &["describe", secret],
        &["list", secret],
    ] {
        let answer = room.feed(args, "v").exits(2);
        assert!(
            !answer.stderr.contains("5d1e77"),
            "{args:?}: {}",
            answer.stderr
        );
    }
    for (file, bytes) in room.everything() {
        assert!(!contains(&bytes, b"5d1e77"), "{}", file.display());
    }
}

#[test]
fn a_value_that_is_too_large_is_refused() {
    let room = Room::new();
    room.feed(["set", "a"], vec![b'x'; (1 << 20) + 1])
        .exits(1)
        .says("1048576");
    room.run(["get", "a"]).exits(4);
}

#[test]
fn times_are_checked_before_a_value_is_read() {
    let room = Room::new();
    room.feed(["set", "a", "--expires", "2001-01-01T00:00:00Z"], "v")
        .exits(2)
        .says("not in the future");
    room.feed(["set", "a", "--expires", "soon"], "v")
        .exits(2)
        .says("90d");
    room.feed(["set", "a", "--label", "x"], "v")
        .exits(2)
        .says("name=value");
    room.run(["get", "a"]).exits(4);
}

#[test]
fn no_value_shows_in_traces_files_or_errors() {
    let room = Room::new();
    let mut told = Vec::new();
    for args in [
        &["set", "a"][..],
        &["get", "a"],
        &["get", "a", "--json"],
        &["get", "a", "--version", "9"],
        &["get", "a", "--field", "x"],
        &["describe", "a"],
        &["versions", "a"],
        &["list"],
        &["set", "a", "--if-version", "7"],
        &["rollback", "a", "--to", "1"],
        &["delete", "a"],
        &["undelete", "a"],
        &["destroy", "a", "--version", "1"],
    ] {
        let output = {
            use std::io::Write;
            let mut child = room
                .command(args)
                .env("STRONGROOM_LOG", "trace")
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            drop(child.stdin.take().unwrap().write_all(CANARY.as_bytes()));
            child.wait_with_output().unwrap()
        };
        told.extend(output.stderr);
        if args[0] != "get" {
            assert!(!contains(&output.stdout, CANARY.as_bytes()), "{args:?}");
        }
    }
    assert!(!contains(&told, CANARY.as_bytes()));
    for (file, bytes) in room.everything() {
        assert!(!contains(&bytes, CANARY.as_bytes()), "{}", file.display());
    }
}
