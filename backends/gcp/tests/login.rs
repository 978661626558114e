//! Signing in with files, over TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;
mod keys;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_backend::{Backend, Error, ErrorKind};
use strongroom_backend_gcp::{Auth, Config, GcpBackend};
use strongroom_backend_remote::limits;
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};

use common::{failed, file, get, open, settings, wait};
use keys::EMAIL;

/// The key file of the account's key of this id.
fn key(id: &str) -> String {
    keys::file(id, id)
}

fn value() -> Reply {
    Reply::json(
        200,
        r#"{"name":"projects/1/secrets/a/versions/1","payload":{"data":"eA=="}}"#,
    )
}

fn tls(dir: &tempfile::TempDir, identity: &Identity, server: &Wire, auth: Auth) -> Config {
    let mut config = settings(&server.url());
    config.ca_file = Some(file(dir, "ca.pem", identity.authority()));
    config.auth = auth;
    config
}

#[tokio::test]
async fn a_key_file_signs_without_asking_anybody() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("localhost");
    let server = Wire::https(&identity, |request| {
        keys::guarded(request, &["k1"], value())
    });
    let auth = Auth::key_file(file(&dir, "key.json", &key("k1")));
    let store = open(&tls(&dir, &identity, &server, auth)).await;
    assert_eq!(get(&store, "a").await.unwrap(), "x");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_key_file_with_another_private_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("localhost");
    let server = Wire::https(&identity, |request| {
        keys::guarded(request, &["k1", "k2"], value())
    });
    let auth = Auth::key_file(file(&dir, "key.json", &keys::file("k1", "k2")));
    let store = open(&tls(&dir, &identity, &server, auth)).await;
    for refused in [
        get(&store, "a").await.map(drop),
        store.check().await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
        let cause = "the service does not accept our credentials";
        assert!(error.to_string().contains(cause), "{error}");
        let shown = format!("{error} {error:?}");
        let mut pem = keys::key("k2").pem.lines();
        assert!(pem.all(|line| !shown.contains(line)), "{shown}");
        let requests = server.requests();
        let token = keys::bearer(&requests[0]).unwrap();
        assert!(
            token.split('.').all(|part| !shown.contains(part)),
            "{shown}"
        );
    }
    assert_eq!(server.requests().len(), 2, "each call is made once");
}

/// What the two tests above sign in to takes nothing but what Google takes.
#[test]
fn the_server_of_these_tests_looks_at_a_token_as_google_does() {
    let both = ["k1", "k2"];
    let good = keys::claims();
    let now = good["iat"].as_i64().unwrap();
    let with = |changes: &[(&str, Value)]| {
        let mut claims = good.clone();
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        keys::accept(&keys::signed("k1", "k1", &claims), &both)
    };
    assert_eq!(with(&[]), Ok(()));
    let service = json!("https://secretmanager.googleapis.com/");
    let audience = [("scope", Value::Null), ("aud", service.clone())];
    assert_eq!(with(&audience), Ok(()));
    for (changes, why) in [
        (vec![("exp", json!(now))], "expired"),
        (vec![("iat", json!(now + 600))], "not yet"),
        (vec![("iat", json!(now - 600))], "for too long"),
        (vec![("aud", service)], "for another service"),
        (vec![("scope", Value::Null)], "for another service"),
        (
            vec![("scope", Value::Null), ("aud", json!("https://a.invalid/"))],
            "for another service",
        ),
        (vec![("iss", json!("x@y"))], "another account"),
    ] {
        assert_eq!(with(&changes), Err(why), "{changes:?}");
    }
    let (own, other) = (
        keys::signed("k1", "k1", &good),
        keys::signed("k1", "k2", &good),
    );
    assert_eq!(
        keys::accept(&other, &both),
        Err("a signature of another key")
    );
    assert_eq!(
        keys::accept(&own, &["k2"]),
        Err("a key that the account does not have")
    );
    // Signed, and changed since: what is claimed is of one token, the signature of another.
    let later = keys::signed("k1", "k1", &json!({ "iss": EMAIL }));
    let (claimed, _) = later.rsplit_once('.').unwrap();
    let (_, signature) = own.rsplit_once('.').unwrap();
    assert_eq!(
        keys::accept(&format!("{claimed}.{signature}"), &both),
        Err("a signature of another key")
    );
}

#[tokio::test]
async fn doctor_says_as_whom() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("localhost");
    let server = Wire::https(&identity, |_| Reply::json(200, "{}"));
    let auth = Auth::key_file(file(&dir, "key.json", &key("k1")));
    let store = open(&tls(&dir, &identity, &server, auth)).await;
    let lines = store.check().await.unwrap();
    assert!(lines[0].contains(EMAIL), "{lines:?}");
    assert!(lines[1].contains("certificate is trusted"), "{lines:?}");
}

