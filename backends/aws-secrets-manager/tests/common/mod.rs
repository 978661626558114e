//! What the tests share: a strict server, and stores for it.
#![allow(dead_code, reason = "each test uses a part")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

pub(crate) mod queue;
pub(crate) mod service;

use std::sync::Arc;

use strongroom_backend::{
    Backend, Error, ErrorKind, PutOptions, Result, SecretPath, SecretValue, Which,
};
use strongroom_backend_aws::testing;
use strongroom_backend_aws_secrets_manager::{Config, SecretsManagerBackend};
use strongroom_backend_testkit::wire::{Reply, Request, Wire};

use service::Service;

/// A strict server and a store that talks to it.
pub(crate) struct Strict {
    pub(crate) wire: Wire,
    pub(crate) service: Arc<Service>,
    pub(crate) store: Arc<SecretsManagerBackend>,
}

impl Strict {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(set: impl FnOnce(&mut Config)) -> Self {
        let service = Arc::new(Service::default());
        let answering = Arc::clone(&service);
        let wire = Wire::http(move |request| answering.answer(request));
        let store = Arc::new(store(&wire.url(), set).await);
        Self {
            wire,
            service,
            store,
        }
    }

    /// A second store for the same server, as another host would have.
    pub(crate) async fn another(&self) -> Arc<SecretsManagerBackend> {
        Arc::new(store(&self.wire.url(), |_| {}).await)
    }

    pub(crate) async fn put(&self, text: &str, value: &[u8]) -> u64 {
        put(&self.store, text, value, None).await.unwrap()
    }

    pub(crate) async fn put_if(&self, text: &str, value: &[u8], expected: u64) -> Result<u64> {
        put(&self.store, text, value, Some(expected)).await
    }

    /// The current version and value.
    pub(crate) async fn get(&self, text: &str) -> Result<(u64, Vec<u8>)> {
        self.read(text, Which::Current).await
    }

    pub(crate) async fn read(&self, text: &str, which: Which) -> Result<(u64, Vec<u8>)> {
        let secret = self.store.get(&path(text), which).await?;
        Ok((secret.version, secret.value.expose().to_vec()))
    }

    /// The actions that were asked for since the last call of this.
    pub(crate) fn actions(&self) -> Vec<String> {
        let actions = self.wire.requests().iter().map(action).collect();
        self.wire.forget();
        actions
    }
}

pub(crate) async fn put(
    store: &SecretsManagerBackend,
    text: &str,
    value: &[u8],
    expected: Option<u64>,
) -> Result<u64> {
    let options = PutOptions {
        expected,
        ..PutOptions::default()
    };
    let value = SecretValue::copy_of(value);
    let change = store.put(&path(text), &value, &options).await?;
    Ok(change.version)
}

/// A store for whatever listens at `url`.
pub(crate) async fn store(url: &str, set: impl FnOnce(&mut Config)) -> SecretsManagerBackend {
    let mut config = Config::new(testing::config(url));
    set(&mut config);
    let session = testing::session_with(&config.aws, "AKIDTEST", "secret-of-a-test").await;
    SecretsManagerBackend::with_session(&config, session).unwrap()
}

/// A server that gives the same answer to everything, and a store for it.
pub(crate) async fn answering(reply: Reply) -> (Wire, SecretsManagerBackend) {
    let wire = Wire::http(move |_| reply.clone());
    let store = store(&wire.url(), |_| {}).await;
    (wire, store)
}

pub(crate) fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

/// What a request asks for.
pub(crate) fn action(request: &Request) -> String {
    let target = request.header("x-amz-target").unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default().to_owned()
}

pub(crate) fn kind<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it was done"),
        Err(error) => error.kind(),
    }
}

/// An error with all that stems from it, as a log would show it.
pub(crate) fn shown(error: &Error) -> String {
    format!("{error} {error:?}")
}
