//! What a store that cannot write was made with.

use super::Traits;
use crate::flaw::{Verdict, ensure_eq};
use crate::run::cases;
use crate::subject::{Subject, same_bytes};

cases! {
    |t: &Traits| t.holds => [each_secret_reads_back, all_read_back_at_once],
    |t: &Traits| t.holds && t.can.list => [each_secret_is_listed],
}

/// Each secret has the value that it was made with.
async fn each_secret_reads_back(s: Subject) -> Verdict {
    for (name, value) in s.holds.iter() {
        s.holds(name, value).await?;
        s.backend.describe(name).await?;
    }
    Ok(())
}

/// All of them in one call, last first.
async fn all_read_back_at_once(s: Subject) -> Verdict {
    let names: Vec<_> = s.holds.iter().rev().map(|(name, _)| name.clone()).collect();
    let answers = s.backend.get_many(&names).await;
    ensure_eq!(answers.len(), names.len(), "the number of answers");
    for ((name, value), answer) in s.holds.iter().rev().zip(answers) {
        same_bytes(name.as_str(), answer?.value.expose(), value)?;
    }
    Ok(())
}

/// The listing has these names and no others, in order, on pages of any length.
async fn each_secret_is_listed(s: Subject) -> Verdict {
    let mut names: Vec<_> = s
        .holds
        .iter()
        .map(|(name, _)| name.as_str().to_owned())
        .collect();
    names.sort();
    for limit in [1, 2, 100] {
        ensure_eq!(s.list("", limit).await?, names, "pages of {limit}");
    }
    Ok(())
}
