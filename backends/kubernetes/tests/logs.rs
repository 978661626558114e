//! Nothing that is logged, by us or the libraries below, holds a value or a token.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

use std::io::Write;
use std::sync::{Arc, Mutex};

use strongroom_backend::{Backend, PutOptions, SecretPath, SecretValue, Which};
use strongroom_backend_kubernetes::{Auth, Config, KubernetesBackend};
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Reply, Wire};
use tracing_subscriber::fmt::MakeWriter;

const VALUE: &str = "canary-of-a-value-55e0";
const TOKEN: &str = "canary-of-a-token-b7c1";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// At TRACE, for all targets.
#[tokio::test]
async fn no_log_holds_a_value_or_a_token() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let encoded = "Y2FuYXJ5LW9mLWEtdmFsdWUtNTVlMA==";
    // Replies with the value in every place, most of which make no sense.
    let server = Wire::http(move |request| match request.method.as_str() {
        "GET" if request.target.ends_with("/missing") => {
            Reply::json(404, r#"{"kind":"Status","reason":"NotFound","code":404}"#)
        }
        "GET" => Reply::json(
            200,
            &format!(
                r#"{{"metadata":{{"name":"db"}},"data":{{"value":"{encoded}"}},"x":"{VALUE}""#
            ),
        ),
        _ => Reply::json(422, &format!(r#"{{"kind":"Status","message":"{VALUE}"}}"#)),
    });
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "current-context: c\nclusters: [{{ name: k, cluster: {{ server: '{}' }} }}]\n\
         contexts: [{{ name: c, context: {{ cluster: k, user: u }} }}]\n\
         users: [{{ name: u, user: {{ token: {TOKEN} }} }}]\n",
        server.url()
    );
    std::fs::write(dir.path().join("kubeconfig"), text).unwrap();
    let auth = Auth::Kubeconfig {
        path: "kubeconfig".into(),
        context: None,
    };
    let store = KubernetesBackend::open(&Config::new(auth, "app"), dir.path())
        .await
        .unwrap();
    let path = |text| SecretPath::parse(text).unwrap();
    let listening = store.notices(Arc::new(|_| ()));
    let value = SecretValue::copy_of(VALUE.as_bytes());
    let _ = store
        .put(&path("missing"), &value, &PutOptions::default())
        .await;
    let _ = store.put(&path("db"), &value, &PutOptions::default()).await;
    let _ = store.get(&path("db"), Which::Current).await;
    let _ = store.get_many(&["db", "a", "b", "c", "d"].map(path)).await;
    let _ = store.list("", None, 10).await;
    let _ = store.check().await;
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    drop(listening);
    assert!(
        server
            .requests()
            .iter()
            .any(|request| request.method == "POST")
    );
    let log = log.0.lock().unwrap();
    let text = String::from_utf8_lossy(&log);
    assert!(text.contains("TRACE") && text.contains("no news"), "{text}");
    for canary in [VALUE, TOKEN] {
        let found = Canary::new(canary).found_in(&text);
        assert!(found.is_none(), "the log holds {canary} as {found:?}");
    }
}
