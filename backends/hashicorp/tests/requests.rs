//! What goes over the wire: how many requests, where to, in which order, and what is never sent.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use strongroom_backend::{Backend, ErrorKind, PutOptions, SecretPath, SecretValue, Which};
use strongroom_backend_hashicorp::{Auth, Config, Kv};
use strongroom_backend_remote::Endpoint;
use strongroom_backend_testkit::wire::{Reply, Wire};

use common::wire::{TOKEN, VALUE, answering, config, is_lookup, lookup, secret, store};
use common::{failed, get, open, path};

#[tokio::test]
async fn a_get_is_one_request_once_the_engine_is_known() {
    let server = Wire::http(|request| match request.path() {
        path if path.contains("/ui/mounts/") => Reply::json(
            200,
            r#"{"data":{"path":"team/secret/","type":"kv","options":{"version":"2"}}}"#,
        ),
        _ if is_lookup(request) => lookup(),
        _ => Reply::json(200, &secret(VALUE)),
    });
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&server, &dir);
    config.kv = Kv::Auto;
    config.namespace = Some("team/a".to_owned());
    let store = open(&config).await;
    assert!(server.requests().is_empty(), "opening asks nobody");
    assert_eq!(get(&store, "a").await.unwrap(), VALUE);
    assert_eq!(server.requests().len(), 3);
    server.forget();
    for _ in 0..5 {
        assert_eq!(get(&store, "a").await.unwrap(), VALUE);
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 5);
    for request in requests {
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("GET", "/v1/team/secret/data/app/a")
        );
        assert_eq!(request.header("x-vault-token"), Some(TOKEN));
        assert_eq!(request.header("x-vault-namespace"), Some("team/a"));
        assert_eq!(request.header("x-vault-request"), Some("true"));
        assert!(request.header("referer").is_none());
    }
}

/// The engine has no call for many. The token is looked at once, whoever of them is first.
#[tokio::test]
async fn a_hundred_at_once_are_a_hundred_requests() {
    let server = answering(Reply::json(200, &secret(VALUE)));
    let (store, _dir) = store(&server).await;
    let names: Vec<_> = (0..100).map(|n| path(&format!("n/{n}"))).collect();
    for answer in store.get_many(&names).await {
        assert_eq!(answer.unwrap().value.expose(), VALUE.as_bytes());
    }
    let (lookups, reads): (Vec<_>, Vec<_>) = server.requests().into_iter().partition(is_lookup);
    assert_eq!(lookups.len(), 1);
    assert_eq!(reads.len(), 100);
    assert!(reads.iter().all(|request| request.method == "GET"));
    let read: BTreeSet<_> = reads.into_iter().map(|request| request.target).collect();
    let at = |name: &SecretPath| format!("/v1/team/secret/data/app/{name}");
    let each: BTreeSet<_> = names.iter().map(at).collect();
    assert_eq!(read, each);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_make_one_login_and_one_look() {
    let logins = Arc::new(AtomicU32::new(0));
    let looks = Arc::new(AtomicU32::new(0));
    let counted = (Arc::clone(&logins), Arc::clone(&looks));
    let server = Wire::http(move |request| match request.path() {
        "/v1/auth/k8s/login" => {
            counted.0.fetch_add(1, Ordering::SeqCst);
            let auth = format!(
                r#"{{"auth":{{"client_token":"{TOKEN}","lease_duration":3600,"renewable":true}}}}"#
            );
            Reply::After(Duration::from_millis(50), Box::new(Reply::json(200, &auth)))
        }
        path if path.contains("/ui/mounts/") => {
            counted.1.fetch_add(1, Ordering::SeqCst);
            Reply::json(
                200,
                r#"{"data":{"path":"team/secret/","type":"kv","options":{"version":"2"}}}"#,
            )
        }
        _ => Reply::json(200, &secret(VALUE)),
    });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jwt");
    std::fs::write(&file, "ey.canary.jwt\n").unwrap();
    let text = format!(
        "kubernetes = {{ role = 'app', mount = 'k8s', token-file = '{}' }}",
        file.display()
    );
    let auth: Auth = toml::from_str(&text).unwrap();
    let config = Config::new(Endpoint::parse(&server.url()).unwrap(), "team/secret", auth);
    let store = Arc::new(open(&config).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { get(&store, "a").await.unwrap() });
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap(), VALUE);
    }
    assert_eq!(logins.load(Ordering::SeqCst), 1);
    assert_eq!(looks.load(Ordering::SeqCst), 1);
    let login = server
        .requests()
        .into_iter()
        .find(|r| r.path().ends_with("/login"))
        .unwrap();
    assert_eq!(login.text(), r#"{"role":"app","jwt":"ey.canary.jwt"}"#);
    assert!(login.header("x-vault-token").is_none());
}

