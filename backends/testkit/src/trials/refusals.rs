//! What capabilities do not announce is refused as unsupported, and changes nothing.

use strongroom_backend::{
    Backend, CompareAndSet, ErrorKind, Metadata, PutOptions, Result, SecretPath, VersionNumbers,
    Which,
};

use super::{numbered, writes};
use crate::flaw::{Flaw, Verdict, refused};
use crate::run::cases;
use crate::subject::{Subject, labelled, now, path};

const REFUSED: ErrorKind = ErrorKind::Unsupported;

cases! {
    |t| !t.can.write => [without_write_nothing_is_written],
    |t| !t.can.list => [without_list_nothing_is_listed],
    |t| t.can.versions == VersionNumbers::None => [without_versions_there_are_no_numbers],
    |t| writes(t) && t.can.compare_and_set == CompareAndSet::None => [
        without_compare_and_set_none_is_expected,
    ],
    |t| writes(t) && t.can.compare_and_set == CompareAndSet::CreateOnly => [
        with_create_only_no_version_is_expected,
    ],
    |t| !t.can.undelete => [without_undelete_nothing_is_taken_back],
    |t| numbered(t) && !t.can.delete_version => [without_delete_version_none_goes_alone],
    |t| !t.can.destroy => [without_destroy_nothing_is_destroyed],
    |t| !t.can.metadata => [without_metadata_none_is_set],
    |t| writes(t) && !t.can.metadata => [without_metadata_none_is_written],
    |t| writes(t) && !t.can.expiry => [without_expiry_none_is_written],
}

/// Neither put nor delete.
async fn without_write_nothing_is_written(s: Subject) -> Verdict {
    let name = some_name(&s)?;
    refused(
        s.put_with(&name, b"x", &PutOptions::default()).await,
        REFUSED,
        "put",
    )?;
    refused(s.backend.delete(&name, None).await, REFUSED, "delete")?;
    for (name, value) in s.holds.iter() {
        s.holds(name, value).await?;
    }
    Ok(())
}

/// No names, rather than an empty page that reads as "nothing there".
async fn without_list_nothing_is_listed(s: Subject) -> Verdict {
    refused(s.backend.list("", None, 10).await, REFUSED, "list")
}

/// No call takes or lists numbers.
async fn without_versions_there_are_no_numbers(s: Subject) -> Verdict {
    let name = some_name(&s)?;
    if s.can.write {
        s.put(&name, b"x").await?;
        refused(
            s.backend.delete(&name, Some(1)).await,
            REFUSED,
            "delete of a version",
        )?;
    }
    refused(
        s.backend.get(&name, Which::Version(1)).await,
        REFUSED,
        "get of a version",
    )?;
    refused(s.backend.versions(&name).await, REFUSED, "versions")
}

/// Checking first and writing then would lose updates: refused.
async fn without_compare_and_set_none_is_expected(s: Subject) -> Verdict {
    let name = path("expected")?;
    refused(
        s.put_if(&name, b"x", 0).await,
        REFUSED,
        "put only if there is none",
    )?;
    s.is_gone(&name, "after a refused write").await?;
    let number = s.put(&name, b"one").await?;
    refused(
        s.put_if(&name, b"two", number).await,
        REFUSED,
        "put with an expected version",
    )?;
    s.holds(&name, b"one").await
}

/// Only 0 can be expected.
async fn with_create_only_no_version_is_expected(s: Subject) -> Verdict {
    let name = path("expected")?;
    let number = s.put(&name, b"one").await?;
    let expected = number.max(1);
    refused(
        s.put_if(&name, b"two", expected).await,
        REFUSED,
        "put with an expected version",
    )?;
    s.holds(&name, b"one").await
}

/// A delete is for good.
async fn without_undelete_nothing_is_taken_back(s: Subject) -> Verdict {
    let name = some_name(&s)?;
    let undelete = match s.backend.versioning() {
        Some(versioning) => versioning.undelete(&name, None).await.map(drop),
        None => missing(&*s.backend),
    };
    refused(undelete, REFUSED, "undelete")
}

/// No version is deleted or taken back by its number.
async fn without_delete_version_none_goes_alone(s: Subject) -> Verdict {
    let name = path("alone")?;
    let old = s.put(&name, b"old").await?;
    let number = s.put(&name, b"new").await?;
    for version in [old, number] {
        let delete = s.backend.delete(&name, Some(version)).await;
        refused(delete, REFUSED, "delete of one version")?;
    }
    s.holds(&name, b"new").await?;
    s.holds_version(&name, old, b"old").await?;
    let undelete = match s.backend.versioning() {
        Some(versioning) => versioning.undelete(&name, Some(old)).await.map(drop),
        None => missing(&*s.backend),
    };
    refused(undelete, REFUSED, "undelete of one version")
}

/// No version is destroyed, and none pretended to be.
async fn without_destroy_nothing_is_destroyed(s: Subject) -> Verdict {
    let name = some_name(&s)?;
    if s.can.write {
        s.put(&name, b"x").await?;
    }
    let destroy = match s.backend.versioning() {
        Some(versioning) => versioning.destroy(&name, 1).await.map(drop),
        None => missing(&*s.backend),
    };
    refused(destroy, REFUSED, "destroy")?;
    if s.can.write {
        s.holds(&name, b"x").await
    } else {
        Ok(())
    }
}

/// Metadata alone is not taken.
async fn without_metadata_none_is_set(s: Subject) -> Verdict {
    let name = some_name(&s)?;
    if s.can.write {
        s.put(&name, b"x").await?;
    }
    let set = match s.backend.versioning() {
        Some(versioning) => versioning
            .set_metadata(&name, &labelled(&[("a", "b")]))
            .await
            .map(drop),
        None => missing(&*s.backend),
    };
    refused(set, REFUSED, "metadata")
}

/// Metadata with a value is refused with it, not dropped.
async fn without_metadata_none_is_written(s: Subject) -> Verdict {
    let kind = Metadata {
        kind: Some("api-key".to_owned()),
        ..Metadata::default()
    };
    for metadata in [kind, labelled(&[("a", "b")])] {
        let options = PutOptions {
            metadata,
            ..PutOptions::default()
        };
        writes_nothing(&s, &options).await?;
    }
    Ok(())
}

/// A value that should expire is refused, not kept for good.
async fn without_expiry_none_is_written(s: Subject) -> Verdict {
    let options = PutOptions {
        expires: Some(now() + 60_000),
        ..PutOptions::default()
    };
    writes_nothing(&s, &options).await
}

async fn writes_nothing(s: &Subject, options: &PutOptions) -> Verdict {
    let name = path("refused")?;
    refused(
        s.put_with(&name, b"x", options).await,
        REFUSED,
        "put with what cannot be kept",
    )?;
    s.is_gone(&name, "after a refused write").await
}

/// A name that the store holds, where it was made with some.
fn some_name(s: &Subject) -> std::result::Result<SecretPath, Flaw> {
    match s.holds.first() {
        Some((name, _)) => Ok(name.clone()),
        None => path("refused"),
    }
}

/// What the broker makes of a store without the extension.
fn missing(backend: &dyn Backend) -> Result<()> {
    backend.require_versioning("the extension").map(drop)
}
