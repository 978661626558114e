//! Replies of a service that fails, breaks off, stalls, lies or belongs to somebody else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;

use std::io::Write as _;
use std::time::{Duration, Instant};

use common::{
    agreeable, operation, parameter, path, refusal, reply, shown, store, store_with, value,
};
use serde_json::json;
use strongroom_backend::{Backend, Error, ErrorKind, PutOptions, Which};
use strongroom_backend_aws::testing;
use strongroom_backend_aws_ssm::Config;
use strongroom_backend_remote::limits;
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};

/// The error of a read from a server that answers so, and how many requests it got.
async fn read_error(reply: Reply) -> (Error, usize) {
    let server = Wire::http(move |_| reply.clone());
    let store = store(&server.url()).await;
    let error = store.get(&path("a"), Which::Current).await.unwrap_err();
    let text = shown(&error);
    for leaked in ["canary", "123456789012", "arn:"] {
        assert!(!text.contains(leaked), "{text}");
    }
    (error, server.requests().len())
}

#[tokio::test]
async fn refusals_have_the_right_kind_and_are_not_repeated() {
    use ErrorKind as K;
    for (status, code, kind) in [
        (400, "ThrottlingException", K::Unavailable),
        (400, "TooManyUpdates", K::Unavailable),
        (500, "InternalServerError", K::Unavailable),
        (400, "ExpiredTokenException", K::Unauthenticated),
        (400, "UnrecognizedClientException", K::Unauthenticated),
        (400, "InvalidSignatureException", K::Unauthenticated),
        (400, "IncompleteSignatureException", K::Unauthenticated),
        (400, "AccessDeniedException", K::PermissionDenied),
        (400, "ParameterNotFound", K::NotFound),
        (400, "ParameterVersionNotFound", K::NotFound),
        (400, "InvalidKeyId", K::PermissionDenied),
        (400, "ValidationException", K::Failed),
        (400, "canary", K::Failed),
        (429, "", K::Unavailable),
        (503, "", K::Unavailable),
        (504, "", K::Unavailable),
        (404, "", K::Failed),
        (301, "", K::Failed),
    ] {
        let (error, requests) = read_error(refusal(status, code)).await;
        assert_eq!(error.kind(), kind, "{status} {code}: {error}");
        assert_eq!(error.is_contended(), code == "TooManyUpdates", "{code}");
        assert_eq!(requests, 1, "{status} {code}");
    }
    for status in [429, 500, 502, 503] {
        let (error, requests) = read_error(Reply::status(status)).await;
        assert_eq!(error.kind(), K::Unavailable, "{status}: {error}");
        assert_eq!(requests, 1, "{status}");
    }
}

#[tokio::test]
async fn a_name_that_others_make_and_delete_is_contended() {
    let server = Wire::http(|request| match operation(request) {
        "PutParameter" => refusal(400, "ParameterAlreadyExists"),
        _ => refusal(400, "ParameterNotFound"),
    });
    let store = store(&server.url()).await;
    let options = PutOptions {
        expected: Some(0),
        ..PutOptions::default()
    };
    let error = store.put(&path("a"), &value("x"), &options).await;
    let error = error.unwrap_err();
    assert!(error.is_temporary() && error.is_contended(), "{error}");
}

#[tokio::test]
async fn a_key_that_is_withdrawn_is_a_refusal_of_what_it_sealed() {
    let server = Wire::http(|request| {
        let asked = String::from_utf8_lossy(&request.body).into_owned();
        match asked.contains("/app/sealed") {
            true => refusal(400, "InvalidKeyId"),
            false => agreeable(request),
        }
    });
    let store = store(&server.url()).await;
    let many = store.get_many(&[path("a"), path("sealed")]).await;
    assert!(many[0].is_ok());
    let error = many[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("its policy"), "{error}");
}

