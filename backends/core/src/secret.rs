//! A secret value as a type.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

/// The bytes of a secret: wiped on drop, compared in constant time, without content in `Debug`.
///
/// It has no `Clone` and no `Serialize`, so a copy or an output is always a visible
/// [`expose`](Self::expose). Share it behind an `Arc`.
pub struct SecretValue(Zeroizing<Box<[u8]>>);

impl SecretValue {
    /// Takes `bytes` over. Where the vector has spare capacity its buffer is copied and wiped,
    /// so that shrinking leaves no second copy in freed memory.
    pub fn new(mut bytes: Vec<u8>) -> Self {
        if bytes.len() == bytes.capacity() {
            return Self(Zeroizing::new(bytes.into_boxed_slice()));
        }
        let exact = Self::copy_of(&bytes);
        bytes.zeroize();
        exact
    }

    /// Copies `bytes`; wiping the original stays with the caller.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(Box::from(bytes)))
    }

    /// The bytes. Each call is a place where the value can leave the type.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the value is empty, which is a value like any other.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ConstantTimeEq for SecretValue {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.expose().ct_eq(other.expose())
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue([REDACTED])")
    }
}

impl PartialEq for SecretValue {
    /// In constant time for values of one length.
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for SecretValue {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_content_and_no_length() {
        let value = SecretValue::copy_of(b"canary-9f3b");
        assert_eq!(format!("{value:?}"), "SecretValue([REDACTED])");
    }

    #[test]
    fn spare_capacity_keeps_the_bytes() {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(b"abc");
        assert_eq!(SecretValue::new(bytes).expose(), b"abc");
    }

    #[test]
    fn equality_is_of_bytes() {
        assert_eq!(SecretValue::copy_of(b"a"), SecretValue::copy_of(b"a"));
        assert_ne!(SecretValue::copy_of(b"a"), SecretValue::copy_of(b"ab"));
    }
}
