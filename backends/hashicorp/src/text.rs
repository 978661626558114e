//! JSON texts that hold secrets, read and written without copies that nobody wipes.

use bytes::Bytes;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// The bytes that a JSON string stands for, in a buffer of their own that is wiped. None for what
/// is no string, or has half of a surrogate pair.
///
/// A deserializer would unescape into buffers of its own, which nobody wipes.
pub(crate) fn unescape(raw: &RawValue) -> Option<Zeroizing<Vec<u8>>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    // An escape is never shorter than what it stands for, so this never grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(inner.len()));
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        bytes.extend_from_slice(plain.as_bytes());
        rest = escaped(escape, &mut bytes)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// Takes one escape off the beginning.
fn escaped<'t>(text: &'t str, bytes: &mut Vec<u8>) -> Option<&'t str> {
    let byte = match text.as_bytes().get(1)? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'u' => return unicode(text, bytes),
        same @ (b'"' | b'\\' | b'/') => *same,
        _ => return None,
    };
    bytes.push(byte);
    text.get(2..)
}

fn unicode<'t>(text: &'t str, bytes: &mut Vec<u8>) -> Option<&'t str> {
    let unit = |text: &str| u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let first = unit(text)?;
    let mut rest = text.get(6..)?;
    let mut code = first;
    if (0xd800..0xdc00).contains(&first) {
        let second = unit(rest).filter(|second| (0xdc00..0xe000).contains(second))?;
        code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        rest = rest.get(6..)?;
    }
    let mut utf8 = [0; 4];
    bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut utf8).as_bytes());
    Some(rest)
}

/// `raw` without white space between its tokens.
pub(crate) fn compact(raw: &RawValue) -> Zeroizing<Vec<u8>> {
    let text = raw.get();
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut within, mut escape) = (false, false);
    for byte in text.bytes() {
        if within {
            within = byte != b'"' || escape;
            escape = byte == b'\\' && !escape;
        } else if byte == b'"' {
            within = true;
        } else if byte.is_ascii_whitespace() {
            continue;
        }
        bytes.push(byte);
    }
    bytes
}

/// How many bytes `text` takes where the server stores it: Go escapes `<`, `>`, `&` and two line
/// separators as well, in six bytes.
pub(crate) fn stored_len(text: &str) -> usize {
    text.chars()
        .map(|c| match c {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => 6,
            c => c.len_utf8(),
        })
        .sum()
}

/// A JSON text that is written once, into room that was made before, and wiped after it was sent.
pub(crate) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    /// Room for `room` bytes; a text that needs more would leave copies behind.
    pub(crate) fn with_room(room: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(room)))
    }

    /// Text as it is.
    pub(crate) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A JSON string.
    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.0.push(b'"');
        let mut rest = text;
        while let Some(at) = rest.find(|c| matches!(c, '"' | '\\' | '\0'..='\u{1f}')) {
            let (plain, special) = rest.split_at(at);
            self.0.extend_from_slice(plain.as_bytes());
            let byte = special.as_bytes().first().copied().unwrap_or_default();
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                b'\n' => self.0.extend_from_slice(b"\\n"),
                b'\r' => self.0.extend_from_slice(b"\\r"),
                b'\t' => self.0.extend_from_slice(b"\\t"),
                _ => {
                    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
                    let code = [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)];
                    self.0.extend_from_slice(&code);
                }
            }
            rest = special.get(1..).unwrap_or_default();
        }
        self.0.extend_from_slice(rest.as_bytes());
        self.0.push(b'"');
        self
    }

    /// The text; its memory is wiped with the last handle to it.
    pub(crate) fn finish(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    proptest! {
        #[test]
        fn strings_are_read_as_another_parser_reads_them(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(&**unescape(&raw(&json)).unwrap(), text.as_bytes());
            let ascii: String = text.encode_utf16().map(|u| format!("\\u{u:04X}")).collect();
            let escaped = raw(&format!("\"{ascii}\""));
            prop_assert_eq!(&**unescape(&escaped).unwrap(), text.as_bytes());
        }

        #[test]
        fn strings_are_written_as_another_parser_reads_them(text in any::<String>()) {
            let mut writer = Writer::with_room(2 + stored_len(&text));
            let room = writer.0.capacity();
            writer.string(&text);
            prop_assert!(writer.0.capacity() == room, "a copy was left behind");
            prop_assert_eq!(serde_json::from_slice::<String>(&writer.finish()).unwrap(), text);
        }

        #[test]
        fn compacting_changes_nothing_but_white_space(
            keys in proptest::collection::btree_map("[ \"\\\\a\t]{0,4}", "[ \"\\\\b]{0,4}", 0..5),
        ) {
            let pretty = serde_json::to_string_pretty(&keys).unwrap();
            let compacted = compact(&raw(&pretty));
            prop_assert_eq!(compacted.as_slice(), serde_json::to_vec(&keys).unwrap());
        }
    }

    #[test]
    fn every_escape_is_known() {
        let all = raw(r#""\"\\\/\b\f\n\r\té\ud83d\udd11<""#);
        let bytes = unescape(&all).unwrap();
        assert_eq!(&**bytes, "\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1f511}<".as_bytes());
        for half in [
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\u0041""#,
            r#""\udd11""#,
        ] {
            assert!(unescape(&raw(half)).is_none(), "{half}");
        }
        assert!(unescape(&raw("7")).is_none());
    }
}
