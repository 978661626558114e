//! Copies between stores of different kinds, both ways.

use super::servers::{KINDS, Shop, settings};

const NAMES: [&str; 3] = ["app/one", "app/three", "app/two"];

fn fill(shop: &Shop, vault: &str) {
    for name in NAMES {
        shop.set(&format!("{vault}:{name}"), &format!("value of {name}"));
    }
}

fn has_all(shop: &Shop, vault: &str) {
    let names = NAMES.map(|name| format!("{vault}:{name}"));
    assert_eq!(shop.list(&format!("{vault}:")), names);
    for name in NAMES {
        let value = shop.get(&format!("{vault}:{name}"));
        assert_eq!(value, format!("value of {name}"));
    }
}

#[test]
fn a_dry_run_changes_nothing_and_a_copy_goes_on_where_it_stopped() {
    let shop = Shop::new([
        ("from", settings("aws-secrets-manager")),
        ("to", settings("hashicorp-vault")),
    ]);
    fill(&shop, "from");
    let plan = shop.run(["copy", "from:", "to:", "--dry-run"]).ok();
    assert_eq!(
        plan.text().matches("create: to:app/").count(),
        3,
        "{}",
        plan.text()
    );
    assert!(shop.list("to:").is_empty());

    // As if the first had been written when it was stopped.
    shop.set("to:app/one", "value of app/one");
    let copied = shop.run(["copy", "from:", "to:"]).ok();
    for part in ["2 created", "1 same"] {
        assert!(copied.text().contains(part), "{}", copied.text());
    }
    has_all(&shop, "to");
    has_all(&shop, "from");
    let again = shop.run(["copy", "from:", "to:"]).ok();
    assert!(again.text().contains("3 same"), "{}", again.text());
    let versions = shop.run(["versions", "to:app/one", "--json"]).ok().json();
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1);
}

#[test]
fn what_differs_is_kept_until_it_may_be_replaced() {
    let shop = Shop::new([
        ("from", settings("gcp-secret-manager")),
        ("to", settings("aws-ssm")),
    ]);
    fill(&shop, "from");
    shop.set("to:app/two", "theirs");
    shop.run(["copy", "from:", "to:", "--move"]).exits(1);
    assert_eq!(shop.get("to:app/two"), "theirs");
    // What was not copied was not removed.
    assert_eq!(shop.list("from:"), ["from:app/two"]);
    shop.run(["copy", "from:", "to:", "--move", "--overwrite"])
        .ok();
    has_all(&shop, "to");
    assert!(shop.list("from:").is_empty());
}

#[test]
fn a_move_goes_around_every_store_and_comes_home_whole() {
    let shop = Shop::everywhere();
    fill(&shop, "local");
    let mut at = "local";
    for next in KINDS.into_iter().chain(["local"]) {
        let (from, to) = (format!("{at}:"), format!("{next}:"));
        let moved = shop.run(["copy", &from, &to, "--move"]).ok();
        assert!(moved.text().contains("3 created"), "{}", moved.text());
        assert!(shop.list(&from).is_empty(), "{from} has some left");
        assert_eq!(shop.list(&to).len(), 3);
        at = next;
    }
    has_all(&shop, "local");
    shop.run(["audit", "verify"]).ok();
}

#[test]
fn all_versions_go_over() {
    let shop = Shop::new([("to", settings("hashicorp-vault"))]);
    for value in ["one", "two", "three"] {
        shop.set("local:a", value);
    }
    shop.run(["copy", "local:a", "to:a", "--all-versions"]).ok();
    let versions = shop.run(["versions", "to:a", "--json"]).ok().json();
    assert_eq!(versions["versions"].as_array().unwrap().len(), 3);
    let first = shop.run(["get", "to:a", "--version", "1"]).ok();
    assert_eq!(first.text(), "one");
    assert_eq!(shop.get("to:a"), "three");
}
