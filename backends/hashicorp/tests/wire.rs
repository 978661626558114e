//! Servers that are hostile or broken, and what goes over the wire to an honest one.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use strongroom_backend::{
    Backend, Error, ErrorKind, PutOptions, Result, SecretPath, SecretValue, Which,
};
use strongroom_backend_hashicorp::{Auth, Config, Credential, HashicorpBackend, Kv};
use strongroom_backend_remote::Endpoint;
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Identity, Reply, Request, Wire};

use common::{failed, get, open, path};

const TOKEN: &str = "hvs.canary-token-4e21";
const VALUE: &str = "canary-value-93b0";

/// A store that takes the server for KV v2 and asks with the token.
async fn store(server: &Wire) -> (HashicorpBackend, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(server, &dir);
    (open(&config).await, dir)
}

fn config(server: &Wire, dir: &tempfile::TempDir) -> Config {
    let file = dir.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let address = Endpoint::parse(&server.url()).unwrap();
    let mut config = Config::new(address, "team/secret", Auth::Token(Credential::File(file)));
    config.prefix = "app".to_owned();
    config.kv = Kv::V2;
    config
}

fn is_lookup(request: &Request) -> bool {
    request.path() == "/v1/auth/token/lookup-self"
}

fn lookup() -> Reply {
    Reply::json(
        200,
        r#"{"data":{"ttl":0,"display_name":"t","policies":["p"]}}"#,
    )
}

fn secret(value: &str) -> String {
    let data = format!(r#"{{"value":"{value}"}}"#);
    format!(
        r#"{{"data":{{"data":{data},"metadata":{{"version":1,"deletion_time":"","destroyed":false}}}}}}"#
    )
}

/// A server that accepts the token and answers everything else with `reply`.
fn answering(reply: Reply) -> Wire {
    Wire::http(move |request| match is_lookup(request) {
        true => lookup(),
        false => reply.clone(),
    })
}

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
    let server = answering(Reply::endless(200, 1 << 30));
    let (store, _dir) = store(&server).await;
    let began = Instant::now();
    let (kind, text) = failed(get(&store, "a").await);
    assert_eq!(kind, ErrorKind::Failed, "{text}");
    assert!(text.contains("longer than"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(8));
    // One that says so before is not read at all.
    let headers = Vec::new();
    let reply = Reply::Cut {
        status: 200,
        headers,
        body: b"{".to_vec(),
        promised: 1 << 30,
    };
    let server = answering(reply);
    let (store, _dir) = self::store(&server).await;
    let (kind, text) = failed(get(&store, "a").await);
    assert_eq!(kind, ErrorKind::Failed, "{text}");
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

/// At the most talkative level of our own code and of the libraries below it.
#[tokio::test]
async fn nothing_that_is_logged_holds_a_token_or_a_value() {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || written.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
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

#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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
    let server = Wire::http(|request| match request.path() {
        "/v1/sys/health" => Reply::json(
            200,
            r#"{"initialized":true,"sealed":false,"version":"1\u001b[31m.9"}"#,
        )
        .with_header("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
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
    assert!(
        all.contains("the clocks are") && all.contains("policies a, b"),
        "{all}"
    );
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
