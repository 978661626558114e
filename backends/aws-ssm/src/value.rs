//! Values as the text of a parameter. The crate's documentation has the table.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_backend::SecretValue;
use zeroize::Zeroizing;

/// What every mark begins with. Text that begins so is never stored as it is.
const MARK: &str = "strongroom:";
const TEXT: &str = "strongroom:text:";
const BASE64: &str = "strongroom:base64:";
/// What the service resolves: a value with it is refused, or not what was written.
const RESOLVED: &str = "{{";

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Marked,
    Base64,
}

/// A stored text with a mark that is not one of ours, or with bad base64 behind it. Says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored text begins with '{MARK}' and is not what this program writes")]
pub(crate) struct Unreadable;

impl Form {
    pub(crate) fn of(value: &SecretValue) -> Self {
        match std::str::from_utf8(value.expose()) {
            Ok("") => Self::Marked,
            Ok(text) if !is_kept(text) => Self::Base64,
            Ok(text) if text.starts_with(MARK) => Self::Marked,
            Ok(_) => Self::Plain,
            Err(_) => Self::Base64,
        }
    }

    /// The bytes of text that a value of `len` bytes takes.
    pub(crate) fn stored(self, len: usize) -> usize {
        match self {
            Self::Plain => len,
            Self::Marked => TEXT.len().saturating_add(len),
            Self::Base64 => BASE64
                .len()
                .saturating_add(len.div_ceil(3).saturating_mul(4)),
        }
    }

    /// The longest value whose text has at most `limit` bytes.
    pub(crate) fn most(self, limit: usize) -> usize {
        match self {
            Self::Plain => limit,
            Self::Marked => limit.saturating_sub(TEXT.len()),
            Self::Base64 => limit.saturating_sub(BASE64.len()) / 4 * 3,
        }
    }
}

/// Whether the service surely keeps a text byte for byte.
fn is_kept(text: &str) -> bool {
    let kept = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    text.chars().all(kept) && !text.contains(RESOLVED) && !text.trim().is_empty()
}

/// The text that stands for `value`, wiped when dropped.
pub(crate) fn to_text(value: &SecretValue) -> Zeroizing<String> {
    let form = Form::of(value);
    let mut text = Zeroizing::new(String::with_capacity(form.stored(value.len())));
    match (form, std::str::from_utf8(value.expose())) {
        (Form::Plain, Ok(plain)) => text.push_str(plain),
        (Form::Marked, Ok(plain)) => {
            text.push_str(TEXT);
            text.push_str(plain);
        }
        _ => {
            text.push_str(BASE64);
            STANDARD.encode_string(value.expose(), &mut text);
        }
    }
    text
}

/// The value that a stored text stands for. The text is wiped.
///
/// # Errors
///
/// [`Unreadable`] for marks that are not ours: a later version's, or a text of somebody else.
pub(crate) fn from_text(text: String) -> Result<SecretValue, Unreadable> {
    if !text.starts_with(MARK) {
        return Ok(SecretValue::new(text.into_bytes()));
    }
    let text = Zeroizing::new(text);
    if let Some(plain) = text.strip_prefix(TEXT) {
        return Ok(SecretValue::copy_of(plain.as_bytes()));
    }
    let encoded = text.strip_prefix(BASE64).ok_or(Unreadable)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| Unreadable)?;
    Ok(SecretValue::new(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(bytes: &[u8]) -> String {
        to_text(&SecretValue::copy_of(bytes)).to_string()
    }

    #[test]
    fn the_forms_never_change() {
        for (value, text) in [
            (&b"plain \n"[..], "plain \n"),
            (b"", "strongroom:text:"),
            (b"strongroom:x", "strongroom:text:strongroom:x"),
            (b"\xff", "strongroom:base64:/w=="),
            (b"a\0", "strongroom:base64:YQA="),
            (b"{{ssm:x}}", "strongroom:base64:e3tzc206eH19"),
            (b"\n", "strongroom:base64:Cg=="),
            (b"aGVsbG8=", "aGVsbG8="),
        ] {
            assert_eq!(stored(value), text);
            assert_eq!(from_text(text.to_owned()).unwrap().expose(), value);
        }
    }

    #[test]
    fn marks_that_are_not_ours_are_refused() {
        for text in [
            "strongroom:",
            "strongroom:zip:x",
            "strongroom:base64:!",
            "strongroom:base64:YQ",
        ] {
            assert_eq!(from_text(text.to_owned()), Err(Unreadable), "{text}");
        }
    }

    #[test]
    fn limits_fit_the_forms() {
        for form in [Form::Plain, Form::Marked, Form::Base64] {
            for limit in [4096, 8192] {
                let most = form.most(limit);
                assert!(form.stored(most) <= limit);
                assert!(form.stored(most + 1) > limit);
            }
        }
        assert_eq!(Form::Base64.most(4096), 3057);
        assert_eq!(Form::Base64.most(8192), 6129);
    }

    proptest! {
        #[test]
        fn every_value_comes_back(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), text in any::<String>(),
        ) {
            for value in [bytes, text.clone().into_bytes(), format!("strongroom:{text}").into_bytes()] {
                let secret = SecretValue::copy_of(&value);
                let stored = to_text(&secret);
                prop_assert!(!stored.is_empty());
                prop_assert_eq!(stored.len(), Form::of(&secret).stored(value.len()));
                let back = from_text(stored.to_string()).unwrap();
                prop_assert_eq!(back.expose(), &*value);
            }
        }
    }
}
