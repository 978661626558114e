//! Changing secrets.

use std::time::Duration;

use strongroom::ErrorCode;
use strongroom::audit::{Action, Outcome, Phase};
use strongroom::backend::{Metadata, PutOptions, SecretValue, VersionState, Which};

use crate::support::{Rig, get, intents, now_ms, outcome_of, set};

const WRITERS: &str = r#"
[component.writer]
grants = [ { vault = "app", secrets = ["**"], actions = ["data-write"] } ]
[component.other]
grants = [ { vault = "app", secrets = ["**"], actions = ["data-write", "data-read"] } ]
[component.undeleter]
grants = [ { vault = "app", secrets = ["**"], actions = ["undelete"] } ]
[component.destroyer]
grants = [ { vault = "app", secrets = ["**"], actions = ["destroy"] } ]
[component.rollbacker]
grants = [ { vault = "app", secrets = ["**"], actions = ["rollback"] } ]
"#;

fn expected(version: u64) -> PutOptions {
    PutOptions {
        expected: Some(version),
        ..PutOptions::default()
    }
}

fn value(text: &str) -> SecretValue {
    SecretValue::copy_of(text.as_bytes())
}

#[tokio::test]
async fn who_may_write_cannot_read_back() {
    let rig = Rig::new(WRITERS).await;
    let writer = rig.session("writer");
    assert_eq!(set(&writer, "a", "mine").await.unwrap(), 1);
    assert_eq!(get(&writer, "a").await.unwrap_err(), ErrorCode::Denied);
    let by_number = writer.get("a", Which::Version(1)).await.unwrap_err();
    assert_eq!(by_number.code, ErrorCode::Denied);
    assert_eq!(
        writer.describe("a").await.unwrap_err().code,
        ErrorCode::Denied
    );
    assert_eq!(
        writer.versions("a").await.unwrap_err().code,
        ErrorCode::Denied
    );
    assert_eq!(get(&rig.session("other"), "a").await.unwrap(), "mine");
}

#[tokio::test]
async fn each_change_has_an_intent_and_an_outcome() {
    let rig = Rig::new(WRITERS).await;
    let writer = rig.session("writer");
    set(&writer, "a", "1").await.unwrap();
    set(&writer, "a", "2").await.unwrap();
    writer.delete("a", Some(1)).await.unwrap();
    let missing = writer.delete("none", None).await.unwrap_err();
    assert_eq!(missing.code, ErrorCode::NotFound);
    let records = rig.records();
    let intents = intents(&records);
    assert_eq!(intents.len(), 4);
    let mut ends = Vec::new();
    for intent in &intents {
        assert_eq!(intent.outcome, None);
        let outcome = outcome_of(&records, intent).unwrap();
        assert_eq!(outcome.phase, Phase::Outcome);
        assert_eq!(
            (&outcome.secret, outcome.action),
            (&intent.secret, intent.action)
        );
        assert_eq!(outcome.grant.as_deref(), Some("component.writer.grants[0]"));
        ends.push((outcome.outcome.unwrap(), outcome.version));
    }
    let done = |version| (Outcome::Allowed, Some(version));
    assert_eq!(ends, [done(1), done(2), done(1), (Outcome::NotFound, None)]);
}

#[tokio::test]
async fn a_conflict_names_the_current_version_and_writes_nothing() {
    let rig = Rig::new(WRITERS).await;
    let writer = rig.session("writer");
    let refused = writer.set("a", value("x"), expected(3)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict(0));
    assert_eq!(writer.set("a", value("1"), expected(0)).await.unwrap(), 1);
    let refused = writer.set("a", value("x"), expected(0)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict(1));
    assert_eq!(writer.set("a", value("2"), expected(1)).await.unwrap(), 2);
    let refused = writer.set("a", value("x"), expected(1)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict(2));
    assert_eq!(get(&rig.session("other"), "a").await.unwrap(), "2");
    let conflicts = rig.outcomes(Action::Write);
    let count = conflicts
        .iter()
        .filter(|o| **o == Outcome::Conflict)
        .count();
    assert_eq!(count, 3);
}

