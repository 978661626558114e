//! What the trials cannot know: this service's own states, limits and clock.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

mod fake;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake::{Clock, Denial, Fake, Phase};
use strongroom_backend::{
    Backend, Error, ErrorKind, Metadata, PutOptions, Result, SecretPath, SecretValue, VersionState,
    Which,
};
use strongroom_backend_azure::{AzureBackend, Config, Deletion};
use strongroom_backend_testkit::Canary;

async fn open(fake: &Fake) -> AzureBackend {
    open_with(fake, |_| {}).await
}

async fn open_with(fake: &Fake, change: impl FnOnce(&mut Config)) -> AzureBackend {
    let mut config = fake.config();
    change(&mut config);
    AzureBackend::open(&config, fake.folder()).await.unwrap()
}

fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

async fn put(store: &AzureBackend, name: &str, value: &[u8]) -> Result<u64> {
    let value = SecretValue::copy_of(value);
    let options = PutOptions::default();
    let change = store.put(&path(name), &value, &options).await?;
    Ok(change.version)
}

async fn value(store: &AzureBackend, name: &str) -> Result<Vec<u8>> {
    let secret = store.get(&path(name), Which::Current).await?;
    Ok(secret.value.expose().to_vec())
}

fn kind<T>(answer: Result<T>) -> ErrorKind {
    answer.err().expect("a refusal").kind()
}

fn paths_asked(fake: &Fake) -> Vec<String> {
    let shown =
        |r: &strongroom_backend_testkit::wire::Request| format!("{} {}", r.method, r.path());
    fake.requests().iter().map(shown).collect()
}

#[tokio::test]
async fn a_read_is_one_call_and_a_write_is_two() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    put(&store, "a", b"x").await.unwrap();
    fake.forget_requests();
    value(&store, "a").await.unwrap();
    assert_eq!(paths_asked(&fake), ["GET /secrets/a/"]);
    fake.forget_requests();
    put(&store, "a", b"y").await.unwrap();
    assert_eq!(paths_asked(&fake), ["GET /secrets/a/", "PUT /secrets/a"]);
}

/// The service has no call for many. On top comes, once, the login, and a challenge for each of the
/// reads that begin before it.
#[tokio::test]
async fn a_hundred_at_once_are_a_hundred_requests() {
    let fake = Fake::start(Clock::Steps);
    let names: Vec<_> = (0..100).map(|n| path(&format!("n{n}"))).collect();
    for name in &names {
        fake.state().put(name.as_str(), name.as_str());
    }
    let store = open(&fake).await;
    for cold in [true, false] {
        fake.forget_requests();
        for (name, answer) in names.iter().zip(store.get_many(&names).await) {
            assert_eq!(answer.unwrap().value.expose(), name.as_str().as_bytes());
        }
        let asked = fake.requests();
        let (reads, others): (Vec<_>, Vec<_>) = asked
            .iter()
            .partition(|r| r.method == "GET" && r.header("authorization").is_some());
        assert_eq!(reads.len(), 100);
        let read: BTreeSet<_> = reads.iter().map(|r| r.path().to_owned()).collect();
        let each: BTreeSet<_> = names.iter().map(|n| format!("/secrets/{n}/")).collect();
        assert_eq!(read, each);
        let (logins, challenges): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|r| r.path().ends_with("/oauth2/v2.0/token"));
        match cold {
            true => {
                assert!((1..=2).contains(&logins.len()), "{} logins", logins.len());
                assert!((1..=16).contains(&challenges.len()));
            }
            false => assert!(logins.is_empty() && challenges.is_empty()),
        }
    }
}

/// The login is asked for once, and again when the vault says that its token is no good any more.
#[tokio::test]
async fn tokens_are_kept_and_renewed() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    for _ in 0..3 {
        let missing = store.get(&path("none"), Which::Current).await;
        assert_eq!(kind(missing), ErrorKind::NotFound);
    }
    assert_eq!(fake.state().tokens.logins, 1);
    fake.state().tokens.expire();
    put(&store, "a", b"x").await.unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"x");
    assert_eq!(fake.state().tokens.logins, 2);
}

/// Many calls that are refused at once do not make as many logins.
#[tokio::test]
async fn a_vault_that_refuses_every_token_does_not_flood_the_login() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    fake.state().tokens.refused = true;
    let many: Vec<_> = (0..50).map(|i| path(&format!("n{i}"))).collect();
    for answer in store.get_many(&many).await {
        assert_eq!(kind(answer), ErrorKind::Unauthenticated);
    }
    assert!(fake.state().tokens.logins <= 2);
}

