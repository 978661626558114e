//! Vaults that are kept copies of others.

use std::sync::Arc;
use std::time::Duration;

use strongroom::audit::{Action, Outcome, Phase};
use strongroom::backend::{
    Backend, ErrorKind, MemoryBackend, PutOptions, SecretValue, VaultId, VersionState, Which,
};
use strongroom::{Broker, CallError, Emptied, ErrorCode, Synced};
use strongroom_backend_testkit::{Fault, Faulty, Gate, Operation, When};

use crate::support::far::{Cloud, Far, put};
use crate::support::{get, name, now_ms, set, soon, until};

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

async fn sync(broker: &Broker) -> Result<Synced, CallError> {
    broker.sync(&copy(), Emptied::Refused).await
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
    let synced = sync(&far.broker).await.unwrap();
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
    assert!(sync(&far.broker).await.is_err());
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
    sync(&far.broker).await.unwrap();
    let again = sync(&far.broker).await.unwrap();
    assert_eq!((again.copied, again.unchanged), (0, 2));
    far.cloud.put("app/a", "new").await;
    far.cloud
        .store
        .delete(&name("app/b/c"), None)
        .await
        .unwrap();
    far.cloud.put("app/d", "three").await;
    assert_eq!(get(&session, "a").await.unwrap(), "one");
    let changed = sync(&far.broker).await.unwrap();
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
    sync(&far.broker).await.unwrap();
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
    sync(&far.broker).await.unwrap();
    for number in 0..150 {
        far.cloud.put(&format!("app/n/{number:03}"), "new").await;
    }
    let fails = Fault::Fail(ErrorKind::Unavailable);
    let second = When::always().on(Operation::GetMany).after(1);
    far.cloud.faults.arm(fails, second);
    assert!(sync(&far.broker).await.is_err());
    let session = far.session();
    assert_eq!(get(&session, "n/000").await.unwrap(), "old");
    far.cloud.faults.heal();
    sync(&far.broker).await.unwrap();
    assert_eq!(get(&session, "n/000").await.unwrap(), "new");
    assert_eq!(get(&session, "n/149").await.unwrap(), "new");
}

#[tokio::test]
async fn a_copy_is_only_read_and_max_stale_ends_it() {
    let far = far("on-start = false\nmax-stale = \"700ms\"").await;
    sync(&far.broker).await.unwrap();
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
    sync(&far.broker).await.unwrap();
    assert_eq!(get(&session, "a").await.unwrap(), "one");
}

