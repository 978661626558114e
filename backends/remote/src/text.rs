use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_backend::SecretValue;
use zeroize::Zeroizing;

/// How a value stands in a store that holds text. The store keeps this beside the value: a text
/// alone does not tell whether it is base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is: the value is UTF-8.
    Plain,
    /// In base64 with padding (RFC 4648, section 4).
    Base64,
}

/// A stored text that is not base64 although it is marked so. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored text is marked as base64 and is not")]
pub struct TextError;

impl Form {
    /// The word that stands in tags and annotations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Base64 => "base64",
        }
    }

    /// The form of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Plain, Self::Base64]
            .into_iter()
            .find(|form| form.as_str() == word)
    }

    /// The form that `value` takes.
    pub fn of(value: &SecretValue) -> Self {
        if std::str::from_utf8(value.expose()).is_ok() {
            Self::Plain
        } else {
            Self::Base64
        }
    }

    /// How many bytes of text `value` takes, for limits that are checked before a call.
    pub fn len(self, value: &SecretValue) -> usize {
        match self {
            Self::Plain => value.len(),
            Self::Base64 => value.len().div_ceil(3) * 4,
        }
    }
}

/// The text that stands for `value`, wiped when dropped, and its form.
pub fn to_text(value: &SecretValue) -> (Zeroizing<String>, Form) {
    match std::str::from_utf8(value.expose()) {
        Ok(text) => (Zeroizing::new(text.to_owned()), Form::Plain),
        Err(_) => (
            Zeroizing::new(STANDARD.encode(value.expose())),
            Form::Base64,
        ),
    }
}

/// The value that a stored text stands for. The text is wiped.
///
/// # Errors
///
/// [`TextError`] where it is not of the form it is said to have.
pub fn from_text(text: String, form: Form) -> Result<SecretValue, TextError> {
    match form {
        Form::Plain => Ok(SecretValue::new(text.into_bytes())),
        Form::Base64 => {
            let text = Zeroizing::new(text);
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| TextError)?;
            Ok(SecretValue::new(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let value = SecretValue::copy_of(&bytes);
            let (text, form) = to_text(&value);
            prop_assert_eq!(form, Form::of(&value));
            prop_assert_eq!(text.len(), form.len(&value));
            let back = from_text(text.to_string(), form).unwrap();
            prop_assert_eq!(back.expose(), &bytes[..]);
            prop_assert_eq!(Form::parse(form.as_str()), Some(form));
        }
    }

    #[test]
    fn a_text_of_the_wrong_form_is_refused() {
        assert!(from_text("not base64!".into(), Form::Base64).is_err());
        assert_eq!(Form::parse("Base64"), None);
    }
}
