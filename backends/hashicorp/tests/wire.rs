//! Servers that are hostile or broken: what a store makes of their replies, and what it shows.
#![expect(
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::time::{Duration, Instant};

use strongroom_backend::{Backend, Error, ErrorKind, PutOptions, Result, SecretValue, Which};
use strongroom_backend_hashicorp::{AppRole, Auth, Credential, HashicorpBackend};
use strongroom_backend_remote::Endpoint;
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};

use common::wire::{
    Log, TOKEN, VALUE, answering, config, is_lookup, lookup, secret, store, subscriber,
};
use common::{failed, get, open, path};

/// What each call makes of the same answer.
async fn every_call(store: &HashicorpBackend) -> Vec<(&'static str, Result<()>)> {
    let name = path("db/main");
    let value = SecretValue::copy_of(VALUE.as_bytes());
    let versioning = store.versioning().unwrap();
    vec![
        ("get", store.get(&name, Which::Current).await.map(drop)),
        (
            "put",
            store
                .put(&name, &value, &PutOptions::default())
                .await
                .map(drop),
        ),
        ("describe", store.describe(&name).await.map(drop)),
        ("delete", store.delete(&name, None).await.map(drop)),
        ("list", store.list("", None, 10).await.map(drop)),
        ("versions", store.versions(&name).await.map(drop)),
        ("undelete", versioning.undelete(&name, None).await.map(drop)),
        ("destroy", versioning.destroy(&name, 1).await.map(drop)),
        (
            "set_metadata",
            versioning
                .set_metadata(&name, &Default::default())
                .await
                .map(drop),
        ),
    ]
}

fn shows_nothing(error: &Error) {
    for hidden in [TOKEN, VALUE, "canary-body-77aa"] {
        let found = Canary::new(hidden).found_in_error(error);
        assert!(found.is_none(), "{hidden} as {found:?}");
    }
}

#[tokio::test]
async fn each_status_has_its_kind_and_no_body_is_repeated() {
    use ErrorKind as K;
    for (status, kind) in [
        (400, K::Failed),
        (401, K::Unauthenticated),
        (403, K::PermissionDenied),
        (405, K::Failed),
        (412, K::Unavailable),
        (413, K::Failed),
        (429, K::Unavailable),
        (472, K::Unavailable),
        (473, K::Unavailable),
        (500, K::Unavailable),
        (502, K::Unavailable),
        (503, K::Unavailable),
        (504, K::Unavailable),
    ] {
        let body = r#"{"errors":["canary-body-77aa says no"],"warnings":["canary-body-77aa"]}"#;
        let server = answering(Reply::json(status, body));
        let (store, _dir) = store(&server).await;
        for (call, result) in every_call(&store).await {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), kind, "{call} at {status}: {error}");
            shows_nothing(&error);
        }
    }
}

