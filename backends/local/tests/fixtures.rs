//! A store of each format that was ever released opens, or is refused by name.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::*;
use strongroom_backend::{Backend, PutOptions, Which};

/// Copies a fixture to a private folder: a checkout has modes of its own.
fn fixture(format: &str) -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format);
    let dir = folder();
    std::fs::create_dir(dir.path().join("keys")).unwrap();
    for name in ["app.vault", "keys/app.key"] {
        let to = dir.path().join(name);
        std::fs::copy(from.join(name), &to).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    std::fs::set_permissions(
        dir.path().join("keys"),
        std::fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    dir
}

#[test]
fn format_1_opens_and_can_be_written() {
    let dir = fixture("v1");
    let store = open(dir.path());
    wait(store.check()).unwrap();
    assert_eq!(names(&store).unwrap(), ["db/main", "stripe/api-key"]);
    assert_eq!(
        read(&store, "stripe/api-key", Which::Current).unwrap(),
        "second"
    );
    assert_eq!(
        read(&store, "stripe/api-key", Which::Version(1)).unwrap(),
        "first"
    );
    let known = wait(store.describe(&path("db/main"))).unwrap();
    assert_eq!(known.kind.as_deref(), Some("database"));
    assert_eq!(known.labels, [("team".to_owned(), "payments".to_owned())]);
    let versions = wait(store.versions(&path("db/main"))).unwrap();
    assert_eq!(versions[0].author.as_deref(), Some("operator:test"));
    assert_eq!(versions[0].expires, Some(4_102_444_800_000));
    assert_eq!(store.mark().unwrap().unwrap().counter, 5);
    assert_eq!(put(&store, "stripe/api-key", "third"), 3);
    store.rotate_keys(|_, _| ()).unwrap();
    wait(store.check()).unwrap();
}

/// Writes the fixture of the present format: run it by hand, once, when a format is released.
#[test]
#[ignore = "writes a fixture"]
fn make_the_fixture_of_this_format() {
    let dir = spawned_dir();
    let store = create(&dir);
    put(&store, "stripe/api-key", "first");
    put(&store, "stripe/api-key", "second");
    let options = PutOptions {
        expires: Some(4_102_444_800_000),
        author: Some("operator:test".to_owned()),
        metadata: strongroom_backend::Metadata {
            kind: Some("database".to_owned()),
            description: Some("the main database".to_owned()),
            labels: Some(vec![("team".to_owned(), "payments".to_owned())]),
        },
        ..PutOptions::default()
    };
    wait(store.put(&path("db/main"), &value("postgres"), &options)).unwrap();
    put(&store, "gone", "x");
    wait(store.delete(&path("gone"), None)).unwrap();
}
