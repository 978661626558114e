//! Deletes, and what others do meanwhile: no old value is readable again unless somebody asked for it.
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use strongroom_backend::{Backend, ErrorKind, Versioning, Which};

use common::service::{Secret, Version};
use common::{Strict, kind, path};

/// Whether anyone who asks the service for the current value gets this text.
fn shows(secret: &Secret, value: &str) -> bool {
    let current = secret.labelled("AWSCURRENT");
    !secret.deleted && current.is_some_and(|version| version.value["SecretString"] == value)
}

async fn delete(strict: &Strict, name: &str) -> Result<u64, ErrorKind> {
    let change = strict.store.delete(&path(name), None).await;
    change
        .map(|change| change.version)
        .map_err(|error| error.kind())
}

async fn undelete(strict: &Strict, name: &str) -> Result<u64, ErrorKind> {
    let change = strict.store.undelete(&path(name), None).await;
    change
        .map(|change| change.version)
        .map_err(|error| error.kind())
}

#[tokio::test]
async fn at_no_moment_of_a_write_after_a_delete_is_the_old_value_readable() {
    let strict = Strict::start().await;
    strict.put("a", b"leaked").await;
    assert_eq!(delete(&strict, "a").await, Ok(1));
    let shown = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&shown);
    strict.service.before(move |_, secrets| {
        if shows(&secrets["a"], "leaked") {
            seen.store(true, Ordering::SeqCst);
        }
    });
    let number = strict.put("a", b"new").await;
    assert!(number > 1);
    assert_eq!(strict.get("a").await.unwrap(), (number, b"new".to_vec()));
    assert_eq!(
        kind(strict.read("a", Which::Version(1)).await),
        ErrorKind::NotFound
    );
    assert!(
        !shown.load(Ordering::SeqCst),
        "the old value was current again"
    );
}

#[tokio::test]
async fn at_no_moment_of_an_undelete_is_there_another_value() {
    let strict = Strict::start().await;
    strict.put("a", b"older").await;
    strict.put("a", b"last").await;
    assert_eq!(delete(&strict, "a").await, Ok(2));
    strict
        .service
        .before(|_, secrets| assert!(!shows(&secrets["a"], "older")));
    assert_eq!(undelete(&strict, "a").await, Ok(2));
    assert_eq!(strict.get("a").await.unwrap(), (2, b"last".to_vec()));
    assert_eq!(strict.put("a", b"next").await, 4, "the delete used 3 up");
}

#[tokio::test]
async fn the_window_is_the_configured_one() {
    let strict = Strict::with(|config| config.recovery_window_days = 9).await;
    strict.put("a", b"x").await;
    delete(&strict, "a").await.unwrap();
    assert_eq!(strict.service.secrets()["a"].window, Some(9));
}

#[tokio::test]
async fn what_another_tool_deleted_is_not_written_over() {
    let strict = Strict::start().await;
    strict.put("a", b"leaked").await;
    strict.service.secrets().get_mut("a").unwrap().deleted = true;
    assert_eq!(kind(strict.get("a").await), ErrorKind::NotFound);
    assert_eq!(delete(&strict, "a").await, Err(ErrorKind::NotFound));
    let told = strict.store.describe(&path("a")).await.unwrap();
    assert_eq!(told.version, None);
    strict.actions();
    for expected in [Some(0), None] {
        let error = common::put(&strict.store, "a", b"new", expected)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        assert!(error.to_string().contains("undelete"), "{error}");
    }
    let stale = strict.put_if("a", b"new", 1).await;
    assert_eq!(kind(stale), ErrorKind::Conflict(0));
    let asked: BTreeSet<_> = strict.actions().into_iter().collect();
    assert_eq!(asked, BTreeSet::from(["DescribeSecret".to_owned()]));
    assert_eq!(undelete(&strict, "a").await, Ok(1));
    assert_eq!(strict.put("a", b"new").await, 2);
}

#[tokio::test]
async fn a_delete_that_is_refused_changes_nothing() {
    let strict = Strict::start().await;
    strict.put("a", b"stays").await;
    strict.service.deny("DeleteSecret");
    assert_eq!(delete(&strict, "a").await, Err(ErrorKind::PermissionDenied));
    assert_eq!(strict.get("a").await.unwrap(), (1, b"stays".to_vec()));
    assert_eq!(strict.put_if("a", b"next", 1).await.unwrap(), 3);
}

