//! What only a real API server shows: rights, races, objects of others, and its limits.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::sync::Arc;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use strongroom_backend::{Backend, ErrorKind, Metadata, PutOptions, Versioning, Which};

use common::{Admin, config, data, fresh, is, open, path, plain, read, value};

const MIB: usize = 1 << 20;

async fn merge(admin: &Admin, name: &str, patch: serde_json::Value) {
    let secrets = admin.secrets();
    secrets
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_pod_sees_the_current_value_and_only_while_there_is_one() {
    let admin = Admin::new("pod").await;
    let store = open(&config(&admin.namespace)).await;
    store
        .put(&path("db"), &value("one"), &plain())
        .await
        .unwrap();
    store
        .put(&path("db"), &value("two"), &plain())
        .await
        .unwrap();
    let held = data(&admin, "db").await;
    assert_eq!(held.get("value").unwrap(), b"two");
    assert_eq!(held.get("value.v1").unwrap(), b"one");
    store.delete(&path("db"), None).await.unwrap();
    assert!(!data(&admin, "db").await.contains_key("value"));
    store.undelete(&path("db"), None).await.unwrap();
    assert_eq!(data(&admin, "db").await.get("value").unwrap(), b"two");
    store.destroy(&path("db"), 1).await.unwrap();
    store.destroy(&path("db"), 2).await.unwrap();
    assert!(data(&admin, "db").await.is_empty());
    let object = admin.secrets().get("db").await.unwrap();
    assert_eq!(object.type_.as_deref(), Some("Opaque"));
}

#[tokio::test]
async fn what_others_put_on_our_object_stays() {
    let admin = Admin::new("beside").await;
    let store = open(&config(&admin.namespace)).await;
    store
        .put(&path("db"), &value("one"), &plain())
        .await
        .unwrap();
    let patch = json!({
        "metadata": { "labels": { "team": "a" }, "annotations": { "note": "b" } },
        "data": { "theirs": "eA==" },
    });
    merge(&admin, "db", patch).await;
    store
        .put(&path("db"), &value("two"), &plain())
        .await
        .unwrap();
    let object = admin.secrets().get("db").await.unwrap();
    assert_eq!(object.metadata.labels.unwrap().get("team").unwrap(), "a");
    assert_eq!(
        object.metadata.annotations.unwrap().get("note").unwrap(),
        "b"
    );
    assert_eq!(data(&admin, "db").await.get("theirs").unwrap(), b"x");
    assert_eq!(read(&store, "db").await.unwrap(), "two");
}

#[tokio::test]
async fn an_object_of_others_is_never_overwritten() {
    let admin = Admin::new("others").await;
    admin.secret("db", &[("value", b"theirs")]).await;
    let store = open(&config(&admin.namespace)).await;
    let db = path("db");
    is(
        read(&store, "db").await,
        ErrorKind::NotFound,
        "not written by Strongroom",
    );
    is(
        store.put(&db, &value("ours"), &plain()).await,
        ErrorKind::Failed,
        "not written by Strongroom",
    );
    is(
        store.delete(&db, None).await,
        ErrorKind::NotFound,
        "not written by",
    );
    is(
        store.destroy(&db, 1).await,
        ErrorKind::NotFound,
        "not written by",
    );
    is(
        store.describe(&db).await,
        ErrorKind::NotFound,
        "not written by",
    );
    assert!(store.list("", None, 10).await.unwrap().paths.is_empty());
    assert_eq!(data(&admin, "db").await.get("value").unwrap(), b"theirs");
}

#[tokio::test]
async fn an_object_that_was_tampered_with_is_not_served() {
    let admin = Admin::new("tampered").await;
    let store = open(&config(&admin.namespace)).await;
    let write = async |name: &str| {
        store.put(&path(name), &value("x"), &plain()).await.unwrap();
    };
    let annotate = async |name: &str, key: &str, text: serde_json::Value| {
        merge(
            &admin,
            name,
            json!({ "metadata": { "annotations": { key: text } } }),
        )
        .await;
    };
    for name in ["moved", "history", "none", "gone"] {
        write(name).await;
    }
    annotate("moved", "strongroom/reference", json!("other")).await;
    is(
        read(&store, "moved").await,
        ErrorKind::Failed,
        "another reference",
    );
    let put = store.put(&path("moved"), &value("y"), &plain()).await;
    is(put, ErrorKind::Failed, "another reference");
    annotate("history", "strongroom/history", json!("{\"format\":9}")).await;
    is(
        read(&store, "history").await,
        ErrorKind::Damaged,
        "cannot be read",
    );
    annotate("none", "strongroom/history", json!(null)).await;
    is(
        read(&store, "none").await,
        ErrorKind::NotFound,
        "not written by",
    );
    merge(&admin, "gone", json!({ "data": { "value": null } })).await;
    is(
        read(&store, "gone").await,
        ErrorKind::Damaged,
        "no key 'value'",
    );
    // Written anew, it is whole again; the value that is gone stays so.
    store
        .put(&path("gone"), &value("new"), &plain())
        .await
        .unwrap();
    assert_eq!(read(&store, "gone").await.unwrap(), "new");
    let old = store.get(&path("gone"), Which::Version(1)).await;
    is(old, ErrorKind::Damaged, "no key 'value.v1'");
    let listed = store.list("", None, 10).await.unwrap().paths;
    assert_eq!(listed, [path("gone")]);
    let many = ["moved", "history", "none", "gone"].map(path);
    let kinds: Vec<_> = store
        .get_many(&many)
        .await
        .into_iter()
        .map(|r| r.err().map(|e| e.kind()))
        .collect();
    assert_eq!(
        kinds,
        [
            Some(ErrorKind::Failed),
            Some(ErrorKind::Damaged),
            Some(ErrorKind::NotFound),
            None
        ]
    );
}

#[tokio::test]
async fn an_object_of_another_type_is_not_ours() {
    let admin = Admin::new("type").await;
    let store = open(&config(&admin.namespace)).await;
    store.put(&path("db"), &value("x"), &plain()).await.unwrap();
    let mut object = admin.secrets().get("db").await.unwrap();
    admin
        .secrets()
        .delete("db", &DeleteParams::default())
        .await
        .unwrap();
    object.type_ = Some("example.com/other".into());
    object.metadata.resource_version = None;
    object.metadata.uid = None;
    admin
        .secrets()
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    is(
        read(&store, "db").await,
        ErrorKind::Failed,
        "not of type Opaque",
    );
    let put = store.put(&path("db"), &value("y"), &plain()).await;
    is(put, ErrorKind::Failed, "not of type Opaque");
}

#[tokio::test]
async fn an_immutable_secret_is_read_and_not_changed() {
    let admin = Admin::new("immutable").await;
    let store = open(&config(&admin.namespace)).await;
    let db = path("db");
    store.put(&db, &value("one"), &plain()).await.unwrap();
    merge(&admin, "db", json!({ "immutable": true })).await;
    assert_eq!(read(&store, "db").await.unwrap(), "one");
    let (failed, words) = (ErrorKind::Failed, "`immutable`");
    is(store.put(&db, &value("two"), &plain()).await, failed, words);
    is(store.delete(&db, None).await, failed, words);
    is(store.destroy(&db, 1).await, failed, words);
    is(
        store.set_metadata(&db, &Metadata::default()).await,
        failed,
        words,
    );
    // What would not be done anyway is told as ever.
    let stale = PutOptions {
        expected: Some(7),
        ..plain()
    };
    let stale = store.put(&db, &value("two"), &stale).await;
    assert_eq!(stale.unwrap_err().kind(), ErrorKind::Conflict(1));
    assert_eq!(data(&admin, "db").await.len(), 1);
}

#[tokio::test]
async fn writers_of_two_hosts_lose_nothing() {
    let namespace = fresh("race");
    let mut config = config(&namespace);
    config.keep_versions = 100;
    // Two stores have no lock in common, as two hosts have none.
    let stores = [Arc::new(open(&config).await), Arc::new(open(&config).await)];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = Arc::clone(&stores[task % 2]);
        tasks.spawn(async move {
            let mut numbers = Vec::new();
            for round in 0..5 {
                let text = value(&format!("{task}:{round}"));
                numbers.push(
                    store
                        .put(&path("shared"), &text, &plain())
                        .await
                        .unwrap()
                        .version,
                );
            }
            numbers
        });
    }
    let mut numbers: Vec<u64> = tasks.join_all().await.into_iter().flatten().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
    let versions = stores[0].versions(&path("shared")).await.unwrap();
    assert_eq!(versions.len(), 40);
    for version in versions {
        let which = Which::Version(version.version);
        stores[1].get(&path("shared"), which).await.unwrap();
    }
}

