//! Refusals of a server that checks signatures and permissions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;

use common::{path, shown, value};
use strongroom_backend::{Backend, Error, ErrorKind, PutOptions, Which};
use strongroom_backend_aws::testing::{self, User};
use strongroom_backend_aws_ssm::{Config, SsmBackend};

async fn store_of(id: &str, secret: &str, prefix: &str) -> SsmBackend {
    let config = Config::new(testing::config(&testing::strict()), prefix);
    let session = testing::session_with(&config.aws, id, secret).await;
    SsmBackend::with_session(&config, session).unwrap()
}

async fn store_as(user: User, prefix: &str) -> SsmBackend {
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
    let store = store_of(&id, "canary-wrong-secret", "/rejections/").await;
    let error = store.get(&path("a"), Which::Current).await.unwrap_err();
    is(&error, ErrorKind::Unauthenticated, "SignatureDoesNotMatch");
    let error = store.check().await.unwrap_err();
    is(&error, ErrorKind::Unauthenticated, "signature");
    let store = store_of("AKIACANARYUNKNOWNKEY", "canary", "/rejections/").await;
    let error = store.get(&path("a"), Which::Current).await.unwrap_err();
    is(&error, ErrorKind::Unauthenticated, "InvalidClientTokenId");
    let options = PutOptions::default();
    let error = store
        .put(&path("a"), &value("canary-value"), &options)
        .await
        .unwrap_err();
    is(&error, ErrorKind::Unauthenticated, "ssm:PutParameter");
}

#[tokio::test]
async fn a_reader_reads_and_no_more() {
    let prefix = format!("/{}/", testing::fresh("reader"));
    let admin = store_as(User::Admin, &prefix).await;
    let options = PutOptions::default();
    admin
        .put(&path("a"), &value("secret"), &options)
        .await
        .unwrap();
    let reader = store_as(User::Reader, &prefix).await;
    let got = reader.get(&path("a"), Which::Current).await.unwrap();
    assert_eq!(got.value.expose(), b"secret");
    let many = reader.get_many(&[path("a"), path("b")]).await;
    assert!(many[0].is_ok());
    assert_eq!(many[1].as_ref().unwrap_err().kind(), ErrorKind::NotFound);
    let denied = ErrorKind::PermissionDenied;
    let error = reader
        .put(&path("a"), &value("canary"), &options)
        .await
        .unwrap_err();
    is(&error, denied, "ssm:PutParameter");
    let error = reader.delete(&path("a"), None).await.unwrap_err();
    is(&error, denied, "ssm:DeleteParameter");
    let error = reader.list("", None, 10).await.unwrap_err();
    is(&error, denied, "ssm:DescribeParameters");
    let error = reader.versions(&path("a")).await.unwrap_err();
    is(&error, denied, "ssm:GetParameterHistory");
    let error = reader.check().await.unwrap_err();
    is(&error, denied, "ssm:DescribeParameters");
    assert_eq!(
        admin.get(&path("a"), Which::Current).await.unwrap().version,
        1
    );
}

#[tokio::test]
async fn nobody_learns_nothing() {
    let store = store_as(User::Nobody, "/rejections/").await;
    for name in ["a", "missing"] {
        let error = store.get(&path(name), Which::Current).await.unwrap_err();
        is(&error, ErrorKind::PermissionDenied, "ssm:GetParameter");
    }
    for answer in store.get_many(&[path("a"), path("b")]).await {
        is(
            &answer.unwrap_err(),
            ErrorKind::PermissionDenied,
            "ssm:GetParameter",
        );
    }
}

#[tokio::test]
async fn the_operator_learns_who_they_are() {
    let store = store_as(User::Admin, "/rejections/").await;
    let lines = store.check().await.unwrap();
    let text = lines.join("\n");
    assert!(text.contains("user/admin"), "{text}");
    assert!(
        text.contains("may list the parameters under /rejections/"),
        "{text}"
    );
    assert!(
        text.contains("reached Parameter Store in plain HTTP"),
        "{text}"
    );
    assert!(text.contains("clock"), "{text}");
}