/// A secret that was changed on disk is found when the old one stops working.
#[tokio::test]
async fn a_new_client_secret_is_read_without_a_restart() {
    let fake = Fake::start(Clock::Steps);
    let file = fake.folder().join("client.secret");
    std::fs::write(&file, "an old one").unwrap();
    let store = open(&fake).await;
    std::fs::write(&file, fake::SECRET).unwrap();
    put(&store, "a", b"x").await.unwrap();
}

/// By the service's clock, not by ours: with a clock far ahead of ours nothing is different.
#[tokio::test]
async fn writes_wait_for_the_next_second_of_the_service() {
    let fake = Fake::start(Clock::Real);
    fake.state().ahead = 1_000;
    let store = open(&fake).await;
    let began = Instant::now();
    let mut numbers = Vec::new();
    for round in 0..3u8 {
        numbers.push(put(&store, "a", &[round]).await.unwrap());
    }
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(900) && took < Duration::from_secs(4),
        "{took:?}"
    );
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    for (round, number) in (0u8..).zip(numbers) {
        let read = store.get(&path("a"), Which::Version(number)).await.unwrap();
        assert_eq!(read.value.expose(), [round]);
    }
}

/// On a clock that stands all writes are of one second: the current one is read, none by number.
#[tokio::test]
async fn ties_are_refused_by_number_and_harmless_otherwise() {
    let fake = Fake::start(Clock::Stands);
    let store = open(&fake).await;
    let first = put(&store, "a", b"one").await.unwrap();
    let began = Instant::now();
    let second = put(&store, "a", b"two").await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "waits are bounded"
    );
    assert_eq!(first, second);
    assert_eq!(value(&store, "a").await.unwrap(), b"two");
    let name = path("a");
    let by_number = store.get(&name, Which::Version(first)).await;
    assert_eq!(kind(by_number), ErrorKind::Failed);
    assert_eq!(
        kind(store.delete(&name, Some(first)).await),
        ErrorKind::Failed
    );
    store.delete(&name, None).await.unwrap();
    assert_eq!(kind(value(&store, "a").await), ErrorKind::NotFound);
}

/// Another program wrote in the second of our write: ours is written again, in a second of its own.
#[tokio::test]
async fn a_write_that_ties_gets_a_number_of_its_own() {
    let fake = Fake::start(Clock::Stands);
    let store = open(&fake).await;
    let first = put(&store, "a", b"old").await.unwrap();
    let state = Arc::clone(&fake.state);
    // While the write waits, the clock goes on by one second, and at the tie by one more.
    let stepping = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        state.lock().unwrap().ahead += 1;
        state.lock().unwrap().put("a", "of another");
        tokio::time::sleep(Duration::from_millis(1_400)).await;
        state.lock().unwrap().ahead += 1;
    });
    let number = put(&store, "a", b"ours").await.unwrap();
    stepping.await.unwrap();
    assert!(number > first);
    assert_eq!(value(&store, "a").await.unwrap(), b"ours");
}

/// At no moment of a set after a delete is the old value there for anyone.
#[tokio::test]
async fn a_set_after_a_delete_brings_no_old_value_back() {
    let fake = Fake::start(Clock::Steps);
    fake.state().lag = 4;
    let store = open(&fake).await;
    put(&store, "a", b"leaked-1").await.unwrap();
    put(&store, "a", b"leaked-2").await.unwrap();
    store.delete(&path("a"), None).await.unwrap();
    assert!(matches!(
        fake.state().secrets["a"].phase,
        Phase::Deleting { .. }
    ));

    let state = Arc::clone(&fake.state);
    let watching = std::thread::spawn(move || {
        let until = Instant::now() + Duration::from_secs(20);
        let mut looks = 0;
        while Instant::now() < until {
            let state = state.lock().unwrap();
            let secret = &state.secrets["a"];
            if secret.versions.len() == 3 {
                return looks;
            }
            // The fake is asked with its own lock: whatever its phase, nothing could be read.
            assert!(secret.versions.iter().all(|v| !v.enabled));
            drop(state);
            looks += 1;
            std::thread::sleep(Duration::from_micros(200));
        }
        panic!("never written");
    });
    put(&store, "a", b"new").await.unwrap();
    assert!(watching.join().unwrap() > 100);
    assert_eq!(value(&store, "a").await.unwrap(), b"new");
    let states: Vec<_> = store.versions(&path("a")).await.unwrap();
    let states: Vec<_> = states.iter().map(|v| v.state).collect();
    use VersionState::{Current, Deleted};
    assert_eq!(states, [Current, Deleted, Deleted]);
}