#[tokio::test]
async fn broken_replies_are_refused() {
    let cut = secret("canary-body-77aa");
    for (what, reply, kind) in [
        ("cut", Reply::cut(200, &cut), ErrorKind::Unavailable),
        ("closed", Reply::Close, ErrorKind::Unavailable),
        (
            "html",
            Reply::json(200, "<html>canary-body-77aa</html>"),
            ErrorKind::Failed,
        ),
        ("empty", Reply::json(200, ""), ErrorKind::Failed),
        ("no data", Reply::json(200, "{}"), ErrorKind::Failed),
        (
            "other types",
            Reply::json(200, r#"{"data":"canary-body-77aa"}"#),
            ErrorKind::Failed,
        ),
        (
            "an array",
            Reply::json(200, r#"{"data":["canary-body-77aa"]}"#),
            ErrorKind::Failed,
        ),
    ] {
        let server = answering(reply);
        let (store, _dir) = store(&server).await;
        for (call, result) in every_call(&store).await {
            // Of a write that changes nothing but the version only the number is read.
            let error = result.unwrap_err();
            assert_eq!(error.kind(), kind, "{call} with {what}: {error}");
            shows_nothing(&error);
        }
    }
}

#[tokio::test]
async fn an_endless_body_is_left_unread() {
    for status in [200, 500] {
        let server = answering(Reply::endless(status, 1 << 30));
        let (store, _dir) = store(&server).await;
        let began = Instant::now();
        let (kind, text) = failed(get(&store, "a").await);
        assert_eq!(kind, ErrorKind::Failed, "{status}: {text}");
        assert!(text.contains("longer than"), "{status}: {text}");
        assert!(began.elapsed() < Duration::from_secs(8));
    }
    // One that says so before is not read at all.
    let headers = Vec::new();
    let reply = Reply::Cut {
        status: 200,
        headers,
        body: b"{".to_vec(),
        promised: 1 << 30,
    };
    let server = answering(reply);
    let (store, _dir) = store(&server).await;
    let (kind, text) = failed(get(&store, "a").await);
    assert_eq!(kind, ErrorKind::Failed, "{text}");
}

/// Whoever answers a login is trusted no further than whoever answers a read.
#[tokio::test]
async fn an_endless_reply_to_a_login_is_left_unread() {
    for status in [200, 500] {
        let server = Wire::http(move |_| Reply::endless(status, 1 << 30));
        let dir = tempfile::tempdir().unwrap();
        let secret_id = dir.path().join("secret-id");
        std::fs::write(&secret_id, TOKEN).unwrap();
        let mut role: AppRole = toml::from_str("role-id = 'app'\nsecret-id-env = 'X'").unwrap();
        role.secret_id = Some(Credential::File(secret_id));
        let mut config = config(&server, &dir);
        config.auth = Auth::AppRole(role);
        let store = open(&config).await;
        let began = Instant::now();
        let error = store.get(&path("a"), Which::Current).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{status}: {error}");
        assert!(error.to_string().contains("longer than"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(8));
        shows_nothing(&error);
        let requests = server.requests();
        let targets: Vec<_> = requests.iter().map(|r| r.target.as_str()).collect();
        assert_eq!(targets, ["/v1/auth/approle/login"], "{status}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_or_drips_ends_with_our_time() {
    let drip = Reply::Drip {
        status: 200,
        headers: Vec::new(),
        pause: Duration::from_millis(100),
    };
    let tries = [Reply::Hang, drip].map(|reply| async move {
        let server = answering(reply);
        let (store, _dir) = store(&server).await;
        let began = Instant::now();
        let (kind, text) = failed(get(&store, "a").await);
        assert_eq!(kind, ErrorKind::Unavailable, "{text}");
        assert!(text.contains("in time"), "{text}");
        assert!(began.elapsed() < Duration::from_secs(12));
    });
    futures::future::join_all(tries).await;
}

#[tokio::test]
async fn no_redirect_is_followed_and_no_token_goes_elsewhere() {
    let other = Wire::http(|_| Reply::json(200, &secret("stolen")));
    let server = answering(Reply::redirect(&format!(
        "{}/v1/secret/data/a",
        other.url()
    )));
    let (store, _dir) = store(&server).await;
    let (kind, text) = failed(get(&store, "a").await);
    assert_eq!(kind, ErrorKind::Unavailable, "{text}");
    assert!(text.contains("standby"), "{text}");
    assert!(!text.contains(&other.url()), "{text}");
    assert!(other.requests().is_empty());
    let moved = Reply::status(302).with_header("location", &other.url());
    let (store, _dir) = self::store(&answering(moved)).await;
    let _ = failed(get(&store, "a").await);
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_another_authority_gets_no_token() {
    let right = Identity::new("localhost");
    let wrong_name = Identity::new("vault.example.com");
    for (served, trusted) in [(&wrong_name, &wrong_name), (&right, &wrong_name)] {
        let server = Wire::https(served, |_| Reply::json(200, &secret("x")));
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&server, &dir);
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, trusted.authority()).unwrap();
        config.ca_file = Some(file);
        let (kind, text) = failed(get(&open(&config).await, "a").await);
        assert_eq!(kind, ErrorKind::Failed, "{text}");
        assert!(text.contains("certificate"), "{text}");
        assert!(server.requests().is_empty());
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_checked_is_warned_of() {
    let server = Wire::https(
        &Identity::new("vault.example.com"),
        |request| match request.path() {
            "/v1/sys/health" => Reply::json(200, r#"{"initialized":true,"sealed":false}"#),
            _ if is_lookup(request) => lookup(),
            "/v1/sys/capabilities-self" => Reply::json(200, r#"{"data":{}}"#),
            _ => Reply::json(404, r#"{"errors":[]}"#),
        },
    );
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&server, &dir);
    config.verify_tls = false;
    let log = Log::default();
    let guard = tracing::subscriber::set_default(subscriber(&log));
    let store = open(&config).await;
    assert!(log.text().contains("WARN") && log.text().contains("NOT checked"));
    let lines = store.check().await.unwrap().join("\n");
    drop(guard);
    assert!(lines.contains("NOT checked"), "{lines}");
    assert_eq!(
        log.text().matches("WARN").count(),
        2,
        "at open and in the check"
    );
}

/// At the most talkative level of our own code and of the libraries below it.
#[tokio::test]
async fn nothing_that_is_logged_holds_a_token_or_a_value() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(subscriber(&log));
    let server = answering(Reply::json(200, &secret(VALUE)));
    let (store, _dir) = store(&server).await;
    assert_eq!(get(&store, "a").await.unwrap(), VALUE);
    let value = SecretValue::copy_of(VALUE.as_bytes());
    let _ = store.put(&path("a"), &value, &PutOptions::default()).await;
    let denied = answering(Reply::json(403, "{}"));
    let (refused, _dir) = self::store(&denied).await;
    let _ = failed(get(&refused, "a").await);
    drop(guard);
    let log = log.text();
    assert!(!log.contains(TOKEN), "the token is in the log");
    assert!(!log.contains(VALUE), "the value is in the log");
}

#[tokio::test]
async fn doctor_tells_each_cause() {
    for (health, kind, text) in [
        (
            r#"{"initialized":true,"sealed":true}"#,
            ErrorKind::Unavailable,
            "sealed",
        ),
        (
            r#"{"initialized":false,"sealed":true}"#,
            ErrorKind::Unavailable,
            "not initialized",
        ),
    ] {
        let server = answering(Reply::json(503, health));
        let (store, _dir) = store(&server).await;
        let (told, line) = failed(store.check().await);
        assert_eq!(told, kind, "{line}");
        assert!(line.contains(text), "{line}");
    }
    let health = r#"{"initialized":true,"sealed":false,"version":"1\u001b[31m.9"}"#;
    let late = Reply::json(200, health).with_header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let server = answering(late);
    let (apart, _dir) = store(&server).await;
    let (kind, line) = failed(apart.check().await);
    assert_eq!(kind, ErrorKind::Failed, "{line}");
    assert!(
        line.contains("ahead of the service's: set it right"),
        "{line}"
    );
    let server = Wire::http(move |request| match request.path() {
        "/v1/sys/health" => Reply::json(200, health),
        _ if is_lookup(request) => Reply::json(
            200,
            r#"{"data":{"ttl":60,"renewable":true,"display_name":"x\n\u001b[31m","policies":["a"],"identity_policies":["b"]}}"#,
        ),
        "/v1/sys/capabilities-self" => Reply::json(200, r#"{"data":{}}"#),
        _ => Reply::json(404, r#"{"errors":[]}"#),
    });
    let (store, _dir) = store(&server).await;
    let lines = store.check().await.unwrap();
    let all = lines.join("\n");
    assert!(all.contains("policies a, b"), "{all}");
    assert!(
        lines.iter().all(|line| !line.chars().any(char::is_control)),
        "{all:?}"
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (kind, text) = {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&server, &dir);
        config.address = Endpoint::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        failed(open(&config).await.check().await)
    };
    assert_eq!(kind, ErrorKind::Unavailable, "{text}");
    assert!(text.contains("nothing listens"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&server, &dir);
    config.address = Endpoint::parse("https://no-such-host.invalid").unwrap();
    let (kind, text) = failed(open(&config).await.check().await);
    assert_eq!(kind, ErrorKind::Unavailable, "{text}");
    assert!(text.contains("cannot be resolved"), "{text}");
}