#[tokio::test]
async fn of_many_writers_with_one_expectation_one_wins() {
    let rig = Rig::new(WRITERS).await;
    let mut tasks = Vec::new();
    for number in 0..20 {
        let writer = rig.session("writer");
        tasks.push(tokio::spawn(async move {
            let value = value(&number.to_string());
            writer.set("a", value, expected(0)).await.is_ok()
        }));
    }
    let mut winners = 0;
    for task in tasks {
        winners += u32::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_value_that_is_too_large_is_refused_before_the_store_is_asked() {
    let rig = Rig::new(WRITERS).await;
    let writer = rig.session("writer");
    let large = |size| SecretValue::new(vec![7; size]);
    let refused = writer
        .set("a", large((1 << 20) + 1), PutOptions::default())
        .await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::TooLarge(1 << 20));
    assert_eq!(
        rig.counts.total() - rig.counts.of(strongroom_backend_testkit::Operation::Mark),
        0
    );
    let record = rig.records().pop().unwrap();
    assert_eq!(record.outcome, Some(Outcome::Invalid));
    assert!(intents(&rig.records()).is_empty());
    let stored = writer.set("a", large(1 << 20), PutOptions::default()).await;
    assert_eq!(stored.unwrap(), 1);
}

#[tokio::test]
async fn metadata_over_its_limits_is_refused_before_the_store_is_asked() {
    let rig = Rig::new(WRITERS).await;
    let writer = rig.session("writer");
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let labels = |labels| Metadata {
        labels: Some(labels),
        ..Metadata::default()
    };
    let wrong = [
        Metadata {
            description: Some("d".repeat(1025)),
            ..Metadata::default()
        },
        labels((0..65).map(|n| label(&n.to_string(), "")).collect()),
        labels(vec![label("", "x")]),
        labels(vec![label(&"n".repeat(129), "x")]),
        labels(vec![label("n", &"v".repeat(513))]),
        labels(vec![label("n", "1"), label("n", "2")]),
    ];
    for metadata in wrong {
        let code = writer.set_metadata("a", metadata).await.unwrap_err().code;
        assert!(matches!(code, ErrorCode::InvalidArgument(_)), "{code:?}");
    }
    assert!(intents(&rig.records()).is_empty());
}

#[tokio::test]
async fn a_value_written_with_an_expiry_ends() {
    let rig = Rig::new(WRITERS).await;
    let options = PutOptions {
        expires: Some(now_ms() + 600),
        ..PutOptions::default()
    };
    let other = rig.session("other");
    other.set("a", value("short"), options).await.unwrap();
    assert_eq!(get(&other, "a").await.unwrap(), "short");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(get(&other, "a").await.unwrap_err(), ErrorCode::NotFound);
}

#[tokio::test]
async fn undelete_destroy_and_rollback_need_actions_of_their_own() {
    let rig = Rig::new(WRITERS).await;
    rig.put("a", "1").await;
    rig.put("a", "2").await;
    for name in ["writer", "other", "undeleter", "destroyer", "rollbacker"] {
        let session = rig.session(name);
        let denied = |code: ErrorCode| code == ErrorCode::Denied;
        let undelete = session.undelete("a", None).await.unwrap_err().code;
        assert_eq!(denied(undelete), name != "undeleter", "{name}");
        if name != "destroyer" {
            let code = session.destroy("a", 1).await.unwrap_err().code;
            assert!(denied(code), "{name}");
        }
        if name != "rollbacker" {
            let code = session.rollback("a", 1).await.unwrap_err().code;
            assert!(denied(code), "{name}");
        }
    }
    let other = rig.session("other");
    assert_eq!(rig.session("rollbacker").rollback("a", 1).await.unwrap(), 3);
    assert_eq!(get(&other, "a").await.unwrap(), "1");
    other.delete("a", None).await.unwrap();
    assert_eq!(get(&other, "a").await.unwrap_err(), ErrorCode::NotFound);
    rig.session("undeleter").undelete("a", None).await.unwrap();
    assert_eq!(get(&other, "a").await.unwrap(), "1");
    rig.session("destroyer").destroy("a", 3).await.unwrap();
    assert_eq!(get(&other, "a").await.unwrap_err(), ErrorCode::NotFound);
    let gone = rig
        .session("rollbacker")
        .rollback("a", 3)
        .await
        .unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
    let (_, versions) = other.versions("a").await.unwrap();
    let states: Vec<_> = versions.iter().map(|v| (v.version, v.state)).collect();
    assert_eq!(states[0], (3, VersionState::Destroyed));
}

#[tokio::test]
async fn the_author_is_the_caller_whatever_it_says() {
    let rig = Rig::new(WRITERS).await;
    let options = PutOptions {
        author: Some("component:other".to_owned()),
        ..PutOptions::default()
    };
    let writer = rig.session("writer");
    writer.set("a", value("x"), options).await.unwrap();
    let (_, versions) = rig.session("other").versions("a").await.unwrap();
    assert_eq!(versions[0].author.as_deref(), Some("component:writer"));
}

#[tokio::test]
async fn rotation_is_unsupported_where_granted_and_denied_where_not() {
    let rig = Rig::new(
        "[component.rotator]\ngrants = [ { vault = \"app\", secrets = [\"a\"], actions = [\"rotate\"] } ]\n",
    )
    .await;
    let session = rig.session("rotator");
    let code = session.rotate("a").await.unwrap_err().code;
    assert!(matches!(code, ErrorCode::Unsupported(_)), "{code:?}");
    assert_eq!(
        session.rotate("b").await.unwrap_err().code,
        ErrorCode::Denied
    );
    assert_eq!(
        rig.outcomes(Action::Rotate),
        [Outcome::Invalid, Outcome::Denied]
    );
    assert_eq!(rig.counts.total(), 0);
}
