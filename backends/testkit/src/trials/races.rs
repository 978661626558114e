//! Many at once, and calls that are given up.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use strongroom_backend::{
    PutOptions, SecretPath, SecretValue, VersionNumbers, VersionState, Which,
};
use tokio::task::JoinSet;

use super::writes;
use crate::flaw::{Flaw, Verdict, ensure};
use crate::run::cases;
use crate::subject::{Subject, path};

const TASKS: usize = 64;
const SHARED: usize = 4;
const CANCELLED: usize = 24;
/// A value long enough that a half of it would show.
const LENGTH: usize = 3000;

cases! {
    writes => [
        sixty_four_at_once_do_not_mix, readers_see_whole_values,
        a_cancelled_write_is_whole_or_nothing, a_cancelled_read_harms_nothing,
    ],
}

/// Sixty-four tasks write, read and rewrite secrets of their own.
async fn sixty_four_at_once_do_not_mix(s: Subject) -> Verdict {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let s = s.clone();
        tasks.spawn(async move {
            let name = path(&format!("task-{task}/secret"))?;
            for round in 0..3 {
                let value = format!("{task}:{round}");
                s.put(&name, value.as_bytes()).await?;
                s.holds(&name, value.as_bytes()).await?;
            }
            Ok::<(), Flaw>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Readers of secrets that others write see one written value whole, and numbers that only rise.
async fn readers_see_whole_values(s: Subject) -> Verdict {
    for shared in 0..SHARED {
        let name = path(&format!("shared/{shared}"))?;
        s.put(&name, &whole(0)).await?;
    }
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (s, name) = (s.clone(), path(&format!("shared/{}", task % SHARED))?);
        tasks.spawn(async move {
            let mut last = 0;
            for round in 0..4 {
                if task < SHARED * 2 {
                    s.put(&name, &whole(task * 100 + round)).await?;
                }
                let (version, value) = s.current(&name).await?;
                is_whole(&value)?;
                ensure!(
                    version >= last,
                    "version {version} was read after version {last}"
                );
                last = version;
            }
            Ok::<(), Flaw>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// A write that is dropped at any await leaves the old value or the new one; later writes go on.
async fn a_cancelled_write_is_whole_or_nothing(s: Subject) -> Verdict {
    let name = path("cancelled")?;
    s.put(&name, &whole(0)).await?;
    for round in 1..=CANCELLED {
        let backend = s.backend.clone();
        let value = SecretValue::new(whole(round));
        let options = PutOptions::default();
        // Without a pause the drop is at the next await; with one, in the middle of what a store
        // does on another thread.
        let pause = Duration::from_micros((round as u64 % 4) * 150);
        give_up(backend.put(&name, &value, &options), round / 4, pause).await;
        is_whole(&s.current(&name).await?.1)?;
        if s.can.list {
            ensure!(s.list("", 10).await?.len() == 1, "the secret is listed");
        }
    }
    settle(&s, &name).await?;
    s.put(&name, b"after").await?;
    s.holds(&name, b"after").await?;
    if s.can.versions == VersionNumbers::None {
        return Ok(());
    }
    let versions = s.backend.versions(&name).await?;
    let falling = versions.is_sorted_by(|a, b| a.version > b.version);
    ensure!(falling, "numbers repeat after cancelled writes");
    for version in versions.iter().skip(1) {
        ensure!(
            version.state == VersionState::Superseded,
            "a half-made version is listed"
        );
        is_whole(&s.read(&name, Which::Version(version.version)).await?.1)?;
    }
    Ok(())
}

/// A dropped read keeps nothing locked.
async fn a_cancelled_read_harms_nothing(s: Subject) -> Verdict {
    let name = path("read")?;
    s.put(&name, b"x").await?;
    for round in 0..CANCELLED {
        let pause = Duration::from_micros((round as u64 % 4) * 50);
        give_up(s.backend.get(&name, Which::Current), round / 4, pause).await;
        if s.can.list {
            give_up(s.backend.list("", None, 10), round / 4, pause).await;
        }
        s.put(&name, b"x").await?;
    }
    s.holds(&name, b"x").await
}

/// Polls `call` up to `polls` times and once more, with a pause before the drop.
async fn give_up<T>(call: impl Future<Output = T>, polls: usize, pause: Duration) {
    let mut call = Box::pin(call);
    let mut left = polls;
    let some_polls = std::future::poll_fn(|cx: &mut Context<'_>| {
        let done = Pin::new(&mut call).poll(cx).is_ready();
        if done || left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        Poll::Pending
    });
    // A store that answers from another thread wakes us; one that never does is given up too.
    let _ = tokio::time::timeout(Duration::from_millis(20), some_polls).await;
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    drop(call);
}

/// Waits until writes that were given up, but go on on another thread, are over.
async fn settle(s: &Subject, name: &SecretPath) -> Verdict {
    let mut last = s.current(name).await?;
    let mut quiet = 0;
    while quiet < 5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = s.current(name).await?;
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
    Ok(())
}

/// A value that tells by itself whether it is whole.
fn whole(seed: usize) -> Vec<u8> {
    let length = LENGTH + seed % 7;
    let byte = (seed % 251) as u8;
    let mut value = vec![byte; length];
    value.extend((length as u64).to_le_bytes());
    value
}

fn is_whole(value: &[u8]) -> Verdict {
    let Some((body, length)) = value.split_last_chunk::<8>() else {
        return Err(Flaw::new("a value is cut"));
    };
    let same = body.windows(2).all(|pair| pair.first() == pair.last());
    ensure!(
        u64::from_le_bytes(*length) == body.len() as u64 && same,
        "a value is half of one and half of another"
    );
    Ok(())
}
