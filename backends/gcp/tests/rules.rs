//! What the trials do not try: other people's secrets, rights, races, and changes broken off half way.
//! Against the strict server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;
mod strict;

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_backend::{
    Backend, ErrorKind, Metadata, PutOptions, SecretValue, VersionState, Which,
};
use tokio::task::JoinSet;

use common::{failed, get, names, open, path, put, put_with, settings, store, versioning, wait};
use strict::state::Secret;
use strict::{Refused, Strict};

fn by(author: &str) -> PutOptions {
    PutOptions {
        author: Some(author.to_owned()),
        ..PutOptions::default()
    }
}

fn described(text: &str) -> Metadata {
    Metadata {
        description: Some(text.to_owned()),
        ..Metadata::default()
    }
}

/// The only secret that the server holds.
fn only<R>(server: &Strict, look: impl FnOnce(&mut Secret) -> R) -> R {
    server.with(|state| {
        assert_eq!(state.secrets.len(), 1);
        look(state.secrets.values_mut().next().unwrap())
    })
}

fn annotation(server: &Strict, key: &str) -> Option<Value> {
    only(server, |secret| secret.annotations.get(key).cloned())
}

#[tokio::test]
async fn every_page_is_read() {
    let server = Strict::start();
    server.with(|state| state.page = 3);
    let store = store(&server.wire.url()).await;
    let mut expected: Vec<String> = (0..10).map(|n| format!("n/{n}")).collect();
    for name in &expected {
        put(&store, name, "x").await.unwrap();
    }
    expected.sort();
    assert_eq!(names(&store).await, expected);
    for _ in 0..10 {
        put(&store, "n/0", "y").await.unwrap();
    }
    let versions = store.versions(&path("n/0")).await.unwrap();
    let numbers: Vec<u64> = versions.iter().map(|v| v.version).collect();
    assert_eq!(numbers, (1..=11).rev().collect::<Vec<_>>());
    store.delete(&path("n/0"), None).await.unwrap();
    versioning(&store)
        .undelete(&path("n/0"), None)
        .await
        .unwrap();
    assert_eq!(get(&store, "n/0").await.unwrap(), "y");
}

#[tokio::test]
async fn others_secrets_are_read_listed_and_left_as_they_are() {
    let server = Strict::start();
    let mut config = settings(&server.wire.url());
    config.prefix = "app-".to_owned();
    config.names = [("stripe/api-key".to_owned(), "LegacyStripeKey".to_owned())].into();
    let store = open(&config).await;
    // As others make them: without any note of ours, and with theirs.
    let plain = self::store(&server.wire.url()).await;
    for name in ["app-db", "LegacyStripeKey", "other-db"] {
        put(&plain, name, name).await.unwrap();
    }
    server.with(|state| {
        for secret in state.secrets.values_mut() {
            secret.annotations = [("owner".to_owned(), json!("ops"))].into_iter().collect();
            secret.labels = [("team".to_owned(), json!("shop"))].into_iter().collect();
        }
    });
    assert_eq!(names(&store).await, ["db", "stripe/api-key"]);
    assert_eq!(get(&store, "db").await.unwrap(), "app-db");
    assert_eq!(
        get(&store, "stripe/api-key").await.unwrap(),
        "LegacyStripeKey"
    );
    let told = store.describe(&path("db")).await.unwrap();
    assert_eq!(told.labels, [("team".to_owned(), "shop".to_owned())]);
    put_with(&store, "stripe/api-key", "new", &by("component:shop"))
        .await
        .unwrap();
    store.delete(&path("stripe/api-key"), None).await.unwrap();
    assert_eq!(names(&store).await, ["db"]);
    server.with(|state| {
        for secret in state.secrets.values() {
            assert_eq!(secret.annotations["owner"], "ops");
            assert_eq!(secret.labels["team"], "shop");
        }
    });
}

#[tokio::test]
async fn a_note_of_another_path_is_found_out() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    put(&store, "a/b", "x").await.unwrap();
    only(&server, |secret| {
        secret
            .annotations
            .insert("strongroom-path".to_owned(), json!("c/d"));
    });
    let (kind, text) = failed(store.describe(&path("a/b")).await);
    assert_eq!(kind, ErrorKind::Damaged, "{text}");
    let deleted = store.delete(&path("a/b"), None).await;
    assert_eq!(failed(deleted).0, ErrorKind::Damaged);
    assert_eq!(names(&store).await, Vec::<String>::new());
    // Without a note the name tells enough for all but a listing.
    only(&server, |secret| secret.annotations.clear());
    assert!(store.describe(&path("a/b")).await.is_ok());
    put_with(&store, "a/b", "y", &by("operator:root"))
        .await
        .unwrap();
    assert_eq!(names(&store).await, ["a/b"]);
}

