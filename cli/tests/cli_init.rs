//! `strongroom init`.
#![allow(clippy::unwrap_used, reason = "a test ends where its helper fails")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::Room;

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn it_makes_what_the_contract_says_and_tells_what_is_next() {
    let room = Room::empty();
    let answer = room.run(["init"]).ok();
    for file in [
        "strongroom.toml",
        "local.vault",
        "audit.jsonl",
        "keys/local.key",
        "keys/audit.key",
        "keys/audit.key.first",
    ] {
        assert!(room.path(file).is_file(), "{file}");
        assert_eq!(mode(room.path(file)), 0o600, "{file}");
        assert!(answer.text().contains(file), "{file}: {}", answer.text());
    }
    assert_eq!(mode(room.path("keys")), 0o700);
    assert!(answer.text().contains("off this machine"));
    assert!(answer.text().contains("strongroom set"));
    assert!(
        names(room.folder())
            .iter()
            .all(|name| !name.starts_with(".strongroom-init"))
    );
    let config = fs::read_to_string(room.path("strongroom.toml")).unwrap();
    assert!(config.contains("default-vault = \"local\"") && config.contains("[vault.local]"));
    room.set("a", "v");
    assert_eq!(room.get("local:a"), b"v");
    room.run(["audit", "verify"]).ok();
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let room = Room::empty();
    for (umask, folder) in [("000", "open"), ("077", "closed")] {
        let script = format!("umask {umask}; exec \"$0\" init {folder}");
        let output = std::process::Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_strongroom")])
            .current_dir(room.folder())
            .output()
            .unwrap();
        support::Answer::from(output).ok();
        let folder = room.path(folder);
        for (name, expected) in [
            ("", 0o700),
            ("keys", 0o700),
            ("strongroom.toml", 0o600),
            ("local.vault", 0o600),
            ("audit.jsonl", 0o600),
            ("keys/local.key", 0o600),
        ] {
            assert_eq!(mode(folder.join(name)), expected, "{umask} {name}");
        }
    }
}

#[test]
fn another_folder_and_name_can_be_chosen() {
    let room = Room::empty();
    let document = room
        .run(["init", "deep/down", "--vault", "app-secrets", "--json"])
        .ok()
        .json();
    assert_eq!(document["vault"], "app-secrets");
    assert_eq!(document["config"], "deep/down/strongroom.toml");
    assert_eq!(
        document["audit-first-key"],
        "deep/down/keys/audit.key.first"
    );
    let config = ["--config", "deep/down/strongroom.toml"];
    room.feed(["set", "app-secrets:a"].iter().chain(&config), "v")
        .ok();
    assert_eq!(
        room.run(["get", "a"].iter().chain(&config)).ok().text(),
        "v"
    );
    for wrong in ["", "a b", "../x", "audit"] {
        room.run(["init", "third", "--vault", wrong]).exits(2);
        assert!(!room.path("third").exists());
    }
}

