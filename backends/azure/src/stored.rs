//! How a value stands in Key Vault, which holds text of up to 25 KB.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_backend::SecretValue;
use strongroom_backend_remote::{Form, from_text};
use zeroize::Zeroizing;

use crate::error::{Fault, Result};
use crate::vault::Bundle;

/// The most bytes of text that Key Vault takes, and with that the largest value that is text.
pub(crate) const MAX_TEXT: usize = 25_600;

/// The largest value that is not text: base64 makes four characters of three bytes.
pub(crate) const MAX_BINARY: usize = MAX_TEXT / 4 * 3;

/// The content type of a version whose text is base64 of the value.
pub(crate) const BASE64: &str = "application/vnd.strongroom.base64";

/// A value as text, wiped when dropped.
pub(crate) struct Stored {
    pub(crate) text: Zeroizing<String>,
    form: Form,
}

impl Stored {
    pub(crate) fn of(value: &SecretValue) -> Result<Self> {
        // The larger limit first: it is the one that is announced.
        if value.len() > MAX_TEXT {
            return Err(Fault::TooLarge(MAX_TEXT as u64));
        }
        if let Some(text) = plain(value.expose()) {
            return Ok(Self {
                text: Zeroizing::new(text.to_owned()),
                form: Form::Plain,
            });
        }
        if value.len() > MAX_BINARY {
            return Err(Fault::TooLarge(MAX_BINARY as u64));
        }
        Ok(Self {
            text: Zeroizing::new(STANDARD.encode(value.expose())),
            form: Form::Base64,
        })
    }

    /// The content type to write. One that another tool gave stays while the value is text.
    pub(crate) fn content_type<'t>(&self, before: Option<&'t str>) -> Option<&'t str> {
        match self.form {
            Form::Base64 => Some(BASE64),
            Form::Plain => before.filter(|before| *before != BASE64),
        }
    }
}

/// The value of a stored text.
pub(crate) fn value(mut bundle: Bundle) -> Result<SecretValue> {
    let form = match bundle.version.content_type.as_deref() {
        Some(BASE64) => Form::Base64,
        _ => Form::Plain,
    };
    from_text(std::mem::take(&mut bundle.text), form).map_err(|_| Fault::Damaged)
}

/// The bytes as text, where they are text without control characters other than tabs and line
/// ends: nobody promises that others come back.
fn plain(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let harmless = |b: &u8| *b >= b' ' || matches!(b, b'\t' | b'\n' | b'\r');
    bytes.iter().all(harmless).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(bytes: &[u8]) -> Result<Stored> {
        Stored::of(&SecretValue::copy_of(bytes))
    }

    #[test]
    fn text_stands_as_it_is_and_the_rest_as_base64() {
        assert_eq!(*stored(b"a\tb\r\n").unwrap().text, "a\tb\r\n");
        assert_eq!(*stored(b"a\0b").unwrap().text, "YQBi");
        assert_eq!(*stored(b"\xff").unwrap().text, "/w==");
        assert_eq!(stored(b"\xff").unwrap().content_type(None), Some(BASE64));
        let text = stored(b"x").unwrap();
        assert_eq!(text.content_type(Some("text/plain")), Some("text/plain"));
        assert_eq!(text.content_type(Some(BASE64)), None);
    }

    #[test]
    fn each_form_has_its_limit() {
        assert!(stored(&[b'x'; MAX_TEXT]).is_ok());
        assert!(matches!(
            stored(&[b'x'; MAX_TEXT + 1]),
            Err(Fault::TooLarge(25_600))
        ));
        assert_eq!(stored(&[0xff; MAX_BINARY]).unwrap().text.len(), MAX_TEXT);
        assert!(matches!(
            stored(&[0xff; MAX_BINARY + 1]),
            Err(Fault::TooLarge(19_200))
        ));
        // Multi-byte text counts by its bytes.
        let long = "\u{e9}".repeat(MAX_TEXT / 2);
        assert!(stored(long.as_bytes()).is_ok());
    }
}
