//! Configurations that are refused before anything is asked, with their line.

use super::servers::Shop;

/// Runs a command over this table, which must be refused without the text being repeated.
#[track_caller]
fn refused(table: &str, line_of: &str, parts: &[&str]) {
    let shop = Shop::new([]);
    shop.room.configure(table);
    let file = std::fs::read_to_string(shop.room.path("strongroom.toml")).unwrap();
    let at = file
        .lines()
        .position(|line| !line.starts_with('#') && line.contains(line_of))
        .unwrap()
        + 1;
    let answer = shop.run(["get", "far:a"]).exits(2);
    for part in parts {
        assert!(
            answer.stderr.contains(part),
            "no {part:?} in {}",
            answer.stderr
        );
    }
    let told = [format!("line {at}"), format!("toml:{at}")];
    let has_line = told.iter().any(|line| answer.stderr.contains(line));
    assert!(has_line, "no line {at} in {}", answer.stderr);
    assert!(!answer.stderr.contains("canary"), "{}", answer.stderr);
}

#[test]
fn a_credential_in_the_file() {
    let ways = ["file", "variable"];
    for (table, key) in [
        (
            "backend = \"aws-ssm\"\nprefix = \"/a/\"\nsecret-access-key = \"canary-1\"",
            "secret-access-key",
        ),
        (
            "backend = \"hashicorp-vault\"\naddress = \"https://v.invalid\"\nmount = \"m\"\n\
             auth = { token = \"canary-1\" }",
            "token",
        ),
        (
            "backend = \"azure-key-vault\"\nvault = \"v\"\nauth = { tenant-id = \"t\", \
             client-id = \"c\", client-secret = \"canary-1\" }",
            "client-secret",
        ),
        (
            "backend = \"kubernetes\"\nauth = \"default\"\nnamespace = \"n\"\npassword = \"canary-1\"",
            "password",
        ),
        (
            "backend = \"gcp-secret-manager\"\nproject = \"p\"\nprivate-key = \"canary-1\"",
            "private-key",
        ),
    ] {
        refused(&format!("[vault.far]\n{table}\n"), key, &ways);
    }
}

#[test]
fn two_vaults_over_one_place() {
    refused(
        "[vault.near]\nbackend = \"local\"\npath = \"local.vault\"\nkey = { file = \"keys/other.key\" }\n",
        "[vault.near]",
        &["near", "local"],
    );
}

#[test]
fn a_chain_in_a_loop() {
    refused(
        "[vault.far]\nchain = [\"local\", \"back\"]\n\n[vault.back]\nchain = [\"far\"]\n",
        "chain = [\"far\"]",
        &["far", "back"],
    );
    refused(
        "[vault.far]\nchain = [\"nowhere\"]\n",
        "nowhere",
        &["nowhere"],
    );
}

#[test]
fn a_plain_endpoint_and_a_word_that_is_none() {
    refused(
        "[vault.far]\nbackend = \"hashicorp-vault\"\naddress = \"http://vault.example.com\"\n\
         mount = \"m\"\nauth = { token-env = \"T\" }\n",
        "address",
        &["http://", "loopback"],
    );
    refused(
        "[vault.far]\nbackend = \"aws-smm\"\n",
        "aws-smm",
        &["aws-ssm"],
    );
}
