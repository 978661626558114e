//! At its most talkative, the client's own log shows no value.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use common::{agreeable, path, store};
use strongroom_backend::{Backend, PutOptions, SecretValue, Which};
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::Wire;
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
async fn no_value_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    // The server answers a read with the name as the value: the path is a second canary.
    let server = Wire::http(agreeable);
    let store = store(&server.url()).await;
    let canary = Canary::new("canary-6d1f-never-logged");
    let value = SecretValue::copy_of(canary.bytes());
    let name = path("a");
    store
        .put(&name, &value, &PutOptions::default())
        .await
        .unwrap();
    let read = store.get(&name, Which::Current).await.unwrap();
    store.get_many(&[name]).await;
    let sent = server.requests()[0].text().to_owned();
    assert!(sent.contains("canary-6d1f"), "the value was sent");
    assert_eq!(read.value.expose(), b"/app/a");
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("transmitting request"), "the client logged");
    assert!(
        !text.contains("canary"),
        "the log shows the value that was written"
    );
    assert!(
        !text.contains("\"Value\""),
        "the log shows the body of a reply"
    );
    assert!(
        !text.contains("secret-of-a-test"),
        "the log shows the secret key"
    );
}
