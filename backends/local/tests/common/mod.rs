//! What the tests of this crate share.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::Path;
use std::process::{Child, Command, Stdio};

use strongroom_backend::{Backend, ErrorKind, PutOptions, SecretPath, SecretValue, Which};
use strongroom_backend_local::{Config, KeySource, LocalBackend};

pub(crate) fn config() -> Config {
    Config::new("app.vault", KeySource::file("keys/app.key"))
}

pub(crate) fn create(dir: &Path) -> LocalBackend {
    LocalBackend::create(&config(), dir).unwrap()
}

pub(crate) fn open(dir: &Path) -> LocalBackend {
    LocalBackend::open(&config(), dir).unwrap()
}

/// A folder that only this user can use, whatever the umask.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

pub(crate) fn value(text: &str) -> SecretValue {
    SecretValue::copy_of(text.as_bytes())
}

pub(crate) fn expect(version: u64) -> PutOptions {
    PutOptions {
        expected: Some(version),
        ..PutOptions::default()
    }
}

/// Runs one call to its end.
pub(crate) fn wait<F: Future>(call: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(call)
}

pub(crate) fn put(store: &LocalBackend, name: &str, text: &str) -> u64 {
    wait(store.put(&path(name), &value(text), &PutOptions::default()))
        .unwrap()
        .version
}

pub(crate) fn read(store: &LocalBackend, name: &str, which: Which) -> Result<String, ErrorKind> {
    let secret = wait(store.get(&path(name), which)).map_err(|error| error.kind())?;
    Ok(String::from_utf8(secret.value.expose().to_vec()).unwrap())
}

pub(crate) fn names(store: &LocalBackend) -> Result<Vec<String>, ErrorKind> {
    let page = wait(store.list("", None, 10_000)).map_err(|error| error.kind())?;
    Ok(page.paths.iter().map(ToString::to_string).collect())
}

/// Plain SQL on the store's file, as an attacker with write access would run it.
pub(crate) fn sql(dir: &Path, statements: &str) {
    let connection = rusqlite::Connection::open(dir.join("app.vault")).unwrap();
    connection.execute_batch(statements).unwrap();
}

/// This test program again, running only `test` with `dir` to work on.
pub(crate) fn spawn(test: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            test,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("STRONGROOM_TEST_DIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// The folder that a spawned test works on.
pub(crate) fn spawned_dir() -> std::path::PathBuf {
    std::env::var_os("STRONGROOM_TEST_DIR").unwrap().into()
}
