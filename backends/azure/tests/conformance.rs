//! The trials that every backend passes, against the fake vault; its clock goes on by a second with
//! each write, so that no trial waits for one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod fake;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fake::{Clock, Fake};
use libtest_mimic::Arguments;
use strongroom_backend_azure::{AzureBackend, Deletion};
use strongroom_backend_testkit::{Fixture, Target, trials};

fn main() -> ExitCode {
    let mut all = trials(target("azure", Deletion::Soft));
    all.extend(trials(target("azure-disable", Deletion::Disable)));
    all.extend(trials(target("azure-purge", Deletion::Purge)));
    libtest_mimic::run(&Arguments::from_args(), all).exit_code()
}

fn target(name: &str, deletion: Deletion) -> Target {
    Target::new(name, move || async move {
        let fake = Fake::start(Clock::Steps);
        let mut config = fake.config();
        config.delete = deletion;
        config.settle = 30;
        // Pages are crossed, and both ways to say that a deleted secret has no versions are met.
        fake.state().page = 7;
        fake.state().purge_lag = 4;
        fake.state().no_versions_of_deleted = deletion == Deletion::Soft;
        let store = AzureBackend::open(&config, fake.folder()).await?;
        Ok(Fixture::new(Arc::new(store)).keeping(fake))
    })
    .patience(Duration::from_secs(300))
    .without(
        "values::at_the_limit",
        "the trial's value is not text, and base64 leaves 19,200 of 25,600 bytes for such values: \
         both limits are tried in tests/semantics.rs",
    )
}
