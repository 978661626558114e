//! What becomes of a store's no on its way through registry, layers and broker: the guest gets the
//! variant, the operator the cause, and nobody what the server put into its reply.
#![cfg(all(
    feature = "aws-ssm",
    feature = "aws-secrets-manager",
    feature = "gcp-secret-manager",
    feature = "azure-key-vault",
    feature = "kubernetes",
    feature = "hashicorp-vault"
))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where its helper fails"
)]

mod common;

use std::error::Error as _;
use std::fmt::Write as _;
use std::path::Path;

use common::{Host, STORES, TOKEN, private, table};
use strongroom::audit::{Action, Outcome};
use strongroom::backend::Which;
use strongroom::{CallError, ErrorCode};
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Identity, Reply, Request, Wire};
use tempfile::TempDir;

const VALUE: &str = "vQ9-canary-of-a-value-7Kd2";
const ARN: &str = "arn:aws:iam::493827160549:role/canary-of-a-role";
const ACCOUNT: &str = "493827160549";

/// Long enough that no deadline of ours ends a call before it has its answer.
const LONG: &str = "60s";

/// A server's no, and what is to become of it.
struct Case {
    store: &'static str,
    what: &'static str,
    reply: Reply,
    /// What a login is answered, where that is not a yes.
    login: Option<Reply>,
    code: ErrorCode,
    /// A part of the cause that the operator reads.
    words: &'static str,
}

fn case(
    store: &'static str,
    what: &'static str,
    reply: Reply,
    code: ErrorCode,
    words: &'static str,
) -> Case {
    Case {
        store,
        what,
        reply,
        login: None,
        code,
        words,
    }
}

/// What nobody can mend by asking again. A guest reads no other words than these.
fn failed() -> ErrorCode {
    ErrorCode::Failed("the vault refused or broke".to_owned())
}

/// What may pass.
fn unavailable() -> ErrorCode {
    ErrorCode::Unavailable("the vault cannot answer now".to_owned())
}

/// All that a reply must not have said to anyone.
fn told() -> String {
    format!("{VALUE} and {TOKEN} of {ARN} in projects/{ACCOUNT}")
}

/// A refusal as both services of AWS word it.
fn aws(status: u16, code: &str) -> Reply {
    let body = format!(r#"{{"__type":"{code}","message":"{}"}}"#, told());
    Reply::json(status, &body)
}

fn gcp(status: u16, code: &str) -> Reply {
    let told = told();
    let details =
        format!(r#"[{{"@type":"type.googleapis.com/google.rpc.DebugInfo","detail":"{told}"}}]"#);
    let body = format!(
        r#"{{"error":{{"code":{status},"message":"{told}","status":"{code}",
        "details":{details}}}}}"#
    );
    Reply::json(status, &body)
}

fn azure(status: u16, code: &str) -> Reply {
    let told = told();
    let body = format!(
        r#"{{"error":{{"code":"{code}","message":"{told}","innererror":{{"message":"{told}"}}}}}}"#
    );
    Reply::json(status, &body)
}

/// Where a vault has its tokens from, said with each refusal of one.
fn challenged() -> Reply {
    let challenge = "Bearer authorization=\"https://login.windows.net/\
                     11111111-1111-1111-1111-111111111111\", resource=\"https://vault.azure.net\"";
    azure(401, "Unauthorized").with_header("www-authenticate", challenge)
}

fn entra(code: u32) -> Reply {
    let told = told();
    let body = format!(
        r#"{{"error":"invalid_client","error_description":"AADSTS{code}: {told}",
        "error_codes":[{code}]}}"#
    );
    Reply::json(401, &body)
}

fn kubernetes(status: u16, reason: &str) -> Reply {
    let told = told();
    let body = format!(
        r#"{{"kind":"Status","status":"Failure","code":{status},"reason":"{reason}",
        "message":"{told}","details":{{"kind":"secrets","name":"{told}"}}}}"#
    );
    Reply::json(status, &body)
}

