//! `strongroom doctor` and `strongroom trust`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::Room;

#[test]
fn a_sound_vault_is_told_check_by_check() {
    let room = Room::new();
    room.set("a", "v");
    let answer = room.run(["doctor"]).ok();
    for part in [
        "configuration",
        "clock",
        "audit log",
        "vault local",
        "lists: 1 secret",
    ] {
        assert!(
            answer.text().contains(part),
            "no {part:?} in {}",
            answer.text()
        );
    }
    assert!(!answer.text().contains("FAILED"));
    let json = room.run(["doctor", "local", "--json"]).ok().json();
    assert_eq!(json["ok"], true);
    room.run(["doctor", "none"]).exits(2).says("local");
}

#[test]
fn each_failure_has_a_cause_and_a_next_step() {
    let room = Room::new();
    room.set("a", "v");
    let store = room.path("local.vault");
    let whole = fs::read(&store).unwrap();
    let mut broken = whole.clone();
    let middle = broken.len() / 2;
    broken[middle..].fill(0x55);
    fs::write(&store, broken).unwrap();
    let answer = room.run(["doctor"]).exits(1);
    assert!(answer.text().contains("FAILED  vault local") && answer.text().contains("next:"));
    fs::write(&store, whole).unwrap();

    let key = room.path("keys/local.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let answer = room.run(["doctor"]).exits(1);
    assert!(answer.text().contains("local.key"), "{}", answer.text());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    fs::remove_file(room.path("audit.jsonl")).unwrap();
    let answer = room.run(["doctor"]).exits(5);
    assert!(
        answer.text().contains("FAILED  audit log"),
        "{}",
        answer.text()
    );
}

#[test]
fn the_whole_log_is_proven() {
    let room = Room::new();
    room.set("a", "v");
    let answer = room.run(["doctor"]).ok();
    assert!(
        answer.text().contains("records in 1 file"),
        "{}",
        answer.text()
    );
    // A record far before the end, which nothing but a whole reading meets.
    let log = room.path("audit.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let third = text.lines().nth(2).unwrap();
    let forged = third.replacen("operator:", "operatoR:", 1);
    let forged = if forged == third {
        third.replacen("system", "systeM", 1)
    } else {
        forged
    };
    assert_ne!(forged, third);
    let file = fs::File::options().write(true).open(&log).unwrap();
    let changed = text.replacen(third, &forged, 1);
    std::os::unix::fs::FileExt::write_all_at(&file, changed.as_bytes(), 0).unwrap();
    let answer = room.run(["doctor"]).exits(1);
    assert!(
        answer.text().contains("FAILED  audit log") && answer.text().contains("line 3"),
        "{}",
        answer.text()
    );
}

#[test]
fn a_store_that_was_set_back_is_accepted_only_on_record() {
    let room = Room::new();
    room.set("a", "1");
    let copy: Vec<_> = room
        .everything()
        .into_iter()
        .filter(|(path, _)| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("local.vault"))
        })
        .collect();
    room.set("a", "2");
    for (path, bytes) in &copy {
        fs::write(path, bytes).unwrap();
    }
    room.run(["get", "a"]).exits(1).says("--accept-rollback");
    let answer = room.run(["doctor"]).exits(1);
    assert!(
        answer.text().contains("doctor --accept-rollback local"),
        "{}",
        answer.text()
    );
    room.run(["doctor", "--accept-rollback", "local"]).ok();
    assert_eq!(room.get("a"), b"1");
    room.run(["doctor"]).ok();
}

#[test]
fn a_clock_behind_its_own_files_is_told() {
    let room = Room::new();
    let file = fs::File::options()
        .write(true)
        .open(room.path("strongroom.toml"))
        .unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    file.set_modified(later).unwrap();
    let answer = room.run(["doctor"]).exits(1);
    assert!(answer.text().contains("FAILED  clock"), "{}", answer.text());
}

#[test]
fn a_configuration_that_sends_nothing_needs_no_trust() {
    let room = Room::new();
    assert!(room.run(["trust"]).ok().text().contains("needs no trust"));
}

#[test]
fn a_configuration_that_draws_secrets_elsewhere_is_trusted_as_it_stands() {
    let room = Room::new();
    room.set("a", "v");
    let far = |address: &str| {
        format!("[vault.far]\nbackend = \"memory\"\nendpoint = \"http://{address}\"\n")
    };
    room.configure(&far("127.0.0.1:9"));
    room.run(["get", "a"]).exits(2).says("strongroom trust");
    let answer = room.run(["doctor"]).exits(1);
    assert!(
        answer.text().contains("FAILED  configuration"),
        "{}",
        answer.text()
    );
    let told = room.run(["trust"]).ok();
    assert!(told.text().contains("endpoint"), "{}", told.text());
    assert_eq!(room.get("a"), b"v");
    // Any change needs accepting anew.
    let file = room.path("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("127.0.0.1:9", "127.0.0.1:10")).unwrap();
    room.run(["get", "a"]).exits(2).says("strongroom trust");
    // Who names the file has decided already.
    let named = room.run(["get", "a", "--config", "strongroom.toml"]).ok();
    assert_eq!(named.stdout, b"v");
}
