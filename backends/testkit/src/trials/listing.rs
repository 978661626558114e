//! Listing: order, prefixes, pages, and pages while others write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Barrier;

use super::{Traits, undeletes, writes_and_lists};
use crate::flaw::{Verdict, ensure, ensure_eq};
use crate::run::cases;
use crate::subject::{Subject, beside, path, paths};

const NAMES: [&str; 12] = [
    "-", "0/a", "A", "B/a", "_", "a", "a-b", "a.b", "a/b", "a/b/c", "a_b", "b",
];
const STEADY: usize = 40;
const ROUNDS: usize = 12;

cases! {
    writes_and_lists => [
        names_come_in_byte_order, a_prefix_is_taken_literally, a_prefix_may_end_in_a_segment,
        pages_join_without_gap_or_repeat, the_last_page_says_so, a_page_begins_after_any_name,
        deleted_secrets_are_left_out, an_empty_store_lists_nothing,
        pages_hold_while_others_write,
    ],
    lists_undeleted => [undeleted_secrets_are_back],
}

fn lists_undeleted(t: &Traits) -> bool {
    undeletes(t) && t.can.list
}

/// Byte order, so upper case before lower and `-` before `.` before `/`.
async fn names_come_in_byte_order(s: Subject) -> Verdict {
    write_all(&s).await?;
    ensure_eq!(s.list("", 100).await?, sorted(NAMES), "all names");
    Ok(())
}

/// `_` and `.` are no wildcards, and case counts.
async fn a_prefix_is_taken_literally(s: Subject) -> Verdict {
    for name in paths(["ab", "a_b", "a.b", "a-b", "A_b", "a_", "xa_b"])? {
        s.put(&name, b"x").await?;
    }
    for (prefix, expected) in [
        ("a_", vec!["a_", "a_b"]),
        ("a.", vec!["a.b"]),
        ("A", vec!["A_b"]),
        ("x", vec!["xa_b"]),
        ("b", vec![]),
    ] {
        ensure_eq!(s.list(prefix, 100).await?, expected, "prefix {prefix:?}");
    }
    Ok(())
}

/// `db` finds `db`, `db/x` and `dbx`; `db/` only what is under it.
async fn a_prefix_may_end_in_a_segment(s: Subject) -> Verdict {
    for name in paths(["db", "db/x", "db/y/z", "dbx", "d", "e/db"])? {
        s.put(&name, b"x").await?;
    }
    for (prefix, expected) in [
        ("db", vec!["db", "db/x", "db/y/z", "dbx"]),
        ("db/", vec!["db/x", "db/y/z"]),
        ("db/y/z", vec!["db/y/z"]),
        ("db/y/zz", vec![]),
        ("", vec!["d", "db", "db/x", "db/y/z", "dbx", "e/db"]),
    ] {
        ensure_eq!(s.list(prefix, 100).await?, expected, "prefix {prefix:?}");
        ensure_eq!(
            s.list(prefix, 1).await?,
            expected,
            "prefix {prefix:?}, one at a time"
        );
    }
    Ok(())
}

/// Pages of every length give each name once, with and without a prefix.
async fn pages_join_without_gap_or_repeat(s: Subject) -> Verdict {
    write_all(&s).await?;
    let under_a: Vec<_> = sorted(NAMES)
        .into_iter()
        .filter(|n| n.starts_with('a'))
        .collect();
    for limit in 1..=NAMES.len() + 1 {
        ensure_eq!(s.list("", limit).await?, sorted(NAMES), "pages of {limit}");
        ensure_eq!(
            s.list("a", limit).await?,
            under_a,
            "pages of {limit} under a"
        );
    }
    Ok(())
}

/// A page that ends with the last name does not promise more.
async fn the_last_page_says_so(s: Subject) -> Verdict {
    write_all(&s).await?;
    let page = s.backend.list("", None, NAMES.len()).await?;
    ensure!(!page.more, "nothing follows the last name");
    let page = s.backend.list("", None, NAMES.len() - 1).await?;
    ensure!(page.more, "one name follows");
    let page = s.backend.list("B", None, 1).await?;
    ensure!(!page.more, "nothing with the prefix follows");
    Ok(())
}

/// The cursor may be a name that is gone, never was, or lies outside the prefix.
async fn a_page_begins_after_any_name(s: Subject) -> Verdict {
    write_all(&s).await?;
    s.backend.delete(&path("a-b")?, None).await?;
    for (prefix, after, expected) in [
        ("", "a-b", vec!["a.b", "a/b", "a/b/c", "a_b", "b"]),
        ("", "a/b", vec!["a/b/c", "a_b", "b"]),
        ("", "a/a-never-was", vec!["a/b", "a/b/c", "a_b", "b"]),
        ("a/", "A", vec!["a/b", "a/b/c"]),
        ("a/", "a", vec!["a/b", "a/b/c"]),
        ("a/", "b", vec![]),
        ("", "zzz", vec![]),
    ] {
        let page = s.backend.list(prefix, Some(after), 100).await?;
        let got: Vec<_> = page.paths.iter().map(|path| path.as_str()).collect();
        ensure_eq!(got, expected, "prefix {prefix:?} after {after:?}");
    }
    Ok(())
}

