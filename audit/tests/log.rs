//! What is recorded, how it reads, and how it is found again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should stop where it fails"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::{Home, reads, suffixed, within};
use strongroom_audit::{
    Action, AppendError, Cache, Counter, Entry, Error, Filter, Log, Outcome, Phase, StoreCounter,
    first_key_path, follow, show,
};

#[test]
fn init_makes_private_files_and_never_overwrites() {
    let home = Home::new();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in [
        &home.log,
        &home.key,
        &first_key_path(&home.key),
        &suffixed(&home.log, ".head"),
    ] {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    assert_eq!(mode(home.key.parent().unwrap()), 0o700);
    assert!(matches!(
        Log::init(&home.log, &home.key),
        Err(Error::Exists(_))
    ));
    fs::remove_file(&home.log).unwrap();
    assert!(matches!(
        Log::init(&home.log, &home.key),
        Err(Error::Exists(_))
    ));
}

#[test]
fn a_line_has_the_fields_of_the_format_in_their_order() {
    let home = Home::new();
    let log = home.open();
    let subject = log.subject("component:billing", Some("01J"), Some("sha256:ab"));
    let target = log.target(&subject, Some("app-secrets"), Some("stripe/api-key"));
    let (grant, via) = (
        log.grant("component.billing.grants[0]"),
        log.via("strongroom:vault/vault.get"),
    );
    let mut entry = Entry::outcome(&subject, Action::Read, Outcome::Allowed);
    entry.target = Some(&target);
    entry.via = via;
    entry.grant = Some(&grant);
    entry.version = Some(3);
    entry.policy = 7;
    entry.cache = Some(Cache::Hit);
    entry.time = 1_900_000_000_000_123;
    let call = log.append(&entry).unwrap();
    log.flush().unwrap();
    let line = home.lines()[call.0 as usize - 1].clone();
    let expected = format!(
        "{{\"v\":1,\"seq\":2,\"time\":\"2030-03-17T17:46:40.000123Z\",\"call\":\"{}.2\",\"of\":null,\"principal\":\"component:billing\",\
         \"instance\":\"01J\",\"digest\":\"sha256:ab\",\"via\":\"strongroom:vault/vault.get\",\"action\":\"read\",\"vault\":\"app-secrets\",\
         \"secret\":\"stripe/api-key\",\"version\":3,\"phase\":\"outcome\",\"outcome\":\"allowed\",\"grant\":\"component.billing.grants[0]\",\
         \"policy\":7,\"cache\":\"hit\",\"detail\":null,\"prev\":\"",
        log.writer()
    );
    assert!(line.starts_with(&expected), "{line}");
    log.close().unwrap();
    let records = home.records();
    assert_eq!(records[0].action, Action::Open);
    assert_eq!(records.last().unwrap().action, Action::Close);
    assert_eq!(records[0].prev, [0; 32]);
    home.assert_whole();
}

#[test]
fn a_record_is_in_the_log_within_250_ms_without_asking() {
    let home = Home::new();
    let log = home.open();
    let in_time = (0..10).filter(|_| {
        let before = home.lines().len();
        reads(&log, "component:a", 1);
        std::thread::sleep(Duration::from_millis(250));
        home.lines().len() > before
    });
    // A busy machine may keep the writer thread from running at all now and then.
    assert!(in_time.count() >= 8);
}

#[test]
fn an_intent_and_its_outcome_belong_together_and_an_open_one_ends_unknown() {
    let home = Home::new();
    let log = home.open();
    let subject = log.subject("operator:o", None, None);
    let target = log.target(&subject, Some("v"), Some("s"));
    let mut intent = Entry::intent(&subject, Action::Write);
    intent.target = Some(&target);
    let first = log.append(&intent).unwrap();
    log.wait_durable_blocking(first).unwrap();
    assert_eq!(home.records().last().unwrap().phase, Phase::Intent);
    let mut outcome = Entry::outcome(&subject, Action::Write, Outcome::Failed);
    outcome.target = Some(&target);
    outcome.of = Some(first);
    log.append(&outcome).unwrap();
    let second = log.append(&intent).unwrap();
    let (first, second) = (log.call_text(first), log.call_text(second));
    log.close().unwrap();
    let ends: Vec<_> = home
        .records()
        .into_iter()
        .filter(|r| r.of.is_some())
        .map(|r| (r.of.unwrap(), r.outcome.unwrap()))
        .collect();
    assert_eq!(ends, [(first, Outcome::Failed), (second, Outcome::Unknown)]);
    home.assert_whole();
}

#[test]
fn store_counters_are_remembered_and_only_an_accepted_one_goes_back() {
    let home = Home::new();
    let count = |value, accept| {
        let log = home.open();
        let subject = log.subject("operator:o", None, None);
        let (target, detail) = (
            log.target(&subject, Some("v"), Some("s")),
            log.detail(&subject, "note"),
        );
        let mut entry = Entry::outcome(&subject, Action::Write, Outcome::Allowed);
        entry.target = Some(&target);
        entry.detail = Some(&detail);
        entry.counter = Some(Counter {
            store: "st1",
            value,
            accept,
        });
        log.append(&entry).unwrap();
        // Only what the log itself wrote is a counter.
        let forged = log.detail(&subject, "counter=999 store=st1");
        entry.counter = None;
        entry.detail = Some(&forged);
        log.append(&entry).unwrap();
        log.close().unwrap();
        home.open().store_counter("v")
    };
    let known = |counter| {
        Some(StoreCounter {
            store: "st1".into(),
            counter,
        })
    };
    assert_eq!(count(7, false), known(7));
    assert_eq!(count(5, false), known(7));
    assert_eq!(count(4, true), known(4));
    assert!(
        home.records()
            .iter()
            .any(|r| r.detail.as_deref() == Some("counter=4 store=st1 accepted; note"))
    );
    home.assert_whole();
}

#[test]
fn hostile_texts_stay_on_their_line() {
    let home = Home::new();
    let log = home.open();
    let evil = "x\n{\"v\":1,\"seq\":1}\r\u{1b}[2J\u{0}\u{202e}\"\\";
    let long = "\u{1b}".repeat(100_000);
    for name in [evil, &long, "host:audit"] {
        let subject = log.subject(name, Some(name), Some(name));
        let (target, detail) = (
            log.target(&subject, Some(name), Some(name)),
            log.detail(&subject, name),
        );
        let mut entry = Entry::outcome(&subject, Action::Read, Outcome::Invalid);
        (entry.target, entry.detail) = (Some(&target), Some(&detail));
        log.append(&entry).unwrap();
    }
    log.close().unwrap();
    let text = fs::read_to_string(&home.log).unwrap();
    assert_eq!(text.lines().count(), 5);
    assert!(
        text.bytes()
            .all(|b| b == b'\n' || (0x20..0x7f).contains(&b))
    );
    assert!(text.lines().all(|line| line.len() < 20_000));
    assert_eq!(home.records()[3].principal, "host:audit?");
    home.assert_whole();
}

#[test]
fn system_records_cannot_be_made_by_callers() {
    let home = Home::new();
    let log = home.open();
    let subject = log.subject("component:a", None, None);
    for action in [
        Action::Checkpoint,
        Action::Removed,
        Action::Close,
        Action::Resumed,
    ] {
        let refused = log.append(&Entry::outcome(&subject, action, Outcome::Allowed));
        assert!(matches!(refused, Err(AppendError::Unavailable(_))));
    }
}

#[test]
fn a_clock_that_goes_back_is_recorded_once_and_time_stands() {
    let home = Home::new();
    let log = home.open();
    let subject = log.subject("component:a", None, None);
    let mut entry = Entry::outcome(&subject, Action::Read, Outcome::Allowed);
    let start = 4_000_000_000_000_000;
    for time in [start, start - 5_000_000, start - 4_000_000, start + 1] {
        entry.time = time;
        log.append(&entry).unwrap();
    }
    assert_eq!(
        log.health()
            .warnings
            .iter()
            .filter(|w| w.contains("clock went back"))
            .count(),
        1
    );
    log.close().unwrap();
    let records = home.records();
    assert!(records.windows(2).all(|pair| pair[0].time <= pair[1].time));
    let steps: Vec<_> = records
        .iter()
        .filter(|r| r.action == Action::Clock)
        .map(|r| r.word("back-us").unwrap())
        .collect();
    assert_eq!(steps[0], "5000000");
    let report = home.assert_whole();
    assert!(report.notes.iter().any(|note| note.contains("clock")));
}

#[test]
fn one_principal_cannot_take_the_room_of_another() {
    let home = Home::new();
    let mut options = home.options();
    options.journal = 256 * 1024;
    let log = Log::open(options).unwrap();
    log.flush().unwrap();
    // Nothing drains while another has the log's lock.
    let lock = fs::File::open(suffixed(&home.log, ".lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let (greedy, other) = (
        log.subject("component:greedy", None, None),
        log.subject("component:other", None, None),
    );
    let mut taken = 0;
    let refused = loop {
        match log.append(&Entry::outcome(&greedy, Action::Read, Outcome::Denied)) {
            Ok(_) => taken += 1,
            Err(e) => break e,
        }
    };
    let last = log.append(&Entry::outcome(&other, Action::Read, Outcome::Allowed));
    assert!(
        matches!(refused, AppendError::Full),
        "{refused} after {taken}"
    );
    assert!(last.is_ok(), "{last:?}");
    drop(lock);
    log.ready_blocking(&greedy).unwrap();
    log.close().unwrap();
    assert_eq!(
        home.records()
            .iter()
            .filter(|r| r.principal == "component:greedy")
            .count(),
        taken
    );
    home.assert_whole();
}

#[test]
fn more_names_than_the_journal_holds_are_all_recorded() {
    let home = Home::new();
    let mut options = home.options();
    options.journal = 256 * 1024;
    let log = Log::open(options).unwrap();
    let subject = log.subject("component:a", None, None);
    let count = 5_000;
    for n in 0..count {
        let target = log.target(
            &subject,
            Some("v"),
            Some(&format!("some/rather/long/path/of/a/secret/{n}")),
        );
        let mut entry = Entry::outcome(&subject, Action::Read, Outcome::NotFound);
        entry.target = Some(&target);
        // A second each, so that the halves of the names may change places.
        entry.time = 4_000_000_000_000_000 + n * 1_000_000;
        log.append_blocking(&entry).unwrap();
    }
    log.close().unwrap();
    let secrets: Vec<_> = home
        .records()
        .into_iter()
        .filter_map(|r| r.secret)
        .collect();
    assert_eq!(secrets.len(), count as usize);
    assert!(
        (0..count)
            .zip(&secrets)
            .all(|(n, secret)| secret.ends_with(&format!("/{n}")))
    );
    home.assert_whole();
}

#[test]
fn show_filters_and_tells_what_is_pending() {
    let home = Home::new();
    let log = home.open();
    reads(&log, "component:a", 3);
    reads(&log, "component:b", 2);
    let subject = log.subject("operator:o", None, None);
    log.append(&Entry::outcome(&subject, Action::Delete, Outcome::Denied))
        .unwrap();
    let shown = |filter: Filter| {
        show(&home.location(), filter)
            .unwrap()
            .map(Result::unwrap)
            .count()
    };
    // Whether they are in the log yet or not.
    assert_eq!(
        shown(Filter {
            component: Some("a".into()),
            ..Filter::default()
        }),
        3
    );
    log.flush().unwrap();
    assert_eq!(
        shown(Filter {
            component: Some("b".into()),
            ..Filter::default()
        }),
        2
    );
    assert_eq!(
        shown(Filter {
            principal: Some("operator:o".into()),
            ..Filter::default()
        }),
        1
    );
    assert_eq!(
        shown(Filter {
            outcome: Some(Outcome::Denied),
            ..Filter::default()
        }),
        1
    );
    assert_eq!(
        shown(Filter {
            action: Some(Action::Read),
            ..Filter::default()
        }),
        5
    );
    assert_eq!(
        shown(Filter {
            secret: Some("stripe/*".into()),
            ..Filter::default()
        }),
        5
    );
    assert_eq!(
        shown(Filter {
            since: Some(i64::MAX),
            ..Filter::default()
        }),
        0
    );
    assert_eq!(
        shown(Filter {
            until: Some(0),
            ..Filter::default()
        }),
        0
    );
    assert!(home.shown().iter().all(|shown| !shown.pending));
}

#[test]
fn follow_survives_rotation_and_repeats_nothing() {
    let home = Home::new();
    let mut options = home.options();
    options.rotate = 20_000;
    let log = Log::open(options).unwrap();
    let mut follow = follow(
        &home.location(),
        Filter {
            action: Some(Action::Read),
            ..Filter::default()
        },
    )
    .unwrap();
    let writing = std::thread::spawn(move || {
        for _ in 0..50 {
            reads(&log, "component:a", 20);
            log.flush().unwrap();
        }
        log.close().unwrap();
    });
    let mut seen = Vec::new();
    while let Some(shown) = follow.poll(Duration::from_secs(2)).unwrap() {
        seen.push(shown.record.seq);
        if seen.len() == 1000 {
            break;
        }
    }
    writing.join().unwrap();
    assert_eq!(seen.len(), 1000);
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(follow.poll(Duration::from_millis(100)).unwrap().is_none());
    assert!(home.closed_files().len() > 5);
    home.assert_whole();
}

#[test]
fn rotation_carries_the_chain_and_old_files_go_on_record() {
    let home = Home::new();
    let mut options = home.options();
    options.rotate = 10_000;
    let log = Log::open(options.clone()).unwrap();
    for _ in 0..20 {
        reads(&log, "component:a", 30);
        log.flush().unwrap();
    }
    log.close().unwrap();
    let files = home.closed_files();
    assert!(files.len() > 3);
    home.assert_whole();
    // A day is young: nothing goes.
    options.keep_for = Some(Duration::from_secs(86_400));
    Log::open(options.clone()).unwrap().close().unwrap();
    assert!(home.closed_files().len() >= files.len());
    options.keep_for = Some(Duration::from_millis(1));
    let log = Log::open(options).unwrap();
    within(Duration::from_secs(5), "old files are removed", || {
        home.closed_files().len() < 2
    });
    log.close().unwrap();
    assert!(
        home.shown()
            .iter()
            .any(|shown| shown.record.action == Action::Removed)
    );
    let report = home.assert_whole();
    assert!(report.records < 600);
    // And without that record the same is tampering.
    let home = Home::with_reads(5);
    let mut options = home.options();
    options.rotate = 1;
    let log = Log::open(options).unwrap();
    within(Duration::from_secs(5), "a file is closed", || {
        !home.closed_files().is_empty()
    });
    log.close().unwrap();
    fs::remove_file(&home.closed_files()[0]).unwrap();
    assert!(home.verify().bad.unwrap().what.contains("missing"));
}

#[test]
fn the_key_is_ratcheted_and_the_old_one_is_gone() {
    let home = Home::new();
    let old = fs::read_to_string(&home.key).unwrap();
    let log = home.open();
    reads(&log, "component:a", 3);
    let checkpoint = log.checkpoint().unwrap();
    reads(&log, "component:a", 3);
    log.close().unwrap();
    let new = fs::read_to_string(&home.key).unwrap();
    let mac = |text: &str| text.split("\"mac\":\"").nth(1).unwrap()[..64].to_owned();
    assert_ne!(mac(&old), mac(&new));
    assert!(new.contains("\"epoch\":1"));
    assert!(home.verify_with(true, Some(checkpoint.clone())).is_whole());
    assert_eq!(home.assert_whole().macs_from, Some(1));
    // Without the first key only what came after the ratchet is proven, and it says so.
    let report = home.verify_with(false, None);
    assert!(report.is_whole());
    assert_eq!(report.macs_from, Some(checkpoint.seq() + 1));
    assert!(report.notes.iter().any(|note| note.contains("first key")));
    home.open().close().unwrap();
    home.assert_whole();
}
