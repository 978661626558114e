//! Delete, undelete, destroy and expiry: what is gone stays gone until someone takes it back.

use std::time::Duration;

use strongroom_backend::{ErrorKind, PutOptions, VersionState};

use super::{Traits, deletes_versions, destroys, numbered, undeletes, writes};
use crate::flaw::{Flaw, Verdict, ensure, ensure_eq, refused};
use crate::run::cases;
use crate::subject::{Subject, now, path};

/// How long a value that expires in a trial lives: long enough to be read before.
const LIFE: Duration = Duration::from_secs(2);

cases! {
    writes => [
        a_deleted_secret_is_gone, nothing_to_delete_is_not_found, a_write_after_a_delete_is_new,
        a_delete_touches_no_other_secret,
    ],
    numbered => [numbers_go_on_after_a_delete, an_older_value_does_not_return_with_a_delete],
    undeletes => [
        every_version_goes_with_the_secret, undelete_takes_the_secret_back,
        an_earlier_delete_stays, nothing_to_undelete_is_not_found, a_deleted_secret_is_described,
    ],
    deletes_versions => [
        an_older_version_is_deleted_alone, the_current_version_is_deleted_alone,
        undelete_takes_one_version_back, what_was_deleted_alone_stays_deleted,
        undelete_does_not_displace_a_newer_value,
    ],
    destroys => [
        a_destroyed_version_is_gone_for_good, destroying_the_current_version_leaves_none,
        nothing_to_destroy_is_not_found, numbers_go_on_after_a_destroy,
    ],
    destroys_and_undeletes => [a_deleted_version_can_be_destroyed],
    expires => [an_expired_version_is_gone, expiry_is_told, a_write_replaces_an_expired_version],
}

fn destroys_and_undeletes(t: &Traits) -> bool {
    destroys(t) && undeletes(t)
}

fn expires(t: &Traits) -> bool {
    t.can.write && t.can.expiry
}

/// After a delete nobody reads it.
async fn a_deleted_secret_is_gone(s: Subject) -> Verdict {
    let name = path("deleted")?;
    s.put(&name, b"one").await?;
    s.put(&name, b"two").await?;
    s.backend.delete(&name, None).await?;
    s.is_gone(&name, "after its delete").await
}

/// Deleting what never was, or is deleted already, is not found.
async fn nothing_to_delete_is_not_found(s: Subject) -> Verdict {
    let name = path("twice")?;
    let missing = s.backend.delete(&name, None).await;
    refused(missing, ErrorKind::NotFound, "delete of a missing secret")?;
    s.put(&name, b"x").await?;
    s.backend.delete(&name, None).await?;
    let again = s.backend.delete(&name, None).await;
    refused(again, ErrorKind::NotFound, "a second delete")
}

/// A write after a delete answers with its own value.
async fn a_write_after_a_delete_is_new(s: Subject) -> Verdict {
    let name = path("reborn")?;
    for round in 0..3u8 {
        s.put(&name, &[round]).await?;
        s.holds(&name, &[round]).await?;
        s.backend.delete(&name, None).await?;
        s.is_gone(&name, "between lives").await?;
    }
    Ok(())
}

/// Secrets beside and under the deleted one stay.
async fn a_delete_touches_no_other_secret(s: Subject) -> Verdict {
    for name in ["app", "app/key", "app-key", "ap", "App"] {
        s.put(&path(name)?, name.as_bytes()).await?;
    }
    s.backend.delete(&path("app")?, None).await?;
    for name in ["app/key", "app-key", "ap", "App"] {
        s.holds(&path(name)?, name.as_bytes()).await?;
    }
    Ok(())
}

/// A number is never used twice, unless the store announces that it restarts.
async fn numbers_go_on_after_a_delete(s: Subject) -> Verdict {
    let name = path("counted")?;
    s.put(&name, b"one").await?;
    let last = s.put(&name, b"two").await?;
    s.backend.delete(&name, None).await?;
    let next = s.put(&name, b"three").await?;
    match s.can.restarts {
        true => ensure_eq!(next, 1, "the first number after a restart"),
        false => ensure!(
            next > last,
            "version {next} was written after version {last}"
        ),
    }
    s.holds_version(&name, next, b"three").await
}

/// Deleting the current version, where one version can be deleted, leaves none current.
async fn an_older_value_does_not_return_with_a_delete(s: Subject) -> Verdict {
    let name = path("older")?;
    s.put(&name, b"leaked").await?;
    let current = s.put(&name, b"rotated").await?;
    match s.backend.delete(&name, Some(current)).await {
        Ok(_) => {
            s.is_gone(&name, "after the delete of its current version")
                .await
        }
        Err(e) if e.kind() == ErrorKind::Unsupported && !s.can.delete_version => {
            s.holds(&name, b"rotated").await
        }
        Err(e) => Err(e.into()),
    }
}

