//! The guest prints the same, byte for byte, over every store, and so does the audit log.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

#[allow(unreachable_pub, reason = "the tests of the store use the rest of it")]
#[path = "../../../backends/azure/tests/fake/mod.rs"]
mod fake;
#[allow(unreachable_pub, reason = "the tests of the store use the rest of it")]
#[path = "../../../backends/gcp/tests/strict/mod.rs"]
mod strict;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fake::{Clock, Fake};
use strongroom_test_guests::guest;

/// What everyone prints.
const OUTPUT: &str = "\
stripe/api-key: 34 bytes
db/main: JSON, db.internal:5432
db/main, field password: 10 bytes
stripe/webhook: 16 bytes
stripe/none: not found: there is no such secret or version, or it has expired; check the name and the vault
smtp/password: denied: this component has no grant for the call; ask the operator to add one to strongroom.toml (`strongroom check` shows what decides)
lists stripe/api-key
lists stripe/webhook
audit: allowed read stripe/api-key
audit: allowed read db/main
audit: allowed read db/main
audit: denied read smtp/password
audit: allowed read stripe/webhook
audit: not-found read stripe/none
audit: allowed list stripe/
";

/// The files that a test below runs.
const TRIED: [&str; 12] = [
    "aws-secrets-manager",
    "aws-ssm",
    "azure-key-vault",
    "chain",
    "env",
    "files",
    "gcp-secret-manager",
    "hashicorp-vault-v1",
    "hashicorp-vault-v2",
    "kubernetes",
    "local",
    "memory",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vaults")
}

fn file(name: &str) -> PathBuf {
    folder().join(name).with_extension("toml")
}

/// A server that `cargo xtask servers` started.
fn server(variable: &'static str, name: &str) -> (&'static str, String) {
    let Ok(value) = std::env::var(variable) else {
        panic!("{variable} is not set: start the server with `cargo xtask servers up {name}`");
    };
    (variable, value)
}

/// Runs the program with nothing of the test's environment but these.
fn run(vaults: &Path, variables: &[(&str, String)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_strongroom-example-portable"))
        .arg(vaults)
        .arg(guest("portable"))
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", vaults.display());
    assert_eq!(error, "", "{}", vaults.display());
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn prints_the_same(name: &str, variables: &[(&str, String)]) {
    assert!(TRIED.contains(&name));
    assert_eq!(run(&file(name), variables), OUTPUT, "over {name}");
}

#[test]
fn every_file_is_tried() {
    let files: BTreeSet<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(files, TRIED.map(str::to_owned).into());
}

#[test]
fn over_this_machine() {
    for name in ["local", "memory", "env", "files", "chain"] {
        prints_the_same(name, &[]);
    }
}

#[test]
fn a_variable_that_is_set_is_what_the_guest_gets() {
    let set = ("PORTABLE_STRIPE__WEBHOOK", "longer than the example".into());
    let output = run(&file("env"), &[set]);
    assert_eq!(
        output,
        OUTPUT.replace("webhook: 16 bytes", "webhook: 23 bytes")
    );
}

/// An emulator that checks no signature takes any credentials.
fn aws() -> Vec<(&'static str, String)> {
    vec![
        server("STRONGROOM_TEST_AWS", "aws"),
        ("AWS_ACCESS_KEY_ID", "example".into()),
        ("AWS_SECRET_ACCESS_KEY", "example".into()),
    ]
}

#[test]
fn over_aws_parameter_store() {
    prints_the_same("aws-ssm", &aws());
}

#[test]
fn over_aws_secrets_manager() {
    prints_the_same("aws-secrets-manager", &aws());
}

#[test]
fn over_gcp() {
    let server = strict::Strict::start();
    let endpoint = ("STRONGROOM_TEST_GCP", server.wire.url());
    prints_the_same("gcp-secret-manager", &[endpoint]);
}

/// The emulator drops annotations, from which a listing has the paths; here the file has them.
#[test]
fn over_the_emulator_of_gcp() {
    let names = [
        "stripe/api-key",
        "stripe/webhook",
        "db/main",
        "smtp/password",
    ];
    let named = names.map(|path| format!("{path:?} = \"p${{RUN}}-{}\"", path.replace('/', "-")));
    let server = server("STRONGROOM_TEST_GCP", "gcp");
    let vaults = with(
        "gcp-secret-manager",
        &format!("names = {{ {} }}\n", named.join(", ")),
    );
    assert_eq!(run(&vaults.path().join("vaults.toml"), &[server]), OUTPUT);
}

/// A copy of a file with more settings at its end.
fn with(name: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(file(name)).unwrap();
    fs::write(folder.path().join("vaults.toml"), text + more).unwrap();
    folder
}

#[test]
fn over_kubernetes() {
    let server = server("STRONGROOM_TEST_KUBERNETES", "kubernetes");
    prints_the_same("kubernetes", &[server]);
}

#[test]
fn over_vault_with_kv_1() {
    let variables = vault();
    let (_, address) = &variables[0];
    mount("portable-v1", address);
    prints_the_same("hashicorp-vault-v1", &variables);
}

#[test]
fn over_vault_with_kv_2() {
    prints_the_same("hashicorp-vault-v2", &vault());
}

fn vault() -> Vec<(&'static str, String)> {
    vec![
        server("STRONGROOM_TEST_VAULT", "vault"),
        ("VAULT_TOKEN", "root".into()),
    ]
}

/// Mounts an engine of KV version 1, where it is not there from an earlier run.
fn mount(path: &str, address: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (status, text) = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = serde_json::json!({ "type": "kv", "options": { "version": "1" } });
        let mount = client
            .post(format!("{address}/v1/sys/mounts/{path}"))
            .header("x-vault-token", "root")
            .json(&body);
        let answer = mount.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    });
    assert!(status == 204 || text.contains("in use"), "{status} {text}");
}

#[test]
fn over_azure() {
    let fake = Fake::start(Clock::Steps);
    let ca = fake.folder().join("ca.pem");
    // The file is for the real service; for another it has these three settings beside.
    let here = format!(
        "endpoint = \"{url}\"\nauthority-host = \"{url}\"\nca-file = {ca:?}\n",
        url = fake.url()
    );
    let vaults = with("azure-key-vault", &here);
    let variables = [
        ("AZURE_VAULT", fake::VAULT.into()),
        ("AZURE_TENANT_ID", fake::TENANT.into()),
        ("AZURE_CLIENT_ID", fake::CLIENT.into()),
        ("AZURE_CLIENT_SECRET", fake::SECRET.into()),
    ];
    let vaults = vaults.path().join("vaults.toml");
    assert_eq!(run(&vaults, &variables), OUTPUT);
}

#[test]
fn what_is_missing_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_strongroom-example-portable"))
        .arg(file("gcp-secret-manager"))
        .env_clear()
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("STRONGROOM_TEST_GCP"), "{error}");
}
