//! Compare-and-set: a write that names what it replaces.

use std::sync::Arc;

use strongroom_backend::{ErrorKind, PutOptions, Result};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{compares, creates};
use crate::flaw::{Flaw, Verdict, ensure, ensure_eq, refused};
use crate::run::cases;
use crate::subject::{Subject, path};

const WRITERS: usize = 8;
const INCREMENTS: usize = 5;
const RACES: usize = 6;
/// Losing this often in a row means that nobody wins.
const MOST_ATTEMPTS: usize = 10_000;

cases! {
    creates => [
        create_only_writes_where_there_is_none, create_only_leaves_what_is_there,
        create_only_works_after_a_delete, creating_has_one_winner,
    ],
    compares => [
        the_right_version_is_replaced, a_stale_version_conflicts, a_version_to_come_conflicts,
        a_deleted_version_conflicts, replacing_has_one_winner, no_increment_is_lost,
    ],
}

/// 0 writes where there is no secret.
async fn create_only_writes_where_there_is_none(s: Subject) -> Verdict {
    let name = path("fresh")?;
    s.put_if(&name, b"made", 0).await?;
    s.holds(&name, b"made").await
}

/// 0 conflicts with the current version and changes nothing.
async fn create_only_leaves_what_is_there(s: Subject) -> Verdict {
    let name = path("taken")?;
    for round in 0..2u8 {
        let number = s.put(&name, &[round]).await?;
        conflicts(s.put_if(&name, b"other", 0).await, number)?;
        s.holds(&name, &[round]).await?;
        ensure_eq!(
            s.current(&name).await?.0,
            number,
            "the version after a conflict"
        );
    }
    Ok(())
}

/// 0 writes again once the secret is deleted.
async fn create_only_works_after_a_delete(s: Subject) -> Verdict {
    let name = path("again")?;
    s.put_if(&name, b"one", 0).await?;
    s.backend.delete(&name, None).await?;
    s.put_if(&name, b"two", 0).await?;
    s.holds(&name, b"two").await
}

/// Of eight that create at once, one does and seven learn its version.
async fn creating_has_one_winner(s: Subject) -> Verdict {
    for round in 0..RACES {
        let name = format!("race/{round}");
        one_winner(&s, &name, 0).await?;
    }
    Ok(())
}

/// The current version's number writes, again and again.
async fn the_right_version_is_replaced(s: Subject) -> Verdict {
    let name = path("chain")?;
    let mut number = s.put_if(&name, b"0", 0).await?;
    for round in 1..5u8 {
        let next = s.put_if(&name, &[round], number).await?;
        ensure!(next > number, "version {next} follows {number}");
        s.holds(&name, &[round]).await?;
        number = next;
    }
    Ok(())
}

/// An older number conflicts, names the current one, and changes nothing.
async fn a_stale_version_conflicts(s: Subject) -> Verdict {
    let name = path("stale")?;
    let old = s.put(&name, b"old").await?;
    let new = s.put(&name, b"new").await?;
    conflicts(s.put_if(&name, b"late", old).await, new)?;
    s.holds(&name, b"new").await?;
    ensure_eq!(
        s.current(&name).await?.0,
        new,
        "the version after a conflict"
    );
    let next = s.put_if(&name, b"next", new).await?;
    ensure!(next > new, "version {next} follows {new}");
    Ok(())
}

/// A number that is not written yet conflicts, whether or not there is a secret.
async fn a_version_to_come_conflicts(s: Subject) -> Verdict {
    let name = path("future")?;
    conflicts(s.put_if(&name, b"early", 1).await, 0)?;
    s.is_gone(&name, "after a conflict").await?;
    let number = s.put(&name, b"now").await?;
    for wrong in [number + 1, u64::MAX] {
        conflicts(s.put_if(&name, b"early", wrong).await, number)?;
    }
    s.holds(&name, b"now").await
}

/// A deleted secret has no current version: its last number conflicts with 0.
async fn a_deleted_version_conflicts(s: Subject) -> Verdict {
    let name = path("gone")?;
    let number = s.put(&name, b"one").await?;
    s.backend.delete(&name, None).await?;
    conflicts(s.put_if(&name, b"two", number).await, 0)?;
    s.is_gone(&name, "after a conflict").await
}

/// Of eight that replace one version at once, one does and seven learn its number.
async fn replacing_has_one_winner(s: Subject) -> Verdict {
    for round in 0..RACES {
        let name = format!("race/{round}");
        let number = s.put(&path(&name)?, b"start").await?;
        one_winner(&s, &name, number).await?;
    }
    Ok(())
}

/// Eight tasks that count together by compare-and-set lose no count.
async fn no_increment_is_lost(s: Subject) -> Verdict {
    let name = path("counter")?;
    s.put(&name, b"0").await?;
    let mut tasks = JoinSet::new();
    for _ in 0..WRITERS {
        let (s, name) = (s.clone(), name.clone());
        tasks.spawn(async move {
            for _ in 0..INCREMENTS {
                increment(&s, &name).await?;
            }
            Ok::<(), Flaw>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let total = (WRITERS * INCREMENTS).to_string();
    s.holds(&name, total.as_bytes()).await
}

async fn increment(s: &Subject, name: &strongroom_backend::SecretPath) -> Verdict {
    for _ in 0..MOST_ATTEMPTS {
        let (version, value) = s.current(name).await?;
        let count: usize = String::from_utf8_lossy(&value)
            .parse()
            .map_err(|_| Flaw::new("the counter is no number"))?;
        // Between the look and the write is where a store that checks first would lose a count.
        tokio::task::yield_now().await;
        match s
            .put_if(name, (count + 1).to_string().as_bytes(), version)
            .await
        {
            Ok(_) => return Ok(()),
            Err(error) => match error.kind() {
                ErrorKind::Conflict(_) => {}
                _ => return Err(error.into()),
            },
        }
    }
    Err(Flaw::new("a writer never wins"))
}

async fn one_winner(s: &Subject, name: &str, expected: u64) -> Verdict {
    let name = path(name)?;
    let start = Arc::new(Barrier::new(WRITERS));
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS as u8 {
        let (s, name, start) = (s.clone(), name.clone(), Arc::clone(&start));
        tasks.spawn(async move {
            let options = PutOptions {
                expected: Some(expected),
                ..PutOptions::default()
            };
            start.wait().await;
            (writer, s.put_with(&name, &[b'w', writer], &options).await)
        });
    }
    let (mut winners, mut told) = (Vec::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        match done? {
            (writer, Ok(number)) => winners.push((writer, number)),
            (_, Err(error)) => match error.kind() {
                ErrorKind::Conflict(current) => told.push(current),
                kind => return Err(Flaw::new(format!("a loser got {kind:?}, {error}"))),
            },
        }
    }
    let [(winner, number)] = winners[..] else {
        return Err(Flaw::new(format!("{} of {WRITERS} won", winners.len())));
    };
    s.holds(&name, &[b'w', winner]).await?;
    ensure!(
        told.iter().all(|current| *current == number),
        "version {number} won, losers were told {told:?}"
    );
    Ok(())
}

#[track_caller]
fn conflicts(result: Result<u64>, current: u64) -> Verdict {
    refused(
        result,
        ErrorKind::Conflict(current),
        "put with another expected version",
    )
}
