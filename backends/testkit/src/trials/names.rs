//! Every legal name is a secret of its own.

use std::collections::BTreeSet;

use strongroom_backend::{SecretPath, limits};

use super::writes;
use crate::flaw::{Flaw, Verdict, ensure_eq};
use crate::run::cases;
use crate::subject::{Subject, path};

/// More than any trial here writes.
const PAGE: usize = 500;

cases! {
    writes => [
        legal_shapes, longest_names, names_that_differ_in_case, names_that_naive_mapping_joins,
        names_that_mean_something_elsewhere, a_name_and_what_is_under_it,
    ],
}

/// Every kind of byte at every kind of place.
async fn legal_shapes(s: Subject) -> Verdict {
    each_is_its_own(
        &s,
        &[
            "a", "Z", "0", "_", "-", "a.", "a..", "a..b", "a.b.c", "-.", "_.-", "--", "0/0/0",
            "-/-", "_/_._", "A/b/C", "a-/-b", "a_/_b",
        ],
    )
    .await
}

/// The longest path in one segment, in sixteen, and names that differ in the last byte only.
async fn longest_names(s: Subject) -> Verdict {
    let long = "x".repeat(limits::PATH - 1);
    let segments = vec!["seg-ment.0123ab"; limits::SEGMENTS].join("/");
    let names = [
        format!("{long}a"),
        format!("{long}b"),
        format!("{long}A"),
        segments.clone(),
        vec!["s"; limits::SEGMENTS].join("/"),
        format!("{}B", &segments[..segments.len() - 1]),
    ];
    each_is_its_own(&s, &names.each_ref().map(String::as_str)).await
}

/// Names that differ in case only are different secrets.
async fn names_that_differ_in_case(s: Subject) -> Verdict {
    each_is_its_own(
        &s,
        &["key", "Key", "KEY", "kEy", "db/Main", "db/main", "DB/main"],
    )
    .await
}

/// Names that become one where `/`, `.` or `_` is replaced, doubled or dropped.
async fn names_that_naive_mapping_joins(s: Subject) -> Verdict {
    each_is_its_own(
        &s,
        &[
            "a/b", "a-b", "a_b", "a.b", "a--b", "a__b", "a-_b", "a-/b", "a/-b", "a-2fb", "a-2Fb",
            "a_2f_b", "a.2fb", "ab", "a--2fb", "a-s-b", "a.-b", "a/b/c", "a-b/c", "a/b-c",
            "a--b-c", "a-b--c",
        ],
    )
    .await
}

/// Names that a file system, a shell, a service's path or its query language knows.
async fn names_that_mean_something_elsewhere(s: Subject) -> Verdict {
    each_is_its_own(
        &s,
        &[
            "con",
            "NUL.txt",
            "COM1",
            "-rf",
            "--help",
            "null",
            "true",
            "0x10",
            "1e3",
            "007",
            "secret",
            "data/x",
            "metadata/x",
            "projects/other/secrets/x/versions/1",
            "aws/ssm/x",
            "parameter/x",
            "x-AbCdEf",
            "versions/latest",
            "latest",
            "__proto__",
            "index.json",
            "x.tmp",
            "x.lock",
            "x-journal",
            "xn--bcher-kva",
        ],
    )
    .await
}

/// A secret can have the name of another's folder.
async fn a_name_and_what_is_under_it(s: Subject) -> Verdict {
    each_is_its_own(
        &s,
        &[
            "tree",
            "tree/leaf",
            "tree/leaf/vein",
            "tree-leaf",
            "tree/leaf.x",
        ],
    )
    .await
}

/// Writes each name, reads each, lists them all, deletes every second and looks at the others.
async fn each_is_its_own(s: &Subject, texts: &[&str]) -> Verdict {
    let names = texts
        .iter()
        .map(|text| path(text))
        .collect::<Result<Vec<_>, Flaw>>()?;
    for name in &names {
        s.put(name, value_of(name).as_bytes()).await?;
    }
    for name in &names {
        s.holds(name, value_of(name).as_bytes()).await?;
    }
    listed(s, names.iter()).await?;
    for name in names.iter().step_by(2) {
        s.backend.delete(name, None).await?;
    }
    for (index, name) in names.iter().enumerate() {
        match index % 2 {
            0 => s.is_gone(name, "after its delete").await?,
            _ => s.holds(name, value_of(name).as_bytes()).await?,
        }
    }
    listed(s, names.iter().skip(1).step_by(2)).await
}

fn value_of(name: &SecretPath) -> String {
    format!("the value of {name}")
}

async fn listed<'n>(s: &Subject, names: impl Iterator<Item = &'n SecretPath>) -> Verdict {
    if !s.can.list {
        return Ok(());
    }
    let expected: BTreeSet<_> = names.map(|name| name.as_str().to_owned()).collect();
    let got: BTreeSet<_> = s.list("", PAGE).await?.into_iter().collect();
    ensure_eq!(got, expected, "the names come back as they were given");
    Ok(())
}
