//! Every verb through every store.

use super::servers::{KINDS, Shop, settings};

fn every_verb(kind: &str) {
    let shop = Shop::new([("far", settings(kind))]);
    assert!(shop.list("far:").is_empty());
    shop.run(["get", "far:stripe/key"]).exits(4);

    shop.set("far:stripe/key", "one");
    shop.set("far:stripe/key", "two\n\"\u{e9}");
    shop.set("far:db/main", r#"{"user":"app","port":5432}"#);
    assert_eq!(shop.get("far:stripe/key"), "two\n\"\u{e9}");
    let field = shop.run(["get", "far:db/main", "--field", "user"]).ok();
    assert_eq!(field.text(), "app");
    assert_eq!(shop.list("far:"), ["far:db/main", "far:stripe/key"]);
    assert_eq!(shop.list("far:stripe/"), ["far:stripe/key"]);

    let versions = shop
        .run(["versions", "far:stripe/key", "--json"])
        .ok()
        .json();
    let versions = versions["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2, "{kind}: {versions:?}");
    let oldest = versions.last().unwrap()["version"].to_string();
    let newest = versions[0]["version"].to_string();
    let old = shop
        .run(["get", "far:stripe/key", "--version", &oldest])
        .ok();
    assert_eq!(old.text(), "one", "{kind}");
    let about = shop
        .run(["describe", "far:stripe/key", "--json"])
        .ok()
        .json();
    assert_eq!(about["version"].to_string(), newest, "{kind}: {about}");

    // Compare-and-set: a stale number changes nothing, and a store without it says so.
    let stale = ["set", "far:stripe/key", "--if-version", &oldest];
    let compares = !matches!(kind, "aws-ssm" | "gcp-secret-manager" | "azure-key-vault");
    shop.feed(&stale, b"three")
        .exits(if compares { 6 } else { 1 });
    assert_eq!(shop.get("far:stripe/key"), "two\n\"\u{e9}", "{kind}");
    if compares {
        let new = ["set", "far:stripe/key", "--if-version", &newest];
        shop.feed(&new, b"three").ok();
        assert_eq!(shop.get("far:stripe/key"), "three", "{kind}");
    }

    shop.run(["delete", "far:stripe/key"]).ok();
    shop.run(["get", "far:stripe/key"]).exits(4);
    assert_eq!(shop.list("far:"), ["far:db/main"], "{kind}");
    shop.run(["delete", "far:db/main"]).ok();
    assert!(shop.list("far:").is_empty());
    shop.run(["audit", "verify"]).ok();
}

#[test]
fn over_parameter_store() {
    every_verb("aws-ssm");
}

#[test]
fn over_secrets_manager() {
    every_verb("aws-secrets-manager");
}

#[test]
fn over_gcp() {
    every_verb("gcp-secret-manager");
}

#[test]
fn over_azure() {
    every_verb("azure-key-vault");
}

#[test]
fn over_kubernetes() {
    every_verb("kubernetes");
}

#[test]
fn over_vault() {
    every_verb("hashicorp-vault");
}

#[test]
fn doctor_tells_of_a_sound_vault() {
    let shop = Shop::everywhere();
    for kind in KINDS {
        let answer = shop.run(["doctor", kind]).ok();
        assert!(!answer.text().contains("FAILED"), "{}", answer.text());
        let lines = answer.text().matches(&format!("vault {kind}: ")).count();
        assert!(lines >= 2, "{}", answer.text());
        assert!(!answer.text().contains("canary-secret-key"));
    }
}
