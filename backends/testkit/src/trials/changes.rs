//! How a reader learns of a change: the counter of a name, and the mark of the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use strongroom_backend::{ChangeCell, SecretPath};

use super::{Traits, destroys, undeletes};
use crate::flaw::{Flaw, Verdict, ensure, ensure_eq};
use crate::run::cases;
use crate::subject::{Subject, beside, labelled, path};

const WRITES: usize = 60;

cases! {
    has_cells => [
        the_counter_moves_with_each_write, the_counter_moves_with_a_delete,
        the_counter_rests_while_nothing_changes, an_even_counter_stands_for_one_value,
    ],
    cells_and_undelete => [the_counter_moves_with_an_undelete],
    cells_and_destroy => [the_counter_moves_with_a_destroy],
    cells_and_metadata => [the_counter_moves_with_metadata],
    has_marks => [the_mark_counts_every_change],
}

fn has_cells(t: &Traits) -> bool {
    t.can.write && t.cells
}

fn cells_and_undelete(t: &Traits) -> bool {
    t.cells && undeletes(t)
}

fn cells_and_destroy(t: &Traits) -> bool {
    t.cells && destroys(t)
}

fn cells_and_metadata(t: &Traits) -> bool {
    has_cells(t) && t.can.metadata
}

fn has_marks(t: &Traits) -> bool {
    t.can.write && t.marks
}

/// Each write moves it, and it is even when the write has answered.
async fn the_counter_moves_with_each_write(s: Subject) -> Verdict {
    let name = path("written")?;
    let mut counter = Watched::new(&s, &name)?;
    for round in 0..5u8 {
        s.put(&name, &[round]).await?;
        counter.moved("a write")?;
    }
    Ok(())
}

/// A delete moves it.
async fn the_counter_moves_with_a_delete(s: Subject) -> Verdict {
    let name = path("deleted")?;
    s.put(&name, b"x").await?;
    let mut counter = Watched::new(&s, &name)?;
    s.backend.delete(&name, None).await?;
    counter.moved("a delete")
}

/// An undelete moves it.
async fn the_counter_moves_with_an_undelete(s: Subject) -> Verdict {
    let name = path("undeleted")?;
    s.put(&name, b"x").await?;
    s.backend.delete(&name, None).await?;
    let mut counter = Watched::new(&s, &name)?;
    s.versioning()?.undelete(&name, None).await?;
    counter.moved("an undelete")
}

/// A destruction moves it.
async fn the_counter_moves_with_a_destroy(s: Subject) -> Verdict {
    let name = path("destroyed")?;
    let number = s.put(&name, b"x").await?;
    let mut counter = Watched::new(&s, &name)?;
    s.versioning()?.destroy(&name, number).await?;
    counter.moved("a destruction")
}

/// A change of metadata moves it.
async fn the_counter_moves_with_metadata(s: Subject) -> Verdict {
    let name = path("labelled")?;
    s.put(&name, b"x").await?;
    let mut counter = Watched::new(&s, &name)?;
    let labels = labelled(&[("a", "b")]);
    s.versioning()?.set_metadata(&name, &labels).await?;
    counter.moved("a change of metadata")
}

/// Reads do not move it, and it is the same one whenever it is asked for.
async fn the_counter_rests_while_nothing_changes(s: Subject) -> Verdict {
    let name = path("at-rest")?;
    s.put(&name, b"x").await?;
    let counter = Watched::new(&s, &name)?;
    for _ in 0..3 {
        s.holds(&name, b"x").await?;
        s.backend.describe(&name).await?;
        ensure_eq!(
            counter.cell.load(),
            counter.last,
            "the counter after a read"
        );
        ensure_eq!(
            cell(&s, &name)?.load(),
            counter.last,
            "the counter asked for again"
        );
    }
    Ok(())
}

/// While a writer writes, two reads under one even number see one version: what a cache relies on.
async fn an_even_counter_stands_for_one_value(s: Subject) -> Verdict {
    let name = path("cached")?;
    s.put(&name, b"0").await?;
    let stop = Arc::new(AtomicBool::new(false));
    let looks = Arc::new(AtomicUsize::new(0));
    let reader = {
        let (s, name, stop) = (s.clone(), name.clone(), Arc::clone(&stop));
        let looks = Arc::clone(&looks);
        beside(async move {
            let cell = cell(&s, &name)?;
            let mut seen: HashMap<u64, Vec<u8>> = HashMap::new();
            while !stop.load(Ordering::SeqCst) {
                let before = cell.load();
                let (_, value) = s.current(&name).await?;
                if before.is_multiple_of(2) && cell.load() == before {
                    let first = seen.entry(before).or_insert_with(|| value.clone());
                    ensure!(*first == value, "two values under counter {before}");
                }
                looks.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        })
    };
    let watched = cell(&s, &name)?;
    let mut verdict = Ok(());
    for round in 1..=WRITES {
        let before = watched.load();
        verdict = s.put(&name, round.to_string().as_bytes()).await.map(drop);
        if verdict.is_ok() && watched.load() == before {
            verdict = Err(Flaw::new("a write answered before its counter moved"));
        }
        if verdict.is_err() {
            break;
        }
        // Two whole looks at the new value, before the counter moves again.
        let enough = looks.load(Ordering::SeqCst) + 3;
        while looks.load(Ordering::SeqCst) < enough && !reader.is_finished() {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    reader.await??;
    verdict
}

/// The store's id stays, its counter rises with each change, and the change tells it.
async fn the_mark_counts_every_change(s: Subject) -> Verdict {
    let name = path("marked")?;
    let mut last = mark(&s)?;
    for round in 0..4u8 {
        let value = strongroom_backend::SecretValue::copy_of(&[round]);
        let change = match round {
            3 => s.backend.delete(&name, None).await?,
            _ => s.backend.put(&name, &value, &Default::default()).await?,
        };
        let next = mark(&s)?;
        ensure_eq!(next.0, last.0, "the id of the store");
        ensure!(
            next.1 > last.1,
            "the counter {} did not pass {}",
            next.1,
            last.1
        );
        ensure_eq!(
            change.counter,
            Some(next.1),
            "the counter that the change tells"
        );
        s.is_gone(&path("marked/other")?, "never written").await?;
        ensure_eq!(mark(&s)?, next, "the mark after a read");
        last = next;
    }
    Ok(())
}

struct Watched {
    cell: ChangeCell,
    last: u64,
}

impl Watched {
    fn new(s: &Subject, name: &SecretPath) -> Result<Self, Flaw> {
        let cell = cell(s, name)?;
        let last = cell.load();
        ensure!(last.is_multiple_of(2), "the counter is odd at rest");
        Ok(Self { cell, last })
    }

    #[track_caller]
    fn moved(&mut self, by: &str) -> Verdict {
        let now = self.cell.load();
        ensure!(now != self.last, "{by} did not move the counter");
        ensure!(now.is_multiple_of(2), "the counter is odd after {by}");
        self.last = now;
        Ok(())
    }
}

fn cell(s: &Subject, name: &SecretPath) -> Result<ChangeCell, Flaw> {
    s.backend
        .change_cell(name)
        .ok_or_else(|| Flaw::new("the store has counters for some names only"))
}

fn mark(s: &Subject) -> Result<(String, u64), Flaw> {
    let mark = s.backend.mark()?;
    let mark = mark.ok_or_else(|| Flaw::new("the store has a mark at times only"))?;
    Ok((mark.store, mark.counter))
}