#[tokio::test]
async fn who_may_only_read_values_reads_them() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    put(&store, "a/b", "x").await.unwrap();
    put(&store, "gone", "x").await.unwrap();
    store.delete(&path("gone"), None).await.unwrap();
    server.with(|state| {
        state.denied = [
            "secretmanager.secrets.get",
            "secretmanager.secrets.list",
            "secretmanager.secrets.create",
            "secretmanager.secrets.update",
            "secretmanager.versions.add",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
        ]
        .into();
    });
    assert_eq!(get(&store, "a/b").await.unwrap(), "x");
    assert_eq!(failed(get(&store, "gone").await).0, ErrorKind::NotFound);
    assert_eq!(failed(get(&store, "missing").await).0, ErrorKind::NotFound);
    for (result, permission) in [
        (put(&store, "a/b", "y").await.map(drop), "versions.add"),
        (store.describe(&path("a/b")).await.map(drop), "get"),
        (store.list("", None, 1).await.map(drop), "secrets.list"),
        (store.check().await.map(drop), "secrets.list"),
        (
            store.delete(&path("a/b"), None).await.map(drop),
            "versions.list",
        ),
    ] {
        let (kind, text) = failed(result);
        assert_eq!(kind, ErrorKind::PermissionDenied, "{text}");
        assert!(text.contains(permission), "{permission}: {text}");
        assert!(!text.contains("hidden-project"), "{text}");
    }
}

#[tokio::test]
async fn a_key_that_is_switched_off_is_not_a_missing_secret() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    put(&store, "a", "x").await.unwrap();
    let off = || Refused::new("FAILED_PRECONDITION", "the CMEK key is disabled");
    let refused = |got| {
        let (kind, text) = failed(got);
        // Nothing that was kept may be served after it.
        assert_eq!(kind, ErrorKind::PermissionDenied, "{text}");
        assert!(text.contains("check its encryption key"), "{text}");
    };
    server.with(|state| state.planned = vec![("secretmanager.versions.access", off())]);
    refused(get(&store, "a").await);
    // Nor for one who may not look at versions.
    server.with(|state| {
        state.planned = vec![("secretmanager.versions.access", off())];
        state.denied = ["secretmanager.versions.get"].into();
    });
    refused(get(&store, "a").await);
    server.with(|state| state.denied.clear());
    // In other words than the ones we know, a deleted version is still deleted.
    store.delete(&path("a"), None).await.unwrap();
    let words = Refused::new("FAILED_PRECONDITION", "not now");
    server.with(|state| state.planned = vec![("secretmanager.versions.access", words)]);
    assert_eq!(failed(get(&store, "a").await).0, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_lose_no_note() {
    let server = Strict::start();
    let store = Arc::new(store(&server.wire.url()).await);
    put(&store, "shared", "0").await.unwrap();
    let mut tasks = JoinSet::new();
    for writer in 0..6 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let author = format!("component:{writer}");
            let number = put_with(&store, "shared", "x", &by(&author)).await.unwrap();
            (number, author)
        });
    }
    let written: Vec<_> = tasks.join_all().await;
    let versions = store.versions(&path("shared")).await.unwrap();
    for (number, author) in written {
        let version = versions.iter().find(|v| v.version == number).unwrap();
        assert_eq!(version.author.as_deref(), Some(author.as_str()));
    }
}

