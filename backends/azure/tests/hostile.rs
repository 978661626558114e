//! Servers that lie, hang, cut and lure, and references that try to reach something else.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod fake;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fake::{AUDIENCE, Clock, Fake, SECRET, TENANT};
use strongroom_backend::{
    Backend, Error, ErrorKind, PutOptions, Result, SecretPath, SecretValue, Which,
};
use strongroom_backend_azure::AzureBackend;
use strongroom_backend_remote::Endpoint;
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Identity, Reply, Request, Wire};

const CANARY: &str = "canary-9b2e-in-a-reply";

/// A server with a folder that holds its authority and the client's secret.
struct Lair {
    wire: Wire,
    folder: tempfile::TempDir,
}

impl Lair {
    fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::named("localhost", answer)
    }

    fn named(name: &str, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let identity = Identity::new(name);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), identity.authority()).unwrap();
        let secret = folder.path().join("client.secret");
        std::fs::write(&secret, SECRET).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self {
            wire: Wire::https(&identity, answer),
            folder,
        }
    }

    /// Logs in and challenges as it should, and then answers with this.
    fn answering(reply: Reply) -> Self {
        Self::new(move |request| prelude(request).unwrap_or_else(|| reply.clone()))
    }

    async fn open(&self) -> AzureBackend {
        let config = fake::config(&self.wire.url());
        AzureBackend::open(&config, self.folder.path())
            .await
            .unwrap()
    }

    fn asked(&self, what: &str) -> usize {
        let requests = self.wire.requests();
        requests.iter().filter(|r| r.path().contains(what)).count()
    }
}

fn prelude(request: &Request) -> Option<Reply> {
    if is_login(request) {
        let token = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t"}"#;
        return Some(Reply::json(200, token));
    }
    request
        .header("authorization")
        .is_none()
        .then(|| challenge(AUDIENCE, "https://login.windows.net"))
}

fn is_login(request: &Request) -> bool {
    request.path().ends_with("/oauth2/v2.0/token")
}

