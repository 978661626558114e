//! Copies between stores of different kinds, both ways.

use super::servers::{KINDS, Shop, ask_vault, fresh, settings, vault};

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

/// Every version that can be read, oldest first.
fn history(shop: &Shop, reference: &str) -> Vec<String> {
    let answer = shop.run(["versions", reference, "--json"]).ok().json();
    let mut numbers: Vec<u64> = answer["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["version"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    let read = |number: u64| {
        let number = number.to_string();
        let old = shop.run(["get", reference, "--version", &number]).ok();
        old.text().to_owned()
    };
    numbers.into_iter().map(read).collect()
}

#[test]
fn all_versions_come_from_every_store_in_order() {
    let values = ["one", "two", "three"];
    let shop = Shop::everywhere();
    for kind in KINDS {
        let (from, to) = (format!("{kind}:app/key"), format!("local:{kind}/key"));
        for value in values {
            shop.set(&from, value);
        }
        let copied = shop.run(["copy", &from, &to, "--all-versions"]).ok();
        assert!(copied.text().contains("1 created"), "{}", copied.text());
        assert_eq!(history(&shop, &to), values, "{kind}");
        let again = shop.run(["copy", &from, &to, "--all-versions"]).ok();
        assert!(again.text().contains("1 same"), "{}", again.text());
    }
}

#[test]
fn a_side_without_versions_is_named_and_nothing_is_written() {
    let mount = fresh();
    let engine = r#"{"type":"kv","options":{"version":"1"}}"#;
    ask_vault(&format!("sys/mounts/{mount}"), engine);
    let v1 = format!(
        "backend = \"hashicorp-vault\"\n{}mount = {mount:?}\n",
        vault()
    );
    let shop = Shop::new([
        ("v1", v1),
        ("env", "backend = \"env\"\nprefix = \"PLAIN_\"\n".into()),
        ("cloud", settings("aws-secrets-manager")),
    ])
    .with("PLAIN_KEY", "of a variable");
    shop.set("v1:key", "of KV v1");
    for value in ["one", "two"] {
        shop.set("cloud:key", value);
    }
    for (from, to, side, why) in [
        ("v1:key", "cloud:new", "v1:key", "KV v1 keeps none"),
        ("env:key", "cloud:new", "env:key", "keeps no versions"),
        ("cloud:key", "v1:new", "v1:new", "KV v1 keeps none"),
        ("cloud:key", "env:new", "env:new", "keeps no versions"),
    ] {
        let args = ["copy", from, to, "--all-versions", "--move"];
        let refused = shop.run(args).exits(1);
        let named = format!("both sides keep them, and {side} does not: ");
        refused.says(&named).says(why);
        shop.run(["get", to]).exits(4);
        shop.run(["get", from]).ok();
    }
    // The current value alone goes over.
    let current = ["copy", "cloud:key", "v1:new", "--values-only"];
    shop.run(current).ok();
    assert_eq!(shop.get("v1:new"), "two");
}
