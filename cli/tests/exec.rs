//! `strongroom exec`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

#[path = "support/parameters.rs"]
mod parameters;
mod support;

use std::os::unix::process::ExitStatusExt;

use parameters::Far;
use serde_json::Value;
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
fn of_several_failures_the_first_in_the_order_given_is_told() {
    let room = room();
    room.set("app/nul", b"canary\0x");
    let exec = |references: &[&str]| {
        let mut args = vec!["exec".to_owned()];
        for (variable, reference) in ["A", "B", "C", "D"].iter().zip(references) {
            args.extend(["--env".to_owned(), format!("{variable}={reference}")]);
        }
        args.extend(["--", "echo", "started"].map(String::from));
        room.run(args)
    };
    for (references, code, told) in [
        (
            ["app/text", "app/none", "../x", "app/nul"],
            4,
            "--env B: not found",
        ),
        (
            ["app/text", "../x", "app/none", "app/nul"],
            2,
            "--env B: invalid reference",
        ),
        (
            ["app/nul", "app/none", "../x", "app/text"],
            1,
            "--env A: the value holds a NUL",
        ),
        (
            ["app/text", "app/key", "none:a", "app/none"],
            3,
            "--env C: denied",
        ),
    ] {
        let answer = exec(&references).exits(code).says(told);
        assert!(answer.stdout.is_empty(), "{references:?}");
        assert!(!answer.stderr.contains("canary"), "{}", answer.stderr);
    }
    // One secret may be the value of several variables.
    let twice = ["app/text", "app/text"];
    assert_eq!(exec(&twice).ok().text(), "started\n");
}

#[test]
fn many_secrets_of_one_vault_are_read_in_as_few_calls_as_it_has() {
    const SECRETS: usize = 105;
    let far = Far::new("");
    let mut args = vec!["exec".to_owned()];
    for number in 0..SECRETS {
        far.put(&format!("n/{number}"), &format!("value {number}"));
        args.extend(["--env".to_owned(), format!("V{number}=far:n/{number}")]);
    }
    let script = "printf %s, \"$V0\" \"$V99\" \"$V100\" \"$V104\"";
    args.extend(["--", "sh", "-c", script].map(String::from));
    let answer = far.run(args).ok();
    assert_eq!(answer.text(), "value 0,value 99,value 100,value 104,");
    // The service gives ten in a call; twenty are asked for at once.
    assert_eq!(far.calls("GetParameters"), 11);
    assert_eq!(far.calls("GetParameter"), 0);

    // Each is a read of its own on record, in the order given.
    let shown = far.run(["audit", "show", "--action", "read", "--json"]);
    let read: Vec<String> = shown
        .ok()
        .text()
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["via"], "strongroom exec");
            assert_eq!(record["outcome"], "allowed");
            record["secret"].as_str().unwrap().to_owned()
        })
        .collect();
    let asked: Vec<String> = (0..SECRETS).map(|number| format!("n/{number}")).collect();
    assert_eq!(read, asked);
}

/// Each further call to a vault that does not answer would take its whole deadline.
#[test]
fn a_vault_is_not_asked_on_behind_a_failure() {
    let far = Far::new("");
    let mut args = vec!["exec".to_owned()];
    for number in 0..45 {
        if number != 4 {
            far.put(&format!("n/{number}"), "canary");
        }
        args.extend(["--env".to_owned(), format!("V{number}=far:n/{number}")]);
    }
    args.extend(["--", "true"].map(String::from));
    let answer = far.run(args).exits(4).says("--env V4:");
    assert!(!answer.stderr.contains("canary"), "{}", answer.stderr);
    assert_eq!(far.calls("GetParameters"), 2, "twenty of them by tens");
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
