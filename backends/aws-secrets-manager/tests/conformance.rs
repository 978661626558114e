//! The conformance trials, against an independent server. What it does not check, `strict.rs` does.

use std::sync::Arc;

use strongroom_backend_aws::testing;
use strongroom_backend_aws_secrets_manager::{Config, SecretsManagerBackend};
use strongroom_backend_testkit::{Fixture, Target, trials};

fn main() {
    let url = testing::lenient();
    let target = Target::new("aws-secrets-manager", move || {
        let url = url.clone();
        async move {
            let mut config = Config::new(testing::config(&url));
            // A namespace of its own for each trial.
            config.prefix = format!("{}/", testing::fresh("trial"));
            let session = testing::session(&url).await;
            let store = SecretsManagerBackend::with_session(&config, session)?;
            Ok(Fixture::new(Arc::new(store)))
        }
    });
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials(target)).exit();
}