/// A program that never saw the delete meets the same states.
#[tokio::test]
async fn another_process_can_set_and_undelete() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    put(&store, "a", b"one").await.unwrap();
    store.delete(&path("a"), None).await.unwrap();
    let other = open(&fake).await;
    put(&other, "a", b"two").await.unwrap();
    assert_eq!(value(&other, "a").await.unwrap(), b"two");

    other.delete(&path("a"), None).await.unwrap();
    fake.state().delete("a");
    let third = open(&fake).await;
    let versioning = third.versioning().unwrap();
    versioning.undelete(&path("a"), None).await.unwrap();
    assert_eq!(value(&third, "a").await.unwrap(), b"two");
}

/// Recovering what another tool deleted would bring its value back for a moment: refused.
#[tokio::test]
async fn what_another_tool_deleted_is_not_written_over() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    put(&store, "a", b"live").await.unwrap();
    fake.state().delete("a");
    let error = put(&store, "a", b"new").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("undelete it first"), "{error}");
    assert!(matches!(
        fake.state().secrets["a"].phase,
        Phase::Deleted { .. }
    ));
    assert_eq!(kind(value(&store, "a").await), ErrorKind::NotFound);

    assert_eq!(store.describe(&path("a")).await.unwrap().version, None);
    let versioning = store.versioning().unwrap();
    versioning.undelete(&path("a"), None).await.unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"live");
    put(&store, "a", b"new").await.unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"new");
}

#[tokio::test]
async fn what_takes_the_service_long_is_unavailable_and_can_be_tried_again() {
    let fake = Fake::start(Clock::Steps);
    let store = open_with(&fake, |config| config.settle = 1).await;
    put(&store, "a", b"old").await.unwrap();
    fake.state().lag = 40;
    store.delete(&path("a"), None).await.unwrap();
    let began = Instant::now();
    let error = put(&store, "a", b"new").await.unwrap_err();
    assert!(error.is_temporary() && error.is_contended(), "{error}");
    assert!(error.to_string().contains("half a minute"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3));
    let versions = store.versions(&path("a")).await;
    assert_eq!(
        kind(versions),
        ErrorKind::Unavailable,
        "not a secret that never was"
    );
    fake.state().lag = 0;
    fake.state().delete("a");
    put(&store, "a", b"new").await.unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"new");
}

/// Where deleting is not allowed a delete changes nothing.
#[tokio::test]
async fn a_delete_that_is_refused_leaves_the_secret_as_it_was() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    let labels = vec![("team".to_owned(), "a".to_owned())];
    let options = PutOptions {
        metadata: Metadata {
            labels: Some(labels.clone()),
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    let one = SecretValue::copy_of(b"one");
    let first = store.put(&path("a"), &one, &options).await.unwrap().version;
    put(&store, "a", b"two").await.unwrap();
    fake.state().denied.push(("delete", Denial::Role));
    let refused = store.delete(&path("a"), None).await;
    assert_eq!(kind(refused), ErrorKind::PermissionDenied);
    assert_eq!(value(&store, "a").await.unwrap(), b"two");
    let older = store.get(&path("a"), Which::Version(first)).await.unwrap();
    assert_eq!(older.value.expose(), b"one");
    assert_eq!(store.describe(&path("a")).await.unwrap().labels, labels);
}

/// With `delete = "disable"` nothing is asked of the service's soft delete.
#[tokio::test]
async fn disabling_in_place_of_deleting() {
    let fake = Fake::start(Clock::Steps);
    let store = open_with(&fake, |config| config.delete = Deletion::Disable).await;
    put(&store, "a", b"one").await.unwrap();
    store.delete(&path("a"), None).await.unwrap();
    assert_eq!(fake.state().secrets["a"].phase, Phase::Active);
    put(&store, "a", b"two").await.unwrap();
    let asked = paths_asked(&fake);
    assert!(
        !asked
            .iter()
            .any(|p| p.starts_with("DELETE") || p.contains("deletedsecrets"))
    );
}

/// In a vault where the service's delete is for good, a delete can be taken back all the same.
#[tokio::test]
async fn a_vault_without_soft_delete_loses_nothing() {
    let fake = Fake::start(Clock::Steps);
    fake.state().soft_delete = false;
    let store = open(&fake).await;
    put(&store, "a", b"one").await.unwrap();
    store.delete(&path("a"), None).await.unwrap();
    assert_eq!(kind(value(&store, "a").await), ErrorKind::NotFound);
    let versioning = store.versioning().unwrap();
    versioning.undelete(&path("a"), None).await.unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"one");
}

