//! The trials that every backend passes, against a server that imitates the service.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Arguments;
use strongroom_backend_aws::testing;
use strongroom_backend_aws_ssm::{Config, SsmBackend};
use strongroom_backend_layers::{Jitter, Retry, RetrySettings};
use strongroom_backend_testkit::{Fixture, Target, trials};

fn main() -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials(target())).exit_code()
}

fn target() -> Target {
    Target::new("aws-ssm", || async {
        let prefix = format!("/{}/", testing::fresh("trial"));
        let mut aws = testing::config(&testing::lenient());
        aws.region = Some(testing::region().to_owned());
        let session = testing::session_with(&aws, "AKIDTEST", "secret-of-a-test").await;
        let store = SsmBackend::with_session(&Config::new(aws, prefix), session)?;
        Ok(Fixture::new(Arc::new(patient(store))))
    })
    .patience(Duration::from_secs(300))
    .without(
        "values::at_the_limit",
        "the trial's value is not text, and base64 leaves 6,129 of 8,192 bytes for such values: both \
         limits are tried in tests/sizes.rs",
    )
}

/// The store as the host wraps it: the server answers 500 to a listing while somebody writes in the
/// same region, and a repeated read mends that. Trials have regions of their own for the same reason.
fn patient(store: SsmBackend) -> Retry {
    let settings = RetrySettings {
        attempts: 8,
        base: Duration::from_millis(20),
        percent: 100,
        burst: 100,
        ..RetrySettings::default()
    };
    Retry::new(Arc::new(store), settings, Jitter::random())
}