#[tokio::test]
async fn a_secret_with_copies_in_other_regions_is_refused_before_any_change() {
    let strict = Strict::start().await;
    strict.put("a", b"stays").await;
    strict.service.secrets().get_mut("a").unwrap().replicated = true;
    strict.actions();
    assert_eq!(delete(&strict, "a").await, Err(ErrorKind::Failed));
    assert_eq!(strict.actions(), ["DescribeSecret"]);
}

#[tokio::test]
async fn a_delete_that_broke_off_after_its_mark_is_a_delete() {
    let strict = Strict::start().await;
    strict.put("a", b"gone").await;
    strict.put("b", b"there").await;
    delete(&strict, "a").await.unwrap();
    // As if the last request had never come.
    strict.service.secrets().get_mut("a").unwrap().deleted = false;
    assert_eq!(kind(strict.get("a").await), ErrorKind::NotFound);
    assert_eq!(
        kind(strict.read("a", Which::Version(1)).await),
        ErrorKind::NotFound
    );
    let many = strict.store.get_many(&[path("a"), path("b")]).await;
    assert_eq!(many[0].as_ref().unwrap_err().kind(), ErrorKind::NotFound);
    let page = strict.store.list("", None, 10).await.unwrap();
    assert_eq!(page.paths, [path("b")]);
    assert_eq!(delete(&strict, "a").await, Err(ErrorKind::NotFound));
    assert_eq!(undelete(&strict, "a").await, Ok(1));
    assert_eq!(strict.get("a").await.unwrap(), (1, b"gone".to_vec()));
}

#[tokio::test]
async fn a_writer_between_the_mark_and_the_schedule_is_deleted_with_a_mark() {
    let strict = Strict::start().await;
    strict.put("a", b"one").await;
    let mut once = Some(());
    strict.service.before(move |action, secrets| {
        if action != "DeleteSecret" || once.take().is_none() {
            return;
        }
        let secret = secrets.get_mut("a").unwrap();
        let salt = secret.versions[0].id.rsplit_once('-').unwrap().1.to_owned();
        let created = secret.versions.last().unwrap().created + 0.001;
        for version in &mut secret.versions {
            version.labels.remove("AWSCURRENT");
        }
        secret.versions.push(Version {
            id: format!("strongroom-{:020}-{salt}", 3),
            value: json!({ "SecretString": "between" }),
            labels: ["AWSCURRENT", "STRONGROOM-FIRST"].map(str::to_owned).into(),
            created,
        });
    });
    assert_eq!(delete(&strict, "a").await, Ok(3));
    strict.service.unhook();
    let secret = strict.service.secrets()["a"].clone();
    assert!(secret.deleted);
    let current = &secret.labelled("AWSCURRENT").unwrap().id;
    assert!(current.starts_with("strongroom-deleted-"), "{current}");
    let number = strict.put_if("a", b"new", 0).await.unwrap();
    assert_eq!(strict.get("a").await.unwrap(), (number, b"new".to_vec()));
}

#[tokio::test]
async fn one_version_is_not_deleted_nor_destroyed() {
    let strict = Strict::start().await;
    strict.put("a", b"one").await;
    strict.actions();
    let a = path("a");
    for refused in [
        strict.store.delete(&a, Some(1)).await,
        strict.store.undelete(&a, Some(1)).await,
        strict.store.destroy(&a, 1).await,
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert!(strict.actions().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_and_a_write_at_once_end_in_one_of_two_ways() {
    let strict = Strict::start().await;
    for round in 0..20 {
        let name = format!("race/{round}");
        strict.put(&name, b"old").await;
        let (deleted, written) = tokio::join!(
            delete(&strict, &name),
            common::put(&strict.store, &name, b"new", None)
        );
        assert!(deleted.is_ok(), "{deleted:?}");
        let number = written.unwrap();
        match strict.get(&name).await {
            Ok(read) => assert_eq!(read, (number, b"new".to_vec())),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
        // Whichever it was, a write goes on, and the oldest value never comes back.
        let last = strict.put(&name, b"last").await;
        assert!(last > number);
        assert_eq!(strict.get(&name).await.unwrap(), (last, b"last".to_vec()));
    }
}
