//! What a real server does beside storing: TLS, namespaces, seals, documents of other tools, limits.
#![expect(
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use strongroom_backend::{
    Backend, ErrorKind, Metadata, PutOptions, SecretValue, VersionNumbers, VersionState, Which,
};
use strongroom_backend_hashicorp::{HashicorpBackend, Kv, MAX_VALUE};
use strongroom_backend_remote::Endpoint;

use common::{Server, failed, get, open, path, put};

#[tokio::test]
async fn the_right_authority_is_trusted_and_no_other() {
    let server = Server::with_tls();
    let mount = server.mount(2).await;
    let config = server.config(&mount);
    let store = open(&config).await;
    put(&store, "a", "value").await;
    assert_eq!(get(&store, "a").await.unwrap(), "value");
    let lines = store.check().await.unwrap().join("\n");
    assert!(
        lines.contains("trusted by those of ca-file alone"),
        "{lines}"
    );

    // The platform's authorities did not sign it.
    let mut platform = config.clone();
    platform.ca_file = None;
    let other = strongroom_backend_testkit::wire::Identity::new("localhost");
    let file = mount.folder().join("other.pem");
    std::fs::write(&file, other.authority()).unwrap();
    let mut wrong = config.clone();
    wrong.ca_file = Some(file);
    for config in [platform, wrong] {
        let store = open(&config).await;
        for result in [
            get(&store, "a").await.map(drop),
            store.check().await.map(drop),
        ] {
            let (kind, text) = failed(result);
            assert_eq!(kind, ErrorKind::Failed, "{text}");
            assert!(text.contains("certificate is not trusted"), "{text}");
        }
    }

    // Asked for, and told in every check.
    let mut trusting = config.clone();
    trusting.ca_file = None;
    trusting.verify_tls = false;
    let store = open(&trusting).await;
    assert_eq!(get(&store, "a").await.unwrap(), "value");
    let lines = store.check().await.unwrap().join("\n");
    assert!(lines.contains("NOT checked"), "{lines}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let server = Server::with_tls();
    let mount = server.mount(2).await;
    let mut config = server.config(&mount);
    // The same server under a name that its certificate does not have.
    let port = config.address.url().port().unwrap();
    config.address = Endpoint::parse(&format!("https://127.0.0.2:{port}")).unwrap();
    let listener = relay(port).await;
    config.address = Endpoint::parse(&format!("https://127.0.0.2:{listener}")).unwrap();
    let (kind, text) = failed(get(&open(&config).await, "a").await);
    assert_eq!(kind, ErrorKind::Failed, "{text}");
    assert!(text.contains("for this name"), "{text}");
}

/// Passes connections to 127.0.0.2 on to the server at 127.0.0.1.
async fn relay(port: u16) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut to = tokio::net::TcpStream::connect(("127.0.0.1", port))
                    .await
                    .unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    own
}

#[tokio::test]
async fn the_token_is_in_no_text_of_the_server_with_tls() {
    let server = Server::with_tls();
    let mount = server.mount(2).await;
    let store = open(&server.config(&mount)).await;
    let lines = store.check().await.unwrap().join("\n");
    assert!(!lines.contains(&server.token), "the token is shown");
}

#[tokio::test]
async fn secrets_of_a_namespace_are_its_own() {
    let server = Server::shared();
    let name = format!("team-{}", std::process::id());
    server
        .ok(
            Method::POST,
            &format!("sys/namespaces/{name}"),
            Some(json!({})),
        )
        .await;
    let mut within = server.clone();
    within.namespace = Some(name.clone());
    let inner = within.mount_at("kv", 2).await;
    let outer = server.mount(2).await;
    let store = open(&within.config(&inner)).await;
    put(&store, "a", "inner").await;
    assert_eq!(get(&store, "a").await.unwrap(), "inner");
    let page = store.list("", None, 10).await.unwrap();
    assert_eq!(page.paths, [path("a")]);
    // The same mount without the namespace is not there.
    let mut config = within.config(&inner);
    config.namespace = None;
    let (kind, _) = failed(get(&open(&config).await, "a").await);
    assert_eq!(kind, ErrorKind::PermissionDenied);
    let mut config = server.config(&outer);
    config.namespace = Some("no-such".to_owned());
    let (kind, text) = failed(get(&open(&config).await, "a").await);
    assert_eq!(kind, ErrorKind::Config, "{text}");
    assert!(text.contains("no such namespace"), "{text}");
    assert!(store.check().await.is_ok());
    drop(inner);
    server
        .ok(Method::DELETE, &format!("sys/namespaces/{name}"), None)
        .await;
}

