//! What `doctor` is told: each step that works, and the first that does not.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod fake;

use std::path::Path;

use fake::{Clock, Denial, Fake};
use strongroom_backend::{Backend, Error, ErrorKind};
use strongroom_backend_azure::{Auth, AzureBackend, ClientSecret, Config};

async fn check(fake: &Fake, change: impl FnOnce(&mut Config)) -> Result<Vec<String>, Error> {
    let mut config = fake.config();
    change(&mut config);
    AzureBackend::open(&config, fake.folder())
        .await?
        .check()
        .await
}

async fn refusal(config: &Config, base: &Path, text: &str) -> Error {
    match AzureBackend::open(config, base).await {
        Ok(_) => panic!("{text}: opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn what_works_is_said_step_by_step() {
    let fake = Fake::start(Clock::Real);
    let lines = check(&fake, |_| {}).await.unwrap().join("\n");
    for part in [
        "vault https://fake-vault.vault.azure.net/",
        "requests go to https://localhost:",
        "logged in at localhost with a service principal's secret",
        "as application 3b2a1908",
        "certificate is trusted",
        "may list secrets: there are none",
        "clock",
    ] {
        assert!(lines.contains(part), "no {part:?} in\n{lines}");
    }
    assert!(!lines.contains(fake::SECRET));
}

#[tokio::test]
async fn clocks_that_differ_are_told() {
    let fake = Fake::start(Clock::Real);
    fake.state().ahead = 400;
    let error = check(&fake, |_| {}).await.unwrap_err().to_string();
    assert!(
        error.contains("behind the service's: set it right"),
        "{error}"
    );
}

#[tokio::test]
async fn each_failure_has_its_cause_and_the_next_step() {
    let fake = Fake::start(Clock::Steps);
    let client = |config: &mut Config, tenant: &str, client: &str| {
        config.auth = Some(Auth::ClientSecret {
            tenant_id: tenant.into(),
            client_id: client.into(),
            secret: ClientSecret::File("client.secret".into()),
        });
    };
    let error = check(&fake, |c| {
        client(c, "00000000-0000-0000-0000-000000000000", fake::CLIENT)
    });
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("no such tenant"), "{error}");
    let error = check(&fake, |c| client(c, fake::TENANT, "other"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("no such client"), "{error}");

    let secret = fake.folder().join("client.secret");
    std::fs::write(&secret, "wrong").unwrap();
    let error = check(&fake, |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("secret is wrong"), "{error}");
    assert!(!error.to_string().contains(fake::TENANT), "{error}");
    std::fs::write(&secret, fake::SECRET).unwrap();

    fake.state().tokens.refused = true;
    let error = check(&fake, |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(
        error.to_string().contains("does not accept the token"),
        "{error}"
    );
    fake.state().tokens.refused = false;

    for (denial, text) in [
        (Denial::Policy, "access policy"),
        (Denial::Role, "Key Vault Secrets Officer"),
        (Denial::Firewall, "firewall"),
    ] {
        fake.state().denied = vec![("list", denial)];
        let error = check(&fake, |_| {}).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_any_call() {
    let fake = Fake::start(Clock::Steps);
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = fake.config();
        change(&mut config);
        config
    };
    let cases = [
        (with(&|c| c.auth = None), "managed-identity"),
        (with(&|c| c.vault = None), "`vault` or `vault-url`"),
        (
            with(&|c| c.vault = Some("a.b".into())),
            "not the name of a vault",
        ),
        (with(&|c| c.prefix = "a/".into()), "`prefix`"),
        (with(&|c| c.prefix = "p".repeat(100)), "shorten"),
        (with(&|c| c.settle = 0), "`settle`"),
        (with(&|c| c.settle = 301), "`settle`"),
        (with(&|c| c.ca_file = Some("none.pem".into())), "none.pem"),
        (
            with(&|c| c.ca_file = Some("client.secret".into())),
            "holds no certificate",
        ),
        (
            with(&|c| c.names.extend([("a".into(), "b/c".into())])),
            "given to 'a'",
        ),
        (
            with(&|c| c.names.extend([("../a".into(), "b".into())])),
            "not the path",
        ),
        (
            with(&|c| {
                c.names
                    .extend([("a".into(), "B".into()), ("c".into(), "b".into())])
            }),
            "the same name",
        ),
        (
            with(&|c| {
                c.auth = Some(Auth::ClientSecret {
                    tenant_id: "t".into(),
                    client_id: "c".into(),
                    secret: ClientSecret::Env("STRONGROOM_TEST_NOT_SET".into()),
                });
            }),
            "STRONGROOM_TEST_NOT_SET",
        ),
        (
            with(&|c| {
                c.auth = Some(Auth::WorkloadIdentity {
                    client_id: Some("c".into()),
                    tenant_id: Some("t".into()),
                    token_file: Some("no-token".into()),
                });
            }),
            "workload identity is not set up",
        ),
    ];
    for (config, text) in cases {
        let error = refusal(&config, fake.folder(), text).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(text), "no {text:?} in {error}");
    }
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn every_way_to_authenticate_opens_without_a_call() {
    let fake = Fake::start(Clock::Steps);
    std::fs::write(fake.folder().join("token"), "eyJ").unwrap();
    for auth in [
        Auth::Developer,
        Auth::ManagedIdentity { client_id: None },
        Auth::ManagedIdentity {
            client_id: Some("c".into()),
        },
        Auth::WorkloadIdentity {
            client_id: Some("c".into()),
            tenant_id: Some("t".into()),
            token_file: Some("token".into()),
        },
    ] {
        let mut config = fake.config();
        config.auth = Some(auth);
        AzureBackend::open(&config, fake.folder()).await.unwrap();
    }
    assert!(fake.requests().is_empty());
}
