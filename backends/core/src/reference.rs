//! References: the names of secrets, parsed once at the boundary.
//!
//! Only the canonical form is accepted, so the text that a grant, a cache key, an audit record and
//! a backend see is the same text. The character set has no `:`, `?`, `#`, `%`, `\`, white space or
//! control character: a reference cannot become an ARN, a URL or a version selector of a service.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Limits of the grammar, in bytes or counts.
pub mod limits {
    /// The longest vault id.
    pub const VAULT_ID: usize = 64;
    /// The longest path: what the strictest file systems and services hold as one name.
    pub const PATH: usize = 255;
    /// The most segments in a path: AWS SSM allows 15 levels below a root prefix.
    pub const SEGMENTS: usize = 16;
    /// The longest reference text: vault id, colon, path.
    pub const REFERENCE: usize = VAULT_ID + 1 + PATH;
}

/// Why a text is not a reference. The text itself is never repeated: it may be a secret that was
/// passed by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing was given.
    #[error("the reference is empty")]
    Empty,
    /// The path after the vault id is empty.
    #[error("the path after the vault id is empty")]
    EmptyPath,
    /// A segment is empty: a leading, trailing or doubled `/`.
    #[error("a path segment is empty: remove the leading, trailing or doubled '/'")]
    EmptySegment,
    /// A segment is `.` or `..`, or starts with a dot.
    #[error("a path segment starts with '.': it must start with a letter, a digit, '_' or '-'")]
    DotSegment,
    /// A byte that the grammar does not have.
    #[error("byte {at} is not allowed: a path has only letters, digits, '_', '-', '.' and '/'")]
    Character {
        /// The position of the byte, from 0.
        at: usize,
    },
    /// The text before the colon is not a vault id.
    #[error("the vault id is not 1 to 64 letters, digits, '_' or '-'")]
    VaultId,
    /// No vault id was given and there is no default vault.
    #[error("no vault id was given and there is no default vault: write '<vault-id>:<path>'")]
    NoVault,
    /// The path is longer than [`limits::PATH`].
    #[error("the path has more than 255 bytes")]
    TooLong,
    /// The path has more than [`limits::SEGMENTS`] segments.
    #[error("the path has more than 16 segments")]
    TooManySegments,
}

/// The id of a vault: `[A-Za-z0-9_-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VaultId(Arc<str>);

impl VaultId {
    /// Parses a vault id.
    ///
    /// # Errors
    ///
    /// [`ReferenceError::VaultId`] for anything but `[A-Za-z0-9_-]{1,64}`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.is_empty() || text.len() > limits::VAULT_ID || !text.bytes().all(legal) {
            return Err(ReferenceError::VaultId);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of a secret within a vault: 1 to 16 segments joined by `/`, at most 255 bytes, each
/// segment `[A-Za-z0-9_-][A-Za-z0-9_.-]*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretPath(Arc<str>);

impl SecretPath {
    /// Parses a path.
    ///
    /// # Errors
    ///
    /// What is not canonical is refused, with the first reason found.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::EmptyPath);
        }
        if text.len() > limits::PATH {
            return Err(ReferenceError::TooLong);
        }
        if let Some(at) = text.bytes().position(|b| !is_path_byte(b)) {
            return Err(ReferenceError::Character { at });
        }
        for (index, segment) in text.split('/').enumerate() {
            if index >= limits::SEGMENTS {
                return Err(ReferenceError::TooManySegments);
            }
            match segment.bytes().next() {
                None => return Err(ReferenceError::EmptySegment),
                Some(b'.') => return Err(ReferenceError::DotSegment),
                Some(_) => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, in order.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/')
}

impl Borrow<str> for SecretPath {
    /// Ordered and compared as its text is.
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A canonical reference: a vault and a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    vault: VaultId,
    path: SecretPath,
}

impl Reference {
    /// Joins a vault and a path.
    pub fn new(vault: VaultId, path: SecretPath) -> Self {
        Self { vault, path }
    }

    /// Parses `[<vault-id>:]<path>`; without a vault id, `default` is the vault.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`], which never repeats the text.
    pub fn parse(text: &str, default: Option<&VaultId>) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (vault, path) = split_vault(text, default)?;
        Ok(Self {
            vault,
            path: SecretPath::parse(path)?,
        })
    }

    /// The vault.
    pub fn vault(&self) -> &VaultId {
        &self.vault
    }

    /// The path within the vault.
    pub fn path(&self) -> &SecretPath {
        &self.path
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.vault, self.path)
    }
}

/// What a listing starts with: a vault and the beginning of a path, which may be empty or end
/// within a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    vault: VaultId,
    path: Arc<str>,
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.vault, self.path)
    }
}

impl Prefix {
    /// Parses `[<vault-id>:][<beginning of a path>]`; `""` is all of the default vault.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] for what no canonical path can start with.
    pub fn parse(text: &str, default: Option<&VaultId>) -> Result<Self, ReferenceError> {
        let (vault, path) = split_vault(text, default)?;
        if !path.is_empty() {
            // The rules of a path bind what is complete; a last '/' leaves the next segment open.
            SecretPath::parse(path.strip_suffix('/').unwrap_or(path))?;
        }
        Ok(Self {
            vault,
            path: path.into(),
        })
    }

