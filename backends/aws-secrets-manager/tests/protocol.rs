//! What happens between the requests of a write: others write, the console does, a writer dies.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use strongroom_backend::{Backend, ErrorKind, VersionState, Versioning, Which};

use common::service::{Secrets, Version, write_as_another_tool};
use common::{Strict, kind, path, put};

const ROUNDS: usize = 20;

/// A version that the store wrote, without current being moved to it: what a dead writer leaves.
fn leave(secrets: &mut Secrets, name: &str, number: u64, value: &str) {
    let secret = secrets.get_mut(name).unwrap();
    let created = secret.versions.last().unwrap().created + 0.001;
    let salt = secret.versions[0].id.rsplit_once('-').unwrap().1.to_owned();
    for version in &mut secret.versions {
        version.labels.remove("STRONGROOM-WRITTEN");
    }
    secret.versions.push(Version {
        id: format!("strongroom-{number:020}-{salt}"),
        value: json!({ "SecretString": value }),
        labels: BTreeSet::from(["STRONGROOM-WRITTEN".to_owned()]),
        created,
    });
}

/// Moves `AWSCURRENT` as another writer would.
fn make_current(secrets: &mut Secrets, name: &str, number: u64) {
    let secret = secrets.get_mut(name).unwrap();
    let digits = format!("strongroom-{number:020}");
    for version in &mut secret.versions {
        version.labels.remove("AWSPREVIOUS");
        if version.labels.remove("AWSCURRENT") {
            version.labels.insert("AWSPREVIOUS".to_owned());
        }
        if version.id.starts_with(&digits) {
            version.labels.insert("AWSCURRENT".to_owned());
        }
    }
}

