//! Guests that loop, flood, hold on and go away.

use std::time::{Duration, Instant};

use strongroom::audit::{Action, Outcome};
use strongroom_backend_testkit::{Fault, Gate, Operation, When};

use crate::support::guest::{Guest, run};
use crate::support::{Rig, get, intents, outcome_of, soon, until};

const GRANTS: &str = r#"
[component.one]
grants = [ { vault = "app", secrets = ["**"], actions = ["data-read", "data-write"] } ]
quotas = { open-handles = 5, calls-per-second = 1000 }
[component.two]
grants = [ { vault = "app", secrets = ["**"], actions = ["data-read", "data-write"] } ]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_loops_is_interrupted_and_does_not_stop_the_others() {
    let rig = Rig::new(GRANTS).await;
    rig.put("a", "v").await;
    let mut loops = Vec::new();
    // One for each thread, so that only their yielding leaves room.
    for _ in 0..2 {
        let mut guest = Guest::start(&rig.broker, "one", "probe", &["loop"]).await;
        assert_eq!(guest.line().await.unwrap(), "looping");
        loops.push(guest);
    }
    let gate = Gate::new();
    let when = When::next(1).on(Operation::Get);
    rig.faults.arm(Fault::Pause(gate.clone()), when);
    let waiting = tokio::spawn({
        let session = rig.session("two");
        async move { get(&session, "a").await }
    });
    soon("a call waits", gate.reached()).await;
    let mut guest = Guest::probe(&rig.broker, "two").await;
    assert_eq!(guest.one("get a").await, "value 76");
    for guest in loops {
        assert!(!guest.is_finished());
        soon("the guest is interrupted", guest.kill()).await;
    }
    gate.release();
    assert_eq!(soon("the call ends", waiting).await.unwrap().unwrap(), "v");
}

#[tokio::test]
async fn open_handles_have_a_quota_in_each_instance() {
    let rig = Rig::new(GRANTS).await;
    rig.put("a", "v").await;
    let lines = run(&rig.broker, "one", "probe", &["handles", "9", "a"]).await;
    assert_eq!(lines[0], "held 5");
    assert!(lines[1].starts_with("error: quota-exceeded "), "{lines:?}");
    let mut first = Guest::start(&rig.broker, "one", "probe", &["handles", "5", "a"]).await;
    assert_eq!(first.line().await.unwrap(), "held 5");
    let mut second = Guest::start(&rig.broker, "one", "probe", &["handles", "5", "a"]).await;
    assert_eq!(second.line().await.unwrap(), "held 5");
    // What is dropped gives its place back.
    let mut guest = Guest::probe(&rig.broker, "one").await;
    for _ in 0..20 {
        assert_eq!(guest.ask("open-reveal a").await, ["version 1", "value 76"]);
    }
    let other = run(&rig.broker, "two", "probe", &["handles", "50", "a"]).await;
    assert_eq!(other, ["held 50"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_floods_is_bounded_and_another_is_not_refused() {
    let rig = Rig::new(GRANTS).await;
    rig.put("a", "v").await;
    let mut flood = Guest::start(&rig.broker, "one", "probe", &["flood", "a", "2"]).await;
    let mut victim = Guest::probe(&rig.broker, "two").await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        assert_eq!(victim.one("get a").await, "value 76");
    }
    let first = flood.line().await.unwrap();
    let errors = flood.line().await.unwrap();
    assert!(first.starts_with("flood count="), "{first}");
    assert!(
        errors.starts_with("flood-error quota-exceeded "),
        "{errors}"
    );
    let number = |key: &str| -> u64 {
        let word = first.split(' ').find_map(|w| w.strip_prefix(key));
        word.unwrap().parse().unwrap()
    };
    let (count, refused) = (number("count="), number("errors="));
    let allowed = count - refused;
    assert!((1000..=4000).contains(&allowed), "{first}");
    let counted = || -> u64 {
        let records = rig.records();
        let over = records.iter().filter(|r| r.outcome == Some(Outcome::Quota));
        over.map(|r| r.word("calls").unwrap().parse::<u64>().unwrap())
            .sum()
    };
    until("all refusals are counted", || counted() == refused).await;
}

#[tokio::test]
async fn a_guest_that_is_dropped_during_a_change_leaves_it_whole_and_on_record() {
    let rig = Rig::new(GRANTS).await;
    let gate = Gate::new();
    let when = When::next(1).on(Operation::Put);
    rig.faults.arm(Fault::Pause(gate.clone()), when);
    let mut guest = Guest::probe(&rig.broker, "two").await;
    guest.send("set a 77686f6c65").await;
    soon("the backend is asked", gate.reached()).await;
    guest.kill().await;
    gate.release();
    until("the outcome is recorded", || {
        let records = rig.records();
        let intents = intents(&records);
        intents.len() == 1 && outcome_of(&records, intents[0]).is_some()
    })
    .await;
    assert_eq!(rig.outcomes(Action::Write), [Outcome::Allowed]);
    assert_eq!(get(&rig.session("two"), "a").await.unwrap(), "whole");
}

#[tokio::test]
async fn a_guest_that_panics_or_grows_does_not_touch_the_broker() {
    let rig = Rig::new(GRANTS).await;
    rig.put("a", "v").await;
    for args in [&["panic"][..], &["exit", "3"]] {
        let guest = Guest::start(&rig.broker, "one", "probe", args).await;
        let (_, ended) = guest.end().await;
        assert!(!matches!(ended, Ok(Ok(()))), "{args:?}");
    }
    let lines = run(&rig.broker, "one", "probe", &["get", "a"]).await;
    assert_eq!(lines, ["value 76"]);
}

#[tokio::test]
async fn a_value_over_the_limit_of_the_vault_is_refused_with_the_limit() {
    let rig = Rig::new(GRANTS).await;
    let mut guest = Guest::start(&rig.broker, "two", "probe", &["set", "a"]).await;
    for _ in 0..=1024 {
        guest.send(&"x".repeat(1023)).await;
    }
    let (lines, _) = guest.end().await;
    assert_eq!(lines, [format!("error: too-large {}", 1 << 20)]);
    assert_eq!(rig.counts.of(Operation::Put), 0);
}
