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
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use libtest_mimic::Arguments;
use strongroom_backend_aws::testing;
use strongroom_backend_aws_ssm::{Config, SsmBackend};
use strongroom_backend_testkit::{Fixture, Target, trials};

// moto's parameters are in a dictionary as its secrets are, and a label on a name that is not there leaves
// a hole in it at which every later listing of that account and region fails.
#[path = "../../aws-secrets-manager/tests/common/queue.rs"]
mod queue;

fn main() -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials(target())).exit_code()
}

fn target() -> Target {
    Target::new("aws-ssm", || async {
        let queue = queue::before(&testing::lenient(), &account());
        let prefix = format!("/{}/", testing::fresh("trial"));
        let aws = testing::config(&queue.url());
        let session = testing::session_with(&aws, "AKIDTEST", "secret-of-a-test").await;
        let store = SsmBackend::with_session(&Config::new(aws, prefix), session)?;
        Ok(Fixture::new(Arc::new(store)).keeping(queue))
    })
    .patience(Duration::from_secs(300))
    .without(
        "values::at_the_limit",
        "the trial's value is not text, and base64 leaves 6,129 of 8,192 bytes for such values: both \
         limits are tried in tests/sizes.rs",
    )
}

/// An account that no other trial is likely to have.
fn account() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:09}{next:03}", since % 1_000_000_000)
}
