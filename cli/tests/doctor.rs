//! `strongroom doctor` and `strongroom trust`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

#[path = "support/parameters.rs"]
mod parameters;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use parameters::Far;
use support::{Answer, Room};

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

/// A room whose local vault has this secret as its canary.
fn with_canary(canary: &str) -> Room {
    let room = Room::new();
    let file = room.path("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let path = "path = \"local.vault\"";
    assert!(text.contains(path));
    let table = format!("canary = {canary:?}\n{path}");
    fs::write(&file, text.replace(path, &table)).unwrap();
    room
}

/// It printed this line and those after it, and the value nowhere.
#[track_caller]
fn tells(answer: &Answer, lines: &str) {
    assert!(answer.text().contains(lines), "{}", answer.text());
    for output in [answer.text(), &answer.stderr] {
        assert!(!output.contains("never-shown"), "{output}");
    }
}

#[test]
fn a_canary_is_read_and_not_shown_and_one_that_is_missing_is_asked_for() {
    let room = with_canary("health/canary");
    let missing = "FAILED  vault local: its canary health/canary is not there\n        \
                   next: write it: strongroom set local:health/canary\n";
    tells(&room.run(["doctor"]).exits(1), missing);
    room.set("health/canary", "never-shown");
    let answer = room.run(["doctor"]).ok();
    tells(
        &answer,
        "ok      vault local: reads health/canary, version 1\n",
    );
    let json = room.run(["doctor", "local", "--json"]).ok();
    tells(&json, "\"reads health/canary, version 1\"");
    // It is a read as any other: decided, and on record.
    let shown = room
        .run(["audit", "show", "--action", "read", "--json"])
        .ok();
    let by_doctor = shown.text().matches("\"via\":\"strongroom doctor\"");
    assert_eq!(by_doctor.count(), 3, "{}", shown.text());
    room.run(["delete", "health/canary"]).ok();
    tells(&room.run(["doctor"]).exits(1), missing);
}

#[test]
fn a_canary_that_cannot_be_read_fails_with_its_cause() {
    let room = with_canary("probe");
    room.configure("[vault.local.fields]\n\"probe\" = { of = \"db/main\", field = \"user\" }\n");
    room.set("db/main", "never-shown");
    let answer = room.run(["doctor"]).exits(1);
    tells(&answer, "lists: 2 secrets\nFAILED  vault local: failed: ");
    tells(&answer, "field 'user' of db/main");
    tells(&answer, "\n        next: ");
    room.set("db/main", r#"{"user":"never-shown"}"#);
    tells(&room.run(["doctor"]).ok(), "reads probe, version 2\n");

    // A service that lets us list and not read.
    let far = Far::new("canary = \"health/canary\"\n");
    far.put("health/canary", "never-shown");
    let answer = far.run(["doctor", "far"]).ok();
    tells(
        &answer,
        "ok      vault far: reads health/canary, version 1\n",
    );
    far.seal("health/canary");
    let answer = far.run(["doctor", "far"]).exits(1);
    tells(&answer, "lists: 1 secret\nFAILED  vault far: failed: ");
    tells(&answer, "ssm:GetParameter: ");
    tells(
        &answer,
        "(AccessDeniedException)\n        next: mend the table [vault.far]",
    );
    assert!(!answer.text().contains("canary-"), "{}", answer.text());
}
