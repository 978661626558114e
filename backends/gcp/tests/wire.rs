//! Servers that are hostile or broken, and what goes over the wire to an honest one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use strongroom_backend::{
    Backend, Error, ErrorKind, Metadata, PutOptions, Result, SecretPath, SecretValue, Which,
};
use strongroom_backend_gcp::GcpBackend;
use strongroom_backend_remote::Endpoint;
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};
use strongroom_backend_testkit::{Canary, hostile};

use common::{failed, get, open, path, put_with, settings, store, versioning};

const VALUE: &str = "canary-value-93b0";
const WORDS: &str = "canary-body-77aa";

fn refusal(status: u16, code: &str) -> String {
    format!(
        r#"{{"error":{{"code":{status},"message":"{WORDS} in projects/shop-prod","status":"{code}",
        "details":[{{"@type":"type.googleapis.com/google.rpc.DebugInfo","detail":"{WORDS}"}}]}}}}"#
    )
}

fn access(name: &str) -> String {
    format!(r#"{{"name":"{name}","payload":{{"data":"Y2FuYXJ5"}}}}"#)
}

/// What each call makes of the same answer.
async fn every_call(store: &GcpBackend) -> Vec<(&'static str, Result<()>)> {
    let name = path("db/main");
    let value = SecretValue::copy_of(VALUE.as_bytes());
    let versioning = versioning(store);
    let options = PutOptions::default();
    vec![
        ("get", store.get(&name, Which::Current).await.map(drop)),
        ("put", store.put(&name, &value, &options).await.map(drop)),
        ("describe", store.describe(&name).await.map(drop)),
        ("delete", store.delete(&name, None).await.map(drop)),
        ("delete 1", store.delete(&name, Some(1)).await.map(drop)),
        ("list", store.list("", None, 10).await.map(drop)),
        ("versions", store.versions(&name).await.map(drop)),
        ("undelete", versioning.undelete(&name, None).await.map(drop)),
        (
            "undelete 1",
            versioning.undelete(&name, Some(1)).await.map(drop),
        ),
        ("destroy", versioning.destroy(&name, 1).await.map(drop)),
        (
            "set_metadata",
            versioning
                .set_metadata(&name, &Metadata::default())
                .await
                .map(drop),
        ),
        ("check", store.check().await.map(drop)),
    ]
}

fn shows_nothing(error: &Error) {
    for hidden in [VALUE, WORDS, "shop-prod"] {
        let found = Canary::new(hidden).found_in_error(error);
        assert!(found.is_none(), "{hidden} as {found:?}");
    }
}

#[tokio::test]
async fn each_code_has_its_kind_and_no_word_is_repeated() {
    use ErrorKind as K;
    for (status, code, kind) in [
        (400, "INVALID_ARGUMENT", K::Failed),
        (400, "OUT_OF_RANGE", K::Failed),
        (400, "FAILED_PRECONDITION", K::Failed),
        (401, "UNAUTHENTICATED", K::Unauthenticated),
        (403, "PERMISSION_DENIED", K::PermissionDenied),
        (409, "ABORTED", K::Unavailable),
        (429, "RESOURCE_EXHAUSTED", K::Unavailable),
        (499, "CANCELLED", K::Unavailable),
        (500, "INTERNAL", K::Unavailable),
        (500, "DATA_LOSS", K::Damaged),
        (501, "UNIMPLEMENTED", K::Failed),
        (503, "UNAVAILABLE", K::Unavailable),
        (504, "DEADLINE_EXCEEDED", K::Unavailable),
    ] {
        let server = Wire::http(move |_| Reply::json(status, &refusal(status, code)));
        let store = store(&server.url()).await;
        for (call, result) in every_call(&store).await {
            let error = result.unwrap_err();
            let kind = match (call, code) {
                // Of a version that is enabled for all we can see: its key is withdrawn.
                ("get", "FAILED_PRECONDITION") => K::PermissionDenied,
                _ => kind,
            };
            assert_eq!(error.kind(), kind, "{call} at {code}: {error}");
            assert_eq!(error.is_contended(), code == "ABORTED", "{call} at {code}");
            assert!(error.to_string().contains(code), "{error}");
            shows_nothing(&error);
        }
    }
}

#[tokio::test]
async fn a_stranger_never_says_not_found() {
    use ErrorKind as K;
    for (status, body, kind) in [
        (404, "<html>canary-body-77aa</html>", K::Failed),
        (404, "", K::Failed),
        (404, "{\"error\":\"canary-body-77aa\"}", K::Failed),
        (
            404,
            "{\"error\":{\"code\":404,\"message\":\"canary-body-77aa\"}}",
            K::Failed,
        ),
        (401, "canary-body-77aa", K::Unauthenticated),
        (403, "canary-body-77aa", K::PermissionDenied),
        (429, "canary-body-77aa", K::Unavailable),
        (502, "<html>canary-body-77aa</html>", K::Unavailable),
    ] {
        let server = Wire::http(move |_| Reply::json(status, body));
        let store = store(&server.url()).await;
        for (call, result) in every_call(&store).await {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), kind, "{call} at {status} {body}: {error}");
            shows_nothing(&error);
        }
    }
}