/// An older version goes, the current one stays.
async fn an_older_version_is_deleted_alone(s: Subject) -> Verdict {
    let name = path("older")?;
    let numbers = three(&s, "older").await?;
    s.backend.delete(&name, Some(numbers[1])).await?;
    s.version_is_gone(&name, numbers[1], "after its delete")
        .await?;
    s.holds(&name, b"v2").await?;
    s.holds_version(&name, numbers[0], b"v0").await?;
    let again = s.backend.delete(&name, Some(numbers[1])).await;
    refused(again, ErrorKind::NotFound, "a second delete of a version")?;
    let never = s.backend.delete(&name, Some(numbers[2] + 1)).await;
    refused(
        never,
        ErrorKind::NotFound,
        "delete of a version that never was",
    )?;
    state(&s, "older", numbers[1], VersionState::Deleted).await
}

/// Without its current version a secret has none, and the older ones stay by number.
async fn the_current_version_is_deleted_alone(s: Subject) -> Verdict {
    let name = path("current")?;
    let numbers = three(&s, "current").await?;
    s.backend.delete(&name, Some(numbers[2])).await?;
    s.is_gone(&name, "after the delete of its current version")
        .await?;
    s.version_is_gone(&name, numbers[2], "after its delete")
        .await?;
    s.holds_version(&name, numbers[1], b"v1").await?;
    ensure_eq!(
        s.backend.describe(&name).await?.version,
        None,
        "the current version"
    );
    s.versioning()?.undelete(&name, Some(numbers[2])).await?;
    s.holds(&name, b"v2").await?;
    state(&s, "current", numbers[2], VersionState::Current).await
}

/// A delete of the secret hides each version by number too.
async fn every_version_goes_with_the_secret(s: Subject) -> Verdict {
    let name = path("whole")?;
    let numbers = three(&s, "whole").await?;
    s.backend.delete(&name, None).await?;
    for number in numbers {
        s.version_is_gone(&name, number, "after the delete of its secret")
            .await?;
        state(&s, "whole", number, VersionState::Deleted).await?;
    }
    s.put(&name, b"new").await?;
    for number in numbers {
        s.version_is_gone(&name, number, "after a write that followed")
            .await?;
    }
    Ok(())
}

/// Undelete of the secret brings back the current version and those by number.
async fn undelete_takes_the_secret_back(s: Subject) -> Verdict {
    let name = path("back")?;
    let numbers = three(&s, "back").await?;
    s.backend.delete(&name, None).await?;
    s.versioning()?.undelete(&name, None).await?;
    s.holds(&name, b"v2").await?;
    ensure_eq!(s.current(&name).await?.0, numbers[2], "the current version");
    s.holds_version(&name, numbers[0], b"v0").await?;
    state(&s, "back", numbers[0], VersionState::Superseded).await?;
    let next = s.put(&name, b"next").await?;
    ensure!(next > numbers[2], "version {next} follows {}", numbers[2]);
    Ok(())
}

/// Undelete of one version brings back that one only.
async fn undelete_takes_one_version_back(s: Subject) -> Verdict {
    let name = path("one")?;
    let numbers = three(&s, "one").await?;
    s.backend.delete(&name, None).await?;
    s.versioning()?.undelete(&name, Some(numbers[0])).await?;
    s.holds_version(&name, numbers[0], b"v0").await?;
    s.is_gone(&name, "while only an older version is back")
        .await?;
    s.version_is_gone(&name, numbers[1], "that was not taken back")
        .await?;
    s.versioning()?.undelete(&name, Some(numbers[2])).await?;
    s.holds(&name, b"v2").await
}

/// A version deleted by number is not taken back with the secret.
async fn what_was_deleted_alone_stays_deleted(s: Subject) -> Verdict {
    let name = path("alone")?;
    let numbers = three(&s, "alone").await?;
    s.backend.delete(&name, Some(numbers[0])).await?;
    s.backend.delete(&name, None).await?;
    s.versioning()?.undelete(&name, None).await?;
    s.holds(&name, b"v2").await?;
    s.holds_version(&name, numbers[1], b"v1").await?;
    s.version_is_gone(&name, numbers[0], "deleted on its own")
        .await
}

