//! With `delete = "purge"`: what is deleted is gone for good, or it is said that it is not.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod fake;

use fake::{Clock, Denial, Fake, Phase};
use strongroom_backend::{
    Backend, Error, ErrorKind, PutOptions, Result, SecretPath, SecretValue, VersionState, Which,
};
use strongroom_backend_azure::{AzureBackend, Deletion};
use strongroom_backend_testkit::Canary;

/// A store that waits for the service longer than any test takes.
async fn open(fake: &Fake, deletion: Deletion) -> AzureBackend {
    open_to_wait(fake, deletion, 60).await
}

async fn open_to_wait(fake: &Fake, deletion: Deletion, settle: u64) -> AzureBackend {
    let mut config = fake.config();
    config.delete = deletion;
    config.settle = settle;
    AzureBackend::open(&config, fake.folder()).await.unwrap()
}

fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

async fn put(store: &AzureBackend, name: &str, value: &[u8]) -> u64 {
    let value = SecretValue::copy_of(value);
    let written = store.put(&path(name), &value, &PutOptions::default()).await;
    written.unwrap().version
}

async fn value(store: &AzureBackend, name: &str) -> Result<Vec<u8>> {
    let secret = store.get(&path(name), Which::Current).await?;
    Ok(secret.value.expose().to_vec())
}

async fn delete(store: &AzureBackend, name: &str) -> Result<u64> {
    Ok(store.delete(&path(name), None).await?.version)
}

async fn undelete(store: &AzureBackend, name: &str) -> Result<u64> {
    let versioning = store.versioning().unwrap();
    Ok(versioning.undelete(&path(name), None).await?.version)
}

fn kind<T>(answer: Result<T>) -> ErrorKind {
    answer.err().expect("a refusal").kind()
}

/// How many requests of this method were for a path that begins so.
fn asked(fake: &Fake, method: &str, path: &str) -> usize {
    let requests = fake.requests();
    let of = |r: &&strongroom_backend_testkit::wire::Request| {
        r.method == method && r.path().starts_with(path)
    };
    requests.iter().filter(of).count()
}

/// The secret is soft-deleted, and whatever recovers it makes no value readable.
fn is_left_unreadable(fake: &Fake, name: &str) {
    let state = fake.state();
    let secret = &state.secrets[name];
    assert!(matches!(secret.phase, Phase::Deleted { .. }));
    assert!(secret.versions.iter().all(|version| !version.enabled));
}

#[tokio::test]
async fn a_purged_secret_is_gone_for_good() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake, Deletion::Purge).await;
    put(&store, "a", b"one").await;
    let last = put(&store, "a", b"two").await;
    put(&store, "b", b"stays").await;
    let checked = store.check().await.unwrap();
    assert!(checked.iter().any(|line| line.contains("are purged")));
    assert_eq!(delete(&store, "a").await.unwrap(), last);
    assert!(!fake.state().secrets.contains_key("a"));
    assert_eq!(asked(&fake, "DELETE", "/deletedsecrets/"), 1);

    assert_eq!(kind(delete(&store, "a").await), ErrorKind::NotFound);
    for store in [&store, &open(&fake, Deletion::Soft).await] {
        assert_eq!(kind(value(store, "a").await), ErrorKind::NotFound);
        let name = path("a");
        assert_eq!(kind(store.describe(&name).await), ErrorKind::NotFound);
        assert_eq!(kind(store.versions(&name).await), ErrorKind::NotFound);
        assert_eq!(value(store, "b").await.unwrap(), b"stays");
    }
    // This store takes nothing back, and one that does finds nothing.
    assert_eq!(kind(undelete(&store, "a").await), ErrorKind::Unsupported);
    let soft = open(&fake, Deletion::Soft).await;
    assert_eq!(kind(undelete(&soft, "a").await), ErrorKind::NotFound);
}

