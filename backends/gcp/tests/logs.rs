//! At its most talkative, the log of the libraries shows neither a value nor a credential.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;
mod keys;
mod strict;

use std::io;
use std::sync::{Arc, Mutex};

use strongroom_backend::{Backend, PutOptions, SecretValue, Which};
use strongroom_backend_gcp::Auth;
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};
use tracing_subscriber::filter::LevelFilter;

use common::{file, open, path, settings, versioning};
use strict::Strict;

const SUBJECT: &str = "canary-of-a-subject-2c7e";
const TOKEN: &str = "canary-of-a-token-b7c1";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// With a token that another server gives, and with one that a key file signs.
#[tokio::test]
async fn nothing_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    tracing::trace!("the log takes the least of events");
    let identity = Identity::new("localhost");
    let server = Strict::start_tls(&identity);
    let sts = Wire::http(|_| {
        let body = format!(
            r#"{{"access_token":"{TOKEN}","token_type":"Bearer","expires_in":3600,
            "issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}}"#
        );
        Reply::json(200, &body)
    });
    let refusing = Wire::http(|_| {
        let body = format!(r#"{{"error":"invalid_grant","error_description":"{SUBJECT}"}}"#);
        Reply::json(400, &body)
    });
    let dir = tempfile::tempdir().unwrap();
    let subject = file(&dir, "subject", SUBJECT);
    let credentials = |name: &str, text: &str| Auth::credentials_file(file(&dir, name, text));
    let given = credentials("given.json", &common::federated(&subject, &sts.url()));
    let refused = credentials(
        "refused.json",
        &common::federated(&subject, &refusing.url()),
    );
    let signed = Auth::key_file(file(&dir, "key.json", &keys::file("k1", "k1")));
    let mut config = settings(&server.wire.url());
    config.ca_file = Some(file(&dir, "ca.pem", identity.authority()));
    let canaries = [
        Canary::new("canary-6d1f-never-logged"),
        Canary::new(&b"\xff\0canary-77a0-binary"[..]),
    ];
    let name = path("a/b");
    for auth in [given, signed] {
        config.auth = auth;
        let store = open(&config).await;
        for canary in &canaries {
            let value = SecretValue::copy_of(canary.bytes());
            let put = store.put(&name, &value, &PutOptions::default()).await;
            let number = put.unwrap().version;
            for which in [Which::Current, Which::Version(number)] {
                let read = store.get(&name, which).await.unwrap();
                assert_eq!(read.value.expose(), canary.bytes());
            }
            store.delete(&name, None).await.unwrap();
            versioning(&store).undelete(&name, None).await.unwrap();
            store.list("", None, 1).await.unwrap();
        }
        store.check().await.unwrap();
    }
    config.auth = refused;
    let store = open(&config).await;
    store.get(&name, Which::Current).await.unwrap_err();

    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("the least of events"), "the log is there");
    for canary in &canaries {
        assert_eq!(canary.found_in(&text), None, "the log shows a value");
    }
    for credential in [SUBJECT, TOKEN] {
        let found = Canary::new(credential).found_in(&text);
        assert_eq!(found, None, "the log shows a credential");
    }
    let mut key = keys::key("k1").pem.lines();
    assert!(
        key.all(|line| !text.contains(line)),
        "the log shows a private key"
    );
    let requests = server.wire.requests();
    let mut tokens = requests.iter().filter_map(keys::bearer);
    assert!(
        tokens.all(|token| !text.contains(token)),
        "the log shows a token"
    );
    for asked in [&sts, &refusing] {
        let sent = asked.requests()[0].text().contains(SUBJECT);
        assert!(sent, "the subject was sent");
    }
    let was_sent = |token: &str| requests.iter().any(|r| keys::bearer(r) == Some(token));
    assert!(was_sent(TOKEN), "the token was sent");
}
