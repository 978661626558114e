//! Replies of a service that fails, breaks off, stalls, lies or belongs to somebody else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_backend::{Backend, Error, ErrorKind, Versioning, Which};
use strongroom_backend_remote::limits;
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};

use common::{Strict, action, kind, path, put, shown, store};

const ID: &str = "strongroom-00000000000000000001-79e9d495494f628d64669929de865b2a";

fn refusal(status: u16, code: &str) -> Reply {
    let text = "canary: arn:aws:secretsmanager:us-east-1:123456789012:secret:x";
    Reply::json(
        status,
        &json!({ "__type": code, "Message": text }).to_string(),
    )
}

fn value(name: &str, id: &str, text: &str) -> Value {
    json!({
        "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf", "Name": name,
        "VersionId": id, "SecretString": text, "CreatedDate": 1_790_000_000.5,
        "VersionStages": ["AWSCURRENT"],
    })
}

/// The error of a read from a server that answers so, and how many requests it got.
async fn read_error(reply: Reply) -> (Error, usize) {
    let (wire, store) = common::answering(reply).await;
    let error = store.get(&path("a"), Which::Current).await.unwrap_err();
    let text = shown(&error);
    for leaked in ["canary", "123456789012", "arn:"] {
        assert!(!text.contains(leaked), "{text}");
    }
    (error, wire.requests().len())
}