/// The service holds the name of a purged secret a while, and shows it nowhere meanwhile.
#[tokio::test]
async fn a_set_after_a_purge_needs_no_recovery() {
    for deletion in [Deletion::Purge, Deletion::Soft, Deletion::Disable] {
        let fake = Fake::start(Clock::Steps);
        fake.state().purge_lag = 8;
        let store = open(&fake, Deletion::Purge).await;
        let last = put(&store, "a", b"old").await;
        delete(&store, "a").await.unwrap();
        assert!(matches!(
            fake.state().secrets["a"].phase,
            Phase::Purging { .. }
        ));
        fake.forget_requests();
        // Another process does not know what was deleted how.
        let other = open(&fake, deletion).await;
        let next = put(&other, "a", b"new").await;
        assert!(next > last, "{next} was written after {last}");
        assert!(asked(&fake, "PUT", "/secrets/a") > 1, "the name was free");
        assert_eq!(asked(&fake, "POST", "/deletedsecrets/"), 0);
        assert_eq!(value(&other, "a").await.unwrap(), b"new");
        let versions = other.versions(&path("a")).await.unwrap();
        let states: Vec<_> = versions.iter().map(|v| (v.version, v.state)).collect();
        assert_eq!(states, [(next, VersionState::Current)]);
    }
}

/// However soon, the numbers of a new life are higher than those of the old one.
#[tokio::test]
async fn numbers_go_on_though_nothing_is_left_to_tell_them() {
    for soft_delete in [true, false] {
        let fake = Fake::start(Clock::Real);
        fake.state().lag = 0;
        fake.state().soft_delete = soft_delete;
        let mut numbers = Vec::new();
        for _ in 0..3 {
            let store = open(&fake, Deletion::Purge).await;
            numbers.push(put(&store, "a", b"x").await);
            delete(&store, "a").await.unwrap();
            assert!(fake.state().secrets.is_empty());
        }
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }
}

/// The permission to purge is one of its own. Without it the secret is deleted all the same.
#[tokio::test]
async fn a_purge_that_is_denied_leaves_no_value_and_says_what_is_missing() {
    for denial in [Denial::Policy, Denial::Role] {
        let fake = Fake::start(Clock::Steps);
        let store = open(&fake, Deletion::Purge).await;
        let canary = Canary::new("canary-5c1e-not-purged");
        put(&store, "a", b"older").await;
        let last = put(&store, "a", canary.bytes()).await;
        fake.state().denied.push(("purge", denial));
        let error: Error = delete(&store, "a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("not purged"), "{error}");
        assert!(error.to_string().contains("permission 'purge'"), "{error}");
        assert!(canary.found_in_error(&error).is_none());
        assert!(!format!("{error:?}").contains(fake::TENANT));
        assert_eq!(kind(value(&store, "a").await), ErrorKind::NotFound);
        is_left_unreadable(&fake, "a");
        assert!(store.list("", None, 10).await.unwrap().paths.is_empty());
        assert_eq!(store.describe(&path("a")).await.unwrap().version, None);

        let again = delete(&store, "a").await;
        assert_eq!(kind(again), ErrorKind::PermissionDenied);
        is_left_unreadable(&fake, "a");
        fake.state().denied.clear();
        // The next delete, of whoever has the permission, makes up for it.
        let other = open(&fake, Deletion::Purge).await;
        assert_eq!(delete(&other, "a").await.unwrap(), last);
        assert!(!fake.state().secrets.contains_key("a"));
    }
}

/// What was not purged can be written over, and its values stay disabled.
#[tokio::test]
async fn a_set_after_a_denied_purge_brings_no_old_value_back() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake, Deletion::Purge).await;
    let last = put(&store, "a", b"old").await;
    fake.state().denied.push(("purge", Denial::Role));
    assert!(delete(&store, "a").await.is_err());
    let next = put(&store, "a", b"new").await;
    assert!(next > last, "{next} was written after {last}");
    assert_eq!(value(&store, "a").await.unwrap(), b"new");
    let older = store.get(&path("a"), Which::Version(last)).await;
    assert_eq!(kind(older), ErrorKind::NotFound);
}

/// A vault says beforehand that it lets nobody purge: it is not asked to.
#[tokio::test]
async fn purge_protection_is_told_and_leaves_no_value() {
    let fake = Fake::start(Clock::Steps);
    fake.state().purge_protected = true;
    let store = open(&fake, Deletion::Purge).await;
    let last = put(&store, "a", b"one").await;
    let doctor = store.check().await.unwrap_err();
    let deleted = delete(&store, "a").await.unwrap_err();
    for error in [&doctor, &deleted] {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("purge protection"), "{error}");
        assert!(error.to_string().contains("`delete`"), "{error}");
    }
    assert!(deleted.to_string().contains("not purged"), "{deleted}");
    assert_eq!(asked(&fake, "DELETE", "/deletedsecrets/"), 0);
    assert_eq!(kind(value(&store, "a").await), ErrorKind::NotFound);
    is_left_unreadable(&fake, "a");

    let soft = open(&fake, Deletion::Soft).await;
    assert_eq!(undelete(&soft, "a").await.unwrap(), last);
    assert_eq!(value(&soft, "a").await.unwrap(), b"one");
}

