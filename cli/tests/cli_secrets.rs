//! What is known of secrets, and how they change.

mod support;

use serde_json::json;
use support::Room;

#[test]
fn names_are_listed_in_order_and_by_prefix() {
    let room = Room::new();
    assert_eq!(room.run(["list"]).ok().text(), "");
    assert_eq!(
        room.run(["list", "--json"]).ok().json(),
        json!({"references": []})
    );
    for name in ["stripe/live", "db/main", "stripe/api-key"] {
        room.set(name, "v");
    }
    assert_eq!(
        room.run(["list"]).ok().text(),
        "local:db/main\nlocal:stripe/api-key\nlocal:stripe/live\n"
    );
    assert_eq!(
        room.run(["list", "local:stripe/a"]).ok().text(),
        "local:stripe/api-key\n"
    );
    assert_eq!(
        room.run(["list", "stripe/", "--json"]).ok().json(),
        json!({"references": ["local:stripe/api-key", "local:stripe/live"]})
    );
    room.run(["list", "nowhere:"])
        .exits(3)
        .says("error: denied");
}

#[test]
fn a_long_listing_is_whole() {
    let room = Room::new();
    let variables: String = (0..250).map(|i| format!("NAME_{i:03}=v\n")).collect();
    std::fs::write(room.path(".env"), variables).unwrap();
    room.run(["import", ".env", "--to", "local:"]).ok();
    let answer = room.run(["list"]).ok();
    assert_eq!(answer.text().lines().count(), 250);
    assert_eq!(answer.text().lines().last(), Some("local:NAME_249"));
    assert_eq!(
        room.run(["list", "--json"]).ok().json()["references"]
            .as_array()
            .unwrap()
            .len(),
        250
    );
}

#[test]
fn a_description_is_text_or_json_and_never_the_value() {
    let room = Room::new();
    let args = [
        "set",
        "a",
        "--kind",
        "api-key",
        "--description",
        "for\x1b[31m billing",
        "--label",
        "env=prod",
        "--label",
        "team=pay",
    ];
    room.feed(args, "canary-33").ok();
    let text = room.run(["describe", "a"]).ok();
    for part in [
        "reference:   local:a\n",
        "version:     1\n",
        "kind:        api-key\n",
        "env=prod",
        "team=pay",
    ] {
        assert!(text.text().contains(part), "{part}: {}", text.text());
    }
    assert!(!text.text().contains('\x1b'));
    let document = room.run(["describe", "a", "--json"]).ok();
    assert!(!document.text().contains("canary-33"));
    let document = document.json();
    assert_eq!(document["reference"], "local:a");
    assert_eq!(document["version"], 1);
    assert_eq!(document["labels"], json!({"env": "prod", "team": "pay"}));
    assert_eq!(document["description"], "for\x1b[31m billing");
    assert_eq!(document["expires"], json!(null));
    room.run(["describe", "b"]).exits(4);
    // A value alone keeps what is there.
    room.set("a", "v2");
    assert_eq!(
        room.run(["describe", "a", "--json"]).ok().json()["kind"],
        "api-key"
    );
}

#[test]
fn versions_are_listed_newest_first() {
    let room = Room::new();
    room.set("a", "one");
    room.set("a", "two");
    let text = room.run(["versions", "a"]).ok();
    let lines: Vec<_> = text.text().lines().collect();
    assert!(
        lines[0].starts_with("VERSION  STATE       CREATED"),
        "{}",
        text.text()
    );
    assert!(
        lines[1].starts_with("2        current     2"),
        "{}",
        text.text()
    );
    assert!(
        lines[2].starts_with("1        superseded  2"),
        "{}",
        text.text()
    );
    let document = room.run(["versions", "a", "--json"]).ok().json();
    assert_eq!(document["reference"], "local:a");
    let versions = document["versions"].as_array().unwrap();
    assert_eq!(versions[0]["version"], 2);
    assert_eq!(versions[1]["state"], "superseded");
    assert!(
        versions[0]["author"]
            .as_str()
            .unwrap()
            .starts_with("operator:")
    );
    room.run(["versions", "b"]).exits(4);
}