/// A server of this test's own: to be sealed, and stopped.
struct OwnServer {
    server: Server,
    process: Child,
}

impl OwnServer {
    async fn start() -> Self {
        let program = common::variable("STRONGROOM_TEST_BAO");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = Command::new(program)
            .args([
                "server",
                "-dev",
                "-dev-root-token-id=root",
                "-dev-no-store-token",
            ])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the server does not start"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let server = Server::new(format!("http://127.0.0.1:{port}"), "root".to_owned(), None);
        while server.call(Method::GET, "sys/health", None).await.0 != 200 {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the server does not unseal"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { server, process }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_sealed_and_a_stopped_server_are_unavailable_with_the_cause() {
    let mut own = OwnServer::start().await;
    let mount = own.server.mount(2).await;
    let store = open(&own.server.config(&mount)).await;
    put(&store, "a", "value").await;
    own.server
        .ok(Method::POST, "sys/seal", Some(json!({})))
        .await;
    let other = open(&own.server.config(&mount)).await;
    for result in [
        get(&store, "a").await.map(drop),
        get(&other, "a").await.map(drop),
        store.list("", None, 1).await.map(drop),
        store.check().await.map(drop),
    ] {
        let (kind, text) = failed(result);
        assert_eq!(kind, ErrorKind::Unavailable, "{text}");
        assert!(text.contains("sealed"), "{text}");
    }
    own.process.kill().unwrap();
    own.process.wait().unwrap();
    let (kind, text) = failed(get(&store, "a").await);
    assert_eq!(kind, ErrorKind::Unavailable, "{text}");
    let (kind, text) = failed(store.check().await);
    assert_eq!(kind, ErrorKind::Unavailable, "{text}");
    assert!(text.contains("nothing listens"), "{text}");
}

#[tokio::test]
async fn documents_of_other_tools_are_read_whole() {
    let server = Server::shared();
    for version in [1u8, 2] {
        let mount = server.mount(version).await;
        let store = open(&server.config(&mount)).await;
        for (name, document, value) in [
            ("one", json!({ "value": "just this" }), "just this"),
            (
                "db",
                json!({ "user": "u", "password": "p<&>" }),
                r#"{"password":"p\u003c\u0026\u003e","user":"u"}"#,
            ),
            ("number", json!({ "value": 7 }), r#"{"value":7}"#),
            (
                "deep",
                json!({ "a": { "b": [1, null, "x y"] } }),
                r#"{"a":{"b":[1,null,"x y"]}}"#,
            ),
        ] {
            let (place, body) = match version {
                1 => (format!("{}/{name}", mount.path), document),
                _ => (
                    format!("{}/data/{name}", mount.path),
                    json!({ "data": document }),
                ),
            };
            server.ok(Method::POST, &place, Some(body)).await;
            assert_eq!(get(&store, name).await.unwrap(), value);
        }
        assert_eq!(store.list("", None, 10).await.unwrap().paths.len(), 4);
    }
}

#[tokio::test]
async fn what_others_changed_is_seen_as_it_is() {
    let server = Server::shared();
    let mount = server.mount(2).await;
    let store = open(&server.config(&mount)).await;
    for value in ["one", "two", "three"] {
        put(&store, "a", value).await;
    }
    // `kv delete` deletes the current version only.
    server
        .ok(Method::DELETE, &format!("{}/data/a", mount.path), None)
        .await;
    let (kind, _) = failed(get(&store, "a").await);
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(store.list("", None, 10).await.unwrap().paths.is_empty());
    let versioning = store.versioning().unwrap();
    assert_eq!(
        versioning.undelete(&path("a"), None).await.unwrap().version,
        3
    );
    assert_eq!(get(&store, "a").await.unwrap(), "three");
    // Metadata without a version is no secret.
    let only = format!("{}/metadata/only", mount.path);
    let body = json!({ "custom_metadata": { "owner": "x" } });
    server.ok(Method::POST, &only, Some(body)).await;
    for result in [
        get(&store, "only").await.map(drop),
        store.describe(&path("only")).await.map(drop),
        store.versions(&path("only")).await.map(drop),
        store.delete(&path("only"), None).await.map(drop),
    ] {
        assert_eq!(failed(result).0, ErrorKind::NotFound);
    }
    let create = PutOptions {
        expected: Some(0),
        ..PutOptions::default()
    };
    let value = SecretValue::copy_of(b"first");
    assert_eq!(
        store
            .put(&path("only"), &value, &create)
            .await
            .unwrap()
            .version,
        1
    );
    let told = store.describe(&path("only")).await.unwrap();
    assert_eq!(told.labels, [("owner".to_owned(), "x".to_owned())]);
}

#[tokio::test]
async fn an_engine_that_wants_compare_and_set_takes_every_write() {
    let server = Server::shared();
    let mount = server.mount(2).await;
    let config = format!("{}/config", mount.path);
    let strict = json!({ "cas_required": true, "metadata_cas_required": true });
    server.ok(Method::POST, &config, Some(strict)).await;
    let store = Arc::new(open(&server.config(&mount)).await);
    assert_eq!(put(&store, "a", "one").await, 1);
    assert_eq!(put(&store, "a", "two").await, 2);
    let options = PutOptions {
        metadata: Metadata {
            kind: Some("api-key".to_owned()),
            labels: Some(vec![("team".to_owned(), "a".to_owned())]),
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    let value = SecretValue::copy_of(b"three");
    store.put(&path("a"), &value, &options).await.unwrap();
    assert_eq!(
        store.describe(&path("a")).await.unwrap().kind.as_deref(),
        Some("api-key")
    );
    store.delete(&path("a"), None).await.unwrap();
    let versioning = store.versioning().unwrap();
    versioning.undelete(&path("a"), None).await.unwrap();
    let states: Vec<_> = store
        .versions(&path("a"))
        .await
        .unwrap()
        .iter()
        .map(|v| v.state)
        .collect();
    assert_eq!(
        states,
        [
            VersionState::Current,
            VersionState::Superseded,
            VersionState::Superseded
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_writers_that_meet_are_one_writers() {
    let server = Server::shared();
    let mount = server.mount(2).await;
    let store = Arc::new(open(&server.config(&mount)).await);
    put(&store, "a", "x").await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..6 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let labels = (0..4)
                .map(|i| (format!("w{writer}-{i}"), "x".to_owned()))
                .collect();
            let metadata = Metadata {
                labels: Some(labels),
                ..Metadata::default()
            };
            let versioning = store.versioning().unwrap();
            versioning
                .set_metadata(&path("a"), &metadata)
                .await
                .map(drop)
        });
    }
    while let Some(done) = tasks.join_next().await {
        if let Err(error) = done.unwrap() {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
    }
    let labels = store.describe(&path("a")).await.unwrap().labels;
    assert_eq!(labels.len(), 4, "{labels:?}");
    let first = labels[0].0.split('-').next().unwrap();
    assert!(
        labels.iter().all(|(name, _)| name.starts_with(first)),
        "{labels:?}"
    );
}

#[tokio::test]
async fn the_largest_value_fits_in_every_form() {
    let server = Server::with_tls();
    let mount = server.mount(2).await;
    let store = open(&server.config(&mount)).await;
    let largest = usize::try_from(MAX_VALUE).unwrap();
    for (name, byte) in [
        ("text", b'a'),
        ("zeros", 0),
        ("marked", b'<'),
        ("bytes", 0xff),
    ] {
        let value = SecretValue::new(vec![byte; largest]);
        store
            .put(&path(name), &value, &PutOptions::default())
            .await
            .unwrap();
        let read = store.get(&path(name), Which::Current).await.unwrap();
        assert_eq!(*read.value, value, "{name}");
    }
}

#[tokio::test]
async fn versions_beyond_what_the_engine_keeps_are_gone() {
    let server = Server::shared();
    let mount = server.mount(2).await;
    let config = format!("{}/config", mount.path);
    server
        .ok(Method::POST, &config, Some(json!({ "max_versions": 3 })))
        .await;
    let store = open(&server.config(&mount)).await;
    for round in 1..=5 {
        assert_eq!(put(&store, "a", &round.to_string()).await, round);
    }
    let numbers: Vec<_> = store
        .versions(&path("a"))
        .await
        .unwrap()
        .iter()
        .map(|v| v.version)
        .collect();
    assert_eq!(numbers, [5, 4, 3]);
    let gone = store.get(&path("a"), Which::Version(2)).await;
    assert_eq!(failed(gone).0, ErrorKind::NotFound);
    let gone = store.delete(&path("a"), Some(2)).await;
    assert_eq!(failed(gone).0, ErrorKind::NotFound);
}

#[tokio::test]
async fn an_engine_that_deletes_by_itself_tells_the_expiry() {
    let server = Server::shared();
    let mount = server.mount(2).await;
    let config = format!("{}/config", mount.path);
    server
        .ok(
            Method::POST,
            &config,
            Some(json!({ "delete_version_after": "2s" })),
        )
        .await;
    let store = open(&server.config(&mount)).await;
    put(&store, "a", "short").await;
    let secret = store.get(&path("a"), Which::Current).await.unwrap();
    assert!(secret.expires.is_some());
    assert_eq!(
        store.describe(&path("a")).await.unwrap().expires,
        secret.expires
    );
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(failed(get(&store, "a").await).0, ErrorKind::NotFound);
    assert_eq!(store.describe(&path("a")).await.unwrap().version, None);
}

#[tokio::test]
async fn names_that_others_gave_are_read_and_listed() {
    let server = Server::shared();
    for version in [1u8, 2] {
        let mount = server.mount(version).await;
        let mut config = server.config(&mount);
        config.prefix = "app".to_owned();
        config.names = [
            ("stripe/api-key", "Legacy Stripe/key 100%"),
            ("b", "app/c"),
            ("not/there", "elsewhere/x"),
        ]
        .map(|(path, name)| (path.to_owned(), name.to_owned()))
        .into();
        let store = open(&config).await;
        for name in ["a", "b", "stripe/api-key", "z"] {
            put(&store, name, name).await;
            assert_eq!(get(&store, name).await.unwrap(), name);
        }
        // Beside the prefix, and not ours.
        let mut beside = server.config(&mount);
        beside.prefix = "apple".to_owned();
        put(&open(&beside).await, "a", "beside").await;
        let whole = open(&server.config(&mount)).await;
        assert_eq!(get(&whole, "app/c").await.unwrap(), "b");
        for limit in [1, 2, 10] {
            let mut names = Vec::new();
            loop {
                let after = names.last().cloned();
                let page = store.list("", after.as_deref(), limit).await.unwrap();
                names.extend(page.paths.iter().map(ToString::to_string));
                if !page.more {
                    break;
                }
            }
            assert_eq!(names, ["a", "b", "stripe/api-key", "z"], "KV v{version}");
        }
        assert_eq!(failed(get(&store, "c").await).0, ErrorKind::InvalidArgument);
    }
}

#[tokio::test]
async fn what_an_engine_is_was_found_out_by_the_first_call() {
    let server = Server::shared();
    let mount = server.mount(1).await;
    let store: HashicorpBackend = open(&server.config(&mount)).await;
    assert_eq!(store.capabilities().versions, VersionNumbers::Counted);
    assert_eq!(
        failed(store.versions(&path("a")).await).0,
        ErrorKind::Unsupported
    );
    assert_eq!(store.capabilities().versions, VersionNumbers::None);
    let mut config = server.config(&mount);
    config.kv = Kv::V1;
    assert_eq!(
        open(&config).await.capabilities().versions,
        VersionNumbers::None
    );
}
