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
use strongroom_backend_testkit::{Fixture, Target, trials};

// moto's parameters are in a dictionary as its secrets are.
#[path = "../../aws-secrets-manager/tests/common/queue.rs"]
mod queue;

fn main() -> ExitCode {
    let queue = queue::before(&testing::lenient());
    libtest_mimic::run(&Arguments::from_args(), trials(target(queue.url()))).exit_code()
}

fn target(url: String) -> Target {
    Target::new("aws-ssm", move || {
        let url = url.clone();
        async move {
            let prefix = format!("/{}/", testing::fresh("trial"));
            let mut aws = testing::config(&url);
            aws.region = Some(testing::region().to_owned());
            let session = testing::session_with(&aws, "AKIDTEST", "secret-of-a-test").await;
            let store = SsmBackend::with_session(&Config::new(aws, prefix), session)?;
            Ok(Fixture::new(Arc::new(store)))
        }
    })
    .patience(Duration::from_secs(300))
    .without(
        "values::at_the_limit",
        "the trial's value is not text, and base64 leaves 6,129 of 8,192 bytes for such values: both \
         limits are tried in tests/sizes.rs",
    )
}
