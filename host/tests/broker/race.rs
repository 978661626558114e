//! What happens between the decision and the release.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::time::Duration;

use strongroom::audit::{Action, Outcome};
use strongroom::backend::{Backend, MemoryBackend, PutOptions, SecretValue, Which};
use strongroom::{CallError, ErrorCode, Registry, Session};
use strongroom_backend_testkit::{Counting, Fault, Gate, Operation, When};

use crate::support::{Home, Rig, VAULTS, get, intents, name, now_ms, outcome_of, set, soon, until};

const GRANTED: &str = r#"
[component.billing]
grants = [ { vault = "app", secrets = ["a", "b"], actions = ["data-read", "data-write", "rollback"] } ]
"#;
const ONLY_B: &str = r#"
[component.billing]
grants = [ { vault = "app", secrets = ["b"], actions = ["data-read"] } ]
"#;
const REVOKED: &str = "[component.billing]\n";

/// Runs a call, stops it where the backend has its answer, edits the configuration, and lets go.
async fn revoked_during<T: Send + 'static>(
    rig: &Rig,
    operation: Operation,
    edit: &str,
    call: impl AsyncFnOnce(Session) -> T,
) -> T {
    let gate = Gate::new();
    let when = When::next(1).on(operation);
    rig.faults.arm(Fault::PauseAfter(gate.clone()), when);
    let session = rig.session("billing");
    let edit = async {
        soon("the backend is asked", gate.reached()).await;
        rig.edit(edit).await;
        gate.release();
    };
    let both = async { tokio::join!(call(session), edit) };
    soon("the call ends", both).await.0
}

fn denied<T: std::fmt::Debug>(result: Result<T, CallError>) {
    assert_eq!(result.unwrap_err().code, ErrorCode::Denied);
}

#[tokio::test]
async fn a_grant_revoked_while_the_backend_reads_releases_nothing() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    for which in [Which::Current, Which::Version(1)] {
        rig.edit(&format!("{GRANTED}# {which:?}\n")).await;
        let before = rig.records().len();
        let result = revoked_during(&rig, Operation::Get, REVOKED, async |session| {
            session.get("a", which).await
        })
        .await;
        denied(result);
        let records = rig.records().split_off(before);
        assert_eq!(records.len(), 1, "a read has one record: {records:#?}");
        assert_eq!(records[0].outcome, Some(Outcome::Denied));
        assert_eq!(
            get(&rig.session("billing"), "a").await,
            Err(ErrorCode::Denied)
        );
    }
}

#[tokio::test]
async fn a_grant_revoked_and_given_back_meanwhile_releases() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let other = format!("{GRANTED}# the same grants under another policy\n");
    let result = revoked_during(&rig, Operation::Get, &other, async |session| {
        get(&session, "a").await
    })
    .await;
    assert_eq!(result.unwrap(), "v");
    let record = rig.records().pop().unwrap();
    assert_eq!((record.outcome, record.policy), (Some(Outcome::Allowed), 2));
}

#[tokio::test]
async fn a_grant_revoked_while_the_backend_answers_questions_tells_nothing() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "v").await;
    let result = revoked_during(&rig, Operation::Describe, REVOKED, async |session| {
        session.describe("a").await
    })
    .await;
    denied(result);
    rig.edit(GRANTED).await;
    let result = revoked_during(&rig, Operation::Versions, REVOKED, async |session| {
        session.versions("a").await
    })
    .await;
    denied(result);
    rig.edit(GRANTED).await;
    let result = revoked_during(&rig, Operation::Describe, REVOKED, async |session| {
        session
            .wait_for_change("a", 0, Duration::from_secs(5))
            .await
    })
    .await;
    denied(result);
    rig.edit(GRANTED).await;
    let result = revoked_during(&rig, Operation::List, ONLY_B, async |session| {
        session.list("", None).await
    })
    .await;
    assert!(result.unwrap().references.is_empty());
    assert!(!rig.outcomes(Action::Read).contains(&Outcome::Allowed));
}

#[tokio::test]
async fn what_was_read_first_of_many_is_withheld_if_its_grant_goes_before_the_last() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "of a").await;
    rig.put("b", "of b").await;
    let gate = Gate::new();
    let when = When::next(1).on(Operation::GetMany);
    rig.faults.arm(Fault::PauseAfter(gate.clone()), when);
    let session = rig.session("billing");
    let texts = ["a".to_owned(), "b".to_owned()];
    let edit = async {
        soon("both are asked for", gate.reached()).await;
        rig.edit(ONLY_B).await;
        gate.release();
    };
    let (results, ()) = tokio::join!(session.get_many(&texts), edit);
    let results = results.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().code, ErrorCode::Denied);
    assert_eq!(results[1].as_ref().unwrap().value.expose(), b"of b");
}

#[tokio::test]
async fn a_value_that_expires_while_the_backend_answers_is_not_released() {
    let rig = Rig::new(GRANTED).await;
    let options = PutOptions {
        expires: Some(now_ms() + 300),
        ..PutOptions::default()
    };
    rig.put_with("a", "v", options).await;
    let gate = Gate::new();
    let when = When::next(1).on(Operation::Get);
    rig.faults.arm(Fault::PauseAfter(gate.clone()), when);
    let session = rig.session("billing");
    let wait = async {
        soon("the backend is asked", gate.reached()).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        gate.release();
    };
    let (result, ()) = tokio::join!(get(&session, "a"), wait);
    assert_eq!(result, Err(ErrorCode::NotFound));
}

