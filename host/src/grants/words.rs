//! Words for operators: the nearest valid one, and times that people read.

use jiff::Timestamp;

/// The most words that are listed where none is near.
const LISTED: usize = 16;
/// Longer texts are no misspelt names, and comparing them would cost.
const COMPARED: usize = 64;

/// The end of a message about an unknown word: the nearest valid one, or else what there is.
pub(crate) fn nearest<'w>(word: &str, valid: impl Iterator<Item = &'w str>) -> String {
    let mut valid: Vec<_> = valid.collect();
    valid.sort_unstable();
    let near = valid
        .iter()
        .filter(|_| word.len() <= COMPARED)
        .map(|known| (distance(word, known), *known))
        .filter(|(distance, known)| *distance <= known.len().max(word.len()).div_ceil(3))
        .min();
    match near {
        Some((_, known)) => format!(": did you mean '{known}'?"),
        None if valid.is_empty() => ": there is none".into(),
        None if valid.len() > LISTED => String::new(),
        None => format!(": there is '{}'", valid.join("', '")),
    }
}

fn distance(word: &str, known: &str) -> usize {
    let (word, known) = (word.to_lowercase(), known.to_lowercase());
    strsim::damerau_levenshtein(&word.replace('_', "-"), &known.replace('_', "-"))
}

/// An instant in milliseconds since the Unix epoch, as RFC 3339 in UTC.
pub(crate) fn timestamp(ms: u64) -> String {
    let instant = i64::try_from(ms).map(Timestamp::from_millisecond);
    match instant {
        Ok(Ok(instant)) => instant.to_string(),
        _ => format!("{ms} ms after 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered() {
        let known = || ["backend", "path", "key"].into_iter();
        assert_eq!(nearest("bakcend", known()), ": did you mean 'backend'?");
        assert_eq!(nearest("Key", known()), ": did you mean 'key'?");
        assert_eq!(
            nearest("zzzz", known()),
            ": there is 'backend', 'key', 'path'"
        );
        assert_eq!(nearest("zzzz", std::iter::empty()), ": there is none");
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(u64::MAX), "18446744073709551615 ms after 1970");
    }
}