fn hashicorp(status: u16) -> Reply {
    let told = told();
    let body = format!(r#"{{"errors":["{told}"],"warnings":["{told}"]}}"#);
    Reply::json(status, &body)
}

/// Says yes to a login, unless the case has another answer, and no to all else.
fn answer(request: &Request, reply: &Reply, login: Option<&Reply>) -> Reply {
    let path = request.path();
    let yes = if path.ends_with("/oauth2/v2.0/token") {
        format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{TOKEN}"}}"#)
    } else if path == "/v1/auth/token/lookup-self" {
        r#"{"data":{"ttl":0,"policies":["p"]}}"#.to_owned()
    } else if path.starts_with("/secrets/") && request.header("authorization").is_none() {
        return challenged();
    } else {
        return reply.clone();
    };
    login.cloned().unwrap_or_else(|| Reply::json(200, &yes))
}

/// A file of workload identity federation, with the subject's token in another file.
fn federated(token: &Path, sts: &str) -> String {
    format!(
        r#"{{"type":"external_account","token_url":"{sts}/v1/token",
        "audience":"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type":"urn:ietf:params:oauth:token-type:jwt",
        "credential_source":{{"file":{token:?}}}}}"#
    )
}

/// A folder in which this server's authority is trusted.
fn folder(identity: &Identity) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    private(&dir.path().join("ca.pem"), identity.authority());
    dir
}

/// Reads a secret over a server that answers so.
async fn rejected(case: Case) {
    let Case {
        store,
        what,
        reply,
        login,
        code,
        words,
    } = case;
    let identity = Identity::new("localhost");
    let answering = move |request: &Request| answer(request, &reply, login.as_ref());
    // Key Vault's client takes no plain HTTP.
    let server = match store {
        "azure-key-vault" => Wire::https(&identity, answering),
        _ => Wire::http(answering),
    };
    let dir = folder(&identity);
    let table = table(dir.path(), store, &server.url());
    let table = format!("{table}\ndeadline = \"{LONG}\"");
    fails(dir, &table, &format!("{what} at {store}"), &code, words).await;
    assert!(!server.requests().is_empty(), "{what} at {store}");
}

/// A read over this table ends with the code and the words, on record and without a trace of what
/// is to stay hidden.
async fn fails(dir: TempDir, table: &str, at: &str, code: &ErrorCode, words: &str) {
    let (error, told) = refusal(dir, table, at).await;
    assert_eq!(&error.code, code, "{at}: {told}");
    assert!(told.contains(words), "{at}: {told}");
}

/// The error of a read over this table, and what the operator reads of it.
async fn refusal(dir: TempDir, table: &str, at: &str) -> (CallError, String) {
    let host = Host::new(dir, table).await;
    let error = host.session().get("a", Which::Current).await.unwrap_err();
    let told = chain(&error);
    let records = host.records();
    let reads = records.iter().filter(|r| r.action == Action::Read);
    let outcomes: Vec<_> = reads.map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Failed)], "{at}");
    for hidden in [VALUE, TOKEN, ARN] {
        let canary = Canary::new(hidden);
        assert_eq!(canary.found_in_error(&error), None, "{at}: {error:?}");
        assert_eq!(canary.found_in_debug(&records), None, "{at}: {records:?}");
    }
    // The second is what AWS takes for our keys.
    for hidden in [ACCOUNT, env!("CARGO_PKG_NAME")] {
        for text in [format!("{told} {error:?}"), format!("{records:?}")] {
            assert!(!text.contains(hidden), "{at}: {text}");
        }
    }
    (error, told)
}

