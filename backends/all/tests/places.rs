//! Which tables are two vaults over one store, in the words of `strongroom.toml`.
#![cfg(all(
    feature = "aws-ssm",
    feature = "aws-secrets-manager",
    feature = "gcp-secret-manager",
    feature = "azure-key-vault",
    feature = "kubernetes",
    feature = "hashicorp-vault"
))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::path::Path;

use strongroom::config::Config;

/// What the two tables are refused with, if they are.
fn refusal(one: &str, two: &str) -> Option<String> {
    let text = format!("[vault.one]\n{one}\n[vault.two]\n{two}\n");
    let backends = strongroom_backends::registry().names();
    let read = Config::parse(text.as_bytes(), Path::new("/etc/s.toml"), &backends);
    read.err().map(|error| error.to_string())
}

/// Each table is one store with each other of its row.
#[track_caller]
fn one_store(backend: &str, tables: &[&str]) {
    for_pairs(backend, tables, |one, two, refusal| {
        let told = refusal.unwrap_or_else(|| panic!("accepted:\n{one}\n{two}"));
        let part = "[vault.two] is the same place as [vault.one] in line 1";
        assert!(told.contains(part), "{one}\n{two}\n{told}");
    });
}

/// Each table is a store of its own.
#[track_caller]
fn stores(backend: &str, tables: &[&str]) {
    for_pairs(backend, tables, |one, two, refusal| {
        assert_eq!(refusal, None, "{one}\n{two}");
    });
}

#[track_caller]
fn for_pairs(backend: &str, tables: &[&str], check: impl Fn(&str, &str, Option<String>)) {
    for (at, one) in tables.iter().enumerate() {
        for two in tables.iter().skip(at + 1) {
            let whole = |table: &str| format!("backend = '{backend}'\n{table}");
            check(one, two, refusal(&whole(one), &whole(two)));
        }
    }
}

#[test]
fn parameter_store() {
    one_store(
        "aws-ssm",
        &[
            "prefix = '/p/'\nregion = 'eu-west-1'",
            "prefix = '/p/'\nregion = 'eu-west-1'\nkey-id = 'alias/app'",
            "prefix = '/p/'\nregion = 'eu-west-1'\ntier = 'advanced'\ncache = false",
            "prefix = '/p/'\nregion = 'eu-west-1'\nauth = 'default-chain'\nca-file = 'ca.pem'",
        ],
    );
    stores(
        "aws-ssm",
        &[
            "prefix = '/p/'",
            "prefix = '/P/'",
            "prefix = '/p/a/'",
            "prefix = '/p/'\nregion = 'eu-west-1'",
            "prefix = '/p/'\nregion = 'eu-west-2'",
            "prefix = '/p/'\nauth = { profile = 'a' }",
            "prefix = '/p/'\nauth = { profile = 'b' }",
            "prefix = '/p/'\nendpoint = 'http://127.0.0.1:5000'",
        ],
    );
}

#[test]
fn secrets_manager() {
    one_store(
        "aws-secrets-manager",
        &[
            "prefix = 'a'",
            "prefix = 'a'\nkms-key-id = 'alias/app'",
            "prefix = 'a'\nrecovery-window-days = 7\nnames = { x = 'Y' }",
        ],
    );
    stores(
        "aws-secrets-manager",
        &["", "prefix = 'a'", "prefix = 'a/'", "prefix = 'A'"],
    );
}

#[test]
fn gcp() {
    one_store(
        "gcp-secret-manager",
        &[
            "project = 'p'",
            "project = 'p'\nreplication = ['europe-west1']",
            "project = 'p'\nauth = { key-file = 'k' }",
            "project = 'p'\nauth = { credentials-file = 'c', allow-links = true }",
            "project = 'p'\nendpoint = 'https://secretmanager.googleapis.com/'",
        ],
    );
    stores(
        "gcp-secret-manager",
        &[
            "project = 'p'",
            "project = 'q'",
            "project = 'p'\nlocation = 'europe-west3'",
            "project = 'p'\nprefix = 'a'",
            "project = 'p'\nprefix = 'A'",
            "project = 'p'\nendpoint = 'http://127.0.0.1:9'\nauth = 'none'",
        ],
    );
}

