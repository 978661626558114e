//! Microsoft's own client for Python goes through its functional cases, unchanged, against the
//! fake vault: what the fake answers is what that client expects of the real service.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod fake;

use std::path::{Path, PathBuf};
use std::process::Command;

use fake::{CLIENT, Clock, Fake, SECRET, TENANT};

fn variable(name: &str) -> PathBuf {
    match std::env::var_os(name) {
        Some(value) => value.into(),
        None => panic!("{name} is not set: start it with `cargo xtask servers up azure`"),
    }
}

/// Runs one file of Microsoft's tests; returns how many passed.
fn run(file: &str) -> usize {
    let python = variable("STRONGROOM_TEST_AZURE_PYTHON");
    let tests = variable("STRONGROOM_TEST_AZURE_SDK").join("tests");
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/microsoft");
    let fake = Fake::start(Clock::Steps);
    let authority = fake.folder().join("ca.pem");
    let output = Command::new(python)
        .args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .args(["-o", "asyncio_mode=auto", file])
        .current_dir(tests)
        .env("PYTHONPATH", ours)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("REQUESTS_CA_BUNDLE", &authority)
        .env("SSL_CERT_FILE", &authority)
        .env("AZURE_KEYVAULT_URL", fake.url())
        .env("FAKE_TENANT_ID", TENANT)
        .env("FAKE_CLIENT_ID", CLIENT)
        .env("FAKE_CLIENT_SECRET", SECRET)
        .output()
        .expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let summary = text.lines().last().unwrap_or_default();
    let passed = summary.split_once(" passed").map(|(passed, _)| passed);
    let passed = passed.and_then(|passed| passed.rsplit(' ').next()?.parse().ok());
    passed.unwrap_or_else(|| panic!("no count in {summary:?}"))
}

/// Create, update, list, page, delete, recover, purge, back up and restore, and 40x answers.
#[test]
fn functional_cases() {
    assert_eq!(run("test_secrets_client.py"), 16);
}

#[test]
fn functional_cases_of_the_asynchronous_client() {
    assert_eq!(run("test_secrets_async.py"), 15);
}

#[test]
fn samples() {
    assert_eq!(run("test_samples_secrets.py"), 5);
    assert_eq!(run("test_samples_secrets_async.py"), 5);
}
