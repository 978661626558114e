//! Names that are bound to one field of a JSON secret, through the command.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod support;

use support::Room;

const JSON: &str = r#"{"user":"app","password":"p\u0040ss","port":5432}"#;

fn room() -> Room {
    let room = Room::new();
    room.configure(
        "[vault.local.fields]\n\
         \"db/password\" = { of = \"db/main\", field = \"password\" }\n\
         \"db/none\" = { of = \"db/main\", field = \"none\" }\n\
         [component.billing]\n\
         grants = [{ vault = \"local\", secrets = [\"db/password\"], actions = [\"read\"] }]\n",
    );
    room.set("db/main", JSON);
    room
}

#[test]
fn a_bound_name_is_read_listed_and_exported_as_a_secret_of_its_own() {
    let room = room();
    assert_eq!(room.get("db/password"), b"p@ss");
    room.run(["get", "db/none"]).exits(4);
    let listed = room.run(["list"]).ok();
    assert!(listed.text().contains("db/password"), "{}", listed.text());
    let copied = room.run(["copy", "local:db/password", "local:alone"]);
    copied.ok();
    assert_eq!(room.get("alone"), b"p@ss");
    let exec = room
        .run([
            "exec",
            "--env",
            "PASSWORD=db/password",
            "--",
            "sh",
            "-c",
            "printf %s \"$PASSWORD\"",
        ])
        .ok();
    assert_eq!(exec.stdout, b"p@ss");
    room.run(["check", "billing", "read", "db/password"]).ok();
    let whole = room.run(["check", "billing", "read", "db/main"]);
    assert_ne!(whole.code, 0);
    room.run(["doctor"]).ok();
}

#[test]
fn a_bound_name_is_not_written_deleted_or_moved() {
    let room = room();
    for args in [
        &["set", "db/password"][..],
        &["delete", "db/password"],
        &["rollback", "db/password", "--to", "1"],
        &["destroy", "db/password", "--version", "1"],
        &["copy", "local:db/password", "local:moved", "--move"],
    ] {
        let refused = room.feed(args, "other");
        assert_ne!(refused.code, 0, "{args:?}");
    }
    assert_eq!(room.get("db/main"), JSON.as_bytes());
    assert_eq!(room.get("db/password"), b"p@ss");
}
