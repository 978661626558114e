//! What a store does, on real files.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

use strongroom_backend::{
    Backend, ErrorKind, Metadata, PutOptions, SecretPath, SecretValue, Which,
};
use strongroom_backend_local::{Config, KeySource, LocalBackend};

fn config() -> Config {
    Config::new("app.vault", KeySource::file("keys/app.key"))
}

fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

fn value(text: &str) -> SecretValue {
    SecretValue::copy_of(text.as_bytes())
}

async fn read(store: &LocalBackend, name: &str, which: Which) -> Result<String, ErrorKind> {
    let secret = store.get(&path(name), which).await.map_err(|e| e.kind())?;
    Ok(String::from_utf8(secret.value.expose().to_vec()).unwrap())
}

#[tokio::test]
async fn values_come_back_by_name_and_number_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalBackend::create(&config(), dir.path()).unwrap();
    let put = PutOptions::default();
    assert_eq!(
        store
            .put(&path("a/b"), &value("one"), &put)
            .await
            .unwrap()
            .version,
        1
    );
    let second = store.put(&path("a/b"), &value("two"), &put).await.unwrap();
    assert_eq!((second.version, second.counter), (2, Some(2)));
    store.put(&path("a/c"), &value(""), &put).await.unwrap();
    for store in [store, LocalBackend::open(&config(), dir.path()).unwrap()] {
        assert_eq!(read(&store, "a/b", Which::Current).await.unwrap(), "two");
        assert_eq!(read(&store, "a/b", Which::Version(1)).await.unwrap(), "one");
        assert_eq!(read(&store, "a/c", Which::Current).await.unwrap(), "");
        assert_eq!(
            read(&store, "a/b", Which::Version(3)).await,
            Err(ErrorKind::NotFound)
        );
        assert_eq!(
            read(&store, "a/d", Which::Current).await,
            Err(ErrorKind::NotFound)
        );
        let page = store.list("a/", None, 10).await.unwrap();
        assert_eq!(page.paths, [path("a/b"), path("a/c")]);
        assert!(!page.more);
        assert_eq!(store.mark().unwrap().unwrap().counter, 3);
        store.check().await.unwrap();
    }
}

#[tokio::test]
async fn a_secret_lives_through_delete_undelete_and_destroy() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalBackend::create(&config(), dir.path()).unwrap();
    let more = store.versioning().unwrap();
    let name = path("db/main");
    for text in ["one", "two", "three"] {
        store
            .put(&name, &value(text), &PutOptions::default())
            .await
            .unwrap();
    }
    store.delete(&name, None).await.unwrap();
    assert_eq!(
        read(&store, "db/main", Which::Current).await,
        Err(ErrorKind::NotFound)
    );
    assert!(store.list("", None, 10).await.unwrap().paths.is_empty());
    more.undelete(&name, None).await.unwrap();
    assert_eq!(
        read(&store, "db/main", Which::Current).await.unwrap(),
        "three"
    );
    assert_eq!(more.destroy(&name, 3).await.unwrap().version, 3);
    assert_eq!(
        read(&store, "db/main", Which::Current).await,
        Err(ErrorKind::NotFound)
    );
    assert_eq!(
        more.destroy(&name, 3).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        read(&store, "db/main", Which::Version(2)).await.unwrap(),
        "two"
    );
    let metadata = Metadata {
        kind: Some("database".into()),
        ..Metadata::default()
    };
    more.set_metadata(&name, &metadata).await.unwrap();
    let known = store.describe(&name).await.unwrap();
    assert_eq!(
        (known.version, known.kind.as_deref()),
        (None, Some("database"))
    );
    assert_eq!(store.versions(&name).await.unwrap().len(), 3);
    store.check().await.unwrap();
}

#[tokio::test]
async fn expected_versions_and_sizes_are_kept_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalBackend::create(&config(), dir.path()).unwrap();
    let expect = |version| PutOptions {
        expected: Some(version),
        ..PutOptions::default()
    };
    store
        .put(&path("a"), &value("1"), &expect(0))
        .await
        .unwrap();
    let again = store
        .put(&path("a"), &value("2"), &expect(0))
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict(1));
    store
        .put(&path("a"), &value("2"), &expect(1))
        .await
        .unwrap();
    let max = store.capabilities().max_value as usize;
    let large = SecretValue::new(vec![7; max]);
    store.put(&path("b"), &large, &expect(0)).await.unwrap();
    assert_eq!(
        *store.get(&path("b"), Which::Current).await.unwrap().value,
        large
    );
    let larger = SecretValue::new(vec![7; max + 1]);
    let refused = store
        .put(&path("b"), &larger, &expect(1))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge(max as u64));
}

#[tokio::test]
async fn the_oldest_version_beyond_the_kept_ones_is_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.keep_versions = 2;
    let store = LocalBackend::create(&config, dir.path()).unwrap();
    for text in ["1", "2", "3", "4"] {
        store
            .put(&path("a"), &value(text), &PutOptions::default())
            .await
            .unwrap();
    }
    let kept: Vec<u64> = store
        .versions(&path("a"))
        .await
        .unwrap()
        .iter()
        .map(|info| info.version)
        .collect();
    assert_eq!(kept, [4, 3]);
    assert_eq!(
        read(&store, "a", Which::Version(2)).await,
        Err(ErrorKind::NotFound)
    );
    store.check().await.unwrap();
}

#[tokio::test]
async fn an_expired_version_is_not_returned() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalBackend::create(&config(), dir.path()).unwrap();
    let expired = PutOptions {
        expires: Some(1),
        ..PutOptions::default()
    };
    store.put(&path("a"), &value("1"), &expired).await.unwrap();
    assert_eq!(
        read(&store, "a", Which::Current).await,
        Err(ErrorKind::NotFound)
    );
    assert_eq!(
        read(&store, "a", Which::Version(1)).await,
        Err(ErrorKind::NotFound)
    );
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    LocalBackend::create(&config(), dir.path()).unwrap();
    let key = std::fs::read(dir.path().join("keys/app.key")).unwrap();
    let again = LocalBackend::create(&config(), dir.path()).err().unwrap();
    assert_eq!(again.kind(), ErrorKind::Config);
    assert_eq!(std::fs::read(dir.path().join("keys/app.key")).unwrap(), key);
    assert!(LocalBackend::open(&config(), dir.path()).is_ok());
}

#[tokio::test]
async fn metadata_has_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalBackend::create(&config(), dir.path()).unwrap();
    let describe = |length| PutOptions {
        metadata: Metadata {
            description: Some("d".repeat(length)),
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    let put = async |length| {
        let done = store.put(&path("a"), &value("1"), &describe(length)).await;
        done.map(|change| change.version)
            .map_err(|error| error.kind())
    };
    assert_eq!(put(200 * 1024).await, Ok(1));
    assert_eq!(put(256 * 1024).await, Err(ErrorKind::InvalidArgument));
    assert_eq!(read(&store, "a", Which::Current).await.unwrap(), "1");
    store.check().await.unwrap();
}
