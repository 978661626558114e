//! What no honest API server does, and what our requests look like.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_backend::{
    Backend, Error, ErrorKind, Notice, PutOptions, SecretPath, SecretValue, Which,
};
use strongroom_backend_kubernetes::{Auth, Config, KubernetesBackend};
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Identity, Reply, Request, Wire};

const CANARY: &str = "canary-4c1d-in-a-reply";
const TOKEN: &str = "token-canary-77aa";
const MISSING: &str = r#"{"kind":"Status","status":"Failure","reason":"NotFound","code":404,
    "details":{"kind":"secrets"}}"#;

/// A store whose kubeconfig leads to a server of ours.
struct Aimed {
    store: KubernetesBackend,
    _dir: tempfile::TempDir,
}

impl Aimed {
    async fn at(server: &str, authority: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = match authority {
            Some(pem) => format!("certificate-authority-data: {}", STANDARD.encode(pem)),
            None => "tls-server-name: localhost".to_owned(),
        };
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters:\n- name: k\n  cluster:\n    server: {server}\n    {ca}\n\
             contexts:\n- name: c\n  context: {{ cluster: k, user: u }}\n\
             users:\n- name: u\n  user: {{ token: {TOKEN} }}\n"
        );
        std::fs::write(dir.path().join("kubeconfig"), text).unwrap();
        let auth = Auth::Kubeconfig {
            path: PathBuf::from("kubeconfig"),
            context: None,
        };
        let config = Config::new(auth, "app");
        let store = KubernetesBackend::open(&config, dir.path()).await.unwrap();
        Self { store, _dir: dir }
    }

    async fn get(&self) -> Result<Vec<u8>, Error> {
        let secret = self.store.get(&path("db"), Which::Current).await?;
        Ok(secret.value.expose().to_vec())
    }

    async fn put(&self) -> Result<u64, Error> {
        let value = SecretValue::copy_of(CANARY.as_bytes());
        let change = self
            .store
            .put(&path("db"), &value, &PutOptions::default())
            .await?;
        Ok(change.version)
    }
}

fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

/// No error holds a value, a token or a text that the server sent.
fn clean(error: &Error) {
    for canary in [CANARY, TOKEN] {
        assert!(
            Canary::new(canary).found_in_error(error).is_none(),
            "{error:?}"
        );
    }
}

/// One of our objects as the server would show it, in its first version.
fn object(name: &str, reference: &str, value: &str) -> String {
    let history = r#"{"format":1,"history":{"last":1,"current":1,"restore":null,"created":1,
        "updated":1,"kind":null,"description":null,"labels":[],
        "versions":[{"number":1,"created":1,"expires":null,"author":null,"life":"Live"}]}}"#;
    serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": name, "resourceVersion": "1",
            "labels": {
                "app.kubernetes.io/managed-by": "strongroom", "strongroom/name": tag(name),
            },
            "annotations": { "strongroom/reference": reference, "strongroom/history": history },
        },
        "data": { "value": STANDARD.encode(value) },
    })
    .to_string()
}

/// The label of an object's name, made a second time and differently.
fn tag(name: &str) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(name.as_bytes());
    let (mut bits, mut count, mut text) = (0u32, 0, String::new());
    for byte in digest {
        bits = (bits << 8) | u32::from(byte);
        count += 8;
        while count >= 5 && text.len() < 26 {
            count -= 5;
            let index = (bits >> count) & 31;
            text.push(char::from(
                b"abcdefghijklmnopqrstuvwxyz234567"[index as usize],
            ));
        }
    }
    text
}

fn status(code: u16, reason: &str) -> Reply {
    let text = format!("secrets \"db\" says {CANARY}");
    let body = serde_json::json!({
        "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": text,
        "details": { "kind": "secrets", "causes": [{ "reason": "x", "message": text }] },
    });
    Reply::json(code, &body.to_string())
}

