//! The conformance trials, against the emulator and against a server of ours that is stricter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod strict;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libtest_mimic::{Arguments, Trial};
use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_gcp::{Auth, Config, GcpBackend};
use strongroom_backend_remote::Endpoint;
use strongroom_backend_testkit::{Fixture, Target, trials};

use strict::Strict;

/// The emulator, started by `cargo xtask servers up`.
const EMULATOR: &str = "STRONGROOM_TEST_GCP";

fn main() {
    let mut all = trials(strict("strict", |_| {}));
    all.extend(trials(strict("strict-regional", |config| {
        config.location = Some("europe-west3".to_owned());
        config.prefix = "app-".to_owned();
    })));
    match std::env::var(EMULATOR) {
        Ok(url) => all.extend(trials(emulator(url))),
        Err(_) => all.push(Trial::test("emulator::configured", || {
            Err(format!("{EMULATOR} is not set: start it with `cargo xtask servers up gcp`").into())
        })),
    }
    libtest_mimic::run(&Arguments::from_args(), all).exit();
}

fn strict(name: &str, change: fn(&mut Config)) -> Target {
    Target::new(name, move || async move {
        let server = Strict::start();
        let mut config = settings("conformance", &server.wire.url())?;
        change(&mut config);
        let vault = GcpBackend::open(&config, Path::new("")).await?;
        Ok(Fixture::new(Arc::new(vault)).keeping(server))
    })
}

/// Each trial has a project of its own.
fn emulator(url: String) -> Target {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = std::process::id();
    let target = Target::new("emulator", move || {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let config = settings(&format!("t{process}-{number}"), &url);
        async move {
            let vault = GcpBackend::open(&config?, Path::new("")).await?;
            Ok(Fixture::new(Arc::new(vault)))
        }
    });
    GAPS.iter()
        .flat_map(|(reason, trials)| trials.iter().map(move |trial| (*trial, *reason)))
        .fold(target, |target, (trial, reason)| {
            target.without(trial, reason)
        })
}

/// What the emulator does not do as the service does. The strict server is tried in all of it.
const GAPS: [(&str, &[&str]); 4] = [
    (
        "it drops annotations, so that a listing cannot tell the paths of encoded names",
        &[
            "names::longest_names",
            "names::names_that_differ_in_case",
            "names::legal_shapes",
            "names::names_that_naive_mapping_joins",
            "names::a_name_and_what_is_under_it",
            "names::names_that_mean_something_elsewhere",
            "listing::names_come_in_byte_order",
            "listing::a_prefix_is_taken_literally",
            "listing::a_prefix_may_end_in_a_segment",
            "listing::pages_join_without_gap_or_repeat",
            "listing::the_last_page_says_so",
            "listing::a_page_begins_after_any_name",
            "listing::undeleted_secrets_are_back",
            "listing::pages_hold_while_others_write",
            "model::random_operations_agree_with_the_memory_store",
        ],
    ),
    (
        "it drops annotations, in which metadata, authors and deletes of the secret are noted",
        &[
            "versions::authors_are_kept",
            "listing::deleted_secrets_are_left_out",
            "lifecycle::undelete_takes_the_secret_back",
            "lifecycle::what_was_deleted_alone_stays_deleted",
            "metadata::it_is_set_with_the_value",
            "metadata::a_write_without_it_keeps_it",
            "metadata::unicode_is_kept",
            "metadata::each_part_is_replaced_alone",
            "metadata::it_changes_without_a_new_version",
        ],
    ),
    (
        "its `latest` falls back to an older version when the newest is disabled or destroyed",
        &[
            "lifecycle::an_older_value_does_not_return_with_a_delete",
            "lifecycle::a_deleted_secret_is_described",
            "lifecycle::the_current_version_is_deleted_alone",
            "lifecycle::undelete_takes_one_version_back",
            "lifecycle::destroying_the_current_version_leaves_none",
            "lifecycle::a_deleted_version_can_be_destroyed",
        ],
    ),
    (
        "it ignores the update mask, so that labels cannot be cleared",
        &["metadata::labels_are_replaced_whole"],
    ),
];

fn settings(project: &str, url: &str) -> strongroom_backend::Result<Config> {
    let mut config = Config::new(project);
    config.auth = Auth::None;
    let endpoint = Endpoint::parse(url);
    config.endpoint = Some(endpoint.map_err(|error| {
        Error::new(ErrorKind::Config, "the server's address").with_source(error)
    })?);
    Ok(config)
}
