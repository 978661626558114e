use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// The name of a component or a role: `[A-Za-z0-9_-]{1,64}`. It comes from the configuration or the
/// embedder, never from a guest.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes: as long as a vault id, so that a label stays one line.
    pub const MAX: usize = 64;

    /// Parses a name.
    ///
    /// # Errors
    ///
    /// [`NameError`] for anything but `[A-Za-z0-9_-]{1,64}`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.is_empty() || text.len() > Self::MAX || !text.bytes().all(legal) {
            return Err(NameError);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 letters, digits, '_' or '-'")]
pub struct NameError;

/// A SHA-256, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses `sha256:<64 hexadecimal digits>`.
    ///
    /// # Errors
    ///
    /// [`DigestError`], which says what is missing.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let digits = text.strip_prefix("sha256:").ok_or(DigestError::Prefix)?;
        if digits.len() != 64 {
            return Err(DigestError::Length(digits.len()));
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| DigestError::Digits)?;
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

/// Why a text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// Another algorithm, or none.
    #[error("a digest is written 'sha256:' and 64 hexadecimal digits")]
    Prefix,
    /// Too short or too long.
    #[error("a SHA-256 has 64 hexadecimal digits, and this has {0} bytes after 'sha256:'")]
    Length(usize),
    /// A character that is no hexadecimal digit.
    #[error("a digest has only the digits 0-9 and a-f after 'sha256:'")]
    Digits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_prints_as_it_parses() {
        let digest = Digest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::parse(text), Ok(digest));
        assert_eq!(Digest::parse(&text[7..]), Err(DigestError::Prefix));
        assert_eq!(Digest::parse(&text[..70]), Err(DigestError::Length(63)));
        let bad = text.replace('e', "g");
        assert_eq!(Digest::parse(&bad), Err(DigestError::Digits));
    }

    #[test]
    fn names_have_a_narrow_alphabet() {
        assert!(Name::parse(&"a".repeat(64)).is_ok());
        for text in [
            "",
            "a b",
            "a/b",
            "a.b",
            "a:b",
            "*",
            "\u{e9}",
            &"a".repeat(65),
        ] {
            assert_eq!(Name::parse(text), Err(NameError), "{text:?}");
        }
    }
}
