//! Signing in with files, over TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;
use strongroom_backend::{Backend, Error, ErrorKind};
use strongroom_backend_gcp::{Auth, Config, GcpBackend};
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};

use common::{failed, file, get, open, settings, wait};

const EMAIL: &str = "reader@shop-prod.iam.gserviceaccount.com";

fn key(id: &str) -> String {
    static PEM: OnceLock<String> = OnceLock::new();
    let pem = PEM.get_or_init(|| {
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
            .unwrap()
            .serialize_pem()
    });
    json!({
        "type": "service_account",
        "project_id": "shop-prod",
        "private_key_id": id,
        "private_key": pem,
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    })
    .to_string()
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

/// What a bearer token says in its header.
fn token_header(authorization: &str) -> String {
    use base64::Engine;
    let token = authorization.strip_prefix("Bearer ").unwrap();
    let header = token.split('.').next().unwrap();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    String::from_utf8(engine.decode(header).unwrap()).unwrap()
}

#[tokio::test]
async fn a_key_file_signs_without_asking_anybody() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::new("localhost");
    let server = Wire::https(&identity, |_| value());
    let auth = Auth::key_file(file(&dir, "key.json", &key("k1")));
    let store = open(&tls(&dir, &identity, &server, auth)).await;
    assert_eq!(get(&store, "a").await.unwrap(), "x");
    let requests = server.requests();
    let header = token_header(requests[0].header("authorization").unwrap());
    assert!(header.contains("\"kid\":\"k1\""), "{header}");
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
    let server = Wire::https(&identity, |request| {
        let header = token_header(request.header("authorization").unwrap());
        if header.contains("\"k2\"") {
            return value();
        }
        let body = r#"{"error":{"code":401,"message":"x","status":"UNAUTHENTICATED"}}"#;
        Reply::json(401, body)
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
