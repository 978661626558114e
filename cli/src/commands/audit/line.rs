//! A record as a line for people.

use std::fmt::Write as _;

use strongroom::audit::{Record, Shown};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Prints one record: the line of the log itself with `--json`, else one for people.
pub(super) fn print(shown: &Shown, context: &Context) -> Result<(), Failure> {
    if context.json {
        output::bytes(&shown.line)?;
        return output::bytes(b"\n");
    }
    let mut text = human(&shown.record);
    if shown.pending {
        text.push_str("  (still in a journal)");
    }
    output::line(&text)
}

/// Time, outcome, action, who, what, and what else is worth a word. Everything that others chose is
/// escaped: it must not move the cursor or forge a second line.
fn human(record: &Record) -> String {
    let outcome = record.outcome.map_or("intent", |outcome| outcome.as_str());
    let mut text = format!(
        "{:27}  {outcome:9}  {:9}  {:24}  ",
        output::printable(&record.time),
        record.action.as_str(),
        output::printable(&record.principal),
    );
    if let Some(vault) = &record.vault {
        let _ = write!(text, "{}:", output::printable(vault));
    }
    text.push_str(
        &record
            .secret
            .as_deref()
            .map(output::printable)
            .unwrap_or_default(),
    );
    if let Some(version) = record.version {
        let _ = write!(text, " v{version}");
    }
    let mut more = Vec::new();
    let cache = record.cache.map(|cache| format!("cache {cache}"));
    more.extend(record.grant.as_deref().map(output::printable));
    more.extend(record.via.as_deref().map(output::printable));
    more.extend(cache);
    more.extend(record.detail.as_deref().map(output::printable));
    more.retain(|part| !part.is_empty());
    if !more.is_empty() {
        let _ = write!(text, "  [{}]", more.join("; "));
    }
    text.truncate(text.trim_end().len());
    text
}