#[test]
fn a_delete_is_taken_back_and_a_destruction_is_not() {
    let room = Room::new();
    room.set("a", "one");
    room.set("a", "two");
    assert_eq!(room.run(["delete", "a"]).ok().text(), "local:a deleted\n");
    room.run(["get", "a"]).exits(4);
    assert_eq!(room.run(["list"]).ok().text(), "");
    assert_eq!(
        room.run(["undelete", "a", "--json"]).ok().json(),
        json!({"reference": "local:a", "undeleted": true, "version": null})
    );
    assert_eq!(room.get("a"), b"two");
    assert_eq!(
        room.run(["destroy", "a", "--version", "1", "--json"])
            .ok()
            .json(),
        json!({"reference": "local:a", "destroyed": true, "version": 1})
    );
    room.run(["get", "a", "--version", "1"]).exits(4);
    room.run(["undelete", "a", "--version", "1"]).exits(4);
    room.run(["destroy", "a"]).exits(2).says("--version");
    assert_eq!(
        room.run(["delete", "a", "--version", "2", "--json"])
            .ok()
            .json(),
        json!({"reference": "local:a", "deleted": true, "version": 2})
    );
    room.run(["get", "a"]).exits(4);
    room.run(["delete", "nothing"]).exits(4);
}

#[test]
fn a_rollback_is_a_new_version() {
    let room = Room::new();
    room.set("a", "one");
    room.set("a", "two");
    assert_eq!(
        room.run(["rollback", "a", "--to", "1", "--json"])
            .ok()
            .json(),
        json!({"reference": "local:a", "version": 3, "from": 1})
    );
    assert_eq!(room.get("a"), b"one");
    assert_eq!(
        room.run(["rollback", "a", "--to", "2"]).ok().text(),
        "local:a version 4, with the value of 2\n"
    );
    room.run(["rollback", "a", "--to", "9"]).exits(4);
}

#[test]
fn a_rotation_that_nothing_can_do_says_so() {
    let room = Room::new();
    room.set("a", "one");
    room.run(["rotate", "a"]).exits(1).says("unsupported");
    assert_eq!(room.get("a"), b"one");
}

#[test]
fn check_names_the_grant_or_the_nearest_ones() {
    let room = Room::new();
    room.configure(
        "[component.app]\ngrants = [\n  { vault = \"local\", secrets = [\"stripe/*\"], actions = [\"read\"] },\n]\n",
    );
    let check = |args: &[&str]| room.run([&["check"], args].concat());
    let allowed = check(&["app", "read", "stripe/api-key"]).ok();
    assert!(
        allowed
            .text()
            .contains("allowed by component.app.grants[0]"),
        "{}",
        allowed.text()
    );
    let denied = check(&["app", "write", "stripe/api-key"]).exits(3);
    assert!(
        denied.text().contains("denied") && denied.text().contains("component.app.grants[0]"),
        "{}",
        denied.text()
    );
    let document = check(&["app", "read", "local:stripe/api-key", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&document["allowed"], &document["grant"]),
        (&json!(true), &json!("component.app.grants[0]"))
    );
    let document = check(&["app", "read", "db/main", "--json"]).exits(3).json();
    assert_eq!(document["allowed"], false);
    assert_eq!(document["near"][0]["grant"], "component.app.grants[0]");
    let unknown = check(&["ap", "read", "a"]).exits(3);
    assert!(
        unknown.text().contains("did you mean 'app'"),
        "{}",
        unknown.text()
    );
    check(&["app", "raed", "a"]).exits(2).says("'read'");
    check(&["app", "read", "../a"]).exits(2);
    check(&["a b", "read", "a"]).exits(2);
}

#[test]
fn every_command_is_recorded_with_its_way_in() {
    let room = Room::new();
    room.set("a", "one");
    room.get("a");
    room.run(["get", "missing"]).exits(4);
    let log = std::fs::read_to_string(room.path("audit.jsonl")).unwrap();
    let records: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |via: &str| {
        records
            .iter()
            .filter(|r| r["via"] == via)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("strongroom set").len(), 2, "{log}");
    let gets = of("strongroom get");
    assert_eq!(gets.len(), 2, "{log}");
    assert_eq!(
        (&gets[0]["outcome"], &gets[0]["grant"]),
        (&json!("allowed"), &json!("operator"))
    );
    assert_eq!(gets[1]["outcome"], "not-found");
    assert!(
        gets[0]["principal"]
            .as_str()
            .unwrap()
            .starts_with("operator:")
    );
    room.run(["audit", "verify"]).ok();
}