#[tokio::test]
async fn it_is_kept_in_step_in_the_background() {
    let far = far("every = \"1s\"").await;
    let session = far.session();
    // `far` puts the secrets after the host has begun: what it found first may have been nothing.
    let made = async {
        while get(&session, "a").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the copy is made", made).await;
    far.cloud.put("app/a", "new").await;
    let changed = async {
        while get(&session, "a").await.unwrap() != "new" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the change follows", changed).await;
}

#[tokio::test]
async fn it_follows_the_changes_that_its_source_tells_of() {
    let far = far(&format!("{BY_HAND}\nmax-stale = \"1h\"")).await;
    let deaf = Far::new(&config(&format!("{BY_HAND}\non-change = false"))).await;
    // The cache of the source listens too.
    until("the copy listens", || far.cloud.tell("other/x") == 2).await;
    assert_eq!(deaf.cloud.tell("app/a"), 0);
    let session = far.session();
    far.cloud.tell_any();
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(
        get(&session, "a").await.is_err(),
        "that it listens is no change"
    );
    far.cloud.tell("app/a");
    let made = async || get(&session, "a").await.unwrap_or_default();
    let seen = async |value: &str| {
        while made().await != value {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Ten times what the first run takes, on a slow disk.
    let in_time = async |value| {
        let seen = tokio::time::timeout(Duration::from_secs(120), seen(value));
        assert!(seen.await.is_ok(), "{value} is not copied");
    };
    in_time("one").await;
    far.cloud.put("app/a", "two").await;
    far.cloud.tell("app/a");
    in_time("two").await;
}

#[tokio::test]
async fn what_is_no_copy_stays_and_keeps_the_vault_from_being_one() {
    for there in ["a", "z"] {
        let before = Arc::new(MemoryBackend::new());
        put(&before, there, "mine").await;
        let far = Far::over(Cloud::new().with_memory(&before), &config(BY_HAND)).await;
        far.cloud.put("app/a", "theirs").await;
        far.cloud.put("app/b", "theirs").await;
        let refused = sync(&far.broker).await.unwrap_err().to_string();
        assert!(
            refused.contains(&format!("copy:{there} is no copy")),
            "{refused}"
        );
        assert!(get(&far.session(), there).await.is_err());
        let kept = before.get(&name(there), Which::Current).await.unwrap();
        assert_eq!((kept.version, kept.value.expose()), (1, &b"mine"[..]));
    }
}

#[tokio::test]
async fn what_the_source_replaced_or_deleted_is_gone_from_the_copy() {
    let kept = Arc::new(MemoryBackend::new());
    let far = Far::over(Cloud::new().with_memory(&kept), &config(BY_HAND)).await;
    far.cloud.put("app/a", "leaked").await;
    far.cloud.put("app/b", "two").await;
    sync(&far.broker).await.unwrap();
    far.cloud.put("app/a", "new").await;
    far.cloud.store.delete(&name("app/b"), None).await.unwrap();
    sync(&far.broker).await.unwrap();
    let session = far.session();
    let old = session.get("a", Which::Version(1)).await.unwrap_err();
    assert_eq!(old.code, ErrorCode::NotFound);
    let now = session.get("a", Which::Version(2)).await.unwrap();
    assert_eq!(now.value.expose(), b"new");
    let (_, versions) = session.versions("a").await.unwrap();
    assert_eq!(versions.len(), 1);
    for (gone, number) in [("a", 1), ("b", 1)] {
        let error = kept.get(&name(gone), Which::Version(number)).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
        // No soft delete, which could be taken back.
        let versions = kept.versions(&name(gone)).await.unwrap();
        let state = versions
            .iter()
            .find(|it| it.version == number)
            .unwrap()
            .state;
        assert_eq!(state, VersionState::Destroyed, "{gone}");
    }
}

#[tokio::test]
async fn a_source_that_was_made_anew_is_copied_whatever_its_numbers() {
    let kept = Arc::new(MemoryBackend::new());
    for value in ["before", "after"] {
        let far = Far::over(Cloud::new().with_memory(&kept), &config(BY_HAND)).await;
        far.cloud.put("app/a", value).await;
        let synced = sync(&far.broker).await.unwrap();
        assert_eq!(synced.copied, 1);
        assert_eq!(get(&far.session(), "a").await.unwrap(), value);
    }
}

#[tokio::test]
async fn a_copy_of_something_else_is_none() {
    let kept = Arc::new(MemoryBackend::new());
    let far = Far::over(Cloud::new().with_memory(&kept), &config(BY_HAND)).await;
    far.cloud.put("app/a", "production").await;
    sync(&far.broker).await.unwrap();
    let elsewhere = config(BY_HAND).replace("\"cloud\"", "\"cloud\"\nregion = \"staging\"");
    let far = Far::over(Cloud::new().with_memory(&kept), &elsewhere).await;
    let error = get(&far.session(), "a").await.unwrap_err();
    assert!(matches!(error, ErrorCode::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_copy_of_what_its_names_led_to_before_is_none() {
    let bound = |field: &str| {
        format!(
            "{}[vault.prod.fields]\n\"app/a\" = {{ of = \"login\", field = \"{field}\" }}\n",
            config(BY_HAND)
        )
    };
    let named = |name: &str| {
        format!(
            "{}[vault.prod.names]\n\"app/a\" = \"{name}\"\n",
            config(BY_HAND)
        )
    };
    for (before, after) in [
        (bound("old"), bound("new")),
        (named("Legacy"), named("New")),
        (config(BY_HAND), named("New")),
    ] {
        let kept = Arc::new(MemoryBackend::new());
        let far = Far::over(Cloud::new().with_memory(&kept), &before).await;
        far.cloud.put("login", r#"{"old":"one","new":"two"}"#).await;
        far.cloud.put("app/b", "other").await;
        sync(&far.broker).await.unwrap();
        let far = Far::over(Cloud::new().with_memory(&kept), &before).await;
        assert_eq!(get(&far.session(), "b").await.unwrap(), "other");
        let far = Far::over(Cloud::new().with_memory(&kept), &after).await;
        let error = get(&far.session(), "b").await.unwrap_err();
        assert!(matches!(error, ErrorCode::Unavailable(_)), "{error:?}");
    }
}

/// Another process replaced a value and was killed before it destroyed the old one.
#[tokio::test]
async fn what_another_run_left_behind_is_destroyed_by_a_host_that_runs_on() {
    let kept = Arc::new(MemoryBackend::new());
    let far = Far::over(Cloud::new().with_memory(&kept), &config(BY_HAND)).await;
    far.cloud.put("app/a", "leaked").await;
    sync(&far.broker).await.unwrap();
    sync(&far.broker).await.unwrap();
    let (faulty, faults) = Faulty::new(Arc::clone(&kept));
    let cloud = Cloud::new().with_memory_store(Arc::new(faulty));
    let killed = Far::over(cloud, &config(BY_HAND)).await;
    for cloud in [&far.cloud, &killed.cloud] {
        cloud.put("app/a", "new").await;
    }
    let dead = Fault::Fail(ErrorKind::Unavailable);
    faults.arm(dead, When::always().on(Operation::Destroy));
    sync(&killed.broker).await.unwrap_err();
    let states = async || -> Vec<VersionState> {
        let versions = kept.versions(&name("a")).await.unwrap();
        versions.iter().map(|it| it.state).collect()
    };
    let old = [VersionState::Current, VersionState::Superseded];
    assert_eq!(states().await, old);
    let synced = sync(&far.broker).await.unwrap();
    assert_eq!((synced.copied, synced.unchanged), (0, 1));
    let mended = [VersionState::Current, VersionState::Destroyed];
    assert_eq!(states().await, mended);
}

#[tokio::test]
async fn a_write_by_hand_keeps_its_value_and_the_vault_from_being_a_copy() {
    let kept = Arc::new(MemoryBackend::new());
    let far = Far::over(Cloud::new().with_memory(&kept), &config(BY_HAND)).await;
    far.cloud.put("app/a", "one").await;
    far.cloud.put("app/b", "one").await;
    sync(&far.broker).await.unwrap();
    // Labels stay, so that it still looks like a copy.
    put(&kept, "a", "mine").await;
    let refused = sync(&far.broker).await.unwrap_err();
    assert!(refused.to_string().contains("by hand"), "{refused}");
    far.cloud.store.delete(&name("app/a"), None).await.unwrap();
    let refused = sync(&far.broker).await.unwrap_err();
    assert!(refused.to_string().contains("by hand"), "{refused}");
    let mine = kept.get(&name("a"), Which::Current).await.unwrap();
    assert_eq!(mine.value.expose(), b"mine");
    let older = kept.get(&name("a"), Which::Version(1)).await.unwrap();
    assert_eq!(older.value.expose(), b"one", "it may be what is undone to");
}

#[tokio::test]
async fn a_name_that_another_run_wrote_meanwhile_is_not_destroyed() {
    let kept = Arc::new(MemoryBackend::new());
    let slow = Far::over(Cloud::new().with_memory(&kept), &config(BY_HAND)).await;
    let quick = Far::over(Cloud::new().with_memory(&kept), &config(BY_HAND)).await;
    for far in [&slow, &quick] {
        far.cloud.put("app/a", "one").await;
        far.cloud.put("app/b", "two").await;
    }
    sync(&quick.broker).await.unwrap();
    slow.cloud.store.delete(&name("app/a"), None).await.unwrap();
    quick.cloud.put("app/a", "made anew").await;
    let gate = Gate::new();
    let pause = Fault::Pause(gate.clone());
    // The copy's own names are known by then.
    slow.cloud
        .faults
        .arm(pause, When::next(1).on(Operation::List));
    let session = quick.session();
    let under_way = tokio::spawn(async move { sync(&slow.broker).await });
    soon("the source is listed", gate.reached()).await;
    sync(&quick.broker).await.unwrap();
    gate.release();
    let lost = under_way.await.unwrap().unwrap_err();
    assert!(matches!(lost.code, ErrorCode::Conflict(_)), "{lost:?}");
    assert_eq!(get(&session, "a").await.unwrap(), "made anew");
}

#[tokio::test]
async fn a_source_that_lists_nothing_empties_no_copy_by_itself() {
    let far = far(BY_HAND).await;
    sync(&far.broker).await.unwrap();
    for path in ["app/a", "app/b/c"] {
        far.cloud.store.delete(&name(path), None).await.unwrap();
    }
    let refused = sync(&far.broker).await.unwrap_err().to_string();
    assert!(refused.contains("--accept-empty"), "{refused}");
    let session = far.session();
    assert_eq!(get(&session, "a").await.unwrap(), "one");
    let emptied = far.broker.sync(&copy(), Emptied::Accepted).await.unwrap();
    assert_eq!((emptied.copied, emptied.deleted), (0, 2));
    assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::NotFound);
}

#[tokio::test]
async fn of_two_who_make_the_same_copy_the_slower_writes_nothing() {
    let kept = Arc::new(MemoryBackend::new());
    let slow = Far::over(Cloud::new().with_memory(&kept), &config(BY_HAND)).await;
    let quick = Far::over(Cloud::new().with_memory(&kept), &config(BY_HAND)).await;
    slow.cloud.put("app/a", "older").await;
    quick.cloud.put("app/a", "newer").await;
    let gate = Gate::new();
    let pause = Fault::Pause(gate.clone());
    slow.cloud
        .faults
        .arm(pause, When::next(1).on(Operation::GetMany));
    let session = slow.session();
    let under_way = tokio::spawn(async move { sync(&slow.broker).await });
    soon("the source is read", gate.reached()).await;
    sync(&quick.broker).await.unwrap();
    gate.release();
    let lost = under_way.await.unwrap().unwrap_err();
    assert!(matches!(lost.code, ErrorCode::Conflict(_)), "{lost:?}");
    assert_eq!(get(&session, "a").await.unwrap(), "newer");
}

#[tokio::test]
async fn a_write_that_fails_half_way_leaves_an_old_mark_and_is_made_good() {
    let kept = Arc::new(MemoryBackend::new());
    let (faulty, faults) = Faulty::new(Arc::clone(&kept));
    let cloud = Cloud::new().with_memory_store(Arc::new(faulty));
    let far = Far::over(cloud, &config(BY_HAND)).await;
    for number in 0..10 {
        far.cloud.put(&format!("app/{number}"), "one").await;
    }
    let full = Fault::Fail(ErrorKind::Unavailable);
    faults.arm(full, When::always().on(Operation::Put).after(5));
    let failed = sync(&far.broker).await.unwrap_err();
    assert!(
        matches!(failed.code, ErrorCode::Unavailable(_)),
        "{failed:?}"
    );
    let never_made = get(&far.session(), "0").await.unwrap_err();
    assert!(matches!(never_made, ErrorCode::Unavailable(_)));
    faults.heal();
    let synced = sync(&far.broker).await.unwrap();
    assert_eq!((synced.copied, synced.unchanged), (5, 5));
    assert_eq!(get(&far.session(), "9").await.unwrap(), "one");
}

#[tokio::test]
async fn the_first_calls_wait_until_the_copy_is_made() {
    let cloud = Cloud::new();
    cloud.put("app/a", "one").await;
    let far = Far::over(cloud, &config("")).await;
    assert_eq!(get(&far.session(), "a").await.unwrap(), "one");
}

#[tokio::test]
async fn a_host_that_starts_soon_after_another_copies_nothing_again() {
    let kept = Arc::new(MemoryBackend::new());
    let often = config("every = \"1h\"");
    let first = Cloud::new().with_memory(&kept);
    first.put("app/a", "one").await;
    let first = Far::over(first, &often).await;
    assert_eq!(get(&first.session(), "a").await.unwrap(), "one");
    let second = Far::over(Cloud::new().with_memory(&kept), &often).await;
    assert_eq!(get(&second.session(), "a").await.unwrap(), "one");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let asked = |operation| second.cloud.counts.of(operation);
    assert_eq!((asked(Operation::List), asked(Operation::GetMany)), (0, 0));
}

#[tokio::test]
async fn a_chain_asks_a_copy_only_where_its_source_fails() {
    let config = config("on-start = false\nto = \"app/\"").replace(
        "default-vault = \"copy\"",
        "default-vault = \"safe\"\n[vault.safe]\nchain = [\"prod\", \"copy\"]\non-error = \"next\"",
    );
    let config = config.replace("vault = \"copy\", secrets", "vault = \"safe\", secrets");
    let config = config.replace("breaker", "cache = false\nbreaker");
    let far = Far::new(&config).await;
    far.cloud.put("app/a", "one").await;
    far.cloud.put("app/b", "two").await;
    sync(&far.broker).await.unwrap();
    far.cloud.store.delete(&name("app/a"), None).await.unwrap();
    let session = far.session();
    assert_eq!(
        get(&session, "app/a").await.unwrap_err(),
        ErrorCode::NotFound,
        "deleted at the source, and still in the copy"
    );
    assert_eq!(get(&session, "app/b").await.unwrap(), "two");
    let many = ["safe:app/a".to_owned(), "safe:app/b".to_owned()];
    let asked = session.get_many(&many).await.unwrap();
    assert!(asked[0].is_err() && asked[1].is_ok());
    let listed = session.list("app/", None).await.unwrap();
    assert_eq!(listed.references.len(), 1);
    outage(&far);
    assert_eq!(get(&session, "app/b").await.unwrap(), "two");
    let asked = session.get_many(&many).await.unwrap();
    assert!(asked[1].is_ok());
    let records = far.home.records(&far.broker);
    let last = records
        .iter()
        .rfind(|r| r.secret.as_deref() == Some("app/b"));
    let detail = last.unwrap().detail.as_deref().unwrap();
    assert!(
        detail.contains("from=copy") && detail.contains("synced=0m"),
        "{detail}"
    );
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
            .sync(&VaultId::parse("prod").unwrap(), Emptied::Refused)
            .await
            .is_err()
    );
}
