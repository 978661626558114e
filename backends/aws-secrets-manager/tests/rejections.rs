//! Refusals of a server that checks signatures and permissions.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use strongroom_backend::{Backend, Error, ErrorKind, Which};
use strongroom_backend_aws::testing::{self, User};
use strongroom_backend_aws_secrets_manager::{Config, SecretsManagerBackend};

use common::{path, put, shown};

async fn store_of(id: &str, secret: &str, prefix: &str) -> SecretsManagerBackend {
    let mut config = Config::new(testing::config(&testing::strict()));
    config.prefix = prefix.to_owned();
    let session = testing::session_with(&config.aws, id, secret).await;
    SecretsManagerBackend::with_session(&config, session).unwrap()
}

async fn store_as(user: User, prefix: &str) -> SecretsManagerBackend {
    let (id, secret) = user.keys();
    store_of(&id, &secret, prefix).await
}

fn is(error: &Error, kind: ErrorKind, words: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    let text = shown(error);
    assert!(text.contains(words), "{text}");
    for leaked in ["123456789012", "arn:", "canary"] {
        assert!(!text.contains(leaked), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_not_accepted() {
    let (id, _) = User::Admin.keys();
    let store = store_of(&id, "canary-wrong-secret", "rejections/").await;
    let error = store.get(&path("a"), Which::Current).await.unwrap_err();
    is(&error, ErrorKind::Unauthenticated, "SignatureDoesNotMatch");
    let error = store.check().await.unwrap_err();
    is(&error, ErrorKind::Unauthenticated, "signature");
    let store = store_of("AKIACANARYUNKNOWNKEY", "canary", "rejections/").await;
    let error = store.get(&path("a"), Which::Current).await.unwrap_err();
    is(&error, ErrorKind::Unauthenticated, "InvalidClientTokenId");
    let error = put(&store, "a", b"canary-value", None).await.unwrap_err();
    is(&error, ErrorKind::Unauthenticated, "InvalidClientTokenId");
}

#[tokio::test]
async fn a_reader_reads_and_no_more() {
    let prefix = format!("{}/", testing::fresh("reader"));
    let admin = store_as(User::Admin, &prefix).await;
    put(&admin, "a", b"secret", None).await.unwrap();
    let reader = store_as(User::Reader, &prefix).await;
    let got = reader.get(&path("a"), Which::Current).await.unwrap();
    assert_eq!(got.value.expose(), b"secret");
    let denied = ErrorKind::PermissionDenied;
    for expected in [None, Some(1)] {
        let error = put(&reader, "a", b"canary", expected).await.unwrap_err();
        is(&error, denied, "may not do this");
    }
    let error = reader.delete(&path("a"), None).await.unwrap_err();
    is(&error, denied, "may not do this");
    let got = admin.get(&path("a"), Which::Current).await.unwrap();
    assert_eq!((got.version, got.value.expose()), (1, &b"secret"[..]));
}

#[tokio::test]
async fn nobody_learns_nothing() {
    let store = store_as(User::Nobody, "rejections/").await;
    for name in ["a", "missing"] {
        let error = store.get(&path(name), Which::Current).await.unwrap_err();
        is(&error, ErrorKind::PermissionDenied, "may not do this");
    }
    for answer in store.get_many(&[path("a"), path("b")]).await {
        let error = answer.unwrap_err();
        is(&error, ErrorKind::PermissionDenied, "may not do this");
    }
    let error = store.check().await.unwrap_err();
    is(&error, ErrorKind::PermissionDenied, "listing secrets");
}

#[tokio::test]
async fn the_operator_learns_who_they_are() {
    let store = store_as(User::Admin, "rejections/").await;
    let text = store.check().await.unwrap().join("\n");
    assert!(text.contains("user/admin"), "{text}");
    assert!(text.contains("secrets can be listed"), "{text}");
    assert!(text.contains("clock"), "{text}");
}