/// An error with its causes.
fn chain(error: &CallError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_no_denial_of_ours() {
    let words = "may not do this";
    for (store, reply, words) in [
        ("aws-ssm", aws(400, "AccessDeniedException"), words),
        (
            "aws-secrets-manager",
            aws(400, "AccessDeniedException"),
            words,
        ),
        ("gcp-secret-manager", gcp(403, "PERMISSION_DENIED"), words),
        ("azure-key-vault", azure(403, "Forbidden"), words),
        (
            "kubernetes",
            kubernetes(403, "Forbidden"),
            "our user may not",
        ),
        (
            "hashicorp-vault",
            hashicorp(403),
            "the token may not read secrets",
        ),
    ] {
        rejected(case(store, "no permission", reply, failed(), words)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_expired_or_unknown_is_the_operators_to_mend() {
    for store in ["aws-ssm", "aws-secrets-manager"] {
        for (code, words) in [
            ("ExpiredTokenException", "the credentials have expired"),
            (
                "UnrecognizedClientException",
                "does not know these credentials",
            ),
            ("InvalidSignatureException", "the signature does not match"),
        ] {
            rejected(case(store, code, aws(400, code), failed(), words)).await;
        }
    }
    let expired = "an expired credential";
    let token = "does not accept the token";
    for case in [
        case(
            "gcp-secret-manager",
            expired,
            gcp(401, "UNAUTHENTICATED"),
            failed(),
            "does not accept our credentials",
        ),
        case(
            "azure-key-vault",
            "a token that is not accepted",
            challenged(),
            failed(),
            token,
        ),
        Case {
            login: Some(entra(7_000_222)),
            ..case(
                "azure-key-vault",
                expired,
                azure(500, "Unexpected"),
                failed(),
                "the client's secret has expired",
            )
        },
        Case {
            login: Some(entra(7_000_215)),
            ..case(
                "azure-key-vault",
                "an unknown credential",
                azure(500, "Unexpected"),
                failed(),
                "the client's secret is wrong",
            )
        },
        case(
            "kubernetes",
            expired,
            kubernetes(401, "Unauthorized"),
            failed(),
            "does not accept our credentials",
        ),
        // Its server has one answer for a token that is over and for one that may not.
        Case {
            login: Some(hashicorp(403)),
            ..case("hashicorp-vault", expired, hashicorp(403), failed(), token)
        },
    ] {
        rejected(case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_may_pass() {
    for (store, reply, words) in [
        (
            "aws-ssm",
            aws(400, "ThrottlingException"),
            "turns calls away",
        ),
        (
            "aws-secrets-manager",
            aws(400, "ThrottlingException"),
            "turns calls away",
        ),
        (
            "gcp-secret-manager",
            gcp(429, "RESOURCE_EXHAUSTED"),
            "quota for such calls is used up",
        ),
        (
            "azure-key-vault",
            azure(429, "Throttled"),
            "too many requests",
        ),
        ("kubernetes", kubernetes(429, "TooManyRequests"), "too busy"),
        ("hashicorp-vault", hashicorp(429), "a rate limit is used up"),
    ] {
        rejected(case(store, "throttling", reply, unavailable(), words)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_service_may_pass() {
    for (store, reply, words) in [
        (
            "aws-ssm",
            aws(500, "InternalServerError"),
            "a failure of its own",
        ),
        (
            "aws-secrets-manager",
            aws(500, "InternalServiceError"),
            "a failure of its own",
        ),
        (
            "gcp-secret-manager",
            gcp(503, "UNAVAILABLE"),
            "cannot answer now (UNAVAILABLE",
        ),
        (
            "azure-key-vault",
            azure(500, "InternalError"),
            "a problem of its own",
        ),
        (
            "kubernetes",
            kubernetes(500, "InternalError"),
            "the API server failed",
        ),
        ("hashicorp-vault", hashicorp(500), "status 500"),
    ] {
        rejected(case(store, "a failure", reply, unavailable(), words)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_cut_may_be_whole_the_next_time() {
    // Half of it is sent, which has all that is to stay hidden.
    let body = format!(r#"{{"value":"{} {}"}}"#, told(), told());
    let words = "the connection ended before the whole answer";
    for store in STORES {
        let reply = Reply::cut(200, &body);
        rejected(case(store, "a cut reply", reply, unavailable(), words)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_is_left_unread() {
    for (store, words) in [
        ("aws-ssm", "larger than any honest one"),
        ("aws-secrets-manager", "larger than any honest one"),
        ("gcp-secret-manager", "sent more than"),
        ("azure-key-vault", "longer than"),
        ("kubernetes", "longer than"),
        ("hashicorp-vault", "longer than"),
    ] {
        let reply = Reply::endless(200, 1 << 30);
        rejected(case(store, "a gigabyte", reply, failed(), words)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_told_and_leads_nowhere() {
    let other = Wire::http(|_| Reply::json(200, &format!(r#"{{"value":"{VALUE}"}}"#)));
    let there = format!("{}/{VALUE}?account={ACCOUNT}&token={TOKEN}", other.url());
    let moved = Reply::status(302).with_header("location", &there);
    for (store, words) in [
        ("aws-ssm", "sent us elsewhere"),
        ("aws-secrets-manager", "sent us elsewhere"),
        ("gcp-secret-manager", "redirects elsewhere"),
        ("azure-key-vault", "a redirect, which is not followed"),
        ("kubernetes", "redirects are not followed"),
        ("hashicorp-vault", "a redirect, which is not followed"),
    ] {
        rejected(case(store, "a redirect", moved.clone(), failed(), words)).await;
    }
    // So does a standby say where the active server is, which may be itself in a moment.
    rejected(case(
        "hashicorp-vault",
        "a standby",
        Reply::redirect(&there),
        unavailable(),
        "this server is a standby",
    ))
    .await;
    assert!(other.requests().is_empty(), "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_name_is_asked_for_nothing() {
    let identity = Identity::new("other.example");
    let server = Wire::https(&identity, |_| Reply::json(200, &told()));
    for store in STORES {
        let dir = folder(&identity);
        let table = table(dir.path(), store, &server.url());
        let table = format!("{table}\ndeadline = \"{LONG}\"");
        let at = format!("another name at {store}");
        let words = "the server's certificate is not trusted";
        fails(dir, &table, &at, &failed(), words).await;
        assert!(server.requests().is_empty(), "{at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_is_an_outage() {
    let identity = Identity::new("localhost");
    let sts = Wire::http(|_| {
        let body = format!(
            r#"{{"access_token":"{TOKEN}","token_type":"Bearer","expires_in":3600,
            "issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}}"#
        );
        Reply::json(200, &body)
    });
    for store in STORES {
        let dir = folder(&identity);
        let mut table = table(dir.path(), store, "https://name.invalid");
        // Nobody's login is for loopback alone, and other logins are made before the call.
        if store == "gcp-secret-manager" {
            let text = federated(&dir.path().join("login"), &sts.url());
            private(&dir.path().join("federated.json"), &text);
            let auth = "auth = { credentials-file = \"federated.json\" }";
            table = table.replace("auth = \"none\"", auth);
        }
        let table = format!("{table}\ndeadline = \"{LONG}\"");
        let at = format!("no such name at {store}");
        fails(dir, &table, &at, &unavailable(), "cannot be resolved").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nothing_listens_is_an_outage() {
    let identity = Identity::new("localhost");
    for store in STORES {
        let dir = folder(&identity);
        // A port that no test is given.
        let url = match store {
            "azure-key-vault" => "https://127.0.0.1:1",
            _ => "http://127.0.0.1:1",
        };
        let table = table(dir.path(), store, url);
        let table = format!("{table}\ndeadline = \"{LONG}\"");
        let at = format!("nobody at {store}");
        fails(dir, &table, &at, &unavailable(), "nothing listens").await;
    }
}

/// Whether a layer or the broker itself gives up first, both say that it was the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_an_outage() {
    let identity = Identity::new("localhost");
    let hang = |request: &Request| answer(request, &Reply::Hang, None);
    let server = Wire::http(hang);
    let tls = Wire::https(&identity, hang);
    for store in STORES {
        let dir = folder(&identity);
        let url = match store {
            "azure-key-vault" => tls.url(),
            _ => server.url(),
        };
        let table = table(dir.path(), store, &url);
        let table = format!("{table}\ndeadline = \"500ms\"");
        let at = format!("a hang at {store}");
        let (error, told) = refusal(dir, &table, &at).await;
        let code = &error.code;
        assert!(matches!(code, ErrorCode::Unavailable(_)), "{at}: {told}");
        assert!(told.contains("the deadline of a call"), "{at}: {told}");
    }
}
