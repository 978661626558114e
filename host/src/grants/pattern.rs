use std::fmt;
use std::sync::Arc;

use strongroom_backend::{SecretPath, limits};

/// Which paths of a vault a grant covers.
///
/// Segments are joined by `/`. A segment is literal but for `*`, which stands for any bytes of that
/// one segment, none included; `**` as the last segment stands for one or more segments. Nothing
/// else is special, and no pattern reaches into another vault.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Arc<str>,
    shape: Shape,
}

/// What the text was found to be, so that a decision does not look for it again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Shape {
    /// No `*`: one path.
    Literal,
    /// `*` within segments.
    Glob,
    /// `**` alone: every path.
    All,
    /// Segments, then `/**`.
    Under,
}

const REST: &str = "**";

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// [`PatternError`] for a pattern that could match no path, or that holds a special form which
    /// patterns do not have.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let shape = check(text)?;
        let text = text.into();
        Ok(Self { text, shape })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern covers this path. Takes time linear in the length of both.
    pub fn matches(&self, path: &SecretPath) -> bool {
        let text: &str = &self.text;
        match self.shape {
            Shape::Literal => text == path.as_str(),
            Shape::All => true,
            Shape::Glob => {
                let mut segments = path.segments();
                begins(&mut segments, text) && segments.next().is_none()
            }
            Shape::Under => {
                let mut segments = path.segments();
                let head = text.strip_suffix("/**").unwrap_or(text);
                begins(&mut segments, head) && segments.next().is_some()
            }
        }
    }
}

fn check(text: &str) -> Result<Shape, PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > limits::PATH {
        return Err(PatternError::TooLong);
    }
    if text.contains(':') {
        return Err(PatternError::Vault);
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b'*');
    if let Some(at) = text.bytes().position(|b| !legal(b)) {
        return Err(PatternError::Character { at });
    }
    if text.split('/').count() > limits::SEGMENTS {
        return Err(PatternError::TooManySegments);
    }
    let head = match text.strip_suffix(REST) {
        Some("") => return Ok(Shape::All),
        Some(head) => head.strip_suffix('/').ok_or(PatternError::Rest)?,
        None => text,
    };
    for segment in head.split('/') {
        if segment.is_empty() {
            return Err(PatternError::EmptySegment);
        }
        if segment.starts_with('.') {
            return Err(PatternError::DotSegment);
        }
        if segment.contains(REST) {
            return Err(PatternError::Rest);
        }
    }
    Ok(match (head.len() < text.len(), text.contains('*')) {
        (true, _) => Shape::Under,
        (false, true) => Shape::Glob,
        (false, false) => Shape::Literal,
    })
}

/// Whether the segments start with those of `head`; takes what it compared.
fn begins<'p>(segments: &mut impl Iterator<Item = &'p str>, head: &str) -> bool {
    head.split('/')
        .all(|want| segments.next().is_some_and(|have| covers(want, have)))
}

/// Each piece between stars is looked for once, leftmost first, and what it took is never looked at
/// again: a pattern of many stars costs no more than its length.
fn covers(want: &str, have: &str) -> bool {
    let mut pieces = want.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(rest) = have.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    let Some(mut rest) = rest.strip_suffix(last) else {
        return false;
    };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Nothing was given.
    #[error("a pattern is empty: '**' is every secret of the vault")]
    Empty,
    /// A colon: patterns do not name vaults.
    #[error("a pattern names no vault: put the vault into 'vault' and the path into 'secrets'")]
    Vault,
    /// A byte that no path has.
    #[error(
        "byte {at} of the pattern is not allowed: letters, digits, '_', '-', '.', '/' and '*' are"
    )]
    Character {
        /// The position of the byte, from 0.
        at: usize,
    },
    /// A leading, trailing or doubled `/`.
    #[error("a segment of the pattern is empty: 'a/**' is everything under 'a'")]
    EmptySegment,
    /// A segment that starts with a dot.
    #[error("a segment of the pattern starts with '.', and no path has such a segment")]
    DotSegment,
    /// `**` that is not the whole last segment.
    #[error("'**' may only be the whole last segment, as in 'a/**'; '*' stays within one segment")]
    Rest,
    /// Longer than any path.
    #[error("a pattern has at most 255 bytes")]
    TooLong,
    /// More segments than any path.
    #[error("a pattern has at most 16 segments")]
    TooManySegments,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let pattern = Pattern::parse(pattern).unwrap();
        pattern.matches(&SecretPath::parse(path).unwrap())
    }

    #[test]
    fn stars_stay_within_a_segment() {
        for (pattern, path, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b", "a", false),
            ("a/b", "A/b", false),
            ("stripe/*", "stripe/key", true),
            ("stripe/*", "stripe/key/old", false),
            ("stripe/*", "stripe", false),
            ("a*", "a", true),
            ("*", "a.b", true),
            ("*", "a/b", false),
            ("*.json", "a.json", true),
            ("*.json", "ajson", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "axxbxxc", true),
            ("a*b*c", "axxcxxb", false),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "abaab", true),
            ("*ab*ab*", "aab", false),
            ("*/b/*", "a/b/c", true),
            ("*/b/*", "a/x/c", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn two_stars_are_one_or_more_segments() {
        for (pattern, path, expected) in [
            ("**", "a", true),
            ("**", "a/b/c", true),
            ("shared/**", "shared/a", true),
            ("shared/**", "shared/a/b", true),
            ("shared/**", "shared", false),
            ("shared/**", "shared2/a", false),
            ("s*/**", "shared2/a", true),
            ("*/**", "a", false),
            ("*/**", "a/b", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_could_match_nothing_is_refused() {
        use PatternError as E;
        for (pattern, error) in [
            ("", E::Empty),
            ("/a", E::EmptySegment),
            ("a/", E::EmptySegment),
            ("a//b", E::EmptySegment),
            ("/**", E::EmptySegment),
            ("a/../b", E::DotSegment),
            (".*", E::DotSegment),
            ("**/a", E::Rest),
            ("a/**/b", E::Rest),
            ("a**", E::Rest),
            ("a/***", E::Rest),
            ("a/b**", E::Rest),
            ("prod:a/*", E::Vault),
            ("a/[bc]", E::Character { at: 2 }),
            ("a/{b,c}", E::Character { at: 2 }),
            ("a?", E::Character { at: 1 }),
            ("!a", E::Character { at: 0 }),
            ("a\\*", E::Character { at: 1 }),
            ("a ", E::Character { at: 1 }),
            ("\u{ff0a}", E::Character { at: 0 }),
        ] {
            assert_eq!(Pattern::parse(pattern), Err(error), "{pattern:?}");
        }
        assert_eq!(Pattern::parse(&"a".repeat(256)), Err(E::TooLong));
        let deep = vec!["a"; 17].join("/");
        assert_eq!(Pattern::parse(&deep), Err(E::TooManySegments));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = "*a".repeat(127);
        let path = format!("{}b", "a".repeat(254));
        let started = std::time::Instant::now();
        for _ in 0..1000 {
            assert!(!matches(&pattern, &path));
        }
        assert!(started.elapsed().as_secs() < 5);
    }
}
