//! The layers around a store across a network are in force around every store that this crate has: the
//! broker sees them through the registry that the command and embedders use.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where its helper fails"
)]

mod common;

use std::time::{Duration, Instant};

use common::{Host, STORES, private, table};
use strongroom::ErrorCode;
use strongroom::backend::{PutOptions, SecretValue, Which};
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};

/// What a call may take over its deadline on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn no_call_to_any_store_outlives_its_deadline() {
    let identity = Identity::new("localhost");
    let server = Wire::http(|_| Reply::Hang);
    let tls = Wire::https(&identity, |_| Reply::Hang);
    for store in STORES {
        let dir = tempfile::tempdir().unwrap();
        private(&dir.path().join("ca.pem"), identity.authority());
        let url = match store {
            "azure-key-vault" => tls.url(),
            _ => server.url(),
        };
        let table = table(dir.path(), store, &url);
        let host = Host::new(dir, &format!("{table}\ndeadline = \"500ms\"")).await;
        let began = Instant::now();
        let error = host.session().get("a", Which::Current).await.unwrap_err();
        let took = began.elapsed();
        assert!(
            matches!(error.code, ErrorCode::Unavailable(_)),
            "{store}: {error}"
        );
        assert!(
            took < Duration::from_millis(500) + SLACK,
            "{store}: {took:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_again_is_not_asked_for_again() {
    let server = Wire::http(|request| match request.path() {
        "/v1/auth/token/lookup-self" => Reply::json(200, r#"{"data":{"ttl":0,"policies":["p"]}}"#),
        "/v1/kv/there" => Reply::json(200, r#"{"data":{"value":"v"},"lease_duration":0}"#),
        _ => Reply::json(404, r#"{"errors":[]}"#),
    });
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), "hashicorp-vault", &server.url());
    let host = Host::new(dir, &table).await;
    for (name, answer) in [("there", Ok(())), ("missing", Err(ErrorCode::NotFound))] {
        server.forget();
        for _ in 0..50 {
            let got = host.session().get(name, Which::Current).await;
            let code = got.map(drop).map_err(|error| error.code);
            assert_eq!(code, answer, "{name}: {:?}", server.requests());
        }
        let asked = server.requests();
        let reads = asked.iter().filter(|it| it.path().ends_with(name)).count();
        assert_eq!(reads, 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_in_a_cluster_shows_long_before_the_cache_asks_anew() {
    let variable = "STRONGROOM_TEST_KUBERNETES";
    let cluster = std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: start the server with `cargo xtask servers up kubernetes`")
    });
    let dir = || tempfile::tempdir().unwrap();
    let fresh = dir();
    let name: String = fresh.path().to_string_lossy().to_lowercase();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let table = format!(
        "backend = \"kubernetes\"\nnamespace = \"strongroom-layers\"\ncreate-namespace = true\n\
         prefix = \"{name}-\"\nauth = {{ kubeconfig = \"{cluster}/kubeconfig\" }}\n\
         cache = {{ ttl = \"1h\" }}"
    );
    // Three machines, as far as files tell; one of them does not watch.
    let writer = Host::new(dir(), &table).await;
    let watching = Host::new(dir(), &table).await;
    let blind = Host::new(dir(), &format!("{table}\nwatch = false")).await;
    let operator = writer.broker.operator().unwrap();
    let set = async |value: &[u8]| {
        let value = SecretValue::copy_of(value);
        operator
            .set("a", value, PutOptions::default())
            .await
            .unwrap();
    };
    let get = async |host: &Host| {
        let got = host.session().get("a", Which::Current).await.unwrap();
        got.value.expose().to_vec()
    };
    set(b"one").await;
    assert_eq!(
        (get(&watching).await, get(&blind).await),
        (b"one".to_vec(), b"one".to_vec())
    );
    set(b"two").await;
    let changed = Instant::now();
    while get(&watching).await != b"two" {
        assert!(
            changed.elapsed() < Duration::from_secs(20),
            "no notice came"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        get(&blind).await,
        b"one",
        "without a watch it is the cache's"
    );
}