fn challenge(resource: &str, authority: &str) -> Reply {
    let header = format!("Bearer authorization=\"{authority}/{TENANT}\", resource=\"{resource}\"");
    Reply::json(401, r#"{"error":{"code":"Unauthorized"}}"#)
        .with_header("www-authenticate", &header)
}

fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

async fn put(store: &AzureBackend) -> Result<()> {
    let value = SecretValue::copy_of(CANARY.as_bytes());
    let options = PutOptions::default();
    store.put(&path("a"), &value, &options).await.map(drop)
}

/// The errors of every kind of call.
async fn refusals(store: &AzureBackend) -> Vec<Error> {
    let name = path("a");
    vec![
        store.get(&name, Which::Current).await.unwrap_err(),
        store.get(&name, Which::Version(7)).await.unwrap_err(),
        put(store).await.unwrap_err(),
        store.versions(&name).await.unwrap_err(),
        store.describe(&name).await.unwrap_err(),
        store.delete(&name, None).await.unwrap_err(),
        store.list("", None, 10).await.unwrap_err(),
        store.check().await.unwrap_err(),
    ]
}

#[tokio::test]
async fn broken_replies_have_their_kinds_and_are_asked_for_once() {
    use ErrorKind::{Failed, Unauthenticated, Unavailable};
    let whole = format!(
        r#"{{"value":"{CANARY}","id":"https://v.vault.azure.net/secrets/other/0b31729e2750416caba40429a1f3bea4","attributes":{{"created":1}}}}"#
    );
    let telling = format!(r#"{{"error":{{"code":"{CANARY} is","message":"{CANARY}"}}}}"#);
    let cases = [
        ("throttled", Reply::json(429, &telling), Unavailable),
        ("broken", Reply::json(500, &telling), Unavailable),
        ("busy", Reply::json(503, "<html>"), Unavailable),
        ("bad", Reply::json(400, &telling), Failed),
        ("a 404 of no vault", Reply::json(404, "<html>"), Failed),
        ("a 404 with a lie", Reply::json(404, &telling), Failed),
        ("cut", Reply::cut(200, &whole), Unavailable),
        ("closed", Reply::Close, Unavailable),
        ("endless", Reply::endless(200, 1 << 30), Failed),
        ("an endless error", Reply::endless(500, 1 << 30), Failed),
        ("not JSON", Reply::json(200, CANARY), Failed),
        ("empty", Reply::json(200, ""), Failed),
        (
            "of the wrong types",
            Reply::json(200, &format!(r#"{{"value":7,"id":["{CANARY}"]}}"#)),
            Failed,
        ),
        ("of another secret", Reply::json(200, &whole), Failed),
        (
            "never a token that is good",
            challenge(AUDIENCE, "https://a"),
            Unauthenticated,
        ),
        (
            "a lure",
            Reply::redirect("https://localhost:1/secrets/a/"),
            Failed,
        ),
    ];
    let canary = Canary::new(CANARY);
    for (what, reply, kind) in cases {
        let listing = ["of another secret", "of the wrong types"].contains(&what);
        let lair = Lair::answering(reply);
        let store = lair.open().await;
        for (call, error) in refusals(&store).await.iter().enumerate() {
            // To a listing a single secret reads as a malformed page.
            if !listing {
                assert_eq!(error.kind(), kind, "{what}, call {call}: {error}");
            }
            assert!(canary.found_in_error(error).is_none(), "{what}: {error:?}");
        }
        lair.wire.forget();
        let _ = store.get(&path("a"), Which::Current).await;
        let most = if what.starts_with("never") { 2 } else { 1 };
        assert!(lair.asked("/secrets") <= most, "{what} is asked for again");
    }
}

/// The library is seen to retry for minutes on its own: here every call ends with our limits.
#[tokio::test]
async fn what_never_answers_is_given_up() {
    for reply in [
        Reply::Hang,
        Reply::Drip {
            status: 200,
            headers: Vec::new(),
            pause: Duration::from_millis(300),
        },
    ] {
        let lair = Lair::answering(reply);
        let store = Arc::new(lair.open().await);
        let began = Instant::now();
        let reading = {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.get(&path("a"), Which::Current).await.unwrap_err() })
        };
        let writing = put(&store).await.unwrap_err();
        assert_eq!(writing.kind(), ErrorKind::Unavailable);
        assert_eq!(reading.await.unwrap().kind(), ErrorKind::Unavailable);
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn logins_that_fail_are_told_and_not_repeated() {
    use ErrorKind::{Failed, Unauthenticated, Unavailable};
    let wrong = r#"{"error":"invalid_client","error_description":"AADSTS7000215: canary-9b2e-in-a-reply","error_codes":[7000215]}"#;
    let expired = wrong.replace("7000215", "7000222");
    let unknown = wrong.replace("7000215", "90002");
    let cases = [
        (Reply::json(401, wrong), Unauthenticated, "secret is wrong"),
        (Reply::json(401, &expired), Unauthenticated, "has expired"),
        (
            Reply::json(400, &unknown),
            Unauthenticated,
            "no such tenant",
        ),
        (
            Reply::json(500, r#"{"error":"x"}"#),
            Unavailable,
            "cannot answer now",
        ),
        (
            Reply::json(429, r#"{"error":"x"}"#),
            Unavailable,
            "cannot answer now",
        ),
        (Reply::Close, Unavailable, "no login"),
        (Reply::endless(200, 1 << 30), Failed, "longer than"),
        (Reply::json(200, "{}"), Failed, "without a token"),
    ];
    for (reply, kind, text) in cases {
        let lair = Lair::new(move |request| match is_login(request) {
            true => reply.clone(),
            false => challenge(AUDIENCE, "https://login.windows.net"),
        });
        let store = lair.open().await;
        for error in [
            store.get(&path("a"), Which::Current).await.unwrap_err(),
            store.check().await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(text), "{error}");
            assert!(Canary::new(CANARY).found_in_error(&error).is_none());
        }
        let logins = lair.asked("/token");
        assert!(logins <= 3, "{logins} logins for {text:?}");
    }
}

/// Neither a challenge nor a link draws a token to where it does not belong.
#[tokio::test]
async fn a_token_goes_to_the_vault_alone() {
    let lure = Arc::new(Lair::new(|_| Reply::status(200)));
    let there = lure.wire.url();

    // Another authority: ours is asked all the same.
    let elsewhere = there.clone();
    let lair = Lair::new(move |request| match prelude(request) {
        Some(_) if !is_login(request) => challenge(AUDIENCE, &elsewhere),
        Some(reply) => reply,
        None => Reply::json(404, r#"{"error":{"code":"SecretNotFound"}}"#),
    });
    let error = lair.open().await.get(&path("a"), Which::Current).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);

    // Another audience: no token is asked for.
    for resource in [
        "https://management.azure.com",
        "https://vault.azure.net.example.com",
        "https://graph.microsoft.com",
        "",
    ] {
        let lair = Lair::new(move |request| match is_login(request) {
            true => Reply::status(500),
            false => challenge(resource, "https://login.windows.net"),
        });
        let error = lair.open().await.get(&path("a"), Which::Current).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Failed, "{resource}");
        assert_eq!(lair.asked("/token"), 0, "{resource}");
        let with_token = |r: &Request| r.header("authorization").is_some();
        assert!(!lair.wire.requests().iter().any(with_token), "{resource}");
    }

    // A next page on another host, and on the same one without TLS.
    let plain = there.replace("https://", "http://");
    for link in [
        there.clone(),
        plain,
        "https://other.vault.azure.net".to_owned(),
    ] {
        let page = format!(r#"{{"value":[],"nextLink":"{link}/secrets?$skiptoken=a"}}"#);
        let lair = Lair::answering(Reply::json(200, &page));
        let store = lair.open().await;
        let error = store.list("", None, 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{link}: {error}");
        let error = store.versions(&path("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{link}: {error}");
    }

    // A redirect of the login, which carries the client's secret.
    let elsewhere = there.clone();
    let lair = Lair::new(move |request| match is_login(request) {
        true => Reply::redirect(&elsewhere),
        false => challenge(AUDIENCE, "https://login.windows.net"),
    });
    assert!(
        lair.open()
            .await
            .get(&path("a"), Which::Current)
            .await
            .is_err()
    );
    assert!(
        lure.wire.requests().is_empty(),
        "{:?}",
        lure.wire.requests()
    );
}

/// A link back to the same page ends.
#[tokio::test]
async fn pages_without_end_end() {
    let lair = Lair::new(|request| {
        let link = format!(
            "https://{}{}",
            request.header("host").unwrap_or_default(),
            request.target
        );
        let page = format!(r#"{{"value":[],"nextLink":"{link}"}}"#);
        prelude(request).unwrap_or_else(|| Reply::json(200, &page))
    });
    let error = lair.open().await.list("", None, 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
}

#[tokio::test]
async fn what_is_no_trusted_server_is_told() {
    // A certificate for another name.
    let lair = Lair::named("other.example.com", |_| Reply::status(200));
    let error = lair.open().await.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(
        error.to_string().contains("certificate is not trusted"),
        "{error}"
    );
    assert!(lair.wire.requests().is_empty());

    // Another authority than the one in `ca-file`, and none in the system's.
    let fake = Fake::start(Clock::Steps);
    for (trusted, config) in [(true, fake.config()), (false, fake.config())] {
        let mut config = config;
        if trusted {
            std::fs::write(
                fake.folder().join("other.pem"),
                Identity::new("x").authority(),
            )
            .unwrap();
            config.ca_file = Some("other.pem".into());
        } else {
            config.ca_file = None;
        }
        let store = AzureBackend::open(&config, fake.folder()).await.unwrap();
        let error = store.check().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        assert!(error.to_string().contains("ca-file"), "{error}");
    }
    assert!(fake.requests().is_empty());

    // Nothing listens; no such name.
    for (url, text) in [
        ("https://127.0.0.1:1", "nothing listens"),
        ("https://no-such-host.invalid", "cannot be resolved"),
    ] {
        let mut config = fake.config();
        config.endpoint = Some(Endpoint::parse(url).unwrap());
        let store = AzureBackend::open(&config, fake.folder()).await.unwrap();
        for error in [
            store.check().await.unwrap_err(),
            store.get(&path("a"), Which::Current).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
        config.authority_host = Some(Endpoint::parse(url).unwrap());
        let store = AzureBackend::open(&config, fake.folder()).await.unwrap();
        let error = store.check().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

/// Each of them reaches a name of its own, or nothing.
#[tokio::test]
async fn hostile_references_reach_nothing_else() {
    let fake = Fake::start(Clock::Steps);
    let decoys = [
        "a",
        "app",
        "restore",
        "versions",
        "backup",
        "deletedsecrets",
        "Admin",
    ];
    for decoy in decoys {
        fake.state().put(decoy, CANARY);
    }
    let mut config = fake.config();
    config.prefix = "p-".to_owned();
    let store = AzureBackend::open(&config, fake.folder()).await.unwrap();
    let references = hostile_references();
    assert!(references.len() >= 200, "{}", references.len());
    let mut reached: BTreeMap<String, String> = BTreeMap::new();
    let parsed = AtomicUsize::new(0);
    for reference in &references {
        let Ok(path) = SecretPath::parse(reference) else {
            continue;
        };
        parsed.fetch_add(1, Ordering::Relaxed);
        fake.forget_requests();
        let missing = store.get(&path, Which::Current).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{reference}");
        let value = SecretValue::copy_of(reference.as_bytes());
        store
            .put(&path, &value, &PutOptions::default())
            .await
            .unwrap();
        let read = store.get(&path, Which::Current).await.unwrap();
        assert_eq!(read.value.expose(), reference.as_bytes());
        store.versions(&path).await.unwrap();
        let names: BTreeSet<String> = fake
            .requests()
            .iter()
            .filter(|request| !is_login(request))
            .map(|request| name_of(request, reference))
            .collect();
        let names: Vec<_> = names.into_iter().collect();
        let [name] = &names[..] else {
            panic!("{reference} reached {names:?}");
        };
        assert!(name.starts_with("p-") && name.len() <= 127, "{name}");
        if let Some(other) = reached.insert(name.clone(), reference.clone()) {
            panic!("{reference} and {other} meet in {name}");
        }
    }
    assert!(parsed.load(Ordering::Relaxed) >= 100);
    let listed = store.list("", None, 1_000).await.unwrap();
    assert_eq!(listed.paths.len(), reached.len());
    for decoy in decoys {
        let state = fake.state();
        let secret = &state.secrets[&decoy.to_ascii_lowercase()];
        assert_eq!(
            (secret.versions.len(), secret.newest().value.as_str()),
            (1, CANARY)
        );
    }
}

/// The one name in the path of a request, in the case that counts.
fn name_of(request: &Request, reference: &str) -> String {
    let segments: Vec<_> = request.path().split('/').skip(1).collect();
    let legal = |name: &str| {
        name.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    match segments[..] {
        ["secrets" | "deletedsecrets", name] | ["secrets", name, "" | "versions"]
            if legal(name) =>
        {
            let query = request
                .target
                .split_once('?')
                .map_or("", |(_, query)| query);
            assert!(
                !query.contains(name) || query.contains("skiptoken"),
                "{}",
                request.target
            );
            name.to_owned()
        }
        _ => panic!("{reference} asks {} {}", request.method, request.target),
    }
}

fn hostile_references() -> Vec<String> {
    let mut all: BTreeSet<String> = BTreeSet::new();
    let parts = [
        "a",
        "A",
        "app",
        "restore",
        "versions",
        "backup",
        "deletedsecrets",
        "recover",
        "admin",
        "{secret-name}",
        "secrets",
        "..",
        ".",
        "%2e%2e",
        "0b31729e2750416caba40429a1f3bea4",
    ];
    for one in parts {
        for other in parts {
            all.insert(format!("{one}/{other}"));
            all.insert(format!("{one}-{other}"));
            all.insert(format!("{one}--{other}"));
        }
        all.insert(one.to_owned());
        all.insert(format!("{one}?api-version=7.0"));
        all.insert(format!("{one}#x"));
        all.insert(format!("{one}:5"));
        all.insert(format!("https://other.vault.azure.net/secrets/{one}"));
        all.insert(format!("{one}\u{0}"));
        all.insert(format!("{one}."));
        all.insert(format!("{one}_"));
        all.insert(format!("{}--{}", one.to_uppercase(), "a".repeat(26)));
        all.insert(format!("{}--{}", one.to_lowercase(), "A".repeat(26)));
    }
    all.insert("x".repeat(255));
    all.insert("x".repeat(127));
    all.insert("X".repeat(127));
    all.into_iter().collect()
}
