//! A value whose traces can be looked for.

use std::error::Error;
use std::fmt::{Debug, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// How much of the value counts as a trace of it.
const FRAGMENT: usize = 8;

/// A value that is like no other, and the forms in which it could show in a text.
pub struct Canary {
    value: Vec<u8>,
    forms: Vec<(&'static str, String)>,
}

impl Canary {
    /// Takes the value to look for: at least 16 bytes, as short ones show in texts by chance.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        let value = value.into();
        let forms = forms(&value);
        Self { value, forms }
    }

    /// The bytes to write.
    pub fn bytes(&self) -> &[u8] {
        &self.value
    }

    /// The form in which the value, or its first or last 8 bytes, shows in `text`.
    pub fn found_in(&self, text: &str) -> Option<&'static str> {
        let shows = |(_, form): &&(&'static str, String)| text.contains(form.as_str());
        self.forms.iter().find(shows).map(|(name, _)| *name)
    }

    /// The form in which the value shows in an error: in `Display` or `Debug` of it or of any
    /// cause in its chain.
    pub fn found_in_error(&self, error: &(dyn Error + 'static)) -> Option<&'static str> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(form) = self.found_in(&format!("{error} {error:#} {error:?} {error:#?}")) {
                return Some(form);
            }
            next = error.source();
        }
        None
    }

    /// The form in which the value shows in a `Debug` output.
    pub fn found_in_debug(&self, thing: &dyn Debug) -> Option<&'static str> {
        self.found_in(&format!("{thing:?} {thing:#?}"))
    }
}

fn forms(value: &[u8]) -> Vec<(&'static str, String)> {
    let len = FRAGMENT.min(value.len());
    let head = value.get(..len).unwrap_or_default();
    let tail = value.get(value.len() - len..).unwrap_or_default();
    let mut forms = Vec::new();
    for part in [head, tail] {
        let text = String::from_utf8_lossy(part);
        forms.push(("text", text.to_string()));
        forms.push(("escaped text", text.escape_debug().to_string()));
        forms.push(("escaped bytes", part.escape_ascii().to_string()));
        forms.push(("hex", hex::encode(part)));
        forms.push(("upper case hex", hex::encode_upper(part)));
        forms.push(("list of bytes", joined(part, ", ", |b| b.to_string())));
        forms.push((
            "list of bytes, a line each",
            joined(part, ",\n    ", |b| b.to_string()),
        ));
        forms.push((
            "list of hex bytes",
            joined(part, ", ", |b| format!("0x{b:02x}")),
        ));
        forms.push((
            "percent encoding",
            joined(part, "", |b| format!("%{b:02X}")),
        ));
        forms.push(("UTF-16", joined(part, "\0", |b| char::from(b).to_string())));
    }
    // Base64 of a part depends on where it starts: three offsets, without what neighbours mix into.
    for offset in 0..3 {
        let part = value.get(offset..).unwrap_or_default();
        let whole = part.len() - part.len() % 3;
        let part = part.get(..whole.min(9)).unwrap_or_default();
        forms.push(("base64", STANDARD_NO_PAD.encode(part)));
        forms.push(("URL-safe base64", URL_SAFE_NO_PAD.encode(part)));
    }
    forms.retain(|(_, form)| !form.is_empty());
    forms
}

fn joined(bytes: &[u8], separator: &str, show: impl Fn(u8) -> String) -> String {
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        let before = if index == 0 { "" } else { separator };
        let _ = write!(text, "{before}{}", show(*byte));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_and_none_in_other_texts() {
        let canary = Canary::new(*b"canary<&\"\xff\x00>9f3b-tail");
        let v = canary.bytes();
        let texts = [
            String::from_utf8_lossy(v).to_string(),
            format!("{:?}", String::from_utf8_lossy(v)),
            format!("{v:?}"),
            format!("{v:#?}"),
            format!("{v:02x?}").replace(", ", ""),
            hex::encode_upper(v),
            v.escape_ascii().to_string(),
            STANDARD_NO_PAD.encode([b"x", v].concat()),
            URL_SAFE_NO_PAD.encode([b"xy", v].concat()),
            v.iter().map(|b| format!("%{b:02X}")).collect(),
            "starts canary<& only".to_owned(),
            "ends 9f3b-tail".to_owned(),
        ];
        for text in texts {
            assert!(canary.found_in(&text).is_some(), "{text}");
        }
        assert_eq!(canary.found_in("no such secret or version"), None);
    }

    #[test]
    fn a_cause_deep_in_the_chain_is_found() {
        let canary = Canary::new("s3cr3t-canary-value");
        let inner = std::io::Error::other("body: s3cr3t-canary-value");
        let middle = std::io::Error::other(inner);
        let outer = strongroom_backend::Error::new(strongroom_backend::ErrorKind::Failed, "x")
            .with_source(middle);
        assert_eq!(canary.found_in_error(&outer), Some("text"));
        assert_eq!(
            canary.found_in_error(&strongroom_backend::Error::not_found()),
            None
        );
    }
}
