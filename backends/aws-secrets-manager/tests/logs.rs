//! At its most talkative, the client's own log shows no value.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use strongroom_backend::{Backend, PutOptions, SecretValue, Which};
use strongroom_backend_testkit::Canary;
use tracing_subscriber::filter::LevelFilter;

use common::{Strict, path};

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
async fn no_value_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let strict = Strict::start().await;
    let canaries = [
        Canary::new("canary-6d1f-never-logged"),
        Canary::new(&b"\xff\0canary-77a0-binary"[..]),
    ];
    for canary in &canaries {
        let value = SecretValue::copy_of(canary.bytes());
        let (name, options) = (path("a"), PutOptions::default());
        let put = strict.store.put(&name, &value, &options).await;
        let number = put.unwrap().version;
        strict.put("b", canary.bytes()).await;
        for which in [Which::Current, Which::Version(number)] {
            let read = strict.store.get(&path("a"), which).await.unwrap();
            assert_eq!(read.value.expose(), canary.bytes());
        }
        for answer in strict.store.get_many(&[path("a"), path("b")]).await {
            assert_eq!(answer.unwrap().value.expose(), canary.bytes());
        }
        strict.store.delete(&path("a"), None).await.unwrap();
    }
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("transmitting request"), "the client logged");
    for canary in &canaries {
        assert_eq!(canary.found_in(&text), None, "the log shows a value");
    }
    assert!(!text.contains("secret-of-a-test"), "the log shows the key");
}
