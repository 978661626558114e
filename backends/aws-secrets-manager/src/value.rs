//! Values as the service keeps them: text as a string, other bytes as binary, both as they are.

use aws_sdk_secretsmanager::primitives::Blob;
use strongroom_backend::SecretValue;
use zeroize::Zeroize;

/// The most bytes of one value.
pub(crate) const MAX_VALUE: u64 = 65_536;

/// The service takes no empty value. As we write UTF-8 as a string, binary that is UTF-8 is never a value
/// of ours: this one stands for none at all.
const EMPTY: &[u8] = b"strongroom: an empty value";
/// What the mark of a delete holds; it is known by its id.
const DELETED: &[u8] = b"strongroom: deleted";

/// A value in one of the service's two fields; wiped when it is not taken out. The client library's own
/// copies are not.
pub(crate) struct Stored {
    string: Option<String>,
    binary: Option<Blob>,
}

impl Stored {
    /// What came in the two fields.
    pub(crate) fn new(string: Option<String>, binary: Option<Blob>) -> Self {
        Self { string, binary }
    }

    /// How `value` is written.
    pub(crate) fn of(value: &SecretValue) -> Self {
        let bytes = value.expose();
        match std::str::from_utf8(bytes) {
            Ok("") => Self::binary(EMPTY),
            Ok(text) => Self::new(Some(text.to_owned()), None),
            Err(_) => Self::binary(bytes),
        }
    }

    /// What the mark of a delete holds.
    pub(crate) fn deleted() -> Self {
        Self::binary(DELETED)
    }

    /// The value that was read, and none where the reply has not exactly one. `ours` says that we wrote
    /// it: only then can it be the stand-in for an empty one.
    pub(crate) fn into_value(mut self, ours: bool) -> Option<SecretValue> {
        let bytes = match (&mut self.string, &mut self.binary) {
            (Some(text), None) => std::mem::take(text).into_bytes(),
            (None, Some(blob)) if ours && blob.as_ref() == EMPTY => Vec::new(),
            (None, binary) => binary.take()?.into_inner(),
            (Some(_), Some(_)) => return None,
        };
        Some(SecretValue::new(bytes))
    }

    /// The two fields of a request.
    pub(crate) fn into_fields(mut self) -> (Option<String>, Option<Blob>) {
        (self.string.take(), self.binary.take())
    }

    fn binary(bytes: &[u8]) -> Self {
        Self::new(None, Some(Blob::new(bytes)))
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.string.zeroize();
        if let Some(blob) = self.binary.take() {
            blob.into_inner().zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(bytes: &[u8]) -> Vec<u8> {
        let stored = Stored::of(&SecretValue::copy_of(bytes));
        stored.into_value(true).unwrap().expose().to_vec()
    }

    #[test]
    fn every_value_comes_back_those_that_look_like_marks_too() {
        for bytes in [
            &b""[..],
            b"\0",
            b"{\"a\":1}",
            b"\xff",
            EMPTY,
            DELETED,
            "caf\u{e9}".as_bytes(),
        ] {
            assert_eq!(back(bytes), bytes);
        }
    }

    #[test]
    fn text_is_a_string_and_only_other_bytes_are_binary() {
        let text = Stored::of(&SecretValue::copy_of(b"text"));
        assert_eq!(text.into_fields(), (Some("text".to_owned()), None));
        let bytes = Stored::of(&SecretValue::copy_of(b"\xfe\0"));
        assert_eq!(bytes.into_fields(), (None, Some(Blob::new(b"\xfe\0"))));
    }

    #[test]
    fn a_mark_of_another_tool_is_its_value() {
        let value = Stored::binary(EMPTY).into_value(false).unwrap();
        assert_eq!(value.expose(), EMPTY);
    }

    #[test]
    fn a_reply_with_both_or_none_has_no_value() {
        let mut both = Stored::binary(b"x");
        both.string = Some("x".to_owned());
        assert!(both.into_value(true).is_none());
        let none = Stored::new(None, None);
        assert!(none.into_value(true).is_none());
    }
}
