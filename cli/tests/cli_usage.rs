//! Wrong usage, missing and wrong configurations, exit codes, help, completions and manual pages.
#![allow(clippy::unwrap_used, reason = "a test ends where its helper fails")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::Room;

fn chmod(path: impl AsRef<std::path::Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn unknown_words_get_a_suggestion() {
    let room = Room::empty();
    room.run(["lst", "a"]).exits(2).says("'list'");
    room.run(["get", "a", "--versoin", "1"])
        .exits(2)
        .says("--version");
    room.run(["set", "a", "--tirm"]).exits(2).says("--trim");
    room.run(["get"]).exits(2).says("<REF>");
    room.run(["get", "a", "--version", "x"]).exits(2);
    room.run(["lst", "a", "--json"])
        .exits(2)
        .says("{\"error\":{\"code\":\"usage\"");
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let room = Room::empty();
    let help = room.run(["--help"]).ok();
    for part in [
        "Exit codes:",
        "3 denied",
        "init",
        "audit",
        "exec",
        "completions",
        "$STRONGROOM_CONFIG",
        "STRONGROOM_LOG",
    ] {
        assert!(help.text().contains(part), "{part}");
    }
    assert!(!help.text().contains("VALUE"));
    for command in [
        "init",
        "set",
        "get",
        "list",
        "describe",
        "versions",
        "delete",
        "undelete",
        "destroy",
        "rollback",
        "rotate",
        "sync",
        "check",
        "completions",
        "man",
    ] {
        let help = room.run([command, "--help"]).ok();
        assert!(help.text().contains("Example"), "{command}");
    }
    assert!(
        room.run(["--version"])
            .ok()
            .text()
            .starts_with("strongroom 0.")
    );
}

#[test]
fn without_a_configuration_the_way_to_one_is_told() {
    let room = Room::empty();
    let answer = room
        .run(["get", "a"])
        .exits(2)
        .says("strongroom init")
        .says("--config");
    assert!(answer.stderr.starts_with("error: "), "{}", answer.stderr);
    room.run(["get", "a", "--config", "elsewhere.toml"])
        .exits(2)
        .says("elsewhere.toml");
    let answer = room.run(["get", "a", "--json"]).exits(2);
    let document: serde_json::Value = serde_json::from_str(&answer.stderr).unwrap();
    assert_eq!(
        (&document["error"]["code"], &document["error"]["exit"]),
        (&"usage".into(), &2.into())
    );
    assert!(
        document["error"]["message"]
            .as_str()
            .unwrap()
            .contains("init")
    );
}

#[test]
fn the_configuration_is_found_where_the_contract_says() {
    let room = Room::new();
    room.set("a", "here");
    let run = |folder: &str, args: &[&str], variable: Option<&str>| {
        let mut command = room.command(args);
        command.current_dir(room.home().join(folder));
        if let Some(file) = variable {
            command.env("STRONGROOM_CONFIG", room.home().join(file));
        }
        support::Answer::from(command.output().unwrap())
    };
    fs::create_dir(room.home().join("other")).unwrap();
    run("other", &["get", "a"], None).exits(2);
    assert_eq!(
        run(
            "other",
            &["get", "a", "--config", "../work/strongroom.toml"],
            None
        )
        .ok()
        .text(),
        "here"
    );
    assert_eq!(
        run("other", &["get", "a"], Some("work/strongroom.toml"))
            .ok()
            .text(),
        "here"
    );
    // What `--config` names comes before the variable, and that before the current folder.
    assert_eq!(
        run(
            "other",
            &["--config", "../work/strongroom.toml", "get", "a"],
            Some("none.toml")
        )
        .ok()
        .text(),
        "here"
    );
    run("work", &["get", "a"], Some("none.toml")).exits(2);
    run("work", &["init", "../other"], None).ok();
    run(
        "work",
        &["get", "a", "--config", "../other/strongroom.toml"],
        None,
    )
    .exits(4);
}

#[test]
fn a_wrong_line_is_named_with_the_word_that_was_meant() {
    let room = Room::new();
    let lines = fs::read_to_string(room.path("strongroom.toml"))
        .unwrap()
        .lines()
        .count();
    room.configure("[component.app]\ngarnts = []\n");
    let answer = room.run(["get", "a"]).exits(2).says("'grants'");
    assert!(
        answer
            .stderr
            .contains(&format!("strongroom.toml:{}:", lines + 3)),
        "{}",
        answer.stderr
    );
}

#[test]
fn what_others_may_write_or_read_is_refused() {
    let room = Room::new();
    room.set("a", "v");
    for (file, mode, mended) in [
        ("strongroom.toml", 0o620, 0o600),
        ("strongroom.toml", 0o602, 0o600),
        ("keys/local.key", 0o640, 0o600),
        ("keys/local.key", 0o604, 0o600),
        ("keys/audit.key", 0o640, 0o600),
        ("local.vault", 0o660, 0o600),
        ("keys", 0o770, 0o700),
    ] {
        chmod(room.path(file), mode);
        let answer = room.run(["get", "a"]).exits(2);
        assert!(answer.stdout.is_empty(), "{file}");
        assert!(
            answer.stderr.contains(file),
            "{file} {mode:o}: {}",
            answer.stderr
        );
        chmod(room.path(file), mended);
    }
    assert_eq!(room.get("a"), b"v");
}

#[test]
fn a_key_that_is_a_link_is_refused_unless_allowed() {
    let room = Room::new();
    room.set("a", "v");
    let real = room.path("keys/real.key");
    fs::rename(room.path("keys/local.key"), &real).unwrap();
    std::os::unix::fs::symlink(&real, room.path("keys/local.key")).unwrap();
    room.run(["get", "a"]).exits(2).says("link");
    let file = room.path("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace("local.key\" }", "local.key\", allow-links = true }"),
    )
    .unwrap();
    assert_eq!(room.get("a"), b"v");
}

