//! The options that choose records.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use strongroom::audit::{Action, Filter, Outcome, Record};

/// Which records are shown: those that meet every option given.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A path or pattern, with or without a vault: `stripe/api-key`, `app-secrets:stripe/*`, `prod:`
    #[arg(long, value_name = "REF")]
    secret: Option<String>,

    /// The name of a component
    #[arg(long, value_name = "NAME", conflicts_with = "principal")]
    component: Option<String>,

    /// Any principal: `component:billing`, `operator:alice`, `host:refresh`
    #[arg(long)]
    principal: Option<String>,

    /// How it ended: allowed, denied, not-found, conflict, invalid, quota, failed, cancelled, unknown
    #[arg(long)]
    outcome: Option<Outcome>,

    /// What was asked for: read, list, write, delete, ...
    #[arg(long)]
    action: Option<Action>,

    /// No records before: `30d`, `12h`, `15m`, a date or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Option<Timestamp>,

    /// No records after
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<Timestamp>,
}

impl Options {
    pub(crate) fn chosen(self) -> Chosen {
        let (vault, secret) = match self.secret {
            None => (None, None),
            Some(text) => match text.split_once(':') {
                Some((vault, "")) => (Some(vault.to_owned()), None),
                Some((vault, path)) => (Some(vault.to_owned()), Some(path.to_owned())),
                None => (None, Some(text)),
            },
        };
        let filter = Filter {
            secret,
            component: self.component,
            principal: self.principal,
            outcome: self.outcome,
            action: self.action,
            since: self.since.map(Timestamp::as_microsecond),
            until: self.until.map(Timestamp::as_microsecond),
        };
        Chosen { filter, vault }
    }
}

/// What the log itself can filter, and the vault, which it cannot.
pub(crate) struct Chosen {
    filter: Filter,
    vault: Option<String>,
}

impl Chosen {
    /// Splits off what the log filters by; the rest answers whether a record is shown.
    pub(crate) fn split(self) -> (Filter, impl Fn(&Record) -> bool) {
        let Self { filter, vault } = self;
        (filter, move |record| {
            vault.is_none() || record.vault == vault
        })
    }
}

/// A point in time: so long ago, the beginning of a day (UTC), or an instant.
fn instant(text: &str) -> Result<Timestamp, String> {
    const WRONG: &str = "expected 30d, 12h, 15m, 90s, 2w, a date or a time in RFC 3339";
    if let Some(ago) = ago(text) {
        return Timestamp::now()
            .checked_sub(ago)
            .map_err(|_| WRONG.to_owned());
    }
    if let Ok(date) = text.parse::<Date>()
        && !text.contains(['T', ' '])
        && let Ok(midnight) = date.to_zoned(TimeZone::UTC)
    {
        return Ok(midnight.timestamp());
    }
    text.parse().map_err(|_| WRONG.to_owned())
}

fn ago(text: &str) -> Option<SignedDuration> {
    let (number, seconds) = match text.char_indices().next_back()? {
        (at, 's') => (text.get(..at)?, 1),
        (at, 'm') => (text.get(..at)?, 60),
        (at, 'h') => (text.get(..at)?, 3600),
        (at, 'd') => (text.get(..at)?, 86_400),
        (at, 'w') => (text.get(..at)?, 7 * 86_400),
        _ => return None,
    };
    let count: i64 = number.parse::<u32>().ok()?.into();
    Some(SignedDuration::from_secs(count * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_time_are_taken() {
        let days = |text: &str| {
            let then = instant(text).unwrap();
            Timestamp::now().duration_since(then).as_secs() / 86_400
        };
        assert_eq!(days("30d"), 30);
        assert_eq!(days("2w"), 14);
        assert_eq!(days("48h"), 2);
        assert_eq!(
            instant("2026-11-22").unwrap().to_string(),
            "2026-11-22T00:00:00Z"
        );
        let exact = instant("2026-11-22T12:00:00.5+01:00").unwrap();
        assert_eq!(exact.to_string(), "2026-11-22T11:00:00.5Z");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "d",
            "-1d",
            "1y",
            "99999999999d",
            "4294967295w",
            "2026-13-01",
            "\u{e9}",
        ] {
            assert!(instant(text).is_err(), "{text}");
        }
    }
}
