//! At its most talkative, the log of the libraries shows neither a value nor a credential.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;

use std::io;
use std::sync::{Arc, Mutex};

use fake::{Clock, Fake};
use strongroom_backend::{Backend, PutOptions, SecretPath, SecretValue, Which};
use strongroom_backend_azure::AzureBackend;
use strongroom_backend_testkit::Canary;
use tracing_subscriber::filter::LevelFilter;

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

#[tokio::test]
async fn nothing_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let fake = Fake::start(Clock::Steps);
    let store = AzureBackend::open(&fake.config(), fake.folder()).await;
    let store = store.unwrap();
    let path = SecretPath::parse("a/b").unwrap();
    let canaries = [
        Canary::new("canary-6d1f-never-logged"),
        Canary::new(&b"\xff\0canary-77a0-binary"[..]),
    ];
    for canary in &canaries {
        let value = SecretValue::copy_of(canary.bytes());
        let put = store.put(&path, &value, &PutOptions::default()).await;
        let number = put.unwrap().version;
        for which in [Which::Current, Which::Version(number)] {
            let read = store.get(&path, which).await.unwrap();
            assert_eq!(read.value.expose(), canary.bytes());
        }
        store.delete(&path, None).await.unwrap();
        store
            .versioning()
            .unwrap()
            .undelete(&path, None)
            .await
            .unwrap();
        store.list("", None, 1).await.unwrap();
    }
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("/secrets/a-b--"), "the client logged");
    for canary in &canaries {
        assert_eq!(canary.found_in(&text), None, "the log shows a value");
    }
    assert!(
        !text.contains(fake::SECRET),
        "the log shows the client's secret"
    );
    let token = fake.requests().into_iter().find_map(|request| {
        let header = request.header("authorization")?;
        Some(header.strip_prefix("Bearer ")?.to_owned())
    });
    assert!(!text.contains(&token.unwrap()), "the log shows a token");
}