/// Undelete takes back the last delete of the secret, not one from before its last write.
async fn an_earlier_delete_stays(s: Subject) -> Verdict {
    let name = path("earlier")?;
    let leaked = s.put(&name, b"leaked").await?;
    s.backend.delete(&name, None).await?;
    s.put(&name, b"rotated").await?;
    let undeleted = s.versioning()?.undelete(&name, None).await;
    refused(undeleted, ErrorKind::NotFound, "undelete of what is there")?;
    s.backend.delete(&name, None).await?;
    s.versioning()?.undelete(&name, None).await?;
    s.holds(&name, b"rotated").await?;
    s.version_is_gone(&name, leaked, "deleted before the last write")
        .await
}

/// Nothing deleted, nothing there, no such version: not found.
async fn nothing_to_undelete_is_not_found(s: Subject) -> Verdict {
    let name = path("nothing")?;
    let versioning = s.versioning()?;
    let missing = versioning.undelete(&name, None).await;
    refused(missing, ErrorKind::NotFound, "undelete of a missing secret")?;
    let number = s.put(&name, b"x").await?;
    let whole = versioning.undelete(&name, None).await;
    refused(
        whole,
        ErrorKind::NotFound,
        "undelete of what is not deleted",
    )?;
    if s.can.delete_version {
        let one = versioning.undelete(&name, Some(number)).await;
        refused(
            one,
            ErrorKind::NotFound,
            "undelete of a version that is not deleted",
        )?;
        let never = versioning.undelete(&name, Some(number + 1)).await;
        refused(
            never,
            ErrorKind::NotFound,
            "undelete of a version that never was",
        )?;
    }
    s.holds(&name, b"x").await
}

/// A value written after the delete stays current when the old ones are taken back.
async fn undelete_does_not_displace_a_newer_value(s: Subject) -> Verdict {
    let name = path("newer")?;
    let numbers = three(&s, "newer").await?;
    s.backend.delete(&name, None).await?;
    s.put(&name, b"newer").await?;
    s.versioning()?.undelete(&name, Some(numbers[2])).await?;
    s.holds(&name, b"newer").await?;
    s.holds_version(&name, numbers[2], b"v2").await?;
    state(&s, "newer", numbers[2], VersionState::Superseded).await
}

/// `describe` and `versions` still answer for a deleted secret, without a current version.
async fn a_deleted_secret_is_described(s: Subject) -> Verdict {
    let name = path("described")?;
    three(&s, "described").await?;
    s.backend.delete(&name, None).await?;
    let told = s.backend.describe(&name).await?;
    ensure_eq!(told.version, None, "the current version");
    ensure_eq!(
        s.backend.versions(&name).await?.len(),
        3,
        "the number of versions"
    );
    let missing = s.backend.describe(&path("missing")?).await;
    refused(missing, ErrorKind::NotFound, "describe of a missing secret")
}

/// Neither read, nor undeleted, nor destroyed again; the others stay.
async fn a_destroyed_version_is_gone_for_good(s: Subject) -> Verdict {
    let name = path("destroyed")?;
    let numbers = three(&s, "destroyed").await?;
    let versioning = s.versioning()?;
    versioning.destroy(&name, numbers[0]).await?;
    s.version_is_gone(&name, numbers[0], "after its destruction")
        .await?;
    if s.can.undelete && s.can.delete_version {
        let undeleted = versioning.undelete(&name, Some(numbers[0])).await;
        refused(
            undeleted,
            ErrorKind::NotFound,
            "undelete of a destroyed version",
        )?;
    }
    let again = versioning.destroy(&name, numbers[0]).await;
    refused(again, ErrorKind::NotFound, "a second destruction")?;
    s.holds_version(&name, numbers[1], b"v1").await?;
    s.holds(&name, b"v2").await?;
    state(&s, "destroyed", numbers[0], VersionState::Destroyed).await
}

/// No older value becomes current, and undelete brings none.
async fn destroying_the_current_version_leaves_none(s: Subject) -> Verdict {
    let name = path("headless")?;
    let numbers = three(&s, "headless").await?;
    s.versioning()?.destroy(&name, numbers[2]).await?;
    s.is_gone(&name, "after the destruction of its current version")
        .await?;
    s.holds_version(&name, numbers[1], b"v1").await?;
    if s.can.list {
        ensure_eq!(
            s.list("", 10).await?.len(),
            0,
            "names without a current version"
        );
    }
    if s.can.undelete {
        let undeleted = s.versioning()?.undelete(&name, None).await;
        refused(
            undeleted,
            ErrorKind::NotFound,
            "undelete of what is not deleted",
        )?;
    }
    s.is_gone(&name, "after the destruction of its current version")
        .await
}

