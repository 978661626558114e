//! Numbers, and reading by number.

use strongroom_backend::{PutOptions, VersionNumbers, VersionState, Which};

use super::{numbered, writes};
use crate::flaw::{Verdict, ensure, ensure_eq};
use crate::run::{Traits, cases};
use crate::subject::{Subject, now, path};

/// How far the clocks of a service and of this machine may be apart, in milliseconds.
const CLOCKS: u64 = 300_000;

cases! {
    writes => [numbers_are_what_capabilities_say, get_tells_the_number_that_put_gave],
    numbered => [
        a_pinned_version_stays_after_overwrites, versions_that_never_were_are_not_found,
        versions_are_listed_newest_first, describe_tells_the_current_version,
    ],
    authored => [authors_are_kept],
}

fn authored(t: &Traits) -> bool {
    numbered(t) && t.can.metadata
}

/// 1, 2, 3 where counted; rising where increasing; 0 where none.
async fn numbers_are_what_capabilities_say(s: Subject) -> Verdict {
    for name in ["first", "second"] {
        let name = path(name)?;
        let mut numbers = Vec::new();
        for round in 0..4u8 {
            numbers.push(s.put(&name, &[round]).await?);
        }
        match s.can.versions {
            VersionNumbers::Counted => ensure_eq!(numbers, [1, 2, 3, 4], "numbers of {name}"),
            VersionNumbers::None => ensure_eq!(numbers, [0; 4], "numbers of {name}"),
            _ => {
                let rising = numbers.is_sorted_by(|a, b| a < b) && !numbers.contains(&0);
                ensure!(rising, "numbers of {name} do not rise: {numbers:?}");
            }
        }
    }
    Ok(())
}

/// The number that `put` answers is the one that `get` tells.
async fn get_tells_the_number_that_put_gave(s: Subject) -> Verdict {
    let name = path("numbered")?;
    for round in 0..3u8 {
        let written = s.put(&name, &[round]).await?;
        let (read, _) = s.current(&name).await?;
        ensure_eq!(read, written, "the number of the current version");
    }
    Ok(())
}

/// Reading by number answers that version, whatever was written since.
async fn a_pinned_version_stays_after_overwrites(s: Subject) -> Verdict {
    let name = path("pinned")?;
    let mut numbers = Vec::new();
    for round in 0..5u8 {
        numbers.push(s.put(&name, &[b'v', round]).await?);
        for (earlier, number) in (0u8..).zip(&numbers) {
            s.holds_version(&name, *number, &[b'v', earlier]).await?;
        }
    }
    Ok(())
}

/// Numbers below, above and far beyond what was written answer not-found.
async fn versions_that_never_were_are_not_found(s: Subject) -> Verdict {
    let name = path("sparse")?;
    s.version_is_gone(&name, 1, "of a name never written")
        .await?;
    let number = s.put(&name, b"one").await?;
    for wrong in [
        0,
        number + 1,
        i64::MAX as u64,
        i64::MAX as u64 + 1,
        u64::MAX,
    ] {
        s.version_is_gone(&name, wrong, "that never was").await?;
    }
    s.holds_version(&name, number, b"one").await
}

/// Newest first, one of them current, the others superseded, each with its time.
async fn versions_are_listed_newest_first(s: Subject) -> Verdict {
    let name = path("listed")?;
    let began = now();
    let mut numbers = Vec::new();
    for round in 0..4u8 {
        numbers.push(s.put(&name, &[round]).await?);
    }
    numbers.reverse();
    let versions = s.backend.versions(&name).await?;
    let listed: Vec<_> = versions.iter().map(|v| v.version).collect();
    ensure_eq!(listed, numbers, "the numbers of `versions`");
    for (index, version) in versions.iter().enumerate() {
        let expected = if index == 0 {
            VersionState::Current
        } else {
            VersionState::Superseded
        };
        ensure_eq!(
            version.state,
            expected,
            "the state of version {}",
            version.version
        );
        ensure_eq!(
            version.expires,
            None,
            "the expiry of version {}",
            version.version
        );
        let apart = version.created.abs_diff(began);
        ensure!(
            apart < CLOCKS,
            "version {} is {apart} ms off our clock",
            version.version
        );
    }
    ensure!(
        versions.is_sorted_by(|newer, older| newer.created >= older.created),
        "a newer version was created before an older one"
    );
    Ok(())
}

/// `describe` names the current version, and times that fit together.
async fn describe_tells_the_current_version(s: Subject) -> Verdict {
    let name = path("described")?;
    s.put(&name, b"one").await?;
    let number = s.put(&name, b"two").await?;
    let told = s.backend.describe(&name).await?;
    ensure_eq!(
        told.version,
        Some(number),
        "the current version of `describe`"
    );
    ensure_eq!(told.expires, None, "the expiry of `describe`");
    ensure!(
        told.created <= told.updated,
        "updated before it was created"
    );
    ensure!(
        told.created.abs_diff(now()) < CLOCKS,
        "created off our clock"
    );
    Ok(())
}

/// Each version tells who wrote it.
async fn authors_are_kept(s: Subject) -> Verdict {
    let name = path("authored")?;
    let authors = [Some("component:billing"), None, Some("operator:root")];
    for author in authors {
        let options = PutOptions {
            author: author.map(str::to_owned),
            ..PutOptions::default()
        };
        s.put_with(&name, b"x", &options).await?;
    }
    let versions = s.backend.versions(&name).await?;
    let told: Vec<_> = versions.iter().rev().map(|v| v.author.as_deref()).collect();
    ensure_eq!(told, authors, "the authors, oldest first");
    s.backend.get(&name, Which::Current).await?;
    Ok(())
}