#[tokio::test]
async fn refusals_have_the_right_kind_and_are_not_repeated() {
    use ErrorKind as K;
    for (status, code, kind) in [
        (400, "ThrottlingException", K::Unavailable),
        (500, "InternalServiceError", K::Unavailable),
        (503, "", K::Unavailable),
        (429, "", K::Unavailable),
        (400, "ExpiredTokenException", K::Unauthenticated),
        (400, "UnrecognizedClientException", K::Unauthenticated),
        (400, "InvalidSignatureException", K::Unauthenticated),
        (400, "AccessDeniedException", K::PermissionDenied),
        (400, "ResourceNotFoundException", K::NotFound),
        (400, "DecryptionFailure", K::PermissionDenied),
        (400, "EncryptionFailure", K::Failed),
        (400, "InvalidParameterException", K::Failed),
        (400, "InvalidRequestException", K::Failed),
        (400, "LimitExceededException", K::Failed),
        (400, "canary", K::Failed),
        (404, "", K::Failed),
        (307, "", K::Failed),
    ] {
        let (error, requests) = read_error(refusal(status, code)).await;
        assert_eq!(error.kind(), kind, "{status} {code}: {error}");
        assert_eq!(requests, 1, "{status} {code}");
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_told() {
    for (code, words) in [
        ("DecryptionFailure", "KMS key"),
        ("EncryptionFailure", "KMS key"),
        ("LimitExceededException", "quota"),
        ("ExpiredTokenException", "expired"),
    ] {
        let (error, _) = read_error(refusal(400, code)).await;
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn no_step_of_a_write_is_sent_twice() {
    for broken in ["CreateSecret", "PutSecretValue", "UpdateSecretVersionStage"] {
        let strict = Strict::start().await;
        if broken != "CreateSecret" {
            strict.put("a", b"one").await;
        }
        let inner = std::sync::Arc::clone(&strict.service);
        let wire = Wire::http(move |request| match action(request) == broken {
            true => refusal(500, "InternalServiceError"),
            false => inner.answer(request),
        });
        let store = store(&wire.url(), |_| {}).await;
        let error = put(&store, "a", b"two", None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let requests = wire.requests();
        let sent = requests.iter().filter(|request| action(request) == broken);
        assert_eq!(sent.count(), 1, "{broken}");
        if broken != "CreateSecret" {
            assert_eq!(strict.get("a").await.unwrap(), (1, b"one".to_vec()));
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure_that_passes() {
    let whole = value("a", ID, "canary").to_string();
    for reply in [
        Reply::cut(200, &whole),
        Reply::cut(500, &whole),
        Reply::Close,
    ] {
        let (error, _) = read_error(reply).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn a_gigabyte_is_cut_off() {
    for reply in [Reply::endless(200, 1 << 30), Reply::endless(500, 1 << 30)] {
        let began = Instant::now();
        let (error, _) = read_error(reply).await;
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        assert!(error.to_string().contains("larger"), "{error}");
        assert!(began.elapsed() < limits::REQUEST, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn nothing_takes_longer_than_a_request_may() {
    let drip = Reply::Drip {
        status: 200,
        headers: Vec::new(),
        pause: Duration::from_millis(200),
    };
    let (hang, drip) = tokio::join!(timed(Reply::Hang), timed(drip));
    for (error, took) in [hang, drip] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("in time"), "{error}");
        assert!(took < limits::REQUEST + Duration::from_secs(2), "{took:?}");
    }
}

async fn timed(reply: Reply) -> (Error, Duration) {
    let began = Instant::now();
    let (error, _) = read_error(reply).await;
    (error, began.elapsed())
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told() {
    let began = Instant::now();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (url, words) in [
        ("https://name.invalid", "cannot be resolved"),
        (&*closed, "nothing listens"),
    ] {
        let nowhere = store(url, |_| {}).await;
        let error = nowhere.get(&path("a"), Which::Current).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(began.elapsed() < limits::REQUEST);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Wire::http(|_| Reply::json(200, "{}"));
    let target = format!("{}/", other.url());
    for status in [301, 302, 307, 308] {
        let reply = Reply::status(status).with_header("location", &target);
        let (error, _) = read_error(reply).await;
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn only_the_right_certificate_will_do() {
    let (right, wrong) = (Identity::new("localhost"), Identity::new("other.example"));
    for (identity, trusted, is_right) in [(&right, &right, true), (&wrong, &wrong, false)] {
        let answer = value("a", ID, "x").to_string();
        let server = Wire::https(identity, move |_| Reply::json(200, &answer));
        let mut ca = tempfile::NamedTempFile::new().unwrap();
        ca.write_all(trusted.authority().as_bytes()).unwrap();
        let file = ca.path().to_owned();
        let store = store(&server.url(), |config| config.aws.ca_file = Some(file)).await;
        let got = store.get(&path("a"), Which::Current).await;
        if is_right {
            assert_eq!(got.unwrap().value.expose(), b"x");
        } else {
            assert_eq!(kind(got), ErrorKind::Failed);
            assert!(server.requests().is_empty());
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_or_is_not_what_was_asked_is_refused_unseen() {
    let both = {
        let mut both = value("a", ID, "canary");
        both["SecretBinary"] = json!("Y2FuYXJ5");
        both
    };
    let without = |key: &str| {
        let mut value = value("a", ID, "canary");
        value.as_object_mut().unwrap().remove(key);
        value
    };
    let mut undated = value("a", "4f9f1d2e-97a5-4e0c-8f0b-2d2f6d8c5a11", "canary");
    undated["CreatedDate"] = json!(-5);
    for body in [
        json!({ "SecretString": "canary" }).to_string(),
        both.to_string(),
        without("SecretString").to_string(),
        without("Name").to_string(),
        without("VersionId").to_string(),
        undated.to_string(),
        value("b", ID, "canary").to_string(),
        r#"{"Name":"a","SecretString":["canary"]}"#.to_owned(),
        r#"{"Name":"a","SecretString":"canary"#.to_owned(),
        r#"["canary"]"#.to_owned(),
        "canary".to_owned(),
        String::new(),
    ] {
        let (error, _) = read_error(Reply::json(200, &body)).await;
        assert_eq!(error.kind(), ErrorKind::Failed, "{body}: {error}");
    }
    for status in [400, 403, 500] {
        read_error(Reply::json(
            status,
            r#"{"__type":"canary","Message":"canary"}"#,
        ))
        .await;
        read_error(Reply::json(status, "canary")).await;
    }
}

#[tokio::test]
async fn another_version_than_the_one_asked_for_is_refused() {
    let strict = Strict::start().await;
    strict.put("a", b"one").await;
    strict.put("a", b"two").await;
    let inner = std::sync::Arc::clone(&strict.service);
    let wire = Wire::http(move |request| match action(request) == "GetSecretValue" {
        true => Reply::json(200, &value("a", ID, "one").to_string()),
        false => inner.answer(request),
    });
    let store = store(&wire.url(), |_| {}).await;
    let wrong = store.get(&path("a"), Which::Version(2)).await;
    assert_eq!(kind(wrong), ErrorKind::Failed);
    assert!(store.get(&path("a"), Which::Version(1)).await.is_ok());
}

#[tokio::test]
async fn values_that_were_not_asked_for_or_are_not_current_are_not_taken() {
    let wire = Wire::http(|request| match action(request).as_str() {
        "BatchGetSecretValue" => {
            let mut old = value("b", "4f9f1d2e-97a5-4e0c-8f0b-2d2f6d8c5a11", "old");
            old["VersionStages"] = json!(["AWSPREVIOUS"]);
            let values = [value("a", ID, "x"), value("other", ID, "y"), old];
            // The one that is left out, and the old one, are asked for alone.
            Reply::json(
                200,
                &json!({ "SecretValues": values, "Errors": [] }).to_string(),
            )
        }
        _ if request.text().contains("\"b\"") => {
            let id = "4f9f1d2e-97a5-4e0c-8f0b-2d2f6d8c5a12";
            Reply::json(200, &value("b", id, "new").to_string())
        }
        _ => refusal(400, "AccessDeniedException"),
    });
    let store = store(&wire.url(), |_| {}).await;
    let answers = store.get_many(&[path("a"), path("b"), path("c")]).await;
    assert_eq!(answers[0].as_ref().unwrap().value.expose(), b"x");
    assert_eq!(answers[1].as_ref().unwrap().value.expose(), b"new");
    let denied = answers[2].as_ref().unwrap_err().kind();
    assert_eq!(denied, ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn throttling_of_many_makes_no_more_calls() {
    let (wire, store) = common::answering(refusal(400, "ThrottlingException")).await;
    for answer in store.get_many(&[path("a"), path("b"), path("c")]).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!(wire.requests().len(), 1);
}

#[tokio::test]
async fn pages_that_do_not_end_are_left() {
    let endless = Wire::http(|request| match action(request).as_str() {
        "DescribeSecret" => Reply::json(200, r#"{"Name":"a","CreatedDate":1}"#),
        "BatchGetSecretValue" => Reply::json(200, r#"{"SecretValues":[],"NextToken":"x"}"#),
        "GetSecretValue" => Reply::json(200, &value("a", ID, "x").to_string()),
        _ => Reply::json(200, r#"{"SecretList":[],"Versions":[],"NextToken":"x"}"#),
    });
    let store = store(&endless.url(), |_| {}).await;
    assert_eq!(kind(store.list("", None, 10).await), ErrorKind::Failed);
    assert!(endless.requests().len() <= 3);
    endless.forget();
    assert_eq!(kind(store.versions(&path("a")).await), ErrorKind::Failed);
    assert!(endless.requests().len() <= 52);
    endless.forget();
    store.get_many(&[path("a"), path("b")]).await;
    assert!(endless.requests().len() <= 23);
}

#[tokio::test]
async fn a_label_that_never_moves_ends_the_call() {
    let strict = Strict::start().await;
    strict.put("a", b"one").await;
    let inner = std::sync::Arc::clone(&strict.service);
    let wire = Wire::http(move |request| match action(request).as_str() {
        "UpdateSecretVersionStage" => refusal(400, "InvalidParameterException"),
        _ => inner.answer(request),
    });
    let store = store(&wire.url(), |_| {}).await;
    let error = put(&store, "a", b"two", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(wire.requests().len() < 150, "{}", wire.requests().len());
    assert_eq!(strict.get("a").await.unwrap(), (1, b"one".to_vec()));
    let deleted = store.delete(&path("a"), None).await;
    assert_eq!(kind(deleted), ErrorKind::Unavailable);
    assert_eq!(
        kind(store.undelete(&path("a"), None).await),
        ErrorKind::NotFound
    );
    assert_eq!(strict.get("a").await.unwrap(), (1, b"one".to_vec()));
}