/// Calls `act` before the first request of this action, and not again.
fn once(strict: &Strict, action: &'static str, act: impl FnOnce(&mut Secrets) + Send + 'static) {
    let mut act = Some(act);
    strict.service.before(move |asked, secrets| {
        if asked == action
            && let Some(act) = act.take()
        {
            act(secrets);
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_of_the_same_value_one_wins() {
    let strict = Strict::start().await;
    let other = strict.another().await;
    for round in 0..ROUNDS {
        let name = format!("race/{round}");
        let number = strict.put(&name, b"start").await;
        let first = put(&strict.store, &name, b"same", Some(number));
        let second = put(&other, &name, b"same", Some(number));
        let results = futures_join(first, second).await;
        let won: Vec<u64> = results
            .iter()
            .filter_map(|r| r.as_ref().ok().copied())
            .collect();
        assert_eq!(won, [2], "{results:?}");
        let lost = results.into_iter().find_map(Result::err).unwrap();
        assert_eq!(lost.kind(), ErrorKind::Conflict(2));
        assert_eq!(strict.get(&name).await.unwrap(), (2, b"same".to_vec()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_creators_of_the_same_value_one_wins() {
    let strict = Strict::start().await;
    let other = strict.another().await;
    for round in 0..ROUNDS {
        let name = format!("race/{round}");
        let first = put(&strict.store, &name, b"same", Some(0));
        let second = put(&other, &name, b"same", Some(0));
        let results = futures_join(first, second).await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "{results:?}");
        let lost = results.into_iter().find_map(Result::err).unwrap();
        assert_eq!(lost.kind(), ErrorKind::Conflict(1));
    }
}

#[tokio::test]
async fn a_writer_whose_version_another_made_current_did_not_win() {
    for (expected, outcome) in [(Some(1), Err(ErrorKind::Conflict(2))), (None, Ok(2))] {
        let strict = Strict::start().await;
        strict.put("a", b"one").await;
        once(&strict, "UpdateSecretVersionStage", |secrets| {
            make_current(secrets, "a", 2);
        });
        let written = put(&strict.store, "a", b"two", expected).await;
        assert_eq!(written.map_err(|error| error.kind()), outcome);
        assert_eq!(strict.get("a").await.unwrap(), (2, b"two".to_vec()));
    }
}

#[tokio::test]
async fn a_dead_writer_holds_nobody_up_and_its_value_is_never_read() {
    let strict = Strict::start().await;
    strict.put("a", b"one").await;
    leave(&mut strict.service.secrets(), "a", 2, "never told");
    assert_eq!(strict.get("a").await.unwrap(), (1, b"one".to_vec()));
    assert_eq!(
        kind(strict.read("a", Which::Version(2)).await),
        ErrorKind::NotFound
    );
    let versions = strict.store.versions(&path("a")).await.unwrap();
    let states: Vec<_> = versions.iter().map(|v| (v.version, v.state)).collect();
    assert_eq!(
        states,
        [(2, VersionState::Pending), (1, VersionState::Current)]
    );
    assert_eq!(strict.put_if("a", b"three", 1).await.unwrap(), 3);
    assert_eq!(strict.get("a").await.unwrap(), (3, b"three".to_vec()));
}

#[tokio::test]
async fn a_dead_writer_of_the_same_value_is_no_winner() {
    let strict = Strict::start().await;
    strict.put("a", b"one").await;
    leave(&mut strict.service.secrets(), "a", 2, "two");
    let number = strict.put_if("a", b"two", 1).await.unwrap();
    assert_eq!(strict.get("a").await.unwrap(), (number, b"two".to_vec()));
}

#[tokio::test]
async fn a_writer_that_slept_between_its_steps_changes_nothing() {
    let strict = Strict::start().await;
    strict.put("a", b"one").await;
    once(&strict, "UpdateSecretVersionStage", |secrets| {
        leave(secrets, "a", 3, "three");
        make_current(secrets, "a", 3);
    });
    let late = strict.put_if("a", b"late", 1).await;
    assert_eq!(kind(late), ErrorKind::Conflict(3));
    assert_eq!(strict.get("a").await.unwrap(), (3, b"three".to_vec()));
}

#[tokio::test]
async fn what_the_console_writes_meanwhile_is_not_lost() {
    let strict = Strict::start().await;
    strict.put("a", b"one").await;
    once(&strict, "UpdateSecretVersionStage", |secrets| {
        write_as_another_tool(secrets, "a", "by hand");
    });
    let late = strict.put_if("a", b"late", 1).await;
    let (number, value) = strict.get("a").await.unwrap();
    assert_eq!(kind(late), ErrorKind::Conflict(number));
    assert_eq!(value, b"by hand");
    assert!(number > 1_700_000_000_000, "{number}");
    assert_eq!(
        strict.put_if("a", b"seen", number).await.unwrap(),
        number + 1
    );
}

#[tokio::test]
async fn an_unconditional_write_comes_after_what_the_console_wrote() {
    let strict = Strict::start().await;
    strict.put("a", b"one").await;
    once(&strict, "UpdateSecretVersionStage", |secrets| {
        write_as_another_tool(secrets, "a", "by hand");
    });
    let number = strict.put("a", b"last").await;
    assert!(number > 1_700_000_000_000, "{number}");
    assert_eq!(strict.get("a").await.unwrap(), (number, b"last".to_vec()));
}

#[tokio::test]
async fn versions_of_other_tools_are_numbered_by_their_time() {
    let strict = Strict::start().await;
    let first = strict.service.write_as_another_tool("a", "first");
    assert_eq!(strict.get("a").await.unwrap(), (first, b"first".to_vec()));
    let second = strict.put("a", b"second").await;
    assert_eq!(second, first + 1);
    std::thread::sleep(std::time::Duration::from_millis(20));
    let third = strict.service.write_as_another_tool("a", "third");
    let fourth = strict.put_if("a", b"fourth", third).await.unwrap();
    let values = [
        (first, "first"),
        (second, "second"),
        (third, "third"),
        (fourth, "fourth"),
    ];
    assert!(values.is_sorted_by(|a, b| a.0 < b.0), "{values:?}");
    for (number, value) in values {
        let read = strict.read("a", Which::Version(number)).await.unwrap();
        assert_eq!(read, (number, value.as_bytes().to_vec()));
    }
    let versions = strict.store.versions(&path("a")).await.unwrap();
    let numbers: Vec<_> = versions.iter().map(|version| version.version).collect();
    assert_eq!(numbers, [fourth, third, second, first]);
    let told = strict.store.describe(&path("a")).await.unwrap();
    assert_eq!(told.version, Some(fourth));
}

#[tokio::test]
async fn a_number_of_two_versions_is_of_neither() {
    let strict = Strict::start().await;
    let number = strict.service.write_as_another_tool("a", "one");
    strict.service.write_as_another_tool("a", "two");
    for version in &mut strict.service.secrets().get_mut("a").unwrap().versions {
        version.created = number as f64 / 1000.0;
    }
    let error = strict.read("a", Which::Version(number)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("two versions"), "{error}");
}

#[tokio::test]
async fn a_rotation_that_is_under_way_is_pending() {
    let strict = Strict::start().await;
    strict.put("a", b"one").await;
    strict.service.change(|secrets| {
        write_as_another_tool(secrets, "a", "rotating");
        make_current(secrets, "a", 1);
        let rotating = secrets.get_mut("a").unwrap().versions.last_mut().unwrap();
        rotating.labels = BTreeSet::from(["AWSPENDING".to_owned()]);
    });
    assert_eq!(strict.get("a").await.unwrap(), (1, b"one".to_vec()));
    let versions = strict.store.versions(&path("a")).await.unwrap();
    assert_eq!(versions[0].state, VersionState::Pending);
    assert_eq!(versions[1].state, VersionState::Current);
    let number = strict.put("a", b"two").await;
    assert!(
        number > versions[0].version,
        "numbers rise above the pending one"
    );
}

#[tokio::test]
async fn a_version_id_of_another_secret_is_not_taken_for_ours() {
    let strict = Strict::start().await;
    strict.put("b", b"of b").await;
    strict.service.change(|secrets| {
        let copied = secrets["b"].clone();
        secrets.insert("a".to_owned(), copied);
    });
    let (number, _) = strict.get("a").await.unwrap();
    assert!(number > 1_700_000_000_000, "{number}");
}

#[tokio::test]
async fn a_secret_that_another_tool_made_without_a_value_gets_its_first() {
    let strict = Strict::start().await;
    let empty = common::service::Secret::default();
    strict.service.secrets().insert("a".to_owned(), empty);
    assert_eq!(kind(strict.get("a").await), ErrorKind::NotFound);
    assert_eq!(
        kind(strict.store.delete(&path("a"), None).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(strict.store.undelete(&path("a"), None).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(strict.put_if("a", b"x", 7).await),
        ErrorKind::Conflict(0)
    );
    assert_eq!(strict.put_if("a", b"one", 0).await.unwrap(), 1);
    assert_eq!(strict.get("a").await.unwrap(), (1, b"one".to_vec()));
}

/// Both at once, in one task each.
async fn futures_join<T: Send + 'static>(
    first: impl Future<Output = T> + Send,
    second: impl Future<Output = T> + Send,
) -> Vec<T> {
    let (first, second) = tokio::join!(first, second);
    vec![first, second]
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_of_few_values_agree_on_who_won() {
    let strict = Strict::start().await;
    let mut number = strict.put("a", b"0").await;
    for round in 0..ROUNDS {
        let mut tasks = Vec::new();
        for writer in 0..6u8 {
            let store = Arc::clone(&strict.store);
            let value = [b'v', writer % 2];
            tasks.push(tokio::spawn(async move {
                put(&store, "a", &value, Some(number)).await
            }));
        }
        let mut won = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(number) => won.push(number),
                Err(error) => assert!(matches!(error.kind(), ErrorKind::Conflict(_))),
            }
        }
        let [winner] = won[..] else {
            panic!("{} won in round {round}", won.len());
        };
        assert!(winner > number);
        assert_eq!(strict.get("a").await.unwrap().0, winner);
        number = winner;
    }
}