#[tokio::test]
async fn what_others_change_meanwhile_is_kept() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    put(&store, "a", "x").await.unwrap();
    server.with(|state| {
        state.meanwhile = vec![("secretmanager.secrets.update", |secret| {
            secret.etag += 1000;
            secret.annotations.insert("owner".to_owned(), json!("ops"));
        })];
    });
    versioning(&store)
        .set_metadata(&path("a"), &described("ours"))
        .await
        .unwrap();
    assert_eq!(annotation(&server, "owner"), Some(json!("ops")));
    let told = store.describe(&path("a")).await.unwrap();
    assert_eq!(told.description.as_deref(), Some("ours"));
    // Destroyed by others between our look and our delete.
    server.with(|state| {
        state.meanwhile = vec![("secretmanager.versions.disable", |secret| {
            let version = secret.versions.last_mut().unwrap();
            version.state = "DESTROYED";
            version.etag += 1000;
        })];
    });
    let deleted = store.delete(&path("a"), Some(1)).await;
    assert_eq!(failed(deleted).0, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_write_whose_notes_fail_says_so_only_where_metadata_is_lost() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    let down = || {
        vec![(
            "secretmanager.secrets.update",
            Refused::new("UNAVAILABLE", "later"),
        )]
    };
    // A new secret has its metadata from the start.
    server.with(|state| state.planned = down());
    let options = PutOptions {
        metadata: described("first"),
        ..by("operator:root")
    };
    assert_eq!(put_with(&store, "a", "x", &options).await.unwrap(), 1);
    let told = store.describe(&path("a")).await.unwrap();
    assert_eq!(told.description.as_deref(), Some("first"));
    assert_eq!(names(&store).await, ["a"]);
    server.with(|state| state.planned = down());
    assert_eq!(
        put_with(&store, "a", "y", &by("operator:root"))
            .await
            .unwrap(),
        2
    );
    server.with(|state| state.planned = down());
    let options = PutOptions {
        metadata: described("second"),
        ..PutOptions::default()
    };
    let (kind, _) = failed(put_with(&store, "a", "z", &options).await);
    assert_eq!(kind, ErrorKind::Unavailable);
    assert_eq!(get(&store, "a").await.unwrap(), "z");
}

#[tokio::test]
async fn a_secret_without_a_version_was_never_written() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    // Our host died after it made the secret.
    let first = Refused::new("NOT_FOUND", "not yet");
    let second = Refused::new("UNAVAILABLE", "later");
    server.with(|state| {
        state.planned = vec![
            ("secretmanager.versions.add", first),
            ("secretmanager.versions.add", second),
        ];
    });
    assert_eq!(
        failed(put(&store, "a", "x").await).0,
        ErrorKind::Unavailable
    );
    assert_eq!(names(&store).await, Vec::<String>::new());
    assert_eq!(failed(get(&store, "a").await).0, ErrorKind::NotFound);
    assert_eq!(
        failed(store.describe(&path("a")).await).0,
        ErrorKind::NotFound
    );
    assert_eq!(
        failed(store.versions(&path("a")).await).0,
        ErrorKind::NotFound
    );
    assert_eq!(put(&store, "a", "x").await.unwrap(), 1);
    assert_eq!(names(&store).await, ["a"]);
    assert_eq!(annotation(&server, "strongroom-deleted"), None);
}

#[tokio::test]
async fn half_a_delete_is_finished_or_taken_back() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    for value in ["1", "2", "3"] {
        put(&store, "a", value).await.unwrap();
    }
    let down = || {
        vec![(
            "secretmanager.versions.disable",
            Refused::new("UNAVAILABLE", "later"),
        )]
    };
    // Before the first version.
    server.with(|state| state.planned = down());
    assert_eq!(
        failed(store.delete(&path("a"), None).await).0,
        ErrorKind::Unavailable
    );
    assert_eq!(get(&store, "a").await.unwrap(), "3");
    assert_eq!(names(&store).await, ["a"]);
    // Within: as where the host dies after the newest.
    only(&server, |secret| secret.versions[2].state = "DISABLED");
    assert_eq!(names(&store).await, Vec::<String>::new());
    store.delete(&path("a"), None).await.unwrap();
    let restored = versioning(&store).undelete(&path("a"), None).await.unwrap();
    assert_eq!(restored.version, 3);
    let versions = store.versions(&path("a")).await.unwrap();
    let states: Vec<_> = versions.iter().map(|v| v.state).collect();
    use VersionState as S;
    assert_eq!(states, [S::Current, S::Superseded, S::Superseded]);
    assert_eq!(annotation(&server, "strongroom-deleted"), None);
}

