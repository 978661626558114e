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

#[cfg(test)]
mod tests {
    use strongroom::audit::parse_line;

    use super::*;

    fn record(secret: &str, detail: &str) -> Record {
        let hash = "0".repeat(64);
        let line = format!(
            r#"{{"v":1,"seq":1,"time":"2026-11-22T12:00:00.000123Z","call":"w.1","of":null,"principal":"component:billing","instance":null,"digest":null,"via":"strongroom:vault/vault.get","action":"read","vault":"app","secret":"{secret}","version":3,"phase":"outcome","outcome":"allowed","grant":"component.billing.grants[0]","policy":7,"cache":"hit","detail":{detail},"prev":"{hash}","mac":"{hash}"}}"#
        );
        parse_line(line.as_bytes()).unwrap()
    }

    #[test]
    fn a_record_is_one_aligned_line() {
        assert_eq!(
            human(&record("stripe/key", "null")),
            "2026-11-22T12:00:00.000123Z  allowed    read       component:billing         \
             app:stripe/key v3  [component.billing.grants[0]; strongroom:vault/vault.get; cache hit]"
        );
    }

    #[test]
    fn what_others_chose_cannot_drive_the_terminal() {
        let line = human(&record("a\\u001b[2Jb", r#""x\n2026 forged\u202e""#));
        assert!(!line.contains(['\x1b', '\n', '\u{202e}']), "{line:?}");
        assert!(
            line.contains("a\\u{1b}[2Jb") && line.contains("x\\u{a}2026 forged"),
            "{line}"
        );
    }
}