#[tokio::test]
async fn a_grant_revoked_before_the_backend_is_asked_changes_nothing() {
    // Opening the vault is the await between decision and change.
    let home = Home::new();
    home.write_config(&format!("{VAULTS}{GRANTED}"));
    let (counting, counts) = Counting::new(Arc::new(MemoryBackend::new()));
    let store: Arc<dyn Backend> = Arc::new(counting);
    let (opening, opens) = channel();
    let (go, gone) = channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let registry = Registry::new().with("test", move |_| {
        opening.send(()).unwrap();
        gone.lock().unwrap().recv().unwrap();
        Ok(Arc::clone(&store))
    });
    let broker = home.build(registry).await;
    let session = broker.component("billing").unwrap().session(None);
    let writing = tokio::spawn(async move { set(&session, "a", "v").await });
    until("the vault is opened", || opens.try_recv().is_ok()).await;
    let before = broker.config().digest();
    home.write_config(&format!("{VAULTS}{REVOKED}"));
    until("the edit", || broker.config().digest() != before).await;
    go.send(()).unwrap();
    denied(soon("the change ends", writing).await.unwrap());
    assert_eq!(counts.of(Operation::Put), 0);
    let records = home.records(&broker);
    for intent in intents(&records) {
        let outcome = outcome_of(&records, intent).unwrap();
        assert_eq!(outcome.outcome, Some(Outcome::Denied));
    }
}

#[tokio::test]
async fn a_change_whose_caller_goes_runs_to_its_outcome() {
    let rig = Rig::new(GRANTED).await;
    let gate = Gate::new();
    let when = When::next(1).on(Operation::Put);
    rig.faults.arm(Fault::Pause(gate.clone()), when);
    let session = rig.session("billing");
    let writing = tokio::spawn(async move { set(&session, "a", "whole").await });
    soon("the backend is asked", gate.reached()).await;
    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    gate.release();
    until("the outcome is recorded", || {
        let records = rig.records();
        intents(&records)
            .iter()
            .all(|i| outcome_of(&records, i).is_some())
    })
    .await;
    assert_eq!(rig.outcomes(Action::Write), [Outcome::Allowed]);
    assert_eq!(get(&rig.session("billing"), "a").await.unwrap(), "whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_caller_goes_at_any_await_leaves_no_intent_without_outcome() {
    let rig = Rig::new(GRANTED).await;
    rig.put("a", "first").await;
    let session = rig.session("billing");
    // So that the vault is open, and the first await is that for the intent.
    get(&session, "a").await.unwrap();
    for polls in 1..6 {
        let mut call = pin!(set(&session, "a", "second"));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            if call.as_mut().poll(&mut context).is_ready() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(
        intents(&rig.records()).len(),
        5,
        "each call came to its intent"
    );
    until("each intent has its outcome", || {
        let records = rig.records();
        intents(&records)
            .iter()
            .all(|i| outcome_of(&records, i).is_some())
    })
    .await;
}

#[tokio::test]
async fn a_read_whose_caller_goes_gives_its_place_back() {
    let quota = format!("{GRANTED}quotas = {{ pending-calls = 2 }}\n");
    let rig = Rig::new(&quota).await;
    rig.put("a", "v").await;
    for _ in 0..10 {
        rig.faults
            .arm(Fault::Hang, When::next(1).on(Operation::Get));
        let session = rig.session("billing");
        let reading = tokio::time::timeout(Duration::from_millis(30), get(&session, "a"));
        assert!(reading.await.is_err());
    }
    assert_eq!(get(&rig.session("billing"), "a").await.unwrap(), "v");
}

#[tokio::test]
async fn the_intent_is_in_the_log_before_the_backend_is_asked() {
    let rig = Rig::new(GRANTED).await;
    let gate = Gate::new();
    let session = rig.session("billing");
    for operation in [Operation::Put, Operation::Delete] {
        rig.faults
            .arm(Fault::Pause(gate.clone()), When::next(1).on(operation));
        let look = async {
            soon("the backend is asked", gate.reached()).await;
            // No flush: what stands there now is what a crash would leave.
            let recorded = rig.home.recorded();
            let intent = *intents(&recorded).last().unwrap();
            assert!(outcome_of(&recorded, intent).is_none());
            gate.release();
            intent.action
        };
        let change = async {
            match operation {
                Operation::Put => set(&session, "a", "v").await.map(drop),
                _ => session.delete("a", None).await,
            }
        };
        let (changed, action) = tokio::join!(change, look);
        changed.unwrap();
        let expected = match operation {
            Operation::Put => Action::Write,
            _ => Action::Delete,
        };
        assert_eq!(action, expected);
    }
}

#[tokio::test]
async fn a_change_that_fails_is_on_record_as_failed() {
    let rig = Rig::new(GRANTED).await;
    let session = rig.session("billing");
    let kind = strongroom::backend::ErrorKind::Unavailable;
    let once = When::next(1).on(Operation::Put);
    rig.faults.arm(Fault::Fail(kind), once);
    let code = set(&session, "a", "v").await.unwrap_err().code;
    assert!(matches!(code, ErrorCode::Unavailable(_)), "{code:?}");
    assert_eq!(rig.outcomes(Action::Write), [Outcome::Failed]);
    assert!(rig.store.get(&name("a"), Which::Current).await.is_err());
    let value = SecretValue::copy_of(b"v");
    rig.faults.arm(Fault::FailAfter(kind), once);
    let lost = session.set("a", value, PutOptions::default()).await;
    assert!(lost.is_err());
    assert_eq!(get(&session, "a").await.unwrap(), "v", "the store has it");
}