#[test]
fn key_vault() {
    one_store(
        "azure-key-vault",
        &[
            "vault = 'my-vault'\nprefix = 'p-'\nauth = 'developer'",
            "vault = 'My-Vault'\nprefix = 'P-'\nauth = 'managed-identity'",
            "vault-url = 'https://my-vault.vault.azure.net'\nprefix = 'p-'\nsettle = 20",
            "vault-url = 'https://MY-VAULT.vault.azure.net:443/'\nprefix = 'p-'\ndelete = 'disable'",
        ],
    );
    stores(
        "azure-key-vault",
        &[
            "vault = 'my-vault'",
            "vault = 'my-vault'\nprefix = 'p-'",
            "vault = 'my-vault2'",
            "vault-url = 'https://my-vault.vault.azure.cn'",
            "vault = 'my-vault'\nendpoint = 'https://127.0.0.1:1'",
        ],
    );
}

#[test]
fn kubernetes() {
    one_store(
        "kubernetes",
        &[
            "auth = { kubeconfig = 'k' }\nnamespace = 'n'",
            "auth = { kubeconfig = './k' }\nnamespace = 'n'\nwatch = false",
            "auth = { kubeconfig = 'k' }\nnamespace = 'n'\nkeep-versions = 3\nallow-exec = true",
            "auth = { kubeconfig = 'k' }\nnamespace = 'n'\ncreate-namespace = true",
        ],
    );
    stores(
        "kubernetes",
        &[
            "auth = { kubeconfig = 'k' }\nnamespace = 'n'",
            "auth = { kubeconfig = 'k' }\nnamespace = 'm'",
            "auth = { kubeconfig = 'l' }\nnamespace = 'n'",
            "auth = { kubeconfig = 'k', context = 'c' }\nnamespace = 'n'",
            "auth = 'default'\nnamespace = 'n'",
            "auth = 'in-cluster'\nnamespace = 'n'",
            "auth = { kubeconfig = 'k' }\nnamespace = 'n'\nlayout = 'foreign'",
            "auth = { kubeconfig = 'k' }\nnamespace = 'n'\nprefix = 'p-'",
        ],
    );
}

#[test]
fn hashicorp_vault() {
    one_store(
        "hashicorp-vault",
        &[
            "address = 'https://v'\nmount = 'secret'\nauth = { token-env = 'T' }",
            "address = 'https://V:443/'\nmount = 'secret'\nauth = { token-file = 't' }",
            "address = 'https://v'\nmount = '/secret'\nauth = { token-env = 'T' }\nkv = 'v2'",
            "address = 'https://v'\nmount = 'secret/'\nauth = { token-env = 'T' }\nca-file = 'c'",
            "address = 'https://v'\nmount = 'secret'\nauth = { token-env = 'U' }\nverify-tls = false",
        ],
    );
    stores(
        "hashicorp-vault",
        &[
            "address = 'https://v'\nmount = 'secret'\nauth = { token-env = 'T' }",
            "address = 'https://v:8200'\nmount = 'secret'\nauth = { token-env = 'T' }",
            "address = 'https://v'\nmount = 'secrets'\nauth = { token-env = 'T' }",
            "address = 'https://v'\nmount = 'secret'\nauth = { token-env = 'T' }\nprefix = 'a'",
            "address = 'https://v'\nmount = 'secret'\nauth = { token-env = 'T' }\nnamespace = 'a'",
        ],
    );
}

#[test]
fn two_services_are_never_one_store() {
    let prefix = "prefix = '/p/'";
    let one = format!("backend = 'aws-ssm'\n{prefix}");
    let two = format!("backend = 'aws-secrets-manager'\n{prefix}");
    assert_eq!(refusal(&one, &two), None);
}