/// The delete takes the service longer than we wait: the next one goes on where this one stopped.
#[tokio::test]
async fn a_purge_that_was_not_waited_for_is_made_later() {
    let fake = Fake::start(Clock::Steps);
    let store = open_to_wait(&fake, Deletion::Purge, 1).await;
    let last = put(&store, "a", b"one").await;
    fake.state().lag = 1_000;
    let error = delete(&store, "a").await.unwrap_err();
    assert!(error.is_temporary() && error.is_contended(), "{error}");
    assert!(error.to_string().contains("not purged"), "{error}");
    assert!(error.to_string().contains("half a minute"), "{error}");
    assert_eq!(kind(value(&store, "a").await), ErrorKind::NotFound);
    assert_eq!(kind(delete(&store, "a").await), ErrorKind::Unavailable);
    fake.state().delete("a");
    is_left_unreadable(&fake, "a");
    assert_eq!(delete(&store, "a").await.unwrap(), last);
    assert!(!fake.state().secrets.contains_key("a"));
}

/// As after a delete that was broken off before the service's own, or under another setting.
#[tokio::test]
async fn what_is_only_disabled_is_purged() {
    let fake = Fake::start(Clock::Steps);
    let disabling = open(&fake, Deletion::Disable).await;
    let last = put(&disabling, "a", b"one").await;
    delete(&disabling, "a").await.unwrap();
    assert_eq!(fake.state().secrets["a"].phase, Phase::Active);
    let store = open(&fake, Deletion::Purge).await;
    assert_eq!(delete(&store, "a").await.unwrap(), last);
    assert!(!fake.state().secrets.contains_key("a"));
}

/// What another tool soft-deleted is purged by its name, and only what is ours by its note.
#[tokio::test]
async fn what_another_tool_deleted_is_purged_if_it_is_the_one_that_was_named() {
    let fake = Fake::start(Clock::Steps);
    fake.state().put("a", "of another tool");
    fake.state().delete("a");
    let store = open(&fake, Deletion::Purge).await;
    delete(&store, "a").await.unwrap();
    assert!(fake.state().secrets.is_empty());

    put(&store, "a/b", b"ours").await;
    let name = fake.state().secrets.keys().next().unwrap().clone();
    {
        let mut state = fake.state();
        let version = &mut state.secrets.get_mut(&name).unwrap().versions[0];
        let tag = ("strongroom-path".to_owned(), "c/d".to_owned());
        version.tags.extend([tag]);
        state.delete(&name);
    }
    assert_eq!(kind(delete(&store, "a/b").await), ErrorKind::Failed);
    assert!(fake.state().secrets.contains_key(&name));
}

/// Where deleting is not allowed a delete changes nothing.
#[tokio::test]
async fn a_delete_that_is_refused_leaves_the_secret_as_it_was() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake, Deletion::Purge).await;
    put(&store, "a", b"one").await;
    fake.state().denied.push(("delete", Denial::Role));
    let refused = delete(&store, "a").await;
    assert_eq!(kind(refused), ErrorKind::PermissionDenied);
    assert_eq!(value(&store, "a").await.unwrap(), b"one");
    assert_eq!(asked(&fake, "DELETE", "/deletedsecrets/"), 0);
}

/// Key Vault purges no version alone, so none is deleted for good: refused before any call.
#[tokio::test]
async fn one_version_is_not_purged() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake, Deletion::Purge).await;
    let number = put(&store, "a", b"one").await;
    fake.forget_requests();
    let name = path("a");
    let alone = store.delete(&name, Some(number)).await;
    assert_eq!(kind(alone), ErrorKind::Unsupported);
    let versioning = store.versioning().unwrap();
    let back = versioning.undelete(&name, Some(number)).await;
    assert_eq!(kind(back), ErrorKind::Unsupported);
    let destroyed = versioning.destroy(&name, number).await;
    assert_eq!(kind(destroyed), ErrorKind::Unsupported);
    assert!(fake.requests().is_empty());
    assert_eq!(value(&store, "a").await.unwrap(), b"one");
    let can = store.capabilities();
    assert!(!can.undelete && !can.delete_version && !can.destroy);
}
