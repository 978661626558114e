//! Any text in the characters that tags take.

use std::fmt::Write as _;

/// Stands for no text: a tag's value may not be empty.
const EMPTY: &str = "=";

/// A text in ASCII characters that tags take, and never empty: letters, digits and `_.:/+@-` as they
/// are, any other as `=` and two hex digits for each byte. A space is one of those: tools trim it.
pub fn encoded(text: &str) -> String {
    if text.is_empty() {
        return EMPTY.to_owned();
    }
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.:/+@-".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "={byte:02X}");
        }
    }
    encoded
}

/// The text that was [`encoded`]; none for one that another tool wrote or changed.
pub fn decoded(text: &str) -> Option<String> {
    if text == EMPTY {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'=' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let encoded = encoded(&text);
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.:/+@-=".contains(&b);
            prop_assert!(!encoded.is_empty() && encoded.bytes().all(legal));
            prop_assert_eq!(decoded(&encoded), Some(text));
        }
    }

    #[test]
    fn plain_words_stay_readable() {
        assert_eq!(encoded("component:billing"), "component:billing");
        assert_eq!(encoded("a=b c"), "a=3Db=20c");
        assert_eq!(encoded(""), "=");
        for text in ["=3", "=zz", "=FF", "=="] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }
}
