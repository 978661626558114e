//! What the tests share.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_backend::{
    Backend, Error, ErrorKind, PutOptions, Result, SecretPath, SecretValue, Versioning, Which,
};
use strongroom_backend_gcp::{Auth, Config, GcpBackend};
use strongroom_backend_remote::Endpoint;

/// Settings for a server on loopback.
pub(crate) fn settings(url: &str) -> Config {
    let mut config = Config::new("shop-prod");
    config.auth = Auth::None;
    config.endpoint = Some(Endpoint::parse(url).unwrap());
    config
}

pub(crate) async fn open(config: &Config) -> GcpBackend {
    GcpBackend::open(config, Path::new("")).await.unwrap()
}

pub(crate) async fn store(url: &str) -> GcpBackend {
    open(&settings(url)).await
}

pub(crate) fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

pub(crate) async fn get(store: &GcpBackend, name: &str) -> Result<String> {
    let secret = store.get(&path(name), Which::Current).await?;
    Ok(String::from_utf8(secret.value.expose().to_vec()).unwrap())
}

pub(crate) async fn put(store: &GcpBackend, name: &str, value: &str) -> Result<u64> {
    put_with(store, name, value, &PutOptions::default()).await
}

pub(crate) async fn put_with(
    store: &GcpBackend,
    name: &str,
    value: &str,
    options: &PutOptions,
) -> Result<u64> {
    let value = SecretValue::copy_of(value.as_bytes());
    Ok(store.put(&path(name), &value, options).await?.version)
}

pub(crate) async fn names(store: &GcpBackend) -> Vec<String> {
    let page = store.list("", None, 1000).await.unwrap();
    assert!(!page.more);
    page.paths.iter().map(ToString::to_string).collect()
}

pub(crate) fn versioning(store: &GcpBackend) -> &dyn Versioning {
    store.versioning().unwrap()
}

pub(crate) fn failed<T>(result: Result<T>) -> (ErrorKind, String) {
    let error: Error = match result {
        Ok(_) => panic!("the call succeeded"),
        Err(error) => error,
    };
    (error.kind(), error.to_string())
}

/// A private file in a folder of its own.
pub(crate) fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

pub(crate) async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// A file of workload identity federation, with the subject's token in another file.
pub(crate) fn federated(token: &Path, sts: &str) -> String {
    format!(
        r#"{{"type":"external_account","audience":"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"{sts}/v1/token",
        "credential_source":{{"file":"{}"}}}}"#,
        token.display()
    )
}