#[tokio::test]
async fn an_object_that_goes_between_read_and_write_is_made_anew() {
    let admin = Admin::new("gone").await;
    let store = Arc::new(open(&config(&admin.namespace)).await);
    let deleting = {
        let (secrets, store) = (admin.secrets(), Arc::clone(&store));
        tokio::spawn(async move {
            for _ in 0..30 {
                let _ = secrets.delete("db", &DeleteParams::default()).await;
            }
            drop(store);
        })
    };
    for round in 0..15 {
        store
            .put(&path("db"), &value(&round.to_string()), &plain())
            .await
            .unwrap();
    }
    deleting.await.unwrap();
    store
        .put(&path("db"), &value("last"), &plain())
        .await
        .unwrap();
    assert_eq!(read(&store, "db").await.unwrap(), "last");
}

#[tokio::test]
async fn older_versions_make_room_for_the_newest() {
    let admin = Admin::new("room").await;
    let store = open(&config(&admin.namespace)).await;
    let db = path("db");
    let big = |length: usize| strongroom_backend::SecretValue::new(vec![b'x'; length]);
    for length in [MIB / 3, MIB / 3, MIB / 3] {
        store.put(&db, &big(length), &plain()).await.unwrap();
    }
    assert_eq!(data(&admin, "db").await.len(), 3);
    store.put(&db, &big(MIB / 2), &plain()).await.unwrap();
    let keys: Vec<_> = data(&admin, "db").await.into_keys().collect();
    assert_eq!(keys, ["value", "value.v3"]);
    store.put(&db, &big(MIB), &plain()).await.unwrap();
    assert_eq!(store.versions(&db).await.unwrap().len(), 1);
    let gone = store.get(&db, Which::Version(4)).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
    is(
        store.put(&db, &big(MIB + 1), &plain()).await,
        ErrorKind::TooLarge(MIB as u64),
        "1048576",
    );
    // Other people's keys are not ours to remove.
    store.put(&db, &value("small"), &plain()).await.unwrap();
    let theirs = "eHh4".repeat(2000);
    merge(
        &admin,
        "db",
        json!({ "data": { "theirs": theirs, "value.v5": null } }),
    )
    .await;
    let full = store.put(&db, &big(MIB), &plain()).await;
    is(full, ErrorKind::Failed, "other keys in the Secret");
    assert_eq!(read(&store, "db").await.unwrap(), "small");
}

#[tokio::test]
async fn many_large_secrets_are_read_although_one_reply_cannot_hold_them() {
    let store = open(&config(&fresh("large"))).await;
    let paths: Vec<_> = (0..13).map(|index| path(&format!("big/{index}"))).collect();
    let big = strongroom_backend::SecretValue::new(vec![b'x'; MIB]);
    for path in &paths {
        store.put(path, &big, &plain()).await.unwrap();
    }
    for secret in store.get_many(&paths).await {
        assert_eq!(secret.unwrap().value.len(), MIB);
    }
    assert_eq!(store.list("", None, 100).await.unwrap().paths.len(), 13);
}

#[tokio::test]
async fn a_listing_goes_over_all_pages() {
    let store = Arc::new(open(&config(&fresh("pages"))).await);
    store
        .put(&path("n/000"), &value("x"), &plain())
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8u32 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for index in (task..250).step_by(8) {
                let name = path(&format!("n/{index:03}"));
                store.put(&name, &value("x"), &plain()).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let page = store.list("n/", Some("n/199"), 100).await.unwrap();
    assert_eq!(page.paths.len(), 50);
    assert!(!page.more);
    let page = store.list("", None, 249).await.unwrap();
    assert_eq!((page.paths.len(), page.more), (249, true));
}
