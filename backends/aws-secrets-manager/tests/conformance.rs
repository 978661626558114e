//! The conformance trials, against an independent server, and against one of ours that is stricter.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use strongroom_backend_aws::testing;
use strongroom_backend_aws_secrets_manager::{Config, SecretsManagerBackend};
use strongroom_backend_testkit::{Fixture, Target, trials};

use common::{Strict, queue};

/// How long a trial of some hundred requests may take where each waits for the one before.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    let queue = queue::before(&testing::lenient(), "123456789012");
    let url = queue.url();
    let independent = Target::new("aws-secrets-manager", move || {
        let url = url.clone();
        async move {
            let mut config = Config::new(testing::config(&url));
            // A namespace of its own for each trial.
            config.prefix = format!("{}/", testing::fresh("trial"));
            // moto looks at all secrets of a region for each request, and other tests are in another.
            config.aws.region = region();
            let session = testing::session(&url).await;
            let store = SecretsManagerBackend::with_session(&config, session)?;
            Ok(Fixture::new(Arc::new(store)))
        }
    })
    .without(
        "metadata::each_part_is_replaced_alone",
        "moto keeps a description that is cleared; tried against the strict server",
    )
    .patience(PATIENCE);
    let strict = Target::new("aws-secrets-manager-strict", || async {
        let strict = Strict::with(|config| config.prefix = "trial/".to_owned()).await;
        let store = Arc::clone(&strict.store);
        Ok(Fixture::new(store).keeping(strict))
    });
    let all = [independent, strict].into_iter().flat_map(trials).collect();
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), all).exit();
}

fn region() -> Option<String> {
    const REGIONS: [&str; 8] = [
        "us-east-2",
        "us-west-1",
        "us-west-2",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "eu-central-1",
        "ap-south-1",
    ];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    REGIONS
        .get(next % REGIONS.len())
        .map(|region| (*region).to_owned())
}
