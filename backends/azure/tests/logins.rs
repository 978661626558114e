//! Every way to authenticate, to the value: each in a process of its own, whose environment is the
//! one that the way needs.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod fake;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};

use fake::{ASSERTION, CLIENT, Clock, Fake, State, TENANT};
use libtest_mimic::{Arguments, Failed, Trial};
use strongroom_backend::{Backend, PutOptions, SecretPath, SecretValue, Which};
use strongroom_backend_azure::{Auth, AzureBackend};
use strongroom_backend_testkit::wire::{Reply, Request, Wire};

/// In the process that logs in: the way, the vault's address and the folder with its authority.
const WAY: &str = "LOGIN_TRIAL_WAY";
const URL: &str = "LOGIN_TRIAL_URL";
const FOLDER: &str = "LOGIN_TRIAL_FOLDER";

fn main() -> ExitCode {
    if let Ok(way) = std::env::var(WAY) {
        return log_in(&way);
    }
    let trials = vec![
        Trial::test("workload_identity_of_the_environment", workload),
        Trial::test("workload_identity_of_the_settings", workload_by_settings),
        Trial::test("managed_identity", managed),
        Trial::test("a_managed_identity_that_is_missing", no_managed),
        Trial::test("developer", developer),
        Trial::test("a_developer_who_is_not_logged_in", no_developer),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Writes and reads a secret; what goes wrong is printed.
fn log_in(way: &str) -> ExitCode {
    let auth = match way {
        "developer" => Auth::Developer,
        "managed" => Auth::ManagedIdentity {
            client_id: Some(CLIENT.into()),
        },
        "workload" => Auth::WorkloadIdentity {
            client_id: None,
            tenant_id: None,
            token_file: None,
        },
        _ => Auth::WorkloadIdentity {
            client_id: Some(CLIENT.into()),
            tenant_id: Some(TENANT.into()),
            token_file: Some("pod.token".into()),
        },
    };
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let mut config = fake::config(&std::env::var(URL).unwrap());
    config.auth = Some(auth);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let done = runtime.block_on(async {
        let store = AzureBackend::open(&config, &folder).await?;
        let (path, value) = (SecretPath::parse("a").unwrap(), SecretValue::copy_of(b"x"));
        store.put(&path, &value, &PutOptions::default()).await?;
        store.get(&path, Which::Current).await
    });
    match done {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let mut out = std::io::stderr();
            let _ =
                std::io::Write::write_fmt(&mut out, format_args!("{:?}: {error}", error.kind()));
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again to log in; an error is what it printed.
fn again(fake: &Fake, way: &str, environment: &[(&str, &Path)]) -> Result<(), String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .env_clear()
        .env(WAY, way)
        .env(URL, fake.url())
        .env(FOLDER, fake.folder())
        .env("PATH", "/usr/bin:/bin")
        // Where a stranger would send the client's secret to.
        .env("AZURE_AUTHORITY_HOST", "https://127.0.0.1:1")
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn is(told: Result<(), String>, expected: &str) -> Result<(), Failed> {
    match told {
        Err(text) if text.contains(expected) => Ok(()),
        other => Err(format!("{other:?}, not {expected:?}").into()),
    }
}

fn workload() -> Result<(), Failed> {
    let fake = Fake::start(Clock::Steps);
    let file = fake.folder().join("pod.token");
    std::fs::write(&file, ASSERTION)?;
    let environment: [(&str, &Path); 3] = [
        ("AZURE_CLIENT_ID", CLIENT.as_ref()),
        ("AZURE_TENANT_ID", TENANT.as_ref()),
        ("AZURE_FEDERATED_TOKEN_FILE", &file),
    ];
    again(&fake, "workload", &environment)?;
    is(
        again(&fake, "workload", &[]),
        "Config: workload identity is not set up",
    )?;
    std::fs::write(&file, "of another pod")?;
    is(again(&fake, "workload", &environment), "Unauthenticated")
}

fn workload_by_settings() -> Result<(), Failed> {
    let fake = Fake::start(Clock::Steps);
    std::fs::write(fake.folder().join("pod.token"), ASSERTION)?;
    Ok(again(&fake, "workload by settings", &[])?)
}

/// The metadata service, as app services have it.
fn metadata(state: &Arc<Mutex<State>>) -> Wire {
    let state = Arc::clone(state);
    Wire::http(move |request: &Request| {
        let right = request.header("x-identity-header") == Some("header-of-the-app")
            && request.header("metadata") == Some("true")
            && request
                .target
                .contains("resource=https%3A%2F%2Fvault.azure.net&")
            && request.target.contains(&format!("client_id={CLIENT}"));
        if !right {
            return Reply::json(400, r#"{"error":"invalid_request"}"#);
        }
        let token = state.lock().unwrap().tokens.give();
        let expires = fake::local_seconds() + 3600;
        Reply::json(
            200,
            &format!(
                r#"{{"access_token":"{token}","expires_on":"{expires}","token_type":"Bearer","resource":"https://vault.azure.net"}}"#
            ),
        )
    })
}

fn managed() -> Result<(), Failed> {
    let fake = Fake::start(Clock::Steps);
    let service = metadata(&fake.state);
    let url = format!("{}/msi/token", service.url());
    let header = |header: &'static str| -> [(&str, &Path); 2] {
        [
            ("IDENTITY_ENDPOINT", url.as_ref()),
            ("IDENTITY_HEADER", header.as_ref()),
        ]
    };
    again(&fake, "managed", &header("header-of-the-app"))?;
    is(
        again(&fake, "managed", &header("another")),
        "Unauthenticated",
    )
}

/// A machine of no cloud: the metadata service refuses, hangs or is not there, and the call ends.
fn no_managed() -> Result<(), Failed> {
    let fake = Fake::start(Clock::Steps);
    let service = Wire::http(|_| Reply::Hang);
    let url = service.url();
    let environment: [(&str, &Path); 2] = [
        ("IDENTITY_ENDPOINT", url.as_ref()),
        ("IDENTITY_HEADER", "x".as_ref()),
    ];
    is(again(&fake, "managed", &environment), "Unavailable")
}

/// A folder with an `az` of ours.
#[cfg(unix)]
fn az(fake: &Fake, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let az = fake.folder().join("az");
    std::fs::write(&az, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = fake.folder().as_os_str().to_owned();
    path.push(":/usr/bin:/bin");
    path.into()
}

fn developer() -> Result<(), Failed> {
    let fake = Fake::start(Clock::Steps);
    let token = fake.state().tokens.give();
    let expires = fake::local_seconds() + 3600;
    let script = format!(
        r#"case "$*" in *"get-access-token"*"--scope https://vault.azure.net/.default"*) ;; *) exit 9 ;; esac
echo '{{"accessToken":"{token}","expires_on":{expires},"tokenType":"Bearer"}}'"#
    );
    let path = az(&fake, &script);
    Ok(again(&fake, "developer", &[("PATH", &path)])?)
}

fn no_developer() -> Result<(), Failed> {
    let fake = Fake::start(Clock::Steps);
    let path = az(&fake, "echo 'canary of the tool' >&2; exit 1");
    let told = again(&fake, "developer", &[("PATH", &path)]);
    assert!(!format!("{told:?}").contains("canary"), "{told:?}");
    is(told, "az login")
}
