//! The listing, against a map.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::*;
use proptest::prelude::*;
use strongroom_backend::{Backend, ErrorKind};
use strongroom_backend_local::LocalBackend;

#[derive(Clone, Debug)]
enum Step {
    Put(String),
    Delete(String),
    Undelete(String),
    List(String, usize),
    Reopen,
}

fn name() -> impl Strategy<Value = String> {
    "[a-c](/[ab-]){0,2}"
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => name().prop_map(Step::Put),
        2 => name().prop_map(Step::Delete),
        1 => name().prop_map(Step::Undelete),
        3 => ("([a-c](/[ab]?)?)?", 1..4_usize).prop_map(|(prefix, limit)| Step::List(prefix, limit)),
        1 => Just(Step::Reopen),
    ]
}

/// All pages of one listing, each asked of another instance in turn.
fn pages(stores: &[LocalBackend; 2], prefix: &str, limit: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for turn in 0.. {
        let after = all.last().cloned();
        let page = wait(stores[turn % 2].list(prefix, after.as_deref(), limit)).unwrap();
        all.extend(page.paths.iter().map(ToString::to_string));
        if !page.more {
            break;
        }
        assert_eq!(page.paths.len(), limit, "only the last page is short");
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_instances_list_what_a_map_lists(steps in prop::collection::vec(step(), 1..40)) {
        let dir = folder();
        let mut stores = [create(dir.path()), open(dir.path())];
        // Whether each name has a current version.
        let mut model: BTreeMap<String, bool> = BTreeMap::new();
        for (turn, step) in steps.into_iter().enumerate() {
            let store = &stores[turn % 2];
            match step {
                Step::Put(name) => {
                    put(store, &name, "x");
                    model.insert(name, true);
                }
                Step::Delete(name) => {
                    let done = wait(store.delete(&path(&name), None)).map_err(|e| e.kind());
                    let live = model.get_mut(&name).filter(|live| **live);
                    prop_assert_eq!(done.is_ok(), live.is_some());
                    live.into_iter().for_each(|live| *live = false);
                }
                Step::Undelete(name) => {
                    let more = store.versioning().unwrap();
                    let done = wait(more.undelete(&path(&name), None)).map_err(|e| e.kind());
                    match model.get_mut(&name) {
                        Some(live) if !*live => {
                            prop_assert!(done.is_ok());
                            *live = true;
                        }
                        _ => prop_assert_eq!(done.err(), Some(ErrorKind::NotFound)),
                    }
                }
                Step::List(prefix, limit) => {
                    let expected: Vec<String> = model
                        .iter()
                        .filter(|(name, live)| **live && name.starts_with(&prefix))
                        .map(|(name, _)| name.clone())
                        .collect();
                    prop_assert_eq!(pages(&stores, &prefix, limit), expected);
                }
                Step::Reopen => stores[turn % 2] = open(dir.path()),
            }
        }
        wait(stores[0].check()).unwrap();
    }
}

/// More changes than the log keeps: the other instance reads all names again.
#[test]
fn an_instance_that_fell_behind_catches_up() {
    let dir = folder();
    let store = create(dir.path());
    let other = open(dir.path());
    put(&store, "first", "x");
    assert_eq!(names(&other).unwrap(), ["first"]);
    for number in 0..4200 {
        put(&store, &format!("n{}", number % 50), "x");
    }
    wait(store.delete(&path("first"), None)).unwrap();
    assert_eq!(names(&other).unwrap().len(), 50);
    wait(store.check()).unwrap();
}

#[test]
fn pages_hold_while_others_write() {
    let dir = folder();
    let store = create(dir.path());
    for number in 0..60 {
        put(&store, &format!("stay/{number:03}"), "x");
    }
    let other = open(dir.path());
    let mut seen = Vec::new();
    loop {
        let after: Option<&String> = seen.last();
        let page = wait(store.list("", after.map(String::as_str), 7)).unwrap();
        seen.extend(page.paths.iter().map(ToString::to_string));
        if !page.more {
            break;
        }
        // Names come before and after the cursor, and the one under it goes.
        put(&other, &format!("aa/{}", seen.len()), "x");
        put(&other, &format!("zz/{}", seen.len()), "x");
        let last = seen.last().unwrap();
        if !last.starts_with("stay") {
            wait(other.delete(&path(last), None)).unwrap();
        }
    }
    let stayed: Vec<_> = seen
        .iter()
        .filter(|name| name.starts_with("stay"))
        .collect();
    let expected: Vec<_> = (0..60).map(|number| format!("stay/{number:03}")).collect();
    assert_eq!(stayed, expected.iter().collect::<Vec<_>>());
    let mut once = seen.clone();
    once.dedup();
    assert_eq!(once, seen);
}

/// A page costs what it shows, not what the store holds.
#[test]
fn a_page_does_not_grow_with_the_store() {
    let dir = folder();
    let store = create(dir.path());
    let measure = |names: std::ops::Range<usize>| {
        for number in names {
            put(&store, &format!("n/{number}"), "x");
        }
        wait(store.list("", None, 10)).unwrap();
        let begun = Instant::now();
        for _ in 0..50 {
            wait(store.list("n/7", Some("n/75"), 10)).unwrap();
        }
        begun.elapsed()
    };
    let small = measure(0..100).max(Duration::from_millis(5));
    assert!(measure(100..2000) < small * 10);
}