#[tokio::test]
async fn broken_replies_are_refused() {
    use ErrorKind as K;
    let whole = access("projects/1/secrets/a/versions/1");
    let replies = [
        ("cut", Reply::cut(200, &whole), K::Unavailable),
        ("closed", Reply::Close, K::Unavailable),
        (
            "html",
            Reply::json(200, "<html>canary-body-77aa</html>"),
            K::Failed,
        ),
        ("empty", Reply::json(200, ""), K::Failed),
        (
            "a list",
            Reply::json(200, "[\"canary-body-77aa\"]"),
            K::Failed,
        ),
        ("nothing in it", Reply::json(200, "{}"), K::Failed),
    ];
    for (what, reply, kind) in replies {
        let server = Wire::http(move |_| reply.clone());
        let store = store(&server.url()).await;
        for (call, result) in every_call(&store).await {
            // A page without secrets is a page.
            if what == "nothing in it" && matches!(call, "list" | "check") {
                continue;
            }
            // No versions: nothing to delete or take back.
            let kind = match (what, call) {
                ("nothing in it", "delete" | "undelete" | "versions") => K::NotFound,
                _ => kind,
            };
            let error = result.unwrap_err();
            assert_eq!(error.kind(), kind, "{call} with {what}: {error}");
            shows_nothing(&error);
        }
    }
}

#[tokio::test]
async fn an_answer_about_another_secret_or_version_is_not_taken() {
    for name in [
        "projects/1/secrets/b/versions/1",
        "projects/1/secrets/a/versions/latest",
        "projects/1/secrets/a/versions/0",
        "projects/1/secrets/a",
        "",
    ] {
        let server = Wire::http(move |_| Reply::json(200, &access(name)));
        let store = store(&server.url()).await;
        let (kind, text) = failed(get(&store, "a").await);
        assert_eq!(kind, ErrorKind::Failed, "{name}: {text}");
    }
    let server = Wire::http(|_| Reply::json(200, &access("projects/1/secrets/a/versions/2")));
    let store = store(&server.url()).await;
    assert_eq!(get(&store, "a").await.unwrap(), "canary");
    let second = store.get(&path("a"), Which::Version(2)).await;
    assert_eq!(second.unwrap().version, 2);
    let first = store.get(&path("a"), Which::Version(1)).await;
    assert_eq!(failed(first).0, ErrorKind::Failed);
}

