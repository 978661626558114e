//! The trials themselves are tried: for each there is a store, broken in one way, that it finds
//! out; and stores of every shape that are not broken pass all of theirs.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod catalogue;
mod defect;
mod listing;
mod store;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use strongroom_backend::{Backend, PutOptions, SecretPath, SecretValue};
use strongroom_backend_testkit::{Fixture, Outcome, Target, judge};

use catalogue::CATALOGUE;
use defect::{Defect, Shape};
use store::Store;

/// What a store that cannot write was made with; the names sort differently without case.
const HELD: [(&str, &[u8]); 3] = [("B/key", b" b\n"), ("a/key", b"a"), ("c", b"")];

#[test]
fn every_defect_is_found_out_by_name() {
    let mut passed = Vec::new();
    for (defect, shape, trials) in CATALOGUE {
        for trial in *trials {
            let reports = judge(target(*shape, *defect), trial);
            let report = reports.iter().find(|report| report.trial == *trial);
            match report.map(|report| &report.outcome) {
                Some(Outcome::Failed(_)) => {}
                other => passed.push(format!("{defect:?}: {trial}: {other:?}")),
            }
        }
    }
    assert!(passed.is_empty(), "not found out:\n{}", passed.join("\n"));
}

#[test]
fn every_trial_finds_something_out() {
    let all = judge(Target::not_configured("none", "names only"), "");
    let all: BTreeSet<_> = all.into_iter().map(|report| report.trial).collect();
    let tried = CATALOGUE.iter().flat_map(|(_, _, trials)| trials.iter());
    let tried: BTreeSet<_> = tried.map(|trial| (*trial).to_owned()).collect();
    assert_eq!(all, tried);
}

#[test]
fn stores_that_are_not_broken_pass_in_every_shape() {
    for shape in Shape::ALL {
        let reports = judge(target(shape, Defect::None), "");
        assert!(!reports.is_empty());
        for report in reports {
            assert_eq!(
                report.outcome,
                Outcome::Passed,
                "{shape:?}: {}",
                report.trial
            );
        }
    }
}

#[test]
fn what_is_not_configured_is_ignored_and_never_passed() {
    let reports = judge(Target::not_configured("cloud", "no endpoint"), "");
    assert!(reports.len() > 90);
    let ignored = Outcome::Ignored("no endpoint".to_owned());
    assert!(reports.iter().all(|report| report.outcome == ignored));
}

#[test]
fn a_declared_gap_is_ignored_and_an_unknown_one_fails() {
    let trial = "values::empty_value";
    let target = target(Shape::Full, Defect::EmptyIsMissing)
        .without(trial, "the service holds no empty values")
        .without("values::emty_value", "a slip of the pen");
    let reports = judge(target, "");
    let outcome = |name: &str| reports.iter().find(|r| r.trial == name).map(|r| &r.outcome);
    assert!(matches!(outcome(trial), Some(Outcome::Ignored(_))));
    assert!(matches!(
        outcome("values::emty_value"),
        Some(Outcome::Failed(_))
    ));
}

#[test]
fn a_store_that_cannot_be_made_hangs_or_panics_fails() {
    let unmade = Target::new("unmade", || async {
        Err(strongroom_backend::Error::not_found())
    });
    let reports = judge(unmade, "");
    assert!(
        matches!(&reports[..], [r] if r.trial == "opens" && matches!(r.outcome, Outcome::Failed(_)))
    );
    let trial = "values::every_byte_value";
    for defect in [Defect::Hangs, Defect::Panics] {
        let target = target(Shape::Full, defect).patience(Duration::from_millis(300));
        let reports = judge(target, trial);
        assert!(
            matches!(reports[0].outcome, Outcome::Failed(_)),
            "{defect:?}"
        );
    }
}

fn target(shape: Shape, defect: Defect) -> Target {
    let make = move || async move {
        let store = Store::new(shape, defect);
        let mut held = Vec::new();
        if shape == Shape::ReadOnly {
            for (name, value) in HELD {
                let path = SecretPath::parse(name).expect("a legal name");
                let (secret, options) = (SecretValue::copy_of(value), PutOptions::default());
                store.inner.put(&path, &secret, &options).await?;
                held.push((path, value.to_vec()));
            }
        }
        Ok(Fixture::new(Arc::new(store)).holding(held))
    };
    Target::new(format!("{defect:?}"), make).patience(Duration::from_secs(30))
}
