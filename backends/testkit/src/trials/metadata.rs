//! What is known of a secret beside its value.

use strongroom_backend::{ErrorKind, Metadata, PutOptions};

use super::Traits;
use crate::flaw::{Flaw, Verdict, ensure_eq, refused};
use crate::run::cases;
use crate::subject::{Subject, labelled, path};

cases! {
    keeps_metadata => [
        it_is_set_with_the_value, a_write_without_it_keeps_it, each_part_is_replaced_alone,
        labels_are_replaced_whole, unicode_is_kept, it_changes_without_a_new_version,
        a_missing_secret_has_none, a_refused_write_leaves_it,
    ],
}

fn keeps_metadata(t: &Traits) -> bool {
    t.can.write && t.can.metadata
}

/// Kind, description and labels given to `put` are told by `describe`.
async fn it_is_set_with_the_value(s: Subject) -> Verdict {
    let name = path("set")?;
    s.put_with(&name, b"x", &with(full())).await?;
    is_full(&s, "set").await
}

/// None keeps what is there.
async fn a_write_without_it_keeps_it(s: Subject) -> Verdict {
    let name = path("kept")?;
    s.put_with(&name, b"x", &with(full())).await?;
    s.put(&name, b"y").await?;
    is_full(&s, "kept").await?;
    s.versioning()?
        .set_metadata(&name, &Metadata::default())
        .await?;
    is_full(&s, "kept").await
}

/// Giving one part leaves the other two.
async fn each_part_is_replaced_alone(s: Subject) -> Verdict {
    let name = path("parts")?;
    s.put_with(&name, b"x", &with(full())).await?;
    let kind = Metadata {
        kind: Some("certificate".to_owned()),
        ..Metadata::default()
    };
    s.versioning()?.set_metadata(&name, &kind).await?;
    let text = Metadata {
        description: Some(String::new()),
        ..Metadata::default()
    };
    s.versioning()?.set_metadata(&name, &text).await?;
    let told = s.backend.describe(&name).await?;
    ensure_eq!(told.kind.as_deref(), Some("certificate"), "the kind");
    ensure_eq!(
        told.description.as_deref().unwrap_or_default(),
        "",
        "the description"
    );
    ensure_eq!(
        sorted(told.labels),
        pairs(&[("env", "prod"), ("team", "a")]),
        "the labels"
    );
    Ok(())
}

/// Labels are the whole new set: what is not in it goes, and an empty set clears them.
async fn labels_are_replaced_whole(s: Subject) -> Verdict {
    let name = path("labels")?;
    s.put_with(&name, b"x", &with(full())).await?;
    for set in [
        &[("team", "b"), ("new", "")][..],
        &[("only", "one")],
        &[],
        &[("z", "1")],
    ] {
        s.versioning()?.set_metadata(&name, &labelled(set)).await?;
        let told = s.backend.describe(&name).await?;
        ensure_eq!(sorted(told.labels), pairs(set), "the labels");
    }
    Ok(())
}

/// Labels and descriptions are any text: scripts, emoji, marks, separators of formats.
async fn unicode_is_kept(s: Subject) -> Verdict {
    let name = path("unicode")?;
    let set = [
        ("\u{0}nul", "\u{0}"),
        ("a=b,c;d", "x=y&z|\"'\\\n\t"),
        ("caf\u{e9}", "cafe\u{301}"),
        ("cafe\u{301}", "caf\u{e9}"),
        ("\u{5bc6}\u{94a5}", "\u{627}\u{644}\u{633}\u{631} \u{202e}"),
        ("\u{1f511}", "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}"),
    ];
    let metadata = Metadata {
        description: Some("\u{feff}\u{5bc6}\u{1f511}\n\u{0}end".to_owned()),
        ..labelled(&set)
    };
    s.put_with(&name, b"x", &with(metadata.clone())).await?;
    let told = s.backend.describe(&name).await?;
    ensure_eq!(sorted(told.labels), pairs(&set), "the labels");
    ensure_eq!(told.description, metadata.description, "the description");
    Ok(())
}

/// Changing it leaves the value and its number, and is no new version.
async fn it_changes_without_a_new_version(s: Subject) -> Verdict {
    let name = path("version")?;
    let number = s.put(&name, b"x").await?;
    s.versioning()?.set_metadata(&name, &full()).await?;
    is_full(&s, "version").await?;
    ensure_eq!(
        s.current(&name).await?,
        (number, b"x".to_vec()),
        "the value"
    );
    Ok(())
}

/// It cannot be set on a name that was never written, and makes none.
async fn a_missing_secret_has_none(s: Subject) -> Verdict {
    let name = path("missing")?;
    let refusal = s.versioning()?.set_metadata(&name, &full()).await;
    refused(refusal, ErrorKind::NotFound, "metadata of a missing secret")?;
    let described = s.backend.describe(&name).await;
    refused(
        described,
        ErrorKind::NotFound,
        "describe of a missing secret",
    )
}

/// Metadata of a write that is refused is not kept.
async fn a_refused_write_leaves_it(s: Subject) -> Verdict {
    if s.can.compare_and_set == strongroom_backend::CompareAndSet::None {
        return Ok(());
    }
    let name = path("refused")?;
    let number = s.put_with(&name, b"x", &with(full())).await?;
    let options = PutOptions {
        expected: Some(0),
        metadata: labelled(&[("stolen", "yes")]),
        ..PutOptions::default()
    };
    let refusal = s.put_with(&name, b"y", &options).await;
    refused(
        refusal,
        ErrorKind::Conflict(number),
        "put with another expected version",
    )?;
    is_full(&s, "refused").await
}

fn full() -> Metadata {
    Metadata {
        kind: Some("api-key".to_owned()),
        description: Some("for the shop".to_owned()),
        ..labelled(&[("team", "a"), ("env", "prod")])
    }
}

async fn is_full(s: &Subject, name: &str) -> Result<(), Flaw> {
    let told = s.backend.describe(&path(name)?).await?;
    ensure_eq!(told.kind.as_deref(), Some("api-key"), "the kind");
    ensure_eq!(
        told.description.as_deref(),
        Some("for the shop"),
        "the description"
    );
    ensure_eq!(
        sorted(told.labels),
        pairs(&[("env", "prod"), ("team", "a")]),
        "the labels"
    );
    Ok(())
}

fn with(metadata: Metadata) -> PutOptions {
    PutOptions {
        metadata,
        ..PutOptions::default()
    }
}

fn pairs(set: &[(&str, &str)]) -> Vec<(String, String)> {
    sorted(labelled(set).labels.unwrap_or_default())
}

fn sorted(mut labels: Vec<(String, String)>) -> Vec<(String, String)> {
    labels.sort();
    labels
}
