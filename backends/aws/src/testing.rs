//! What the tests of both AWS stores share: the servers' addresses, and sessions for them.
#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a test cannot go on without its server"
)]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use strongroom_backend_remote::Endpoint;

use crate::{AwsConfig, Session};

/// The region that the tests name.
pub const REGION: &str = "us-east-1";

/// A key of the strict server, as its variable gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// May do everything.
    Admin,
    /// May read but not write.
    Reader,
    /// May do nothing.
    Nobody,
}

impl User {
    fn variable(self) -> &'static str {
        match self {
            Self::Admin => "STRONGROOM_TEST_AWS_STRICT_ADMIN",
            Self::Reader => "STRONGROOM_TEST_AWS_STRICT_READER",
            Self::Nobody => "STRONGROOM_TEST_AWS_STRICT_NOBODY",
        }
    }

    /// The user's key id and secret key.
    ///
    /// # Panics
    ///
    /// Where the server was not started.
    pub fn keys(self) -> (String, String) {
        let text = variable(self.variable());
        let (id, secret) = text
            .split_once(':')
            .expect("an id and a key around a colon");
        (id.to_owned(), secret.to_owned())
    }
}

/// The address of the server that takes any credentials.
///
/// # Panics
///
/// Where it was not started.
pub fn lenient() -> String {
    variable("STRONGROOM_TEST_AWS")
}

/// The address of the server that checks signatures and permissions.
///
/// # Panics
///
/// Where it was not started.
pub fn strict() -> String {
    variable("STRONGROOM_TEST_AWS_STRICT")
}

/// Settings for the server at `url`.
///
/// # Panics
///
/// Where `url` is no endpoint.
pub fn config(url: &str) -> AwsConfig {
    AwsConfig {
        region: Some(REGION.to_owned()),
        endpoint: Some(Endpoint::parse(url).expect("an endpoint")),
        ..AwsConfig::default()
    }
}

/// A session with made-up keys, for servers that do not look.
///
/// # Panics
///
/// Where `url` is no endpoint.
pub async fn session(url: &str) -> Session {
    session_with(&config(url), "AKIDTEST", "secret-of-a-test").await
}

/// A session with these keys.
///
/// # Panics
///
/// Where the settings make none.
pub async fn session_with(config: &AwsConfig, id: &str, secret: &str) -> Session {
    let keys = Credentials::new(id, secret, None, None, "test");
    let provider = SharedCredentialsProvider::new(keys);
    Session::with_credentials(config, Path::new("."), provider)
        .await
        .expect("a session")
}

/// A word that no earlier run or trial has used.
pub fn fresh(word: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.unwrap_or_default().as_nanos();
    format!("{word}-{nanos:x}-{}-{count}", std::process::id())
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: start the server with `cargo xtask servers up aws`")
    })
}
