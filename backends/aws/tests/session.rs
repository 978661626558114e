//! Where credentials, the region and the address come from. What depends on the environment runs in a
//! process of its own, as tests share one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use strongroom_backend::{ErrorKind, Result};
use strongroom_backend_aws::testing::{self, User};
use strongroom_backend_aws::{Auth, AwsConfig, Failure, Session};
use strongroom_backend_remote::Endpoint;
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};

const IDENTITY: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/somebody</Arn><UserId>U</UserId>
<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"#;

fn sts() -> Wire {
    Wire::http(|_| Reply::Whole {
        status: 200,
        headers: vec![("content-type".into(), "text/xml".into())],
        body: IDENTITY.into(),
    })
}

fn config(auth: Auth, url: &str) -> AwsConfig {
    let mut config = testing::config(url);
    config.auth = auth;
    config
}

async fn open(config: &AwsConfig) -> Result<Session> {
    Session::open(config, Path::new(".")).await
}

/// Runs the test of this name again with these variables alone, and without those of the machine.
fn apart(test: &str, variables: &[(&str, &str)]) -> bool {
    const MARK: &str = "STRONGROOM_TEST_APART";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env_clear();
    for name in ["PATH", "RUST_BACKTRACE", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let nothing = [
        ("AWS_CONFIG_FILE", "/nowhere/config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/keys"),
    ];
    command
        .envs(nothing)
        .envs(variables.iter().copied())
        .env(MARK, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// The key that signed the only request.
fn signer(server: &Wire) -> String {
    let requests = server.requests();
    let [request] = &requests[..] else {
        panic!("{} requests", requests.len());
    };
    let header = request.header("authorization").unwrap().to_owned();
    let (_, rest) = header.split_once("Credential=").unwrap();
    rest.split('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn who_we_are_is_for_the_operator() {
    let server = sts();
    let session = testing::session(&server.url()).await;
    let lines = session.check().await.unwrap();
    assert!(
        lines[0].contains("us-east-1") && lines[0].contains(&server.url()),
        "{lines:?}"
    );
    assert!(
        lines[1].ends_with("as arn:aws:iam::123456789012:user/somebody"),
        "{lines:?}"
    );
    assert_eq!(signer(&server), "AKIDTEST");
    assert!(session.clock_line().unwrap().is_some());
}

#[tokio::test]
async fn an_identity_that_is_none_is_not_printed() {
    let server = Wire::http(|_| Reply::Whole {
        status: 200,
        headers: Vec::new(),
        body: IDENTITY.replace("somebody", "some\u{1b}[31mbody").into(),
    });
    let session = testing::session(&server.url()).await;
    let lines = session.check().await.unwrap();
    assert!(
        lines.iter().all(|line| !line.contains('\u{1b}')),
        "{lines:?}"
    );
}

#[tokio::test]
async fn sts_out_of_reach_is_no_failure_and_refusal_is() {
    let server = Wire::http(|_| Reply::status(503));
    let lines = testing::session(&server.url()).await.check().await.unwrap();
    assert!(lines[1].contains("could not be asked"), "{lines:?}");
    let server = Wire::http(|_| Reply::status(401));
    let error = testing::session(&server.url())
        .await
        .check()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_server_that_checks_knows_its_users() {
    let (id, secret) = User::Admin.keys();
    let session = testing::session_with(&testing::config(&testing::strict()), &id, &secret).await;
    let lines = session.check().await.unwrap();
    assert!(lines[1].contains("user/admin"), "{lines:?}");
    let session = testing::session_with(&testing::config(&testing::strict()), &id, "canary").await;
    let error = session.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(
        error.to_string().contains("signature does not match"),
        "{error}"
    );
}

#[tokio::test]
async fn a_region_is_needed_and_is_one() {
    if !apart("a_region_is_needed_and_is_one", &[]) {
        return;
    }
    let error = open(&AwsConfig::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("region"), "{error}");
    for region in ["", "us east", "evil.example/", "US-EAST-1", "x@y"] {
        let mut config = AwsConfig::default();
        config.region = Some(region.to_owned());
        assert_eq!(
            open(&config).await.unwrap_err().kind(),
            ErrorKind::Config,
            "{region}"
        );
    }
}

#[tokio::test]
async fn a_region_of_the_environment_is_taken() {
    if !apart(
        "a_region_of_the_environment_is_taken",
        &[("AWS_REGION", "eu-west-3")],
    ) {
        return;
    }
    assert_eq!(
        open(&AwsConfig::default()).await.unwrap().region(),
        "eu-west-3"
    );
    let mut config = AwsConfig::default();
    config.region = Some("eu-west-1".to_owned());
    assert_eq!(open(&config).await.unwrap().region(), "eu-west-1");
}

#[tokio::test]
async fn the_chain_is_not_asked_before_the_first_call() {
    let metadata = Wire::http(|_| Reply::status(404));
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*metadata.url())];
    if !apart("the_chain_is_not_asked_before_the_first_call", &variables) {
        // The process that ran looked twice: never at open, then at its call.
        let asked = metadata.requests();
        assert!(!asked.is_empty());
        assert!(
            asked
                .iter()
                .all(|request| request.header("x-opened").is_none())
        );
        return;
    }
    let address = std::env::var("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap();
    let server = sts();
    let session = open(&config(Auth::DefaultChain, &server.url()))
        .await
        .unwrap();
    let mut stream = std::net::TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream
        .write_all(b"GET /opened HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    let error = session.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("credentials"), "{error}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn variables_that_are_named_hold_the_keys() {
    let variables = [
        ("MY_ID", "AKIDNAMED\n"),
        ("MY_SECRET", "canary-secret"),
        ("MY_TOKEN", "canary-token"),
        ("AWS_ACCESS_KEY_ID", "AKIDOTHER"),
        ("AWS_SECRET_ACCESS_KEY", "other"),
    ];
    if !apart("variables_that_are_named_hold_the_keys", &variables) {
        return;
    }
    let server = sts();
    let session = open(&config(Auth::keys("MY_ID", "MY_SECRET"), &server.url()))
        .await
        .unwrap();
    session.check().await.unwrap();
    assert_eq!(signer(&server), "AKIDNAMED");
    assert!(
        server.requests()[0]
            .header("x-amz-security-token")
            .is_none()
    );
    server.forget();
    let mut with_token = Auth::keys("MY_ID", "MY_SECRET");
    if let Auth::Keys(keys) = &mut with_token {
        keys.session_token_env = Some("MY_TOKEN".to_owned());
    }
    let session = open(&config(with_token, &server.url())).await.unwrap();
    session.check().await.unwrap();
    assert_eq!(
        server.requests()[0].header("x-amz-security-token"),
        Some("canary-token")
    );
    server.forget();
    let session = open(&config(Auth::keys("MY_ID", "MY_SECRTE"), &server.url()))
        .await
        .unwrap();
    let error = session.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("MY_SECRTE"), "{error}");
    assert!(server.requests().is_empty());
    assert!(!format!("{session:?}").contains("canary"));
}

#[tokio::test]
async fn a_profile_wins_over_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let settings = folder.path().join("config");
    std::fs::write(
        &keys,
        "[prod]\naws_access_key_id = AKIDPROD\naws_secret_access_key = canary\n",
    )
    .unwrap();
    std::fs::write(&settings, "[profile prod]\nregion = eu-north-1\n").unwrap();
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", keys.to_str().unwrap()),
        ("AWS_CONFIG_FILE", settings.to_str().unwrap()),
        ("AWS_ACCESS_KEY_ID", "AKIDOTHER"),
        ("AWS_SECRET_ACCESS_KEY", "other"),
    ];
    if !apart("a_profile_wins_over_the_environment", &variables) {
        return;
    }
    let server = sts();
    let mut settings = config(Auth::Profile("prod".to_owned()), &server.url());
    settings.region = None;
    let session = open(&settings).await.unwrap();
    assert_eq!(session.region(), "eu-north-1");
    session.check().await.unwrap();
    assert_eq!(signer(&server), "AKIDPROD");
    server.forget();
    let session = open(&config(Auth::Profile("prdo".to_owned()), &server.url()))
        .await
        .unwrap();
    let error = session.check().await.unwrap_err();
    let kinds = [ErrorKind::Config, ErrorKind::Unauthenticated];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert!(server.requests().is_empty());
    let session = open(&config(Auth::DefaultChain, &server.url()))
        .await
        .unwrap();
    session.check().await.unwrap();
    assert_eq!(signer(&server), "AKIDOTHER");
}

#[tokio::test]
async fn the_environment_moves_neither_the_service_nor_plain_http() {
    let other = sts();
    let url = other.url();
    let variables = [
        ("AWS_ENDPOINT_URL", &*url),
        ("AWS_ENDPOINT_URL_STS", &*url),
        ("HTTP_PROXY", &*url),
        ("http_proxy", &*url),
        ("HTTPS_PROXY", &*url),
        ("ALL_PROXY", &*url),
    ];
    if !apart(
        "the_environment_moves_neither_the_service_nor_plain_http",
        &variables,
    ) {
        assert!(other.requests().is_empty());
        return;
    }
    let server = sts();
    testing::session(&server.url()).await.check().await.unwrap();
    assert_eq!(signer(&server), "AKIDTEST");
    // Without an endpoint of ours the region's is meant, whatever the variables say: not reached here.
    let mut config = AwsConfig::default();
    config.region = Some("nowhere-1".to_owned());
    let session = testing::session_with(&config, "AKIDTEST", "x").await;
    assert_eq!(session.sdk().endpoint_url(), None);
}

#[tokio::test]
async fn a_ca_file_is_checked_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    };
    write("good", Identity::new("localhost").authority());
    write("empty", "");
    write("text", "not PEM");
    write("cut", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    write(
        "junk",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    write("large", &"x".repeat((1 << 20) + 1));
    for (name, right) in [
        ("good", true),
        ("empty", false),
        ("text", false),
        ("cut", false),
        ("junk", false),
        ("large", false),
        ("missing", false),
    ] {
        let mut config = testing::config("https://localhost:1");
        config.ca_file = Some(name.into());
        let opened = Session::open(&config, folder.path()).await;
        match opened {
            Ok(_) => assert!(right, "{name}"),
            Err(error) => {
                assert!(!right, "{error}");
                assert_eq!(error.kind(), ErrorKind::Config);
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn opening_makes_no_call() {
    let server = sts();
    let mut config = config(Auth::DefaultChain, &server.url());
    config.endpoint = Some(Endpoint::parse(&server.url()).unwrap());
    let session = open(&config).await.unwrap();
    assert!(server.requests().is_empty());
    assert_eq!(session.clock_line().unwrap(), None);
}

#[tokio::test]
async fn a_failure_keeps_nothing_of_the_reply() {
    let server = Wire::http(|_| {
        Reply::Whole {
        status: 400,
        headers: Vec::new(),
        body: b"<ErrorResponse><Error><Code>ValidationError</Code><Message>canary</Message></Error></ErrorResponse>".to_vec(),
    }
    });
    let session = testing::session(&server.url()).await;
    let sts = aws_sdk_sts::Client::new(session.sdk());
    let error = sts.get_caller_identity().send().await.unwrap_err();
    let failure = Failure::of(&error);
    assert_eq!(
        (failure.code(), failure.status()),
        (Some("ValidationError"), Some(400))
    );
    let error = failure.into_error("sts:GetCallerIdentity");
    assert!(
        !format!("{error} {error:?}").contains("canary"),
        "{error:?}"
    );
}
