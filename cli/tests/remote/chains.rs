//! Chains over this machine and a server, and workspaces that put another vault in place.

use super::servers::{Shop, settings};

fn chained(on_error: &str, far: String) -> Shop {
    Shop::new([
        (
            "both",
            format!("chain = [\"local\", \"far\"]\non-error = \"{on_error}\"\n"),
        ),
        ("far", far),
    ])
}

#[test]
fn a_chain_answers_from_the_first_that_has_it_and_says_which() {
    let shop = chained("stop", settings("aws-ssm"));
    shop.set("local:a", "near");
    shop.set("far:a", "hidden");
    shop.set("far:b", "far");
    assert_eq!(shop.get("both:a"), "near");
    assert_eq!(shop.get("both:b"), "far");
    assert_eq!(shop.list("both:"), ["both:a", "both:b"]);
    shop.run(["get", "both:c"]).exits(4);

    let records = shop.records();
    let of = |secret: &str| {
        let read = |record: &&serde_json::Value| {
            record["vault"] == "both" && record["secret"] == secret && record["action"] == "read"
        };
        records.iter().rfind(read).unwrap()["detail"].to_string()
    };
    assert!(of("a").contains("local"), "{}", of("a"));
    assert!(of("b").contains("far"), "{}", of("b"));
    let shown = shop.run(["audit", "show"]).ok();
    assert!(shown.text().contains("both:b"), "{}", shown.text());
}

#[test]
fn an_outage_is_no_missing_secret() {
    let closed = "backend = \"hashicorp-vault\"\naddress = \"http://127.0.0.1:1\"\nmount = \"secret\"\n\
                  auth = { token-env = \"SHOP_TOKEN\" }\ndeadline = \"2s\"\n";
    let shop = chained("stop", closed.into());
    shop.set("local:a", "near");
    assert_eq!(shop.get("both:a"), "near");
    let answer = shop.run(["get", "both:b"]).exits(5);
    assert!(answer.stderr.contains("far"), "{}", answer.stderr);
    let shop = chained("next", closed.into());
    shop.run(["get", "both:b"]).exits(5);
}

#[test]
fn a_workspace_puts_another_vault_in_place_on_record() {
    let shop = Shop::new([("app", settings("aws-secrets-manager"))]);
    let staging = settings("kubernetes");
    shop.room
        .configure(&format!("[workspace.staging.vault.app]\n{staging}"));
    shop.set("app:key", "production");
    let staged = ["--workspace", "staging"];
    let set = [&staged[..], &["set", "app:key"]].concat();
    shop.feed(&set, b"staging").ok();
    assert_eq!(shop.get("app:key"), "production");
    let get = [&staged[..], &["get", "app:key"]].concat();
    assert_eq!(shop.run(get).ok().text(), "staging");

    let shop = shop.with("STRONGROOM_WORKSPACE", "staging");
    assert_eq!(shop.get("app:key"), "staging");
    let policies: Vec<_> = shop
        .records()
        .iter()
        .filter(|record| record["action"] == "policy")
        .map(|record| record["detail"].to_string())
        .collect();
    let staged = policies.iter().filter(|text| text.contains("staging"));
    assert!(staged.count() >= 3, "{policies:?}");
    assert!(policies.iter().any(|text| !text.contains("staging")));

    let shop = shop.with("STRONGROOM_WORKSPACE", "stagin");
    shop.run(["get", "app:key"]).exits(2).says("staging");
}