#[tokio::test]
async fn a_refusal_has_its_kind_and_none_of_its_text() {
    for (code, reason, kind) in [
        (401, "Unauthorized", ErrorKind::Unauthenticated),
        (403, "Forbidden", ErrorKind::PermissionDenied),
        (404, "NotFound", ErrorKind::NotFound),
        (404, "", ErrorKind::Failed),
        (410, "Expired", ErrorKind::Unavailable),
        (422, "Invalid", ErrorKind::Failed),
        (429, "TooManyRequests", ErrorKind::Unavailable),
        (500, "InternalError", ErrorKind::Unavailable),
        (501, "NotImplemented", ErrorKind::Failed),
        (503, "ServiceUnavailable", ErrorKind::Unavailable),
        (504, "Timeout", ErrorKind::Unavailable),
        (403, CANARY, ErrorKind::PermissionDenied),
    ] {
        let server = Wire::http(move |_| status(code, reason).with_header("retry-after", "1"));
        let aimed = Aimed::at(&server.url(), None).await;
        let error = aimed.get().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code} {reason}: {error}");
        clean(&error);
        // Our layers decide on a second try, nobody else.
        assert_eq!(server.requests().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_reply_that_is_no_secret_is_refused() {
    let with = |data: &str| object("db", "db", CANARY).replace("\"value\":\"", data);
    let replies = [
        "",
        "null",
        "[]",
        "{}",
        "<html>canary-4c1d-in-a-reply</html>",
        r#"{"kind":"SecretList","items":[]}"#,
    ];
    let broken = [
        with("\"value\":\"!"),
        with("\"value\":7,\"x\":\""),
        object("db", "db", CANARY).replace(",\"resourceVersion\":\"1\"", ""),
    ];
    for body in replies.into_iter().map(str::to_owned).chain(broken) {
        let server = Wire::http({
            let body = body.clone();
            move |_| Reply::json(200, &body)
        });
        let error = Aimed::at(&server.url(), None)
            .await
            .get()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{body}: {error}");
        clean(&error);
    }
}

/// The server answers with another object than was asked for.
#[tokio::test]
async fn another_secrets_value_is_not_served() {
    let other = object("other", "other", CANARY);
    let renamed = object("db", "other", CANARY);
    for body in [other, renamed] {
        let server = Wire::http(move |_| Reply::json(200, &body));
        let error = Aimed::at(&server.url(), None)
            .await
            .get()
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Failed | ErrorKind::NotFound),
            "{error}"
        );
        clean(&error);
    }
}

#[tokio::test]
async fn replies_that_break_off_are_temporary() {
    let whole = object("db", "db", CANARY);
    for reply in [
        Reply::cut(200, &whole),
        Reply::Close,
        Reply::cut(500, &whole),
    ] {
        let server = Wire::http(move |_| reply.clone());
        let aimed = Aimed::at(&server.url(), None).await;
        let error = aimed.get().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        clean(&error);
    }
}