#[tokio::test]
async fn a_token_that_ended_is_got_anew_and_the_call_repeated_once() {
    let current = Arc::new(AtomicU32::new(0));
    let issued = Arc::clone(&current);
    let server = Wire::http(move |request| {
        if request.path() == "/v1/auth/approle/login" {
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::json(
                200,
                &format!(
                    r#"{{"auth":{{"client_token":"t{number}","lease_duration":3600,"renewable":true}}}}"#
                ),
            );
        }
        // The server knows the second token only: the first was revoked.
        match request.header("x-vault-token") {
            Some("t2") => Reply::json(200, &secret(VALUE)),
            _ => Reply::json(403, r#"{"errors":["permission denied"]}"#),
        }
    });
    let auth: Auth = toml::from_str("approle = { role-id = 'r' }").unwrap();
    let mut config = Config::new(Endpoint::parse(&server.url()).unwrap(), "secret", auth);
    config.kv = Kv::V2;
    let store = open(&config).await;
    // Just logged in, so the denial is taken for one.
    assert_eq!(
        failed(get(&store, "a").await).0,
        ErrorKind::PermissionDenied
    );
    tokio::time::sleep(Duration::from_millis(5100)).await;
    server.forget();
    assert_eq!(get(&store, "a").await.unwrap(), VALUE);
    let sent: Vec<_> = server
        .requests()
        .iter()
        .map(|r| r.path().to_owned())
        .collect();
    assert_eq!(
        sent,
        [
            "/v1/secret/data/a",
            "/v1/auth/token/lookup-self",
            "/v1/auth/approle/login",
            "/v1/secret/data/a"
        ]
    );
    assert_eq!(current.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_is_not_tried_by_everyone() {
    let server = Wire::http(|_| Reply::json(400, r#"{"errors":["invalid role or secret ID"]}"#));
    let auth: Auth = toml::from_str("approle = { role-id = 'r' }").unwrap();
    let config = Config::new(Endpoint::parse(&server.url()).unwrap(), "secret", auth);
    let store = Arc::new(open(&config).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { failed(get(&store, "a").await).0 });
    }
    while let Some(kind) = tasks.join_next().await {
        assert_eq!(kind.unwrap(), ErrorKind::Unauthenticated);
    }
    assert!(
        server.requests().len() <= 3,
        "{} logins",
        server.requests().len()
    );
}

#[tokio::test]
async fn another_version_than_asked_for_is_not_taken() {
    let server = answering(Reply::json(200, &secret(VALUE)));
    let (store, _dir) = store(&server).await;
    let (kind, text) = failed(store.get(&path("a"), Which::Version(2)).await);
    assert_eq!(kind, ErrorKind::Failed, "{text}");
    assert!(store.get(&path("a"), Which::Version(1)).await.is_ok());
    server.forget();
    for number in [0, i64::MAX as u64 + 1, u64::MAX] {
        let (kind, _) = failed(store.get(&path("a"), Which::Version(number)).await);
        assert_eq!(kind, ErrorKind::NotFound);
    }
    assert!(
        server.requests().is_empty(),
        "numbers that cannot be are not asked for"
    );
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_any_call() {
    let server = answering(Reply::status(500));
    let (store, _dir) = store(&server).await;
    let limit = store.capabilities().max_value;
    let value = SecretValue::new(vec![b'x'; usize::try_from(limit).unwrap() + 1]);
    let (kind, text) = failed(store.put(&path("a"), &value, &PutOptions::default()).await);
    assert_eq!(kind, ErrorKind::TooLarge(limit));
    assert!(text.contains(&limit.to_string()));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn labels_that_do_not_fit_are_refused_before_the_write() {
    let server = Wire::http(|request| match is_lookup(request) {
        true => lookup(),
        false if request.method == "GET" => Reply::json(404, r#"{"errors":[]}"#),
        false => Reply::status(500),
    });
    let (store, _dir) = store(&server).await;
    let value = SecretValue::copy_of(b"x");
    let labels = vec![("l".to_owned(), "t".repeat(513))];
    let options = PutOptions {
        metadata: strongroom_backend::Metadata {
            labels: Some(labels),
            ..Default::default()
        },
        ..PutOptions::default()
    };
    let (kind, text) = failed(store.put(&path("a"), &value, &options).await);
    assert_eq!(kind, ErrorKind::InvalidArgument, "{text}");
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.method == "GET")
    );
}

const ONE_OF_TWO: &str = r#"{"data":{"created_time":"2026-01-01T00:00:00Z","updated_time":"2026-01-01T00:00:00Z","current_version":2,"custom_metadata":{"owner":"x"},"versions":{"1":{"created_time":"2026-01-01T00:00:00Z","deletion_time":"","destroyed":false},"2":{"created_time":"2026-01-01T00:00:00Z","deletion_time":"","destroyed":false}}}}"#;

/// A crash between the two leaves a mark without a delete, which counts for nothing.
#[tokio::test]
async fn a_delete_marks_first_and_names_the_versions() {
    let server = Wire::http(|request| match request.method.as_str() {
        _ if is_lookup(request) => lookup(),
        "GET" => Reply::json(200, ONE_OF_TWO),
        _ => Reply::status(204),
    });
    let (store, _dir) = store(&server).await;
    store.delete(&path("a"), None).await.unwrap();
    let sent: Vec<_> = server
        .requests()
        .iter()
        .filter(|request| request.method != "GET")
        .map(|r| (r.method.clone(), r.path().to_owned(), r.text().to_owned()))
        .collect();
    let at = |area: &str| format!("/v1/team/secret/{area}/app/a");
    let mark = r#"{"custom_metadata":{"strongroom-deleted":"2:1-2"}}"#;
    assert_eq!(
        sent,
        [
            ("PATCH".to_owned(), at("metadata"), mark.to_owned()),
            (
                "POST".to_owned(),
                at("delete"),
                r#"{"versions":[1,2]}"#.to_owned()
            ),
        ]
    );
}

#[tokio::test]
async fn a_value_without_its_metadata_is_told() {
    let server = Wire::http(|request| match request.method.as_str() {
        _ if is_lookup(request) => lookup(),
        "GET" => Reply::json(200, ONE_OF_TWO),
        "POST" => Reply::json(200, r#"{"data":{"version":3}}"#),
        _ => Reply::status(503),
    });
    let (store, _dir) = store(&server).await;
    let options = PutOptions {
        metadata: strongroom_backend::Metadata {
            kind: Some("api-key".to_owned()),
            ..Default::default()
        },
        ..PutOptions::default()
    };
    let value = SecretValue::copy_of(VALUE.as_bytes());
    let (kind, text) = failed(store.put(&path("a"), &value, &options).await);
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(text.contains("the value was written"), "{text}");
}

/// The task that renews a token ends with the store.
#[tokio::test]
async fn nothing_runs_on_after_the_store() {
    let server = Wire::http(|request| match is_lookup(request) {
        true => Reply::json(200, r#"{"data":{"ttl":3600,"renewable":true}}"#),
        false => Reply::json(200, &secret(VALUE)),
    });
    let (store, _dir) = store(&server).await;
    get(&store, "a").await.unwrap();
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    assert!(alive() > 0, "the token is kept");
    drop(store);
    let began = Instant::now();
    while alive() > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{} tasks run on",
            alive()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Folders without an end, and names that would lead out of ours.
#[tokio::test]
async fn a_listing_that_lies_does_not_lead_astray() {
    let keys =
        r#"{"data":{"keys":["../","..","a//","%2e%2e/","/etc","a b","x?list=true","ok","sub/"]}}"#;
    let server = answering(Reply::json(200, keys));
    let (store, _dir) = store(&server).await;
    let began = Instant::now();
    let (kind, _) = failed(store.list("", None, 100).await);
    assert_eq!(
        kind,
        ErrorKind::Failed,
        "the names have no metadata that can be read"
    );
    assert!(began.elapsed() < Duration::from_secs(30));
    for request in server
        .requests()
        .iter()
        .filter(|request| !is_lookup(request))
    {
        below(&request.target, "metadata");
        assert!(request.target.split('/').count() < 25, "{}", request.target);
    }
}

/// Whatever a reference is, the request stays below mount and prefix and has no query of its own.
#[tokio::test]
async fn hostile_references_reach_nothing_else() {
    let server = answering(Reply::json(200, &secret(VALUE)));
    let (store, _dir) = store(&server).await;
    let texts = hostile();
    assert!(texts.len() >= 200, "{} references", texts.len());
    let mut parsed = 0;
    for text in &texts {
        server.forget();
        let Ok(name) = SecretPath::parse(text) else {
            // Not a reference: what a listing is asked for is checked all the same.
            let before = server.requests().len();
            if !text.is_empty() && strongroom_backend::Prefix::parse(text, None).is_err() {
                let _ = store.list(text, None, 1).await;
                for request in &server.requests()[before..] {
                    below(&request.target, "metadata");
                }
            }
            continue;
        };
        parsed += 1;
        let _ = store.get(&name, Which::Current).await;
        let _ = store.get(&name, Which::Version(1)).await;
        let value = SecretValue::copy_of(b"x");
        let _ = store.put(&name, &value, &PutOptions::default()).await;
        let _ = store.delete(&name, None).await;
        let _ = store.describe(&name).await;
        let requests: Vec<_> = server
            .requests()
            .into_iter()
            .filter(|r| !is_lookup(r))
            .collect();
        assert!(requests.len() >= 4);
        for request in requests {
            let area = request
                .target
                .split('/')
                .nth(4)
                .unwrap_or_default()
                .to_owned();
            assert!(
                ["data", "metadata"].contains(&area.as_str()),
                "{}",
                request.target
            );
            below(&request.target, &area);
            let named = request
                .path()
                .strip_prefix(&format!("/v1/team/secret/{area}/app/"));
            assert_eq!(named, Some(text.as_str()), "sent as it is");
            let query = request
                .target
                .split_once('?')
                .map_or("", |(_, query)| query);
            assert!(["", "version=1"].contains(&query), "{}", request.target);
        }
    }
    assert!(parsed >= 60, "only {parsed} get past the grammar");
}

fn below(target: &str, area: &str) {
    let path = target.split('?').next().unwrap_or_default();
    assert!(
        path.starts_with(&format!("/v1/team/secret/{area}/app/")),
        "{target}"
    );
    let bad = |segment: &str| matches!(segment, "." | "..") || segment.contains("%2");
    assert!(!path.split('/').any(bad), "{target}");
}

fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        "/",
        "//",
        ".",
        "..",
        "../x",
        "a/../b",
        "a/./b",
        "a//b",
        "/a",
        "a/",
        "%2e%2e/x",
        "a%2fb",
        "%00",
        "a\0b",
        "a b",
        "a?version=1",
        "a#b",
        "a;b",
        "a&b",
        "a=b",
        "a:1",
        "x:y:z",
        "a\\b",
        "..\\x",
        "*",
        "a/*",
        "a/**",
        "+",
        "{{identity}}",
        "${x}",
        "a\nb",
        "a\r\nX-Vault-Token: x",
        "\u{2024}\u{2024}/a",
        "caf\u{e9}",
        "\u{202e}a",
        "http://evil/",
        "https://evil/v1/sys/seal",
        "//evil/x",
        "@evil",
        "a@b",
    ]
    .map(str::to_owned)
    .to_vec();
    let words = [
        "sys",
        "sys/seal",
        "sys/policies/acl/root",
        "auth/token/create",
        "identity/entity",
        "data/x",
        "metadata/x",
        "delete/x",
        "undelete/x",
        "destroy/x",
        "config",
        "subkeys/x",
        "secret/data/x",
        "team/secret/data/x",
        "v1/sys/mounts",
        "cubbyhole/x",
        "a.",
        "a..",
        "a..b",
        "a/b..",
        "-",
        "--",
        "_",
        "__proto__",
        "list=true",
        "version",
        "version-1",
        "x--aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "CON",
        "A",
        "a.json",
        "0",
    ];
    for word in words {
        texts.extend([
            word.to_owned(),
            word.to_uppercase(),
            format!("../{word}"),
            format!("./{word}"),
            format!("/{word}"),
            format!("{word}/"),
            format!("{word}?list=true"),
            format!("{word}%2f..%2fx"),
            format!("x/{word}"),
        ]);
    }
    texts.push("a".repeat(255));
    texts.push("a".repeat(256));
    texts.push(vec!["s"; 16].join("/"));
    texts.push(vec!["s"; 17].join("/"));
    texts.sort_unstable();
    texts.dedup();
    texts
}
