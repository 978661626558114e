//! The wrappers do what their handles say, and nothing else.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its child tells by printing"
)]

use std::future::Future;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use strongroom_backend::{
    Backend, Error, ErrorKind, MemoryBackend, PutOptions, Result, SecretPath, SecretValue, Which,
};
use strongroom_backend_testkit::{
    Counting, Fault, Faults, Faulty, Fixture, Gate, Operation, Outcome, Target, When, judge,
};
use tokio::time::timeout;

/// Set in the process that is to die, with how.
const DIES: &str = "STRONGROOM_TESTKIT_DIES";
const SHORT: Duration = Duration::from_millis(80);

#[test]
fn unarmed_wrappers_pass_every_trial() {
    let target = Target::new("wrapped", || async {
        let (faulty, _) = Faulty::new(Arc::new(MemoryBackend::new()));
        let inner: Arc<dyn Backend> = Arc::new(faulty);
        let (counting, _) = Counting::new(inner);
        Ok(Fixture::new(Arc::new(counting)))
    });
    for report in judge(target, "") {
        assert_eq!(report.outcome, Outcome::Passed, "{}", report.trial);
    }
}

#[tokio::test]
async fn the_next_calls_fail_with_the_kind_and_do_nothing() {
    let (store, faults) = store().await;
    faults.arm(
        Fault::Fail(ErrorKind::Unavailable),
        When::next(2).after(1).on(Operation::Put),
    );
    put(&store, b"1").await.unwrap();
    assert_eq!(kind(put(&store, b"2").await), ErrorKind::Unavailable);
    assert_eq!(value(&store).await, b"1", "other operations pass");
    assert_eq!(kind(put(&store, b"3").await), ErrorKind::Unavailable);
    put(&store, b"4").await.unwrap();
    assert_eq!(store.versions(&name()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_change() {
    let (store, faults) = store().await;
    faults.arm(Fault::FailAfter(ErrorKind::Failed), When::next(1));
    assert_eq!(kind(put(&store, b"done").await), ErrorKind::Failed);
    assert_eq!(value(&store).await, b"done");
}

#[tokio::test]
async fn every_operation_can_be_struck() {
    let (store, faults) = store().await;
    faults.arm(Fault::Fail(ErrorKind::Damaged), When::always());
    let path = name();
    let versioning = store.versioning().unwrap();
    let kinds = [
        kind(store.get(&path, Which::Current).await),
        kind(put(&store, b"x").await),
        kind(store.describe(&path).await),
        kind(store.delete(&path, None).await),
        kind(store.list("", None, 1).await),
        kind(store.versions(&path).await),
        kind(store.check().await),
        kind(
            store
                .get_many(&[path.clone(), path.clone()])
                .await
                .remove(1),
        ),
        kind(store.mark()),
        kind(versioning.undelete(&path, None).await),
        kind(versioning.destroy(&path, 1).await),
        kind(versioning.set_metadata(&path, &Default::default()).await),
    ];
    assert_eq!(kinds, [ErrorKind::Damaged; Operation::ALL.len()]);
    faults.heal();
    assert_eq!(value(&store).await, b"start");
}

#[tokio::test]
async fn calls_are_delayed_or_hang_until_given_up() {
    let (store, faults) = store().await;
    faults.arm(Fault::Delay(SHORT * 2), When::next(1));
    assert!(timeout(SHORT, put(&store, b"slow")).await.is_err());
    assert_eq!(
        value(&store).await,
        b"start",
        "given up before it was carried out"
    );
    faults.arm(Fault::Hang, When::always().on(Operation::Get));
    assert!(
        timeout(SHORT, store.get(&name(), Which::Current))
            .await
            .is_err()
    );
    faults.heal();
    assert_eq!(value(&store).await, b"start");
}

#[tokio::test]
async fn a_gate_holds_a_call_before_or_after_its_work() {
    for (after, seen) in [(false, &b"start"[..]), (true, b"new")] {
        let (store, faults) = store().await;
        let gate = Gate::new();
        let pause = if after {
            Fault::PauseAfter(gate.clone())
        } else {
            Fault::Pause(gate.clone())
        };
        faults.arm(pause, When::next(1).on(Operation::Put));
        let writer = tokio::spawn({
            let store = Arc::clone(&store);
            async move { put(&store, b"new").await }
        });
        gate.reached().await;
        assert_eq!(value(&store).await, seen);
        assert!(!writer.is_finished());
        gate.release();
        writer.await.unwrap().unwrap();
        assert_eq!(value(&store).await, b"new");
    }
}

#[tokio::test]
async fn a_lie_answers_with_another_version() {
    let (store, faults) = store().await;
    put(&store, b"second").await.unwrap();
    faults.arm(Fault::Lie(1), When::next(1));
    let secret = store.get(&name(), Which::Version(2)).await.unwrap();
    assert_eq!((secret.version, secret.value.expose()), (1, &b"start"[..]));
    assert_eq!(value(&store).await, b"second");
}

#[test]
fn the_process_dies_at_the_call_that_was_named() {
    if let Ok(how) = std::env::var(DIES) {
        return die(&how);
    }
    let me = std::env::current_exe().unwrap();
    let test = "the_process_dies_at_the_call_that_was_named";
    for how in ["before", "after", "never"] {
        let mut child = Command::new(&me);
        child.args([test, "--exact", "--nocapture"]).env(DIES, how);
        let out = child.output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(text.contains("answered 1"), "{how}: {text}");
        assert_eq!(text.contains("answered 2"), how == "never", "{how}: {text}");
        assert_eq!(out.status.success(), how == "never", "{how}: {text}");
    }
}

/// In the child: two writes, and an abort armed for the second.
fn die(how: &str) {
    wait(async {
        let (store, faults) = store().await;
        let when = When::next(1).after(1).on(Operation::Put);
        match how {
            "before" => faults.arm(Fault::Abort, when),
            "after" => faults.arm(Fault::AbortAfter, when),
            _ => {}
        }
        for round in 1..=2u8 {
            put(&store, &[round]).await.unwrap();
            println!("answered {round}");
        }
    });
}

#[tokio::test]
async fn calls_are_counted_by_operation_and_at_once() {
    let (faulty, faults) = Faulty::new(Arc::new(MemoryBackend::new()));
    let (store, counts) = Counting::new(Arc::new(faulty));
    let store = Arc::new(store);
    for _ in 0..3 {
        let _ = store.get(&name(), Which::Current).await;
    }
    store.get_many(&[name(), name()]).await;
    assert_eq!(
        counts.of(Operation::Get),
        3,
        "those within get_many are the store's own"
    );
    assert_eq!((counts.of(Operation::GetMany), counts.total()), (1, 4));
    assert_eq!(counts.most_at_once(), 1);
    counts.reset();
    faults.arm(Fault::Hang, When::next(2));
    let path = name();
    let get = || timeout(SHORT, store.get(&path, Which::Current));
    let (one, two) = tokio::join!(get(), get());
    assert!(one.is_err() && two.is_err());
    assert_eq!((counts.total(), counts.most_at_once()), (2, 2));
    let _ = store.describe(&name()).await;
    assert_eq!(
        counts.most_at_once(),
        2,
        "a call that was given up is no longer under way"
    );
}

async fn store() -> (Arc<dyn Backend>, Faults) {
    let (store, faults) = Faulty::new(Arc::new(MemoryBackend::new()));
    let store: Arc<dyn Backend> = Arc::new(store);
    put(&store, b"start").await.unwrap();
    (store, faults)
}

async fn put(store: &Arc<dyn Backend>, value: &[u8]) -> Result<()> {
    let value = SecretValue::copy_of(value);
    store
        .put(&name(), &value, &PutOptions::default())
        .await
        .map(drop)
}

async fn value(store: &Arc<dyn Backend>) -> Vec<u8> {
    let secret = store.get(&name(), Which::Current).await.unwrap();
    secret.value.expose().to_vec()
}

fn name() -> SecretPath {
    SecretPath::parse("a/name").unwrap()
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result
        .err()
        .as_ref()
        .map(Error::kind)
        .expect("the call was to fail")
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}