#[tokio::test]
async fn a_gigabyte_is_not_read() {
    for status in [200, 403] {
        let server = Wire::http(move |_| Reply::endless(status, 1 << 30));
        let aimed = Aimed::at(&server.url(), None).await;
        let began = Instant::now();
        let error = aimed.get().await.unwrap_err();
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        let expected = if status == 200 {
            ErrorKind::Failed
        } else {
            ErrorKind::PermissionDenied
        };
        assert_eq!(error.kind(), expected, "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Wire::http(|_| Reply::json(200, &object("db", "db", CANARY)));
    for code in [301, 302, 307, 308] {
        let target = format!("{}/api/v1/namespaces/app/secrets/db", other.url());
        let server = Wire::http(move |_| Reply::status(code).with_header("location", &target));
        let aimed = Aimed::at(&server.url(), None).await;
        for error in [
            aimed.get().await.unwrap_err(),
            aimed.put().await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
            assert!(
                error.to_string().contains("redirects are not followed"),
                "{error}"
            );
        }
    }
    assert!(
        other.requests().is_empty(),
        "the token went to another host"
    );
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let replies = [
        Reply::Hang,
        Reply::Drip {
            status: 200,
            headers: Vec::new(),
            pause: Duration::from_millis(100),
        },
    ];
    let mut tasks = tokio::task::JoinSet::new();
    for reply in replies {
        tasks.spawn(async move {
            let server = Wire::http(move |_| reply.clone());
            let aimed = Aimed::at(&server.url(), None).await;
            let began = Instant::now();
            let error = aimed.get().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains("in time"), "{error}");
            assert!(
                began.elapsed() < Duration::from_secs(11),
                "{:?}",
                began.elapsed()
            );
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn only_the_right_certificate_is_trusted() {
    let answer = |_: &Request| Reply::json(200, &object("db", "db", "value"));
    let right = Identity::new("localhost");
    let server = Wire::https(&right, answer);
    let aimed = Aimed::at(&server.url(), Some(right.authority())).await;
    assert_eq!(aimed.get().await.unwrap(), b"value");

    let stranger = Identity::new("localhost");
    let aimed = Aimed::at(&server.url(), Some(stranger.authority())).await;
    let error = aimed.get().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert!(
        error.to_string().contains("certificate is not trusted"),
        "{error}"
    );

    let other_name = Identity::new("elsewhere.example");
    let server = Wire::https(&other_name, answer);
    let aimed = Aimed::at(&server.url(), Some(other_name.authority())).await;
    let error = aimed.get().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert!(server.requests().is_empty());
}

/// Without an authority of its own the cluster must be trusted by the system: ours is not.
#[tokio::test]
async fn without_an_authority_nothing_is_trusted_by_itself() {
    let identity = Identity::new("localhost");
    let server = Wire::https(&identity, |_| Reply::status(200));
    let aimed = Aimed::at(&server.url(), None).await;
    assert_eq!(aimed.get().await.unwrap_err().kind(), ErrorKind::Failed);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_conflict_for_ever_ends() {
    let server = Wire::http(|request| match request.method.as_str() {
        "GET" => Reply::json(200, &object("db", "db", "value")),
        _ => status(409, "Conflict"),
    });
    let aimed = Aimed::at(&server.url(), None).await;
    let error = aimed.put().await.unwrap_err();
    assert!(error.is_temporary() && error.is_contended(), "{error}");
    assert!(error.to_string().contains("others changed"), "{error}");
    assert_eq!(server.requests().len(), 40);
}

/// Whether a write whose answer was lost took place is not known: it is not sent again.
#[tokio::test]
async fn a_write_without_an_answer_is_not_repeated() {
    for reply in [
        Reply::Close,
        Reply::cut(200, "{\"kind\":\"Secret\"}"),
        status(500, "InternalError"),
    ] {
        let server = Wire::http(move |request| match request.method.as_str() {
            "GET" => Reply::json(200, &object("db", "db", "value")),
            _ => reply.clone(),
        });
        let aimed = Aimed::at(&server.url(), None).await;
        let error = aimed.put().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        clean(&error);
        let writes = server
            .requests()
            .into_iter()
            .filter(|r| r.method == "PATCH")
            .count();
        assert_eq!(writes, 1);
    }
}

#[tokio::test]
async fn a_listing_that_never_ends_or_has_no_sense_is_given_up() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    // A server that forgets each page's place.
    let server = Wire::http(move |request| {
        counted.fetch_add(1, Ordering::SeqCst);
        match request.target.contains("continue=") {
            true => status(410, "Expired"),
            false => Reply::json(200, r#"{"metadata":{"continue":"x"},"items":[]}"#),
        }
    });
    let aimed = Aimed::at(&server.url(), None).await;
    let error = aimed.store.list("", None, 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(calls.load(Ordering::SeqCst), 8);
    // Objects that are not ours, or lie about what they are, are left out.
    let lies = format!(
        "{{\"items\":[{},{},{{\"metadata\":{{}}}},{}]}}",
        object("a", "a", "x"),
        object("b", "c", "x"),
        object("Other/../x", "Other/../x", "x"),
    );
    let server = Wire::http(move |_| Reply::json(200, &lies));
    let aimed = Aimed::at(&server.url(), None).await;
    assert_eq!(
        aimed.store.list("", None, 10).await.unwrap().paths,
        [path("a")]
    );
}

#[tokio::test]
async fn a_get_is_one_request_and_so_are_a_hundred() {
    let server = Wire::http(|request| match request.path().ends_with("/secrets") {
        true => {
            let items: Vec<_> = (0..100)
                .map(|i| object(&format!("n{i}"), &format!("n{i}"), "x"))
                .collect();
            Reply::json(200, &format!("{{\"items\":[{}]}}", items.join(",")))
        }
        false => Reply::json(200, &object("db", "db", "value")),
    });
    let aimed = Aimed::at(&server.url(), None).await;
    assert_eq!(aimed.get().await.unwrap(), b"value");
    assert_eq!(server.requests().len(), 1);
    let paths: Vec<_> = (0..100).map(|index| path(&format!("n{index}"))).collect();
    let answers = aimed.store.get_many(&paths).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.requests().len(), 2);
    let target = server.requests().remove(1).target;
    assert!(target.len() < 4096, "an address of {} bytes", target.len());
}

#[tokio::test]
async fn metadata_is_asked_for_without_values() {
    let server = Wire::http(|_| Reply::json(404, MISSING));
    let store = Aimed::at(&server.url(), None).await.store;
    let _ = store.describe(&path("db")).await;
    let _ = store.versions(&path("db")).await;
    let _ = store.list("", None, 10).await;
    for request in server.requests() {
        let accept = request.header("accept").unwrap_or_default().to_owned();
        assert!(
            accept.contains("as=PartialObjectMetadata"),
            "{}: {accept}",
            request.target
        );
    }
}

/// What is too large, or not legal, never leaves.
#[tokio::test]
async fn a_value_over_the_limit_makes_no_request() {
    let server = Wire::http(|_| Reply::json(404, MISSING));
    let store = Aimed::at(&server.url(), None).await.store;
    let large = SecretValue::new(vec![b'x'; (1 << 20) + 1]);
    let error = store
        .put(&path("db"), &large, &PutOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge(1 << 20));
    assert!(server.requests().is_empty());
}

/// What the server says of a place in the watch that it has forgotten, and other ends of a watch.
#[tokio::test]
async fn a_watch_that_lost_its_place_says_that_anything_may_have_changed() {
    let watches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&watches);
    let bookmark = |version: &str| {
        let meta = format!(r#"{{"metadata":{{"resourceVersion":"{version}"}}}}"#);
        format!("{{\"type\":\"BOOKMARK\",\"object\":{meta}}}\n")
    };
    let server = Wire::http(move |request| {
        if !request.target.contains("watch=true") {
            return Reply::json(200, r#"{"metadata":{"resourceVersion":"5"},"items":[]}"#);
        }
        match counted.fetch_add(1, Ordering::SeqCst) {
            // A line that is cut, after one that is whole: the place is 7.
            0 => Reply::json(200, &format!("{}{{\"type\":\"MODI", bookmark("7"))),
            1 => status(410, "Expired"),
            2 => Reply::json(
                200,
                "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"metadata\":{},\"code\":410}}\n",
            ),
            3 => Reply::json(200, "{\"no\":\"event\"}\n"),
            4 => status(503, "ServiceUnavailable"),
            _ => Reply::Hang,
        }
    });
    let store = Aimed::at(&server.url(), None).await.store;
    let any = Arc::new(Mutex::new(0));
    let told = Arc::clone(&any);
    let listening = store.notices(Arc::new(move |notice| {
        assert_eq!(notice, Notice::Any);
        *told.lock().unwrap() += 1;
    }));
    let began = Instant::now();
    while watches.load(Ordering::SeqCst) < 6 {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            server.requests()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(listening);
    // At the beginning, after the 410, and after the error within the watch.
    assert_eq!(*any.lock().unwrap(), 3);
    let places: Vec<_> = server
        .requests()
        .iter()
        .filter_map(|r| {
            r.target
                .split_once("resourceVersion=")
                .map(|(_, v)| v.to_owned())
        })
        .collect();
    assert_eq!(places.first().map(String::as_str), Some("5"), "{places:?}");
    assert_eq!(places.get(1).map(String::as_str), Some("7"), "{places:?}");
}
