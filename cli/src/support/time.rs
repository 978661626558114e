//! Times as people and programs write them: RFC 3339 in UTC, and durations from now.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use crate::failure::Failure;

/// A time of the store, milliseconds since the Unix epoch, as RFC 3339 in UTC.
pub(crate) fn show(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match time {
        Some(time) => format!("{time:.3}"),
        None => format!("{milliseconds} ms"),
    }
}

/// A moment to come: RFC 3339, or a duration from now such as `90d`, `12h` or `1y`. Milliseconds
/// since the Unix epoch.
///
/// # Errors
///
/// It is neither, or it is past.
pub(crate) fn future(text: &str) -> Result<u64, Failure> {
    future_from(text, Timestamp::now())
}

fn future_from(text: &str, now: Timestamp) -> Result<u64, Failure> {
    let wrong = |what: &str| {
        Failure::usage(format!("the time of `--expires` {what}"))
            .hint("write a time to come, as 2027-01-01T00:00:00Z, or a duration from now, as 90d")
    };
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let span: Span = text
                .parse()
                .map_err(|_| wrong("is neither RFC 3339 nor a duration"))?;
            Zoned::new(now, TimeZone::UTC)
                .checked_add(span)
                .map_err(|_| wrong("is too far away"))?
                .timestamp()
        }
    };
    if time <= now {
        return Err(wrong("is not in the future"));
    }
    u64::try_from(time.as_millisecond()).map_err(|_| wrong("is not in the future"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<String> {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        future_from(text, now).ok().map(show)
    }

    #[test]
    fn times_and_durations_are_understood() {
        let cases = [
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000Z"),
            ("2027-01-01T01:00:00+01:00", "2027-01-01T00:00:00.000Z"),
            ("90d", "2027-02-20T12:00:00.000Z"),
            ("12h", "2026-11-23T00:00:00.000Z"),
            ("1d 30m", "2026-11-23T12:30:00.000Z"),
            ("2w", "2026-12-06T12:00:00.000Z"),
            ("1y", "2027-11-22T12:00:00.000Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_past_or_no_time_is_refused() {
        for text in [
            "",
            "soon",
            "90",
            "0d",
            "-1d",
            "2026-11-22T12:00:00Z",
            "2020-01-01T00:00:00Z",
            "99999999y",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
