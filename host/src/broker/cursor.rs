//! Cursors of listings: the last name given, sealed for one caller and one prefix.
//!
//! A name in clear would tell a component of a secret that it may not list, and let it start a page
//! where it likes.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::{CallError, ErrorCode};

const NONCE: usize = 12;

/// Seals and opens cursors, under a key that lives and ends with the broker.
pub(crate) struct Cursors(Aes256Gcm);

impl Cursors {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key)?;
        Ok(Self(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))))
    }

    pub(crate) fn seal(&self, name: &str, bound: &str) -> Result<String, CallError> {
        let failed = || CallError::new(ErrorCode::Unavailable("no cursor can be made".to_owned()));
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| failed())?;
        let payload = Payload {
            msg: name.as_bytes(),
            aad: bound.as_bytes(),
        };
        let sealed = self
            .0
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| failed())?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// The name in a cursor that was sealed for `bound`; none for anything else.
    pub(crate) fn open(&self, cursor: &str, bound: &str) -> Option<String> {
        // A name of at most 255 bytes with nonce and tag, in base64.
        if cursor.len() > 512 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
        let payload = Payload {
            msg: sealed,
            aad: bound.as_bytes(),
        };
        let name = self.0.decrypt(&Nonce::from(*nonce), payload).ok()?;
        String::from_utf8(name).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_for_the_caller_and_prefix_it_was_made_for() {
        let cursors = Cursors::new().unwrap();
        let cursor = cursors.seal("db/main", "component:a\0app\0db/").unwrap();
        assert_eq!(
            cursors.open(&cursor, "component:a\0app\0db/").as_deref(),
            Some("db/main")
        );
        assert_eq!(cursors.open(&cursor, "component:b\0app\0db/"), None);
        assert_eq!(cursors.open("", "component:a\0app\0db/"), None);
        assert_eq!(
            cursors.open(&"A".repeat(513), "component:a\0app\0db/"),
            None
        );
        assert!(!cursor.contains("main"));
    }
}