#[tokio::test]
async fn text_and_binary_have_limits_of_their_own() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    let text = "\u{e9}".repeat(12_800).into_bytes();
    let binary = vec![0xff; 19_200];
    for (name, bytes) in [("text", &text), ("binary", &binary)] {
        put(&store, name, bytes).await.unwrap();
        assert_eq!(&value(&store, name).await.unwrap(), bytes);
    }
    fake.forget_requests();
    let refused = put(&store, "text", &[b'x'; 25_601]).await;
    assert_eq!(kind(refused), ErrorKind::TooLarge(25_600));
    let refused = put(&store, "binary", &[0xff; 19_201]).await;
    assert_eq!(kind(refused), ErrorKind::TooLarge(19_200));
    assert!(fake.requests().is_empty(), "refused before any call");
}

#[tokio::test]
async fn metadata_that_no_tag_holds_is_refused_before_any_call() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    let with = |metadata| PutOptions {
        metadata,
        ..PutOptions::default()
    };
    let label = |i: usize| (format!("l{i}"), "v".to_owned());
    let many = Metadata {
        labels: Some((0..16).map(label).collect()),
        ..Metadata::default()
    };
    let long = Metadata {
        description: Some("d".repeat(257)),
        ..Metadata::default()
    };
    let value = SecretValue::copy_of(b"x");
    for metadata in [many, long] {
        let refused = store.put(&path("a"), &value, &with(metadata)).await;
        assert_eq!(kind(refused), ErrorKind::InvalidArgument);
    }
    assert!(fake.requests().is_empty());
}

/// What other tools wrote is read as it is, keeps its tags and content type, and is found again.
#[tokio::test]
async fn secrets_of_other_tools_are_at_home() {
    let fake = Fake::start(Clock::Steps);
    fake.state().put("LegacyKey", "from the portal");
    {
        let mut state = fake.state();
        let version = &mut state.secrets.get_mut("legacykey").unwrap().versions[0];
        version.content_type = Some("text/plain".to_owned());
        version.tags.insert("owner".to_owned(), "ops".to_owned());
    }
    let store = open(&fake).await;
    assert_eq!(
        value(&store, "legacykey").await.unwrap(),
        b"from the portal"
    );
    let listed = store.list("", None, 10).await.unwrap();
    assert_eq!(listed.paths, [path("legacykey")]);
    // Upper case is another path, and so another name.
    assert_eq!(kind(value(&store, "LegacyKey").await), ErrorKind::NotFound);
    put(&store, "legacykey", b"new").await.unwrap();
    let state = fake.state();
    let newest = state.secrets["legacykey"].newest();
    assert_eq!(newest.content_type.as_deref(), Some("text/plain"));
    assert_eq!(newest.tags["owner"], "ops");
}

/// A secret that sits on an encoded name without its note is never read, written or deleted.
#[tokio::test]
async fn a_name_that_is_taken_by_another_secret_is_refused() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    put(&store, "a/b", b"ours").await.unwrap();
    let name = fake.state().secrets.keys().next().unwrap().clone();
    assert!(name.starts_with("a-b--"), "{name}");
    for tag in [None, Some("c/d")] {
        {
            let mut state = fake.state();
            let version = &mut state.secrets.get_mut(&name).unwrap().versions[0];
            version.tags.remove("strongroom-path");
            version
                .tags
                .extend(tag.map(|tag| ("strongroom-path".to_owned(), tag.to_owned())));
        }
        assert_eq!(kind(value(&store, "a/b").await), ErrorKind::Failed);
        assert_eq!(kind(put(&store, "a/b", b"x").await), ErrorKind::Failed);
        assert_eq!(
            kind(store.delete(&path("a/b"), None).await),
            ErrorKind::Failed
        );
        assert_eq!(kind(store.versions(&path("a/b")).await), ErrorKind::Failed);
        assert!(store.list("", None, 10).await.unwrap().paths.is_empty());
        assert_eq!(fake.state().secrets[&name].versions.len(), 1);
        assert!(fake.state().secrets[&name].versions[0].enabled);
    }
}

