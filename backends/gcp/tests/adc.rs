//! Application default credentials: each place that they are looked for in.
//!
//! Where they are is said by environment variables, and setting them in a running process would be
//! unsound: the program starts itself again with them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use strongroom_backend_gcp::Auth;
use strongroom_backend_testkit::wire::{Identity, Reply, Wire};

use common::{file, get, settings};

/// In the process that was started again: the server to ask.
const SERVER: &str = "ADC_TEST_SERVER";
/// And the certificate of its authority.
const AUTHORITY: &str = "ADC_TEST_AUTHORITY";

const TOKEN: &str = r#"{"access_token":"adc-token","issued_token_type":
    "urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}"#;

fn main() -> ExitCode {
    if let Ok(server) = std::env::var(SERVER) {
        return ask(&server);
    }
    let trials = vec![
        Trial::test("the_file_that_the_variable_names", named_file),
        Trial::test("the_file_that_gcloud_left", left_file),
        Trial::test("the_metadata_server", metadata_server),
        Trial::test("nothing_anywhere_is_said", nothing),
        Trial::test("a_file_that_is_not_there_is_an_error", missing_file),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Opens a vault with the default credentials and reads a value; says what came of it.
#[expect(clippy::print_stdout, reason = "the process that started us reads it")]
fn ask(server: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut config = settings(server);
        config.auth = Auth::Default;
        config.ca_file = Some(std::env::var_os(AUTHORITY).unwrap().into());
        match strongroom_backend_gcp::GcpBackend::open(&config, Path::new("")).await {
            Ok(store) => match get(&store, "a").await {
                Ok(value) => println!("value {value}"),
                Err(error) => println!("{:?} {error}", error.kind()),
            },
            Err(error) => println!("opening: {:?} {error}", error.kind()),
        }
    });
    ExitCode::SUCCESS
}

/// A server that gives its value to the bearer of the token.
fn server(identity: &Identity) -> Wire {
    Wire::https(identity, |request| match request.header("authorization") {
        Some("Bearer adc-token") => Reply::json(
            200,
            r#"{"name":"projects/1/secrets/a/versions/1","payload":{"data":"eA=="}}"#,
        ),
        _ => Reply::json(
            401,
            r#"{"error":{"code":401,"message":"x","status":"UNAUTHENTICATED"}}"#,
        ),
    })
}

/// What the program says with these variables and no others.
fn said(dir: &tempfile::TempDir, variables: &[(&str, &str)]) -> String {
    let identity = Identity::new("localhost");
    let server = server(&identity);
    let output = Command::new(std::env::current_exe().unwrap())
        .env_clear()
        .env(SERVER, server.url())
        .env(AUTHORITY, file(dir, "ca.pem", identity.authority()))
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn token_server() -> Wire {
    Wire::http(|_| Reply::json(200, TOKEN).with_header("metadata-flavor", "Google"))
}

fn named_file() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let sts = token_server();
    let subject = file(&dir, "subject", "subject-token");
    let adc = file(&dir, "adc.json", &common::federated(&subject, &sts.url()));
    let adc = adc.to_str().unwrap();
    let said = said(&dir, &[("GOOGLE_APPLICATION_CREDENTIALS", adc)]);
    assert_eq!(said, "value x\n");
    assert!(sts.requests()[0].text().contains("subject-token"));
    Ok(())
}

fn left_file() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let sts = token_server();
    let subject = file(&dir, "subject", "subject-token");
    std::fs::create_dir_all(dir.path().join(".config/gcloud"))?;
    let name = ".config/gcloud/application_default_credentials.json";
    file(&dir, name, &common::federated(&subject, &sts.url()));
    let said = said(&dir, &[("HOME", dir.path().to_str().unwrap())]);
    assert_eq!(said, "value x\n");
    Ok(())
}

fn metadata_server() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let metadata = token_server();
    let host = metadata.url().replace("http://", "");
    let said = said(
        &dir,
        &[
            ("HOME", dir.path().to_str().unwrap()),
            ("GCE_METADATA_HOST", &host),
        ],
    );
    assert_eq!(said, "value x\n");
    Ok(())
}

fn nothing() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let said = said(
        &dir,
        &[
            ("HOME", dir.path().to_str().unwrap()),
            ("GCE_METADATA_HOST", "127.0.0.1:1"),
        ],
    );
    let unavailable = said.starts_with("Unavailable cannot sign in");
    assert!(
        unavailable || said.starts_with("Unauthenticated cannot sign in"),
        "{said}"
    );
    Ok(())
}

fn missing_file() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let said = said(
        &dir,
        &[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/adc.json")],
    );
    assert!(said.starts_with("opening: Config"), "{said}");
    Ok(())
}
