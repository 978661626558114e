//! Bytes that are wiped on drop and never shown by accident.

use std::fmt;
use std::str::Utf8Error;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret's value.
///
/// The bytes are wiped on drop and compared in constant time. There is no `Clone`, no `Display` and
/// no serialization, and `Debug` tells nothing, not even the length: a value leaves only through
/// [`expose`](Self::expose), which is easy to search for.
///
/// ```
/// use strongroom_guest::Secret;
///
/// let secret = Secret::from(b"hunter2".to_vec());
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose(), b"hunter2");
/// ```
#[must_use = "a secret that is not used was read, and audited, for nothing"]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The bytes.
    ///
    /// Keep the borrow short. Whatever you copy out of it is not wiped.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text.
    ///
    /// # Errors
    ///
    /// Where they are not UTF-8. The error tells the position of the first byte that is not, and no
    /// byte.
    pub fn expose_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.0)
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the bytes are `other`'s, in a time that depends on the lengths alone.
    ///
    /// ```
    /// use strongroom_guest::Secret;
    ///
    /// let token = Secret::from(b"correct horse".to_vec());
    /// assert!(token.matches(b"correct horse"));
    /// assert!(!token.matches(b"correct house"));
    /// ```
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Takes the buffer over as it is: nothing is copied, and its whole capacity is wiped on drop.
impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// Takes the buffer over as it is: nothing is copied, and its whole capacity is wiped on drop.
impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

/// In constant time; see [`Secret::matches`].
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.expose())
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn taking_a_buffer_over_copies_nothing() {
        let bytes = b"sk_live_51H".to_vec();
        let address = bytes.as_ptr();
        assert_eq!(Secret::from(bytes).expose().as_ptr(), address);
    }

    #[test]
    fn text_is_checked_and_the_error_has_no_bytes() {
        let secret = Secret::from(b"canary\xff".to_vec());
        let error = secret.expose_str().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert_eq!(Secret::from("text".to_owned()).expose_str(), Ok("text"));
    }

    #[test]
    fn debug_tells_nothing() {
        assert_eq!(format!("{:?}", Secret::from(Vec::new())), "Secret(..)");
        let nested = Some(("name", Secret::from(b"canary-value".to_vec())));
        assert_eq!(format!("{nested:?}"), "Some((\"name\", Secret(..)))");
        assert!(!format!("{nested:#?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn equality_is_that_of_the_bytes(a: Vec<u8>, b: Vec<u8>) {
            let secret = Secret::from(a.clone());
            prop_assert!(secret.matches(&a));
            prop_assert_eq!(secret.matches(&b), a == b);
            prop_assert_eq!(secret == Secret::from(b.clone()), a == b);
        }
    }
}