/// A prefix and names that others gave: nothing else of the vault is seen.
#[tokio::test]
async fn a_prefix_and_given_names_bound_what_is_seen() {
    let fake = Fake::start(Clock::Steps);
    fake.state().put("LegacyStripeKey", "legacy");
    fake.state().put("other", "not ours");
    let store = open_with(&fake, |config| {
        config.prefix = "App-".to_owned();
        let given = ("stripe/api-key".to_owned(), "LegacyStripeKey".to_owned());
        config.names.extend([given]);
    })
    .await;
    put(&store, "db", b"x").await.unwrap();
    assert!(fake.state().secrets.contains_key("app-db"));
    assert_eq!(value(&store, "stripe/api-key").await.unwrap(), b"legacy");
    assert_eq!(kind(value(&store, "other").await), ErrorKind::NotFound);
    let listed = store.list("", None, 10).await.unwrap();
    assert_eq!(listed.paths, [path("db"), path("stripe/api-key")]);
}

/// Who may not read a value may still write one: a listing tells what the write must keep.
#[tokio::test]
async fn writing_needs_no_right_to_read() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    let kind_of = Metadata {
        kind: Some("api-key".to_owned()),
        ..Metadata::default()
    };
    let options = PutOptions {
        metadata: kind_of,
        ..PutOptions::default()
    };
    let one = SecretValue::copy_of(b"one");
    store.put(&path("a"), &one, &options).await.unwrap();
    fake.state().denied.push(("get", Denial::Policy));
    assert_eq!(kind(value(&store, "a").await), ErrorKind::PermissionDenied);
    put(&store, "a", b"two").await.unwrap();
    let told = store.describe(&path("a")).await.unwrap();
    assert_eq!(told.kind.as_deref(), Some("api-key"));
}

/// Each page of a long listing is not a listing of its own, and a change of ours shows at once.
#[tokio::test]
async fn a_listing_in_pages_asks_once() {
    let fake = Fake::start(Clock::Steps);
    for i in 0..60 {
        fake.state().put(&format!("n{i:02}"), "x");
    }
    let store = open(&fake).await;
    let first = store.list("", None, 10).await.unwrap();
    let calls = fake.requests().len();
    let mut last = first.paths.last().cloned();
    let mut seen = first.paths.len();
    while let Some(after) = last {
        let page = store.list("", Some(after.as_str()), 10).await.unwrap();
        seen += page.paths.len();
        last = page.paths.last().cloned().filter(|_| page.more);
    }
    assert_eq!(seen, 60);
    assert_eq!(fake.requests().len(), calls);
    put(&store, "n59x", b"x").await.unwrap();
    let page = store.list("", Some("n59"), 10).await.unwrap();
    assert_eq!(page.paths, [path("n59x")]);
}

/// What the product leaves in the vault and in its errors when everything is refused.
#[tokio::test]
async fn refusals_have_their_kinds_and_no_value() {
    let fake = Fake::start(Clock::Steps);
    let store = open(&fake).await;
    let canary = Canary::new("canary-7d31-in-the-vault");
    put(&store, "a", canary.bytes()).await.unwrap();
    let mut errors: Vec<Error> = Vec::new();
    fake.state().throttled = 1;
    errors.push(value(&store, "a").await.unwrap_err());
    assert_eq!(errors[0].kind(), ErrorKind::Unavailable);
    for operation in ["get", "list", "set", "delete"] {
        fake.state().denied.push((operation, Denial::Firewall));
    }
    errors.push(value(&store, "a").await.unwrap_err());
    errors.push(put(&store, "a", canary.bytes()).await.unwrap_err());
    errors.push(store.delete(&path("a"), None).await.unwrap_err());
    errors.push(store.list("", None, 1).await.unwrap_err());
    for error in &errors[1..] {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("firewall"), "{error}");
    }
    for error in &errors {
        assert!(canary.found_in_error(error).is_none());
        assert!(!format!("{error:?}").contains(fake::TENANT));
    }
}