#[test]
fn the_template_is_a_configuration_when_it_is_uncommented() {
    let room = Room::new();
    let file = room.path("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let is_example = |line: &str| {
        let line = line.strip_prefix("# ").unwrap_or_default();
        [
            "[component",
            "[role",
            "wasm =",
            "grants =",
            "  {",
            "]",
            "durability",
            "rotate",
            "keep-for",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    let lines = text
        .lines()
        .map(|line| if is_example(line) { &line[2..] } else { line });
    let all: Vec<&str> = lines.collect();
    assert!(all.contains(&"[component.app]") && all.contains(&"[role.backend]"));
    fs::write(&file, all.join("\n")).unwrap();
    let answer = room.run(["check", "app", "read", "stripe/api-key"]).ok();
    assert!(
        answer.text().contains("component.app.grants[0]"),
        "{}",
        answer.text()
    );
}

#[test]
fn nothing_is_overwritten() {
    for name in [
        "strongroom.toml",
        "local.vault",
        "audit.jsonl",
        "audit.jsonl.head",
    ] {
        let room = Room::empty();
        fs::write(room.path(name), "mine").unwrap();
        room.run(["init"]).exits(2).says(name);
        assert_eq!(names(room.folder()), [name]);
        assert_eq!(fs::read(room.path(name)).unwrap(), b"mine");
    }
    let room = Room::empty();
    std::os::unix::fs::symlink("/nowhere/at/all", room.path("strongroom.toml")).unwrap();
    room.run(["init"]).exits(2);
    assert_eq!(names(room.folder()), ["strongroom.toml"]);
    let room = Room::new();
    room.set("a", "v");
    room.run(["init"]).exits(2).says("exists already");
    assert_eq!(room.get("a"), b"v");
}

#[test]
fn a_folder_of_keys_that_is_there_is_used() {
    let room = Room::empty();
    fs::create_dir(room.path("keys")).unwrap();
    fs::set_permissions(room.path("keys"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(room.path("keys/other"), "mine").unwrap();
    room.run(["init"]).ok();
    assert_eq!(
        names(room.path("keys")),
        ["audit.key", "audit.key.first", "local.key", "other"]
    );
    room.set("a", "v");
    assert_eq!(room.get("a"), b"v");
}

#[test]
fn a_failure_leaves_nothing() {
    let room = Room::empty();
    room.run(["init", "new/folder", "--passphrase-file", "missing"])
        .exits(2)
        .says("missing");
    assert!(!room.path("new").exists());
    room.run(["init", "--passphrase-file", "missing"]).exits(2);
    assert!(names(room.folder()).is_empty());
    fs::write(room.path("file"), "").unwrap();
    room.run(["init", "file"]).exits(2);
    assert_eq!(names(room.folder()), ["file"]);
}

/// The folder of a killed `init`: a whole draft, of which `moved` are in their places already.
fn killed(moved: &[&str]) -> Room {
    let room = Room::new();
    let draft = room.path(".strongroom-init-killed");
    fs::create_dir(&draft).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o700)).unwrap();
    for name in names(room.folder()) {
        if !name.starts_with(".strongroom-init") && !moved.contains(&name.as_str()) {
            fs::rename(room.path(&name), draft.join(&name)).unwrap();
        }
    }
    room
}

#[test]
fn an_init_that_was_killed_is_finished_by_running_it_again() {
    for moved in [
        &[][..],
        &["local.vault"],
        &["keys"],
        &["audit.jsonl", "audit.jsonl.head", "keys"],
        &["audit.jsonl", "local.vault", "keys", "local.vault.lock"],
    ] {
        let room = killed(moved);
        room.run(["init"]).ok();
        assert!(
            names(room.folder())
                .iter()
                .all(|name| !name.starts_with(".strongroom-init")),
            "{moved:?}"
        );
        room.set("a", "v");
        assert_eq!(room.get("a"), b"v");
        room.run(["doctor"]).ok();
        room.run(["init"]).exits(2).says("exists already");
    }
}

#[test]
fn a_draft_that_fits_nothing_is_named_and_left() {
    // A piece that is neither in its place nor in the draft.
    let room = killed(&["local.vault"]);
    fs::remove_file(room.path("local.vault")).unwrap();
    room.run(["init"])
        .exits(2)
        .says(".strongroom-init-killed")
        .says("local.vault");
    assert!(room.path(".strongroom-init-killed/keys/local.key").exists());

    // Other arguments than the draft was made with.
    let room = killed(&["local.vault"]);
    room.run(["init", "--vault", "other"])
        .exits(2)
        .says(".strongroom-init-killed");
    assert!(!room.path("strongroom.toml").exists());

    // A store that the draft's key does not open.
    let room = killed(&[]);
    let other = Room::new();
    fs::remove_file(room.path(".strongroom-init-killed/local.vault")).unwrap();
    fs::copy(other.path("local.vault"), room.path("local.vault")).unwrap();
    let before = fs::read(room.path("local.vault")).unwrap();
    room.run(["init"]).exits(2);
    assert_eq!(fs::read(room.path("local.vault")).unwrap(), before);
    assert!(!room.path("strongroom.toml").exists());
    let key = ["keys/local.key", ".strongroom-init-killed/keys/local.key"];
    assert!(key.iter().any(|key| room.path(key).exists()));
}

#[test]
fn a_draft_that_was_never_whole_goes() {
    let room = Room::empty();
    let draft = room.path(".strongroom-init-killed");
    fs::create_dir_all(draft.join("keys")).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(draft.join("keys/local.key"), "half").unwrap();
    room.run(["init"]).ok();
    assert!(!draft.exists());
    room.set("a", "v");
}

#[test]
fn two_at_once_make_one() {
    let room = Room::empty();
    let lock = fs::File::open(room.folder()).unwrap();
    lock.lock().unwrap();
    room.run(["init"]).exits(5).says("another");
    assert!(names(room.folder()).is_empty());
}

#[test]
fn a_folder_that_the_vault_would_refuse_is_refused_at_once() {
    for mode in [0o1777, 0o777, 0o770] {
        let room = Room::empty();
        fs::set_permissions(room.folder(), fs::Permissions::from_mode(mode)).unwrap();
        room.run(["init"])
            .exits(2)
            .says("others may write to the folder");
        assert!(names(room.folder()).is_empty(), "{mode:o}");
    }
    let room = Room::empty();
    fs::create_dir(room.path("keys")).unwrap();
    fs::set_permissions(room.path("keys"), fs::Permissions::from_mode(0o777)).unwrap();
    room.run(["init"])
        .exits(2)
        .says("others may write to the folder");
    assert_eq!(names(room.folder()), ["keys"]);
    assert!(names(room.path("keys")).is_empty());
}

#[test]
fn a_passphrase_takes_the_place_of_a_key_file() {
    let room = Room::empty();
    let file = room.path("pass \"word\"");
    fs::write(&file, "correct horse battery staple\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    room.run(["init", "--passphrase-file", "pass \"word\""])
        .ok();
    assert!(!room.path("keys/local.key").exists());
    room.set("a", "v");
    assert_eq!(room.get("a"), b"v");
    fs::write(&file, "another").unwrap();
    room.run(["get", "a"]).exits(2).says("passphrase");
}