#[tokio::test]
async fn a_value_with_a_wrong_checksum_is_not_given_out() {
    // The sum of "canary" is 2690314880.
    for (sum, right) in [("2690314880", true), ("2690314881", false), ("0", false)] {
        let body = format!(
            r#"{{"name":"projects/1/secrets/a/versions/1",
            "payload":{{"data":"Y2FuYXJ5","dataCrc32c":"{sum}"}}}}"#
        );
        let server = Wire::http(move |_| Reply::json(200, &body));
        let got = get(&store(&server.url()).await, "a").await;
        if right {
            assert_eq!(got.unwrap(), "canary");
        } else {
            let (kind, text) = failed(got);
            assert_eq!(kind, ErrorKind::Unavailable, "{text}");
            assert!(
                text.contains("checksum") && !text.contains("canary"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn a_gigabyte_is_left_unread() {
    let promised = Reply::Cut {
        status: 200,
        headers: Vec::new(),
        body: b"{".to_vec(),
        promised: 1 << 30,
    };
    for (reply, kind) in [
        (Reply::endless(200, 1 << 30), ErrorKind::Failed),
        (promised, ErrorKind::Failed),
        (Reply::endless(500, 1 << 30), ErrorKind::Unavailable),
        (Reply::endless(404, 1 << 30), ErrorKind::Failed),
    ] {
        let server = Wire::http(move |_| reply.clone());
        let store = store(&server.url()).await;
        let began = Instant::now();
        for result in [
            get(&store, "a").await.map(drop),
            store.list("", None, 1).await.map(drop),
        ] {
            let (got, text) = failed(result);
            assert_eq!(got, kind, "{text}");
        }
        assert!(
            began.elapsed() < Duration::from_secs(6),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn pages_without_end_are_left() {
    let server = Wire::http(|_| Reply::json(200, r#"{"nextPageToken":"again"}"#));
    let store = store(&server.url()).await;
    assert_eq!(failed(store.list("", None, 1).await).0, ErrorKind::Failed);
    assert!(server.requests().len() <= 3);
    let (kind, _) = failed(store.versions(&path("a")).await);
    assert_eq!(kind, ErrorKind::Failed);
}

#[tokio::test]
async fn a_server_that_hangs_or_drips_ends_with_our_time() {
    let drip = Reply::Drip {
        status: 200,
        headers: Vec::new(),
        pause: Duration::from_millis(100),
    };
    let tries = [Reply::Hang, drip].map(|reply| async move {
        let server = Wire::http(move |_| reply.clone());
        let store = store(&server.url()).await;
        let began = Instant::now();
        let (kind, text) = failed(get(&store, "a").await);
        assert_eq!(kind, ErrorKind::Unavailable, "{text}");
        assert!(text.contains("in time"), "{text}");
        assert!(began.elapsed() < Duration::from_secs(12));
    });
    futures::future::join_all(tries).await;
}

#[tokio::test]
async fn a_failure_is_asked_about_once() {
    for status in [429, 500, 503] {
        let server = Wire::http(move |_| Reply::json(status, &refusal(status, "UNAVAILABLE")));
        let store = store(&server.url()).await;
        failed(get(&store, "a").await);
        assert_eq!(server.requests().len(), 1, "get at {status}");
        failed(put_with(&store, "a", VALUE, &PutOptions::default()).await);
        assert_eq!(server.requests().len(), 2, "put at {status}");
    }
    let server = Wire::http(|_| Reply::Close);
    failed(get(&store(&server.url()).await, "a").await);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_wrong_certificate_ends_the_call() {
    let right = Identity::new("localhost");
    let wrong_name = Identity::new("secretmanager.example.com");
    let dir = tempfile::tempdir().unwrap();
    for (served, trusted) in [
        (&wrong_name, Some(&wrong_name)),
        (&right, Some(&wrong_name)),
        (&right, None),
    ] {
        let server = Wire::https(served, |_| Reply::json(200, "{}"));
        let mut config = settings(&server.url());
        config.ca_file = trusted.map(|trusted| {
            let file = dir.path().join("ca.pem");
            std::fs::write(&file, trusted.authority()).unwrap();
            file
        });
        let (kind, text) = failed(get(&open(&config).await, "a").await);
        assert_eq!(kind, ErrorKind::Failed, "{text}");
        assert!(text.contains("certificate"), "{text}");
        assert!(server.requests().is_empty());
    }
}

#[tokio::test]
async fn nobody_there_is_an_outage() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let store = store(&format!("http://127.0.0.1:{port}")).await;
    for (call, result) in every_call(&store).await {
        let (kind, text) = failed(result);
        assert_eq!(kind, ErrorKind::Unavailable, "{call}: {text}");
        assert!(text.contains("nothing listens"), "{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_any_call() {
    let server = Wire::http(|_| Reply::Close);
    let mut config = settings(&server.url());
    config.names = [("db/main".to_owned(), "LegacyMain".to_owned())].into();
    let store = open(&config).await;
    let over = "x".repeat((64 << 10) + 1);
    let plain = PutOptions::default();
    let kind = |result| failed(result).0;
    let result = put_with(&store, "a", &over, &plain).await;
    assert_eq!(kind(result), ErrorKind::TooLarge(64 << 10));
    for expected in [0, 1] {
        let options = PutOptions {
            expected: Some(expected),
            ..PutOptions::default()
        };
        let result = put_with(&store, "a", "x", &options).await;
        assert_eq!(kind(result), ErrorKind::Unsupported);
    }
    let options = PutOptions {
        expires: Some(u64::MAX),
        ..PutOptions::default()
    };
    let result = put_with(&store, "a", "x", &options).await;
    assert_eq!(kind(result), ErrorKind::Unsupported);
    let large = Metadata {
        description: Some("x".repeat(20 << 10)),
        ..Metadata::default()
    };
    let options = PutOptions {
        metadata: large.clone(),
        ..PutOptions::default()
    };
    let result = put_with(&store, "a", "x", &options).await;
    assert_eq!(kind(result), ErrorKind::InvalidArgument);
    let result = versioning(&store).set_metadata(&path("a"), &large).await;
    assert_eq!(failed(result).0, ErrorKind::InvalidArgument);
    for number in [0, i64::MAX as u64 + 1, u64::MAX] {
        let got = store.get(&path("a"), Which::Version(number)).await;
        assert_eq!(failed(got).0, ErrorKind::NotFound);
        let deleted = store.delete(&path("a"), Some(number)).await;
        assert_eq!(failed(deleted).0, ErrorKind::NotFound);
    }
    // The name that was given to another path.
    assert_eq!(
        kind(put_with(&store, "LegacyMain", "x", &plain).await),
        ErrorKind::InvalidArgument
    );
    let page = store.list("", Some("not a path: ::"), 1).await;
    assert_eq!(failed(page).0, ErrorKind::InvalidArgument);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn hostile_references_reach_a_secret_of_their_own_and_nothing_else() {
    let texts = hostile::references();
    assert!(texts.len() >= 200);
    let server = Wire::http(|_| Reply::json(404, &refusal(404, "NOT_FOUND")));
    let store = store(&server.url()).await;
    let host = server.url().replace("http://", "");
    let mut seen: HashMap<String, SecretPath> = HashMap::new();
    let mut tried = 0;
    for text in &texts {
        let Ok(path) = SecretPath::parse(text) else {
            continue;
        };
        tried += 1;
        server.forget();
        let _ = store.get(&path, Which::Current).await;
        let _ = store.get(&path, Which::Version(7)).await;
        let value = SecretValue::copy_of(b"x");
        let _ = store.put(&path, &value, &PutOptions::default()).await;
        let _ = store.delete(&path, None).await;
        let _ = store.describe(&path).await;
        let requests = server.requests();
        assert!(requests.len() >= 6, "{text}: {} requests", requests.len());
        let first = &requests[0].target;
        let id = first
            .strip_prefix("/v1/projects/shop-prod/secrets/")
            .and_then(|rest| rest.strip_suffix("/versions/latest:access"))
            .unwrap_or_else(|| panic!("{text} asks for {first}"))
            .to_owned();
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        assert!(
            !id.is_empty() && id.len() <= 255 && id.bytes().all(legal),
            "{text}: {id}"
        );
        let secret = format!("/v1/projects/shop-prod/secrets/{id}");
        for request in &requests {
            let target = &request.target;
            let rest = target.strip_prefix(&secret);
            let fits = match rest {
                Some(rest) => matches!(
                    rest,
                    "" | ":addVersion"
                        | "/versions/latest"
                        | "/versions/latest:access"
                        | "/versions/7:access"
                        | "/versions?pageSize=1000&pageToken="
                ),
                None => *target == format!("/v1/projects/shop-prod/secrets?secretId={id}"),
            };
            assert!(fits, "{text}: {} {target}", request.method);
            assert_eq!(request.header("host"), Some(host.as_str()));
        }
        let other = seen.insert(id, path.clone());
        assert!(other.is_none(), "{text} and {other:?}");
    }
    assert!(tried >= 40, "only {tried} get past the grammar");
}

#[tokio::test]
async fn a_get_is_one_request_and_a_hundred_are_a_hundred() {
    let server = Wire::http(|request| {
        let name = request.path().trim_start_matches("/v1/");
        let name = name.replace("latest:access", "3");
        Reply::json(200, &access(&name))
    });
    let store = store(&server.url()).await;
    assert!(server.requests().is_empty(), "opening asks nobody");
    get(&store, "a").await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method, "GET");
    assert!(requests[0].header("authorization").is_none());
    assert!(requests[0].header("referer").is_none());
    server.forget();
    let names: Vec<_> = (0..100).map(|n| path(&format!("n/{n}"))).collect();
    for secret in store.get_many(&names).await {
        assert_eq!(secret.unwrap().version, 3);
    }
    assert_eq!(server.requests().len(), 100);
}

#[tokio::test]
async fn a_write_carries_its_checksum() {
    let server = Wire::http(|_| {
        Reply::json(
            200,
            r#"{"name":"projects/1/secrets/a/versions/4","state":"ENABLED"}"#,
        )
    });
    let store = store(&server.url()).await;
    let version = put_with(&store, "a", "123456789", &PutOptions::default()).await;
    assert_eq!(version.unwrap(), 4);
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "no note, no second call");
    assert_eq!(
        (requests[0].method.as_str(), requests[0].target.as_str()),
        ("POST", "/v1/projects/shop-prod/secrets/a:addVersion")
    );
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(
        requests[0].text(),
        r#"{"payload":{"data":"MTIzNDU2Nzg5","dataCrc32c":"3808858755"}}"#
    );
}

#[tokio::test]
async fn doctor_says_what_is_wrong() {
    let body = r#"{"error":{"code":403,"message":"words","status":"PERMISSION_DENIED","details":[
        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED",
        "domain":"googleapis.com","metadata":{"service":"secretmanager.googleapis.com"}}]}}"#;
    for (reply, hint) in [
        (Reply::json(403, body), "not enabled"),
        (
            Reply::json(403, &refusal(403, "PERMISSION_DENIED")),
            "roles/",
        ),
        (Reply::json(401, &refusal(401, "UNAUTHENTICATED")), "clock"),
        (Reply::json(404, "nginx"), "check the endpoint"),
        (Reply::redirect("https://example.com/"), "redirects"),
        (Reply::json(200, "<html>"), "not an answer"),
    ] {
        let server = Wire::http(move |_| reply.clone());
        let (_, text) = failed(store(&server.url()).await.check().await);
        assert!(text.contains(hint), "{hint}: {text}");
    }
    let old = Reply::json(200, "{}").with_header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let server = Wire::http(move |_| old.clone());
    let (_, text) = failed(store(&server.url()).await.check().await);
    assert!(
        text.contains("ahead of the service's: set it right"),
        "{text}"
    );
}

#[tokio::test]
async fn no_request_goes_to_a_name_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let token = common::file(&dir, "token", "subject");
    let sts = Wire::http(|_| {
        Reply::json(
            200,
            r#"{"access_token":"t","issued_token_type":"urn:ietf:params:oauth:token-type:access_token",
            "token_type":"Bearer","expires_in":3600}"#,
        )
    });
    let text = common::federated(&token, &sts.url());
    let mut config = settings("http://127.0.0.1:1");
    config.endpoint = Some(Endpoint::parse("https://name.invalid").unwrap());
    config.auth = strongroom_backend_gcp::Auth::credentials_file(common::file(&dir, "c", &text));
    let (kind, text) = failed(get(&open(&config).await, "a").await);
    assert_eq!(kind, ErrorKind::Unavailable, "{text}");
    assert!(text.contains("cannot be resolved"), "{text}");
}
