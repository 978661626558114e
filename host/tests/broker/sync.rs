//! Vaults that are kept copies of others.

use std::sync::Arc;
use std::time::Duration;

use strongroom::ErrorCode;
use strongroom::audit::{Action, Outcome, Phase};
use strongroom::backend::{
    Backend, ErrorKind, MemoryBackend, PutOptions, SecretValue, VaultId, Which,
};
use strongroom_backend_testkit::{Fault, Operation, When};

use crate::support::far::{Cloud, Far};
use crate::support::{get, name, now_ms, set, until};

/// `copy` is a store of this machine; it is made as `memory` is, since only such can be copies.
fn config(sync: &str) -> String {
    format!(
        r#"
default-vault = "copy"
[vault.prod]
backend = "cloud"
retry = {{ attempts = 1 }}
breaker = {{ failures = 1000 }}
[vault.copy]
backend = "memory"
[vault.copy.sync]
from = "prod:app/"
{sync}
[component.billing]
grants = [ {{ vault = "copy", secrets = ["**"], actions = ["data-read", "data-write"] }} ]
"#
    )
}

const BY_HAND: &str = "on-start = false";

fn copy() -> VaultId {
    VaultId::parse("copy").unwrap()
}

async fn far(sync: &str) -> Far {
    let far = Far::new(&config(sync)).await;
    far.cloud.put("app/a", "one").await;
    far.cloud.put("app/b/c", "two").await;
    far.cloud.put("other/x", "not copied").await;
    far
}

fn outage(far: &Far) {
    let outage = Fault::Fail(ErrorKind::Unavailable);
    far.cloud.faults.arm(outage, When::always());
}

#[tokio::test]
async fn a_copy_serves_while_the_source_does_not_answer() {
    let far = far(BY_HAND).await;
    let session = far.session();
    let before = get(&session, "a").await.unwrap_err();
    assert!(matches!(before, ErrorCode::Unavailable(_)), "never made");
    let synced = far.broker.sync(&copy()).await.unwrap();
    assert_eq!((synced.copied, synced.deleted, synced.left), (2, 0, 0));
    outage(&far);
    for _ in 0..2 {
        assert_eq!(get(&session, "a").await.unwrap(), "one");
        assert_eq!(get(&session, "b/c").await.unwrap(), "two");
    }
    assert_eq!(get(&session, "x").await.unwrap_err(), ErrorCode::NotFound);
    let listed = session.list("", None).await.unwrap();
    let listed: Vec<_> = listed.references.iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["copy:a", "copy:b/c"]);
    let (_, described) = session.describe("a").await.unwrap();
    let labels: Vec<_> = described
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        labels,
        [
            "synced-age=0m",
            "synced-from=prod:app/a",
            "synced-version=1"
        ]
    );
    assert!(far.broker.sync(&copy()).await.is_err());
    assert_eq!(get(&session, "a").await.unwrap(), "one");
    let records = far.home.records(&far.broker);
    let read = |r: &&strongroom::audit::Record| {
        r.principal == "component:billing"
            && r.action == Action::Read
            && r.outcome == Some(Outcome::Allowed)
    };
    let details: Vec<_> = records
        .iter()
        .filter(read)
        .map(|r| r.detail.as_deref())
        .collect();
    assert_eq!(details, [Some("synced=0m"); 5]);
    let host: Vec<_> = records
        .iter()
        .filter(|r| r.principal == "host:sync" && r.outcome == Some(Outcome::Allowed))
        .collect();
    assert!(
        host.iter()
            .all(|r| r.grant.as_deref() == Some("vault.copy.sync"))
    );
    assert!(
        host.iter()
            .any(|r| r.action == Action::Read && r.vault.as_deref() == Some("prod"))
    );
    let intents = records
        .iter()
        .filter(|r| r.principal == "host:sync" && r.phase == Phase::Intent);
    assert_eq!(intents.count(), 3, "two secrets and the mark");
}

#[tokio::test]
async fn changes_and_deletions_follow_and_the_same_is_not_written_again() {
    let far = far(BY_HAND).await;
    let session = far.session();
    far.broker.sync(&copy()).await.unwrap();
    let again = far.broker.sync(&copy()).await.unwrap();
    assert_eq!((again.copied, again.unchanged), (0, 2));
    far.cloud.put("app/a", "new").await;
    far.cloud
        .store
        .delete(&name("app/b/c"), None)
        .await
        .unwrap();
    far.cloud.put("app/d", "three").await;
    assert_eq!(get(&session, "a").await.unwrap(), "one");
    let changed = far.broker.sync(&copy()).await.unwrap();
    assert_eq!(
        (changed.copied, changed.unchanged, changed.deleted),
        (2, 0, 1)
    );
    assert_eq!(get(&session, "a").await.unwrap(), "new");
    assert_eq!(get(&session, "d").await.unwrap(), "three");
    assert_eq!(get(&session, "b/c").await.unwrap_err(), ErrorCode::NotFound);
    assert_eq!(session.describe("a").await.unwrap().1.version, Some(2));
}