/// A missing secret and a version that never was are not found.
async fn nothing_to_destroy_is_not_found(s: Subject) -> Verdict {
    let name = path("nothing")?;
    let missing = s.versioning()?.destroy(&name, 1).await;
    refused(
        missing,
        ErrorKind::NotFound,
        "destruction in a missing secret",
    )?;
    let number = s.put(&name, b"x").await?;
    let never = s.versioning()?.destroy(&name, number + 1).await;
    refused(
        never,
        ErrorKind::NotFound,
        "destruction of a version that never was",
    )?;
    s.holds(&name, b"x").await
}

/// The number of a destroyed version is not used again.
async fn numbers_go_on_after_a_destroy(s: Subject) -> Verdict {
    let name = path("counted")?;
    let number = s.put(&name, b"one").await?;
    s.versioning()?.destroy(&name, number).await?;
    let next = s.put(&name, b"two").await?;
    ensure!(
        next > number,
        "version {next} was written after version {number}"
    );
    s.version_is_gone(&name, number, "after its destruction")
        .await?;
    s.holds(&name, b"two").await
}

/// A deleted version can be destroyed, and does not come back with the secret.
async fn a_deleted_version_can_be_destroyed(s: Subject) -> Verdict {
    let name = path("both")?;
    let numbers = three(&s, "both").await?;
    s.backend.delete(&name, None).await?;
    s.versioning()?.destroy(&name, numbers[2]).await?;
    s.versioning()?.undelete(&name, None).await?;
    s.is_gone(&name, "whose current version was destroyed")
        .await?;
    s.version_is_gone(&name, numbers[2], "after its destruction")
        .await?;
    s.holds_version(&name, numbers[1], b"v1").await
}

/// At its time a version is gone, by number too, and older ones do not take its place.
async fn an_expired_version_is_gone(s: Subject) -> Verdict {
    let name = path("expires")?;
    s.put(&name, b"older").await?;
    let number = s
        .put_with(&name, b"short", &until(now() + millis(LIFE)))
        .await?;
    s.holds(&name, b"short").await?;
    tokio::time::sleep(LIFE + Duration::from_millis(200)).await;
    s.is_gone(&name, "after its expiry").await?;
    if s.can.versions != strongroom_backend::VersionNumbers::None {
        s.version_is_gone(&name, number, "after its expiry").await?;
    }
    let answers = s.backend.get_many(&[name]).await;
    for answer in answers {
        refused(answer, ErrorKind::NotFound, "get_many after its expiry")?;
    }
    Ok(())
}

/// `get` and `describe` tell the expiry of the current version; the next write has its own.
async fn expiry_is_told(s: Subject) -> Verdict {
    let name = path("told")?;
    let at = now() + 86_400_000;
    s.put_with(&name, b"x", &until(at)).await?;
    let secret = s
        .backend
        .get(&name, strongroom_backend::Which::Current)
        .await?;
    ensure_eq!(secret.expires, Some(at), "the expiry that get tells");
    ensure_eq!(
        s.backend.describe(&name).await?.expires,
        Some(at),
        "that describe tells"
    );
    s.put(&name, b"y").await?;
    let secret = s
        .backend
        .get(&name, strongroom_backend::Which::Current)
        .await?;
    ensure_eq!(
        secret.expires,
        None,
        "the expiry of a version that has none"
    );
    ensure_eq!(
        s.backend.describe(&name).await?.expires,
        None,
        "that describe tells"
    );
    Ok(())
}

/// An expired secret is written again like any other.
async fn a_write_replaces_an_expired_version(s: Subject) -> Verdict {
    let name = path("renewed")?;
    s.put_with(&name, b"short", &until(now() + millis(LIFE)))
        .await?;
    tokio::time::sleep(LIFE + Duration::from_millis(200)).await;
    s.is_gone(&name, "after its expiry").await?;
    s.put(&name, b"renewed").await?;
    s.holds(&name, b"renewed").await
}

/// Three versions with the values v0, v1, v2.
async fn three(s: &Subject, name: &str) -> Result<[u64; 3], Flaw> {
    let name = path(name)?;
    Ok([
        s.put(&name, b"v0").await?,
        s.put(&name, b"v1").await?,
        s.put(&name, b"v2").await?,
    ])
}

async fn state(s: &Subject, name: &str, number: u64, expected: VersionState) -> Verdict {
    let versions = s.backend.versions(&path(name)?).await?;
    let found = versions.iter().find(|v| v.version == number);
    ensure_eq!(
        found.map(|v| v.state),
        Some(expected),
        "the state of {name} version {number}"
    );
    Ok(())
}

fn until(expires: u64) -> PutOptions {
    PutOptions {
        expires: Some(expires),
        ..PutOptions::default()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