    /// The vault.
    pub fn vault(&self) -> &VaultId {
        &self.vault
    }

    /// The beginning of the path; empty for all.
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn split_vault<'t>(
    text: &'t str,
    default: Option<&VaultId>,
) -> Result<(VaultId, &'t str), ReferenceError> {
    match text.split_once(':') {
        Some((vault, path)) => Ok((VaultId::parse(vault)?, path)),
        None => Ok((default.ok_or(ReferenceError::NoVault)?.clone(), text)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn default_vault() -> VaultId {
        VaultId::parse("app").unwrap()
    }

    /// The grammar of `wit/types.wit`, written a second time and differently.
    fn model(text: &str) -> bool {
        let (vault, path) = text.split_once(':').unwrap_or(("app", text));
        let word = |s: &str| {
            s.chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        let segment = |s: &str| {
            let mut chars = s.chars();
            chars.next().is_some_and(|c| word(&c.to_string()))
                && chars.all(|c| word(&c.to_string()) || c == '.')
        };
        (1..=64).contains(&vault.len())
            && word(vault)
            && path.len() <= 255
            && path.split('/').count() <= 16
            && path.split('/').all(segment)
    }

    proptest! {
        #[test]
        fn parse_then_print_is_identity(vault in "[A-Za-z0-9_-]{1,64}",
                path in "[A-Za-z0-9_-][A-Za-z0-9_.-]{0,9}(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,9}){0,15}") {
            let text = format!("{vault}:{path}");
            let parsed = Reference::parse(&text, None).unwrap();
            prop_assert_eq!(parsed.to_string(), text);
            let short = Reference::parse(&path, Some(&default_vault())).unwrap();
            prop_assert_eq!(short.to_string(), format!("app:{path}"));
        }

        #[test]
        fn everything_not_canonical_is_refused(text in "[a-c:/._%\\\\ \u{0}\u{e9}-]{0,12}") {
            prop_assert_eq!(Reference::parse(&text, Some(&default_vault())).is_ok(), model(&text));
        }

        #[test]
        fn any_text_agrees_with_the_model(text in any::<String>()) {
            prop_assert_eq!(Reference::parse(&text, Some(&default_vault())).is_ok(), model(&text));
        }

        #[test]
        fn every_beginning_of_a_path_is_a_prefix(
            path in "[a-z][a-z.]{0,3}(/[a-z][a-z.]{0,3}){0,3}", cut in 0usize..16,
        ) {
            let cut = cut.min(path.len());
            prop_assert!(Prefix::parse(&path[..cut], Some(&default_vault())).is_ok());
        }
    }

    #[test]
    fn hostile_names_are_refused_with_a_reason() {
        use ReferenceError as E;
        let cases: &[(&str, E)] = &[
            ("", E::Empty),
            ("app:", E::EmptyPath),
            ("/a", E::EmptySegment),
            ("a/", E::EmptySegment),
            ("a//b", E::EmptySegment),
            (".", E::DotSegment),
            ("a/../b", E::DotSegment),
            ("a/.hidden", E::DotSegment),
            ("a%2e%2e/b", E::Character { at: 1 }),
            ("a\0b", E::Character { at: 1 }),
            ("a\\b", E::Character { at: 1 }),
            ("a b", E::Character { at: 1 }),
            ("name?version=1", E::Character { at: 4 }),
            ("caf\u{e9}", E::Character { at: 3 }),
            ("\u{2024}\u{2024}/a", E::Character { at: 0 }),
            ("name:5:6", E::Character { at: 1 }),
            (
                "arn:aws:ssm:eu-west-1:1:parameter/a",
                E::Character { at: 3 },
            ),
            ("https://vault/secrets/a", E::EmptySegment),
            ("*", E::Character { at: 0 }),
            ("a/**", E::Character { at: 2 }),
            (":a", E::VaultId),
            ("a/b:c", E::VaultId),
        ];
        for (text, reason) in cases {
            let got = Reference::parse(text, Some(&default_vault()));
            assert_eq!(got.unwrap_err(), *reason, "{text:?}");
        }
    }

    #[test]
    fn lengths_bite_at_the_limit() {
        let at = "a".repeat(limits::PATH);
        assert!(SecretPath::parse(&at).is_ok());
        assert_eq!(
            SecretPath::parse(&format!("{at}a")),
            Err(ReferenceError::TooLong)
        );
        let segments = vec!["a"; limits::SEGMENTS].join("/");
        assert!(SecretPath::parse(&segments).is_ok());
        assert_eq!(
            SecretPath::parse(&format!("{segments}/a")),
            Err(ReferenceError::TooManySegments)
        );
        assert!(VaultId::parse(&"a".repeat(65)).is_err());
        assert_eq!(Reference::parse("a", None), Err(ReferenceError::NoVault));
    }
}