#[tokio::test]
async fn an_expired_value_is_not_served_from_the_copy() {
    let far = far(BY_HAND).await;
    let options = PutOptions {
        expires: Some(now_ms() + 400),
        ..PutOptions::default()
    };
    let value = SecretValue::copy_of(b"short");
    far.cloud
        .store
        .put(&name("app/e"), &value, &options)
        .await
        .unwrap();
    far.broker.sync(&copy()).await.unwrap();
    let session = far.session();
    assert_eq!(get(&session, "e").await.unwrap(), "short");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(get(&session, "e").await.unwrap_err(), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_source_that_fails_half_way_leaves_the_copy_as_it_was() {
    let far = far(BY_HAND).await;
    for number in 0..150 {
        far.cloud.put(&format!("app/n/{number:03}"), "old").await;
    }
    far.broker.sync(&copy()).await.unwrap();
    for number in 0..150 {
        far.cloud.put(&format!("app/n/{number:03}"), "new").await;
    }
    let fails = Fault::Fail(ErrorKind::Unavailable);
    let second = When::always().on(Operation::GetMany).after(1);
    far.cloud.faults.arm(fails, second);
    assert!(far.broker.sync(&copy()).await.is_err());
    let session = far.session();
    assert_eq!(get(&session, "n/000").await.unwrap(), "old");
    far.cloud.faults.heal();
    far.broker.sync(&copy()).await.unwrap();
    assert_eq!(get(&session, "n/000").await.unwrap(), "new");
    assert_eq!(get(&session, "n/149").await.unwrap(), "new");
}

#[tokio::test]
async fn a_copy_is_only_read_and_max_stale_ends_it() {
    let far = far("on-start = false\nmax-stale = \"700ms\"").await;
    far.broker.sync(&copy()).await.unwrap();
    let session = far.session();
    let operator = far.broker.operator().unwrap();
    for who in [&session, &operator] {
        let refused = set(who, "a", "mine").await.unwrap_err().code;
        assert!(matches!(refused, ErrorCode::Unsupported(_)), "{refused:?}");
        assert!(who.delete("a", None).await.is_err());
        let mark = get(who, "_strongroom/synced").await.unwrap_err();
        assert_eq!(mark, ErrorCode::NotFound);
    }
    assert_eq!(get(&session, "a").await.unwrap(), "one");
    tokio::time::sleep(Duration::from_millis(800)).await;
    let late = get(&session, "a").await.unwrap_err();
    assert!(matches!(late, ErrorCode::Unavailable(_)), "{late:?}");
    assert!(session.list("", None).await.is_err());
    assert!(session.describe("a").await.is_err());
    far.broker.sync(&copy()).await.unwrap();
    assert_eq!(get(&session, "a").await.unwrap(), "one");
}

#[tokio::test]
async fn it_is_kept_in_step_in_the_background() {
    let far = far("every = \"1s\"").await;
    let session = far.session();
    until("the copy is made", || true).await;
    let made = async {
        while get(&session, "a").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    crate::support::soon("the copy is made", made).await;
    far.cloud.put("app/a", "new").await;
    let changed = async {
        while get(&session, "a").await.unwrap() != "new" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    crate::support::soon("the change follows", changed).await;
}

#[tokio::test]
async fn what_was_there_before_is_no_copy_and_stays() {
    let before = Arc::new(MemoryBackend::new());
    let config = config(BY_HAND);
    let cloud = Cloud::new().with_memory(&before);
    crate::support::far::put(&before, "a", "mine").await;
    crate::support::far::put(&before, "z", "mine too").await;
    let far = Far::over(cloud, &config).await;
    far.cloud.put("app/a", "theirs").await;
    far.cloud.put("app/b", "theirs").await;
    let synced = far.broker.sync(&copy()).await.unwrap();
    assert_eq!((synced.copied, synced.left, synced.deleted), (1, 1, 0));
    let session = far.session();
    assert_eq!(get(&session, "a").await.unwrap(), "mine");
    assert_eq!(get(&session, "b").await.unwrap(), "theirs");
    assert_eq!(get(&session, "z").await.unwrap(), "mine too");
    let kept = before.get(&name("a"), Which::Current).await.unwrap();
    assert_eq!(kept.version, 1);
}

#[tokio::test]
async fn the_job_may_touch_nothing_but_its_two_places() {
    let far = far(BY_HAND).await;
    let job = far.broker.job(strongroom::grants::Job::Sync);
    assert_eq!(get(&job, "prod:app/a").await.unwrap(), "one");
    assert_eq!(
        get(&job, "prod:other/x").await.unwrap_err(),
        ErrorCode::Denied
    );
    let written = set(&job, "prod:app/a", "x").await.unwrap_err();
    assert_eq!(written.code, ErrorCode::Denied);
    let listed = job.list("prod:", None).await.unwrap();
    assert_eq!(listed.references.len(), 2);
    assert!(
        far.broker
            .sync(&VaultId::parse("prod").unwrap())
            .await
            .is_err()
    );
}