/// A deleted secret is not listed, does not count in a page, and is back when written again.
async fn deleted_secrets_are_left_out(s: Subject) -> Verdict {
    write_all(&s).await?;
    for name in ["-", "a", "a/b", "b"] {
        s.backend.delete(&path(name)?, None).await?;
    }
    let left = ["0/a", "A", "B/a", "_", "a-b", "a.b", "a/b/c", "a_b"];
    for limit in [1, 3, 8, 100] {
        ensure_eq!(
            s.list("", limit).await?,
            sorted(left),
            "pages of {limit} after deletes"
        );
    }
    s.put(&path("a/b")?, b"again").await?;
    ensure_eq!(s.list("a/b", 100).await?, ["a/b", "a/b/c"], "written again");
    Ok(())
}

/// A secret that was taken back is listed again.
async fn undeleted_secrets_are_back(s: Subject) -> Verdict {
    write_all(&s).await?;
    let name = path("a/b")?;
    s.backend.delete(&name, None).await?;
    s.versioning()?.undelete(&name, None).await?;
    ensure_eq!(s.list("", 100).await?, sorted(NAMES), "after an undelete");
    Ok(())
}

/// Nothing, and nothing more, with any prefix and cursor.
async fn an_empty_store_lists_nothing(s: Subject) -> Verdict {
    for (prefix, after) in [("", None), ("a", None), ("", Some("a")), ("a/", Some("b"))] {
        let page = s.backend.list(prefix, after, 10).await?;
        ensure!(
            page.paths.is_empty() && !page.more,
            "prefix {prefix:?} after {after:?}"
        );
    }
    Ok(())
}

/// While others write and delete around them, names that nobody touches come once each, in order:
/// with a change between any two pages, and with a task that writes all the time.
async fn pages_hold_while_others_write(s: Subject) -> Verdict {
    let steady: Vec<String> = (0..STEADY).map(|i| format!("n{i:02}/steady")).collect();
    for name in &steady {
        s.put(&path(name)?, b"steady").await?;
    }
    for round in 0..ROUNDS {
        pages(&s, &steady, 1 + round % 7, round).await?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let start = Arc::new(Barrier::new(2));
    let writer = {
        let (s, stop, start) = (s.clone(), Arc::clone(&stop), Arc::clone(&start));
        beside(async move {
            start.wait().await;
            for turn in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                disturb(&s, (turn * 7) % STEADY, turn % 3).await?;
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    };
    start.wait().await;
    let mut verdict = Ok(());
    for round in 0..ROUNDS {
        let names = s.list("", 1 + round % 7).await;
        verdict = names.and_then(|names| hold(&names, &steady));
        if verdict.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::SeqCst);
    writer.await??;
    verdict
}

/// Lists in pages of `limit`, with a change before and one behind the cursor between any two.
async fn pages(s: &Subject, steady: &[String], limit: usize, round: usize) -> Verdict {
    let mut names: Vec<String> = Vec::new();
    loop {
        let page = s
            .backend
            .list("", names.last().map(String::as_str), limit)
            .await?;
        names.extend(page.paths.iter().map(|path| path.as_str().to_owned()));
        if !page.more {
            return hold(&names, steady);
        }
        ensure!(names.len() <= 5 * STEADY, "the listing does not end");
        disturb(s, 0, names.len() % 3).await?;
        disturb(s, STEADY - 1, round % 3).await?;
    }
}

/// Deletes a name near the steady one of this number, or writes it where it is not there.
async fn disturb(s: &Subject, near: usize, which: usize) -> Verdict {
    let name = path(&format!("n{near:02}/moving-{which}"))?;
    if s.backend.delete(&name, None).await.is_err() {
        s.put(&name, b"moving").await?;
    }
    Ok(())
}

fn hold(names: &[String], steady: &[String]) -> Verdict {
    ensure!(
        names.is_sorted_by(|a, b| a < b),
        "a name came twice or out of order while others wrote"
    );
    let missed: Vec<_> = steady.iter().filter(|n| !names.contains(n)).collect();
    ensure!(missed.is_empty(), "skipped while others wrote: {missed:?}");
    Ok(())
}

async fn write_all(s: &Subject) -> Verdict {
    // Not in their order.
    for name in paths(NAMES.into_iter().rev())? {
        s.put(&name, b"x").await?;
    }
    Ok(())
}

fn sorted<const N: usize>(names: [&str; N]) -> Vec<String> {
    let mut names = names.map(str::to_owned).to_vec();
    names.sort();
    names
}