#[tokio::test]
async fn no_redirect_carries_a_token_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("localhost");
    let other = Wire::http(|_| value());
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/v1/projects/p/secrets/a", other.url());
        let server = Wire::https(&identity, move |_| {
            Reply::status(status).with_header("location", &location)
        });
        let auth = Auth::key_file(file(&dir, "key.json", &key("k1")));
        let store = open(&tls(&dir, &identity, &server, auth)).await;
        let (kind, text) = failed(get(&store, "a").await);
        assert_eq!(kind, ErrorKind::Failed, "{text}");
        assert!(
            text.contains("redirects") && !text.contains(&other.url()),
            "{text}"
        );
        assert_eq!(server.requests().len(), 1);
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn no_certificate_no_token() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("secretmanager.example.com");
    let server = Wire::https(&identity, |_| value());
    let auth = Auth::key_file(file(&dir, "key.json", &key("k1")));
    let store = open(&tls(&dir, &identity, &server, auth)).await;
    let (kind, text) = failed(get(&store, "a").await);
    assert_eq!(kind, ErrorKind::Failed, "{text}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_key_that_was_replaced_is_read_anew_once_the_old_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("localhost");
    // The account has a new key, and the old one is deleted.
    let server = Wire::https(&identity, |request| {
        keys::guarded(request, &["k2"], value())
    });
    let auth = Auth::key_file(file(&dir, "key.json", &key("k1")));
    let store = open(&tls(&dir, &identity, &server, auth)).await;
    assert_eq!(failed(get(&store, "a").await).0, ErrorKind::Unauthenticated);
    file(&dir, "key.json", &key("k2"));
    // Not at each call: only after some time.
    assert_eq!(failed(get(&store, "a").await).0, ErrorKind::Unauthenticated);
    wait(10_100).await;
    assert_eq!(get(&store, "a").await.unwrap(), "x");
}

#[tokio::test]
async fn an_identity_of_another_provider_is_exchanged() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("localhost");
    let server = Wire::https(&identity, |_| value());
    let sts = Wire::http(|_| {
        Reply::json(
            200,
            r#"{"access_token":"federated-token","issued_token_type":
            "urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}"#,
        )
    });
    let subject = file(&dir, "subject", "subject-token");
    let auth = federated(&dir, &subject, &sts);
    let store = open(&tls(&dir, &identity, &server, auth)).await;
    assert_eq!(get(&store, "a").await.unwrap(), "x");
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some("Bearer federated-token")
    );
    assert!(sts.requests()[0].text().contains("subject-token"));
}

#[tokio::test]
async fn a_refused_sign_in_is_told_from_one_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("localhost");
    let server = Wire::https(&identity, |_| value());
    let subject = file(&dir, "subject", "subject-token");
    let refusal = r#"{"error":"invalid_grant","error_description":"canary-77 is not known"}"#;
    for (reply, kind) in [
        (Reply::json(400, refusal), ErrorKind::Unauthenticated),
        (Reply::Close, ErrorKind::Unavailable),
        (Reply::Hang, ErrorKind::Unavailable),
    ] {
        let sts = Wire::http(move |_| reply.clone());
        let auth = federated(&dir, &subject, &sts);
        let store = open(&tls(&dir, &identity, &server, auth)).await;
        let error = get(&store, "a").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(Canary::new("canary-77").found_in_error(&error).is_none());
        assert!(
            Canary::new("subject-token")
                .found_in_error(&error)
                .is_none()
        );
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_sign_in_that_breaks_off_or_drips_ends_with_our_time() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("localhost");
    let server = Wire::https(&identity, |_| value());
    let subject = file(&dir, "subject", "subject-token");
    let promised = Reply::Cut {
        status: 200,
        headers: Vec::new(),
        body: b"{".to_vec(),
        promised: 1 << 30,
    };
    let drip = Reply::Drip {
        status: 200,
        headers: Vec::new(),
        pause: Duration::from_millis(100),
    };
    for (name, reply) in [("promised.json", promised), ("drip.json", drip)] {
        let sts = Wire::http(move |_| reply.clone());
        let text = common::federated(&subject, &sts.url());
        let auth = Auth::credentials_file(file(&dir, name, &text));
        let store = open(&tls(&dir, &identity, &server, auth)).await;
        let began = Instant::now();
        let error = get(&store, "a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}: {error}");
        assert!(began.elapsed() < limits::REQUEST + Duration::from_secs(2));
        let shown = Canary::new("subject-token").found_in_error(&error);
        assert!(shown.is_none(), "{name}: {error}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn files_that_are_no_credentials_are_refused_when_opened() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("localhost");
    let server = Wire::https(&identity, |_| value());
    let good = file(&dir, "key.json", &key("k1"));
    let link = dir.path().join("link.json");
    symlink(&good, &link).unwrap();
    let open_to_all = file(&dir, "open.json", &key("k1"));
    std::fs::set_permissions(&open_to_all, std::fs::Permissions::from_mode(0o644)).unwrap();
    let user =
        r#"{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}"#;
    for path in [
        dir.path().join("missing.json"),
        link,
        open_to_all,
        file(&dir, "user.json", user),
        file(&dir, "text.json", "hello"),
        file(&dir, "other.json", r#"{"type":"gdch_service_account"}"#),
    ] {
        let config = tls(&dir, &identity, &server, Auth::key_file(&path));
        let error: Error = GcpBackend::open(&config, Path::new(""))
            .await
            .err()
            .unwrap();
        assert_eq!(
            error.kind(),
            ErrorKind::Config,
            "{}: {error}",
            path.display()
        );
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(server.requests().is_empty());
}

fn federated(dir: &tempfile::TempDir, subject: &Path, sts: &Wire) -> Auth {
    let text = common::federated(subject, &sts.url());
    let path: PathBuf = file(dir, "federated.json", &text);
    Auth::credentials_file(path)
}
