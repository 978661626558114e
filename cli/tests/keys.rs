//! `strongroom keys`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::Room;

fn room() -> Room {
    let room = Room::new();
    for i in 0..5 {
        room.set(&format!("app/{i}"), format!("value {i}"));
    }
    room
}

fn outcomes(room: &Room, action: &str) -> Vec<String> {
    let shown = room
        .run(["audit", "show", "--json", "--action", action])
        .ok();
    let record = |line: &str| -> String {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            record["principal"]
                .as_str()
                .unwrap()
                .starts_with("operator:")
        );
        assert_eq!(record["vault"], "local");
        record["outcome"].as_str().unwrap_or("intent").to_owned()
    };
    shown.text().lines().map(record).collect()
}

#[test]
fn a_new_key_encryption_key_changes_no_value_and_is_on_record() {
    let room = room();
    let first = room.run(["keys", "rotate", "--json"]).ok().json();
    assert_eq!(first["rewrapped"], 5);
    let second = room.run(["keys", "rotate", "local", "--json"]).ok().json();
    assert!(second["key"].as_u64() > first["key"].as_u64());
    for i in 0..5 {
        assert_eq!(
            room.get(&format!("app/{i}")),
            format!("value {i}").as_bytes()
        );
    }
    assert_eq!(
        outcomes(&room, "keys-rotate"),
        ["intent", "allowed", "intent", "allowed"]
    );
    room.run(["doctor"]).ok();
    room.run(["audit", "verify"]).ok();
}

#[test]
fn a_new_key_file_takes_the_place_of_the_old_one() {
    let room = room();
    let before = fs::read_to_string(room.path("strongroom.toml")).unwrap();
    room.run(["keys", "rekey", "--file", "keys/new.key"]).ok();
    let after = fs::read_to_string(room.path("strongroom.toml")).unwrap();
    assert_eq!(
        after,
        before.replace(
            "{ file = \"keys/local.key\" }",
            "{ file = \"keys/new.key\" }"
        )
    );
    let mode = fs::metadata(room.path("keys/new.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::remove_file(room.path("keys/local.key")).unwrap();
    assert_eq!(room.get("app/3"), b"value 3");
    assert_eq!(outcomes(&room, "keys-rekey"), ["intent", "allowed"]);
    // The old source no longer opens the store.
    fs::write(room.path("strongroom.toml"), before).unwrap();
    room.run(["get", "app/3"]).exits(2);
}

/// What a rekey leaves that is killed once the store has its new key.
fn broken_off(room: &Room, source: [&str; 2]) {
    let file = room.path("strongroom.toml");
    let before = fs::read(&file).unwrap();
    room.run(["keys", "rekey", source[0], source[1]]).ok();
    fs::copy(&file, room.path("strongroom.toml.rekey")).unwrap();
    fs::write(&file, before).unwrap();
}

#[test]
fn a_rekey_that_broke_off_is_finished_by_running_it_again() {
    let room = room();
    let source = ["--file", "keys/new.key"];
    broken_off(&room, source);
    room.run(["get", "app/1"]).exits(2).says("run it again");
    room.run(["doctor"]).exits(1);
    // Another source finishes nothing, and takes no trace of the right one away.
    room.run(["keys", "rekey", "--file", "keys/other.key"])
        .exits(2)
        .says("run it again");
    assert!(!room.path("keys/other.key").exists());
    room.run(["get", "app/1"]).exits(2).says("run it again");
    let answer = room.run(["keys", "rekey", source[0], source[1], "--json"]);
    assert_eq!(
        answer.ok().json()["key"],
        "key = { file = \"keys/new.key\" }"
    );
    assert!(!room.path("strongroom.toml.rekey").exists());
    assert_eq!(room.get("app/1"), b"value 1");
    assert_eq!(
        outcomes(&room, "keys-rekey"),
        ["intent", "allowed", "intent", "allowed"]
    );
    room.run(["audit", "verify"]).ok();
    room.run(["doctor"]).ok();
    // A draft alone, from before the store changed, is in nobody's way.
    fs::write(room.path("strongroom.toml.rekey"), "half a li").unwrap();
    assert_eq!(room.get("app/1"), b"value 1");
    room.run(["keys", "rekey", "--file", "keys/third.key"]).ok();
    assert!(!room.path("strongroom.toml.rekey").exists());
    assert_eq!(room.get("app/1"), b"value 1");
}

#[test]
fn a_rekey_to_a_passphrase_is_finished_too() {
    let room = room();
    let file = room.path("passphrase");
    fs::write(&file, "correct horse battery staple\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let source = ["--passphrase-file", "passphrase"];
    broken_off(&room, source);
    room.run(["get", "app/1"]).exits(2);
    room.run(["keys", "rekey", source[0], source[1]]).ok();
    assert_eq!(room.get("app/1"), b"value 1");
}

#[test]
fn a_rekey_leaves_no_draft_and_waits_for_no_other() {
    let room = room();
    let lock = fs::File::open(room.path("strongroom.toml")).unwrap();
    lock.lock().unwrap();
    room.run(["keys", "rekey", "--file", "keys/new.key"])
        .exits(5)
        .says("another");
    drop(lock);
    assert!(!room.path("strongroom.toml.rekey").exists());
    room.run(["keys", "rekey", "--file", "keys/new.key"]).ok();
    assert!(!room.path("strongroom.toml.rekey").exists());
    assert_eq!(room.get("app/1"), b"value 1");
}

#[test]
fn a_passphrase_opens_the_same_store() {
    let room = room();
    let file = room.path("passphrase");
    fs::write(&file, "correct horse battery staple\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    room.run(["keys", "rekey", "--passphrase-file", "passphrase"])
        .exits(2)
        .says("passphrase");
    assert_eq!(room.get("app/1"), b"value 1");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    room.run(["keys", "rekey", "--passphrase-file", "passphrase"])
        .ok();
    assert_eq!(room.get("app/1"), b"value 1");
    fs::write(&file, "wrong\n").unwrap();
    room.run(["get", "app/1"]).exits(2);
    assert_eq!(
        outcomes(&room, "keys-rekey"),
        ["intent", "failed", "intent", "allowed"]
    );
}

#[test]
fn a_vault_without_keys_of_ours_is_refused() {
    let room = room();
    room.configure("[vault.ram]\nbackend = \"memory\"\n");
    room.run(["keys", "rotate", "ram"]).exits(2).says("memory");
    room.run(["keys", "rotate", "none"]).exits(2);
    room.run(["keys", "rekey"]).exits(2);
    room.run(["keys", "rekey", "--file", "a", "--passphrase-file", "b"])
        .exits(2);
}
