//! Sizes and durations, as people write them: `"1 GiB"`, `"90d"`.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1000 * 1000),
    ("MiB", 1 << 20),
    ("GB", 1000 * 1000 * 1000),
    ("GiB", 1 << 30),
    ("TB", 1000 * 1000 * 1000 * 1000),
    ("TiB", 1 << 40),
];

const DURATIONS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
];

/// Why a text is not a size or a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// Not a size.
    #[error("a size is a whole number and a unit: B, KiB, MiB, GiB or TiB, as in \"1 GiB\"")]
    Size,
    /// Not a duration.
    #[error("a duration is a whole number and a unit: ms, s, m, h or d, as in \"90d\"")]
    Duration,
    /// More than 64 bits hold.
    #[error("the number is too large")]
    TooLarge,
}

/// Parses a size such as `"1 GiB"` or `"64KiB"`, in bytes.
///
/// # Errors
///
/// [`UnitError`] for a fraction, a sign, no unit or an unknown one, and for what 64 bits do not hold.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    scaled(text, &SIZES, UnitError::Size)
}

/// Parses a duration such as `"90d"` or `"5 m"`.
///
/// # Errors
///
/// [`UnitError`] for a fraction, a sign, no unit or an unknown one, and for what 64 bits do not hold.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    scaled(text, &DURATIONS, UnitError::Duration).map(Duration::from_millis)
}

fn scaled(text: &str, units: &[(&str, u64)], error: UnitError) -> Result<u64, UnitError> {
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or(error)?;
    let (digits, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let known = units.iter().find(|(name, _)| *name == unit);
    let (_, scale) = known.filter(|_| !digits.is_empty()).ok_or(error)?;
    let number: u64 = digits.parse().map_err(|_| UnitError::TooLarge)?;
    number.checked_mul(*scale).ok_or(UnitError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_have_units() {
        assert_eq!(parse_size("1 GiB"), Ok(1 << 30));
        assert_eq!(parse_size("64KiB"), Ok(65536));
        assert_eq!(parse_size("2 MB"), Ok(2_000_000));
        assert_eq!(parse_duration("90d"), Ok(Duration::from_secs(90 * 86400)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for text in [
            "",
            "1",
            "GiB",
            " 1 GiB",
            "1  GiB",
            "1.5 GiB",
            "-1 GiB",
            "1 gib",
            "1d",
            "\u{661} B",
        ] {
            assert_eq!(parse_size(text), Err(UnitError::Size), "{text:?}");
        }
        for text in ["", "1", "d", "1.5h", "1M", "1 GiB", "1y"] {
            assert_eq!(parse_duration(text), Err(UnitError::Duration), "{text:?}");
        }
        assert_eq!(parse_size("99999999 TiB"), Err(UnitError::TooLarge));
        assert_eq!(
            parse_duration("99999999999999999999d"),
            Err(UnitError::TooLarge)
        );
    }
}