#[test]
fn a_wrong_key_is_told_apart_from_a_damaged_store() {
    let room = Room::new();
    room.set("a", "canary-81");
    let key = room.path("keys/local.key");
    let right = fs::read(&key).unwrap();
    let other = Room::new();
    fs::write(&key, fs::read(other.path("keys/local.key")).unwrap()).unwrap();
    room.run(["get", "a"]).exits(2).says("key");
    fs::write(&key, right).unwrap();
    assert_eq!(room.get("a"), b"canary-81");
    let store = room.path("local.vault");
    let mut bytes = fs::read(&store).unwrap();
    for byte in bytes.iter_mut().skip(100) {
        *byte ^= 0x55;
    }
    fs::write(&store, bytes).unwrap();
    let answer = room.run(["get", "a"]).exits(1);
    assert!(answer.stdout.is_empty());
}

#[test]
fn a_lost_audit_log_stops_every_release() {
    let room = Room::new();
    room.set("a", "v");
    fs::remove_file(room.path("audit.jsonl")).unwrap();
    let answer = room.run(["get", "a"]).exits(5).says("audit resume");
    assert!(answer.stdout.is_empty());
    room.feed(["set", "a"], "w").exits(5);
}

#[test]
fn a_reader_that_leaves_early_is_no_error_message() {
    let room = Room::new();
    room.set("a", vec![b'x'; 1 << 20]);
    let mut child = room
        .command(["get", "a"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let answer = support::Answer::from(child.wait_with_output().unwrap()).exits(141);
    assert_eq!(answer.stderr, "");
}

#[test]
fn an_output_that_takes_nothing_is_an_error() {
    let room = Room::new();
    room.set("a", "v");
    for args in [
        &["get", "a"][..],
        &["get", "a", "--json"],
        &["list"],
        &["versions", "a"],
    ] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = room.command(args).stdout(full).output().unwrap();
        support::Answer::from(output)
            .exits(1)
            .says("cannot write the output");
    }
}

#[test]
fn completions_are_scripts_of_their_shells() {
    let room = Room::empty();
    for shell in ["bash", "zsh", "fish"] {
        let script = room.run(["completions", shell]).ok();
        for word in ["strongroom", "undelete", "checkpoint"] {
            assert!(script.text().contains(word), "{shell}: {word}");
        }
        fs::write(room.path(shell), &script.stdout).unwrap();
        // Where the shell is installed, it must take the script.
        if let Ok(output) = Command::new(shell).arg("-n").arg(room.path(shell)).output() {
            assert!(
                output.status.success(),
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    room.run(["completions", "tcsh"]).exits(2);
}

#[test]
fn manual_pages_cover_every_command() {
    let room = Room::empty();
    let page = room.run(["man"]).ok();
    assert!(page.text().contains(".TH strongroom 1"), "{}", page.text());
    room.run(["man", "pages/man1"]).ok();
    for name in [
        "strongroom",
        "strongroom-set",
        "strongroom-audit-verify",
        "strongroom-keys-rekey",
        "strongroom-man",
    ] {
        let page = fs::read_to_string(room.path("pages/man1").join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
}

#[test]
fn a_log_level_that_does_not_exist_is_refused() {
    let room = Room::new();
    let output = room
        .command(["list"])
        .env("STRONGROOM_LOG", "loud")
        .output()
        .unwrap();
    support::Answer::from(output)
        .exits(2)
        .says("STRONGROOM_LOG");
    let output = room
        .command(["list"])
        .env("STRONGROOM_LOG", "off")
        .output()
        .unwrap();
    support::Answer::from(output).ok();
}

#[test]
fn a_value_in_the_wrong_place_is_not_repeated() {
    let room = Room::new();
    for arguments in [
        &["set", "a", "--if-version", "hunter2"][..],
        &["set", "a", "--if-version=hunter2"],
        &["set", "a", "hunter2"],
        &["set", "a", "--trim=hunter2"],
        &["exec", "--env", "hunter2", "--", "true"],
        &["exec", "--env=hunter2", "--", "true"],
        &["exec", "--env", "A=a", "hunter2"],
        &["exec", "--hunter2", "--env", "A=a", "--", "true"],
    ] {
        for json in [false, true] {
            let json = json.then_some("--json");
            let answer = room.run(json.iter().chain(arguments)).exits(2);
            assert!(!answer.stderr.contains("hunter2"), "{}", answer.stderr);
            assert!(answer.stderr.len() > 20 && answer.stdout.is_empty());
        }
    }
    // What is no value is still said.
    room.run(["set", "a", "--if-version", "x"])
        .exits(2)
        .says("--if-version");
    room.run(["exec", "--env", "x", "--", "true"])
        .exits(2)
        .says("--env");
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    let room = Room::empty();
    for arguments in [&["--help"][..], &["--version"], &["set", "--help"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let status = room.command(arguments).stdout(full).status().unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }
}