#[tokio::test]
async fn others_deletes_and_writes_count() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    put(&store, "a", "1").await.unwrap();
    put(&store, "a", "2").await.unwrap();
    // Switched off in the console: nothing older comes back.
    only(&server, |secret| secret.versions[1].state = "DISABLED");
    assert_eq!(failed(get(&store, "a").await).0, ErrorKind::NotFound);
    let told = store.describe(&path("a")).await.unwrap();
    assert_eq!(told.version, None);
    versioning(&store).undelete(&path("a"), None).await.unwrap();
    assert_eq!(get(&store, "a").await.unwrap(), "2");
    // Deleted here, written there.
    store.delete(&path("a"), None).await.unwrap();
    only(&server, |secret| {
        let mut version = secret.versions[1].clone();
        version.state = "ENABLED";
        version.data = b"theirs".to_vec();
        secret.versions.push(version);
    });
    assert_eq!(get(&store, "a").await.unwrap(), "theirs");
    assert_eq!(names(&store).await, ["a"]);
    let undeleted = versioning(&store).undelete(&path("a"), None).await;
    assert_eq!(failed(undeleted).0, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_delayed_destruction_is_not_called_one() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    put(&store, "a", "1").await.unwrap();
    server.with(|state| state.destroy_delay = true);
    let (kind, text) = failed(versioning(&store).destroy(&path("a"), 1).await);
    assert_eq!(kind, ErrorKind::Failed);
    assert!(text.contains("delay"), "{text}");
    assert_eq!(failed(get(&store, "a").await).0, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_write_that_is_given_up_is_made_to_its_end() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    let value = SecretValue::copy_of(b"x");
    let options = PutOptions {
        metadata: described("whole"),
        ..by("operator:root")
    };
    let name = path("a");
    let put = store.put(&name, &value, &options);
    // Long enough to begin, and not to make all four calls.
    let _ = tokio::time::timeout(std::time::Duration::from_micros(300), put).await;
    for _ in 0..100 {
        if get(&store, "a").await.is_ok() {
            break;
        }
        wait(20).await;
    }
    wait(100).await;
    let versions = store.versions(&path("a")).await.unwrap();
    assert_eq!(versions[0].author.as_deref(), Some("operator:root"));
    let told = store.describe(&path("a")).await.unwrap();
    assert_eq!(told.description.as_deref(), Some("whole"));
    assert_eq!(annotation(&server, "strongroom-deleted"), None);
}

#[tokio::test]
async fn labels_are_labels_of_the_service_where_it_takes_them() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    let pairs = [("env", "prod"), ("Owner", "A B")];
    let owned = pairs.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let options = PutOptions {
        metadata: Metadata {
            labels: Some(owned.to_vec()),
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    put_with(&store, "a", "x", &options).await.unwrap();
    only(&server, |secret| {
        assert_eq!(Value::Object(secret.labels.clone()), json!({"env": "prod"}));
    });
    let told = store.describe(&path("a")).await.unwrap();
    assert_eq!(told.labels.len(), 2);
}

#[tokio::test]
async fn reads_by_number_and_name_take_one_call() {
    let server = Strict::start();
    let store = store(&server.wire.url()).await;
    put(&store, "a/b", "x").await.unwrap();
    server.with(|state| state.take_calls());
    get(&store, "a/b").await.unwrap();
    store.get(&path("a/b"), Which::Version(1)).await.unwrap();
    assert_eq!(failed(get(&store, "missing").await).0, ErrorKind::NotFound);
    assert_eq!(server.with(|state| state.take_calls()), 3);
    put(&store, "a/b", "y").await.unwrap();
    assert_eq!(server.with(|state| state.take_calls()), 1);
    put_with(&store, "a/b", "z", &by("operator:root"))
        .await
        .unwrap();
    assert_eq!(server.with(|state| state.take_calls()), 3);
}

#[tokio::test]
async fn a_project_that_is_not_there_is_no_missing_secret_for_writes() {
    let server = Strict::start();
    let mut config = settings(&server.wire.url());
    config.project = "no-such-project".to_owned();
    let store = open(&config).await;
    assert_eq!(failed(put(&store, "a", "x").await).0, ErrorKind::Failed);
}

#[tokio::test]
async fn secrets_are_made_where_the_settings_say() {
    use strongroom_backend_gcp::Replication;
    let server = Strict::start();
    let mut config = settings(&server.wire.url());
    config.replication = Some(Replication::Locations(vec!["europe-west3".to_owned()]));
    put(&open(&config).await, "a", "x").await.unwrap();
    let made = only(&server, |secret| secret.replication.clone());
    assert_eq!(
        made,
        json!({"userManaged": {"replicas": [{"location": "europe-west3"}]}})
    );
}