#[tokio::test]
async fn a_write_is_never_sent_twice() {
    let server = Wire::http(|_| refusal(500, "InternalServerError"));
    let store = store(&server.url()).await;
    let options = PutOptions::default();
    let error = store.put(&path("a"), &value("x"), &options).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_wrong_clock_is_told() {
    let old = "Wed, 01 Jan 2020 00:00:00 GMT";
    let reply = refusal(403, "RequestTimeTooSkewed").with_header("date", old);
    let (error, _) = read_error(reply).await;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("clock"), "{error}");
    let reply = refusal(403, "SignatureDoesNotMatch").with_header("date", old);
    let (error, _) = read_error(reply).await;
    assert!(
        error.to_string().contains("ahead of the service's"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure_that_passes() {
    let whole = json!({ "Parameter": parameter("/app/a", 1, "canary") }).to_string();
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
    let promised = Reply::Cut {
        status: 200,
        headers: Vec::new(),
        body: vec![b' '; 1024],
        promised: 1 << 30,
    };
    for reply in [
        Reply::endless(200, 1 << 30),
        Reply::endless(500, 1 << 30),
        promised,
    ] {
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
async fn a_redirect_is_not_followed() {
    let other = Wire::http(agreeable);
    let target = format!("{}/", other.url());
    for status in [301, 302, 303, 307, 308] {
        let (error, _) = read_error(Reply::status(status).with_header("location", &target)).await;
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        assert!(error.to_string().contains("elsewhere"), "{error}");
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn only_the_right_certificate_will_do() {
    let right = Identity::new("localhost");
    let wrong = Identity::new("other.example");
    for (identity, trusted, expected) in [
        (&right, &right, None),
        (&wrong, &wrong, Some(ErrorKind::Failed)),
        (&right, &wrong, Some(ErrorKind::Failed)),
    ] {
        let server = Wire::https(identity, agreeable);
        let mut ca = tempfile::NamedTempFile::new().unwrap();
        ca.write_all(trusted.authority().as_bytes()).unwrap();
        let mut aws = testing::config(&server.url());
        aws.ca_file = Some(ca.path().to_owned());
        let store = store_with(&Config::new(aws, "/app/")).await;
        let got = store.get(&path("a"), Which::Current).await;
        match expected {
            None => assert_eq!(got.unwrap().value.expose(), b"/app/a"),
            Some(kind) => {
                let error = got.unwrap_err();
                assert_eq!(error.kind(), kind);
                assert!(error.to_string().contains("certificate"), "{error}");
                assert!(server.requests().is_empty());
            }
        }
    }
    // An authority that the system does not have, without a CA file.
    let server = Wire::https(&right, agreeable);
    let store = store(&server.url()).await;
    let error = store.get(&path("a"), Which::Current).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told() {
    let began = Instant::now();
    let nowhere = store("https://name.invalid").await;
    let error = nowhere.get(&path("a"), Which::Current).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("cannot be resolved"), "{error}");
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let closed = store(&closed).await;
    let error = closed.get(&path("a"), Which::Current).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("nothing listens"), "{error}");
    assert!(began.elapsed() < limits::REQUEST);
}

#[tokio::test]
async fn what_cannot_be_read_is_not_shown() {
    let texts = [
        r#"{"Parameter":{"Name":"/app/a","Value":"canary"#,
        r#"{"Parameter":{"Name":"/app/a","Value":"canary","Version":"canary"}}"#,
        r#"{"Parameter":{"Name":"/app/a","Value":["canary"],"Version":1}}"#,
        r#"{"Parameter":"canary"}"#,
        r#"["canary"]"#,
        "canary",
        "<Error><Code>canary</Code></Error>",
        r#"{"Parameter":{"Name":"/app/a","Value":"strongroom:base64:canary!","Version":1}}"#,
        r#"{"Parameter":{"Name":"/app/a","Value":"strongroom:canary","Version":1}}"#,
        r#"{"Parameter":{"Name":"canary","Value":"canary","Version":1}}"#,
        r#"{"Parameter":{"Name":"/app/a","Value":"canary","Version":-1}}"#,
        r#"{"Parameter":{"Name":"/app/a","Value":"canary"}}"#,
        r#"{"Parameter":{"Name":"/app/a","Version":1}}"#,
        r#"{"canary":"canary"}"#,
        "",
    ];
    for text in texts {
        let (error, _) = read_error(Reply::json(200, text)).await;
        let expected = if text.contains("strongroom:") {
            ErrorKind::Damaged
        } else {
            ErrorKind::Failed
        };
        assert_eq!(error.kind(), expected, "{text}: {error}");
    }
    for status in [400, 403, 500] {
        for text in [
            r#"{"__type":"canary","message":"canary"}"#,
            r#"{"__type":"#,
            "canary",
        ] {
            read_error(Reply::json(status, text)).await;
        }
    }
}

#[tokio::test]
async fn an_answer_to_another_question_is_refused() {
    let server = Wire::http(|request| {
        reply(&match operation(request) {
            "GetParameter" => json!({ "Parameter": parameter("/app/a", 3, "x") }),
            _ => json!({
                "Parameters": [parameter("/app/a", 3, "x"), parameter("/other/b", 1, "y")],
                "InvalidParameters": [],
            }),
        })
    });
    let store = store(&server.url()).await;
    let other = store.get(&path("b"), Which::Current).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Failed);
    let version = store.get(&path("a"), Which::Version(2)).await.unwrap_err();
    assert_eq!(version.kind(), ErrorKind::Failed);
    assert!(store.get(&path("a"), Which::Version(3)).await.is_ok());
    for answer in store.get_many(&[path("a"), path("b")]).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Failed);
    }
    // One more than was asked for.
    let answers = store.get_many(&[path("a")]).await;
    assert_eq!(answers[0].as_ref().unwrap_err().kind(), ErrorKind::Failed);
}

#[tokio::test]
async fn a_name_without_an_answer_is_not_a_missing_one() {
    let server = Wire::http(|_| {
        reply(
            &json!({ "Parameters": [parameter("/app/a", 3, "x")], "InvalidParameters": ["/app/c"] }),
        )
    });
    let store = store(&server.url()).await;
    let answers = store.get_many(&[path("a"), path("b"), path("c")]).await;
    assert!(answers[0].is_ok());
    let kinds = answers[1..]
        .iter()
        .map(|answer| answer.as_ref().unwrap_err().kind());
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [ErrorKind::Failed, ErrorKind::NotFound]
    );
}

#[tokio::test]
async fn pages_that_do_not_end_are_left() {
    for (same, most) in [(true, 3), (false, 2_000)] {
        let server = Wire::http(move |request| {
            let before = common::body(request)["NextToken"].clone();
            let count: u64 = before.as_str().unwrap_or("0").parse().unwrap();
            let token = if same { 1 } else { count + 1 };
            reply(&json!({ "Parameters": [], "NextToken": token.to_string() }))
        });
        let store = store(&server.url()).await;
        let error = store.list("", None, 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        assert!(server.requests().len() <= most);
    }
}

#[tokio::test]
async fn a_denied_secret_does_not_hide_the_others() {
    let server = Wire::http(|request| {
        let denied = request.text().contains("/app/denied");
        if denied {
            return refusal(400, "AccessDeniedException");
        }
        agreeable(request)
    });
    let store = store(&server.url()).await;
    let paths = [path("a"), path("denied"), path("b")];
    let answers = store.get_many(&paths).await;
    assert_eq!(answers[0].as_ref().unwrap().value.expose(), b"/app/a");
    let error = answers[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(answers[2].as_ref().unwrap().value.expose(), b"/app/b");
}

#[tokio::test]
async fn throttling_of_many_makes_no_more_calls() {
    let server = Wire::http(|_| refusal(400, "ThrottlingException"));
    let store = store(&server.url()).await;
    for answer in store.get_many(&[path("a"), path("b")]).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn as_few_calls_as_the_service_allows() {
    let server = Wire::http(agreeable);
    let store = store(&server.url()).await;
    store.get(&path("a"), Which::Current).await.unwrap();
    store.get(&path("a"), Which::Version(2)).await.unwrap();
    let options = PutOptions::default();
    store.put(&path("a"), &value("x"), &options).await.unwrap();
    store.delete(&path("a"), None).await.unwrap();
    assert_eq!(server.requests().len(), 4);
    server.forget();
    let hundred: Vec<_> = (0..100).map(|i| path(&format!("n/{i}"))).collect();
    let answers = store.get_many(&hundred).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.requests().len(), 10);
    server.forget();
    // Names that are the same are asked for once.
    let same: Vec<_> = (0..100).map(|i| path(&format!("n/{}", i % 5))).collect();
    assert!(store.get_many(&same).await.iter().all(Result::is_ok));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn further_pages_of_a_listing_cost_nothing_until_something_changes() {
    let server = Wire::http(|request| match operation(request) {
        "DescribeParameters" => {
            let names = ["/app/c", "/app/a", "/app/b", "/application/x"];
            let listed: Vec<_> = names.iter().map(|name| json!({ "Name": name })).collect();
            reply(&json!({ "Parameters": listed }))
        }
        _ => agreeable(request),
    });
    let store = store(&server.url()).await;
    let mut after = None;
    for expected in ["a", "b", "c"] {
        let page = store.list("", after, 1).await.unwrap();
        assert_eq!(page.paths, [path(expected)]);
        assert_eq!(page.more, expected != "c");
        after = Some(expected);
    }
    assert_eq!(server.requests().len(), 1);
    store.list("", None, 1).await.unwrap();
    assert_eq!(server.requests().len(), 2, "a first page is a new one");
    store.delete(&path("x"), None).await.unwrap();
    store.list("", Some("a"), 1).await.unwrap();
    assert_eq!(server.requests().len(), 4, "after a change of ours");
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_write_is_told() {
    for (code, words) in [
        ("ParameterMaxVersionLimitExceeded", "label"),
        ("ParameterLimitExceeded", "quota"),
        ("InvalidKeyId", "key-id"),
        ("HierarchyTypeMismatchException", "SecureString"),
    ] {
        let server = Wire::http(move |_| refusal(400, code));
        let store = store(&server.url()).await;
        let options = PutOptions::default();
        let error = store
            .put(&path("a"), &value("x"), &options)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.to_string().contains(words), "{error}");
    }
}
