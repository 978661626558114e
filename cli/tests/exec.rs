//! `strongroom exec`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod support;

use std::os::unix::process::ExitStatusExt;

use support::{Room, contains};

const CANARY: &[u8] = b"canary-41aa\xff\nwith a line";

fn room() -> Room {
    let room = Room::new();
    room.set("app/key", CANARY);
    room.set("app/text", "plain");
    room
}

#[test]
fn the_program_has_the_values_in_its_environment_alone() {
    let room = room();
    let answer = room
        .run([
            "exec",
            "--env",
            "A=app/key",
            "--",
            "sh",
            "-c",
            "printf %s \"$A\"",
        ])
        .ok();
    assert_eq!(answer.stdout, CANARY);
    let arguments = room
        .run([
            "exec",
            "--env",
            "A=app/key",
            "--",
            "cat",
            "/proc/self/cmdline",
        ])
        .ok();
    assert!(!contains(&arguments.stdout, b"canary"));
    for (path, bytes) in room.everything() {
        assert!(!contains(&bytes, b"canary-41aa"), "{}", path.display());
    }
}

#[test]
fn the_exit_code_and_signals_are_the_programs_own() {
    let room = room();
    let end = |script: &str| {
        let args = ["exec", "--env", "A=app/text", "--", "sh", "-c", script];
        room.command(args).status().unwrap()
    };
    assert_eq!(end("exit 7").code(), Some(7));
    assert_eq!(end("kill -TERM $$").signal(), Some(15));
    // Neither an ignored SIGPIPE nor a blocked signal is handed down. (What the C library keeps for
    // itself, 32 and 33, does not count.)
    let args = [
        "exec",
        "--env",
        "A=app/text",
        "--",
        "grep",
        "Sig[BI]",
        "/proc/self/status",
    ];
    let masks = |status: &str| -> Vec<u64> {
        let lines = status.lines();
        let masks = lines.filter(|l| l.starts_with("SigB") || l.starts_with("SigI"));
        masks
            .map(|l| u64::from_str_radix(l.split_whitespace().last().unwrap(), 16).unwrap())
            .collect()
    };
    // What this test was started with, as a shell's background job for one, is handed on.
    let ours = masks(&std::fs::read_to_string("/proc/thread-self/status").unwrap());
    let theirs = masks(room.run(args).ok().text());
    assert_eq!(theirs.len(), ours.len());
    for (theirs, ours) in theirs.iter().zip(ours) {
        let sigpipe = 1 << 12;
        assert_eq!(theirs & 0x7fff_ffff & !(ours & !sigpipe), 0);
    }
}

#[test]
fn our_own_keys_and_credentials_stay_behind() {
    let room = room();
    let key = std::fs::read_to_string(room.path("keys/local.key")).unwrap();
    room.configure("[vault.second]\nbackend = \"local\"\npath = \"second.vault\"\nkey = { env = \"SECOND_KEY\" }\n");
    room.run(["trust"]).ok();
    let script = "env";
    let with = |extra: &[&str]| {
        let mut args = vec!["exec", "--env", "A=app/text"];
        args.extend(extra);
        args.extend(["--", "sh", "-c", script]);
        let output = room
            .command(args)
            .env("SECOND_KEY", &key)
            .env("STRONGROOM_LOG", "error")
            .env("OTHER", "stays")
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let text = with(&[]);
    assert!(text.contains("OTHER=stays") && text.contains("A=plain"));
    assert!(
        !text.contains("SECOND_KEY") && !text.contains("STRONGROOM_"),
        "{text}"
    );
    assert!(with(&["--keep", "SECOND_KEY"]).contains("SECOND_KEY"));
}

#[test]
fn a_value_that_no_variable_can_hold_is_refused() {
    let room = room();
    room.set("app/nul", b"canary\0x");
    room.set("app/long", vec![b'x'; 200_000]);
    let refused = |reference: &str| {
        room.run([
            "exec",
            "--env",
            &format!("NAME={reference}"),
            "--",
            "echo",
            "started",
        ])
    };
    let answer = refused("app/nul").exits(1).says("NAME").says("NUL");
    assert!(answer.stdout.is_empty() && !answer.stderr.contains("canary"));
    refused("app/long").exits(1).says("longer");
    refused("app/none").exits(4);
    refused("../x").exits(2);
}

#[test]
fn nothing_is_read_for_a_program_that_cannot_start() {
    let room = room();
    let reads = || {
        room.run(["audit", "show", "--action", "read", "--json"])
            .ok()
            .text()
            .lines()
            .count()
    };
    let before = reads();
    room.run(["exec", "--env", "A=app/key", "--", "no-such-program"])
        .exits(2)
        .says("no-such-program");
    room.run(["exec", "--env", "A=app/key", "--", "./strongroom.toml"])
        .exits(2);
    room.run([
        "exec",
        "--env",
        "A=app/key",
        "--env",
        "A=app/text",
        "--",
        "true",
    ])
    .exits(2)
    .says("twice");
    room.run(["exec", "--env", "A", "--", "true"]).exits(2);
    room.run(["exec", "--", "true"]).exits(2);
    assert_eq!(reads(), before);
}

#[test]
fn the_record_is_in_the_log_before_the_program_starts() {
    let room = room();
    let count = "grep -c '\"via\":\"strongroom exec\"' audit.jsonl";
    let answer = room
        .run(["exec", "--env", "A=app/key", "--", "sh", "-c", count])
        .ok();
    assert_eq!(answer.text(), "1\n");
    room.run(["audit", "verify"]).ok();
}
