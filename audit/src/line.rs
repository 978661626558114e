//! One record as one JSON line: written by hand for speed, read by a strict parser that accepts
//! exactly what is written.

use crate::record::{Action, Cache, Outcome, Phase, Record};

/// The longest line that is read. Texts are capped when they are interned, so no line of ours comes near.
pub const MAX_LINE: usize = 64 * 1024;

/// A line that is not a record of this format. Carries where, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record: {what} at byte {at}")]
pub struct LineError {
    /// What was expected.
    pub what: &'static str,
    /// Offset in the line.
    pub at: usize,
}

/// Reads one line, with or without its newline. Never panics, whatever the bytes.
pub fn parse_line(line: &[u8]) -> Result<Record, LineError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    RawLine::parse(line)?.to_record()
}

/// A parsed line whose texts still are as they stand in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawLine<'a> {
    pub(crate) seq: u64,
    pub(crate) time: &'a str,
    pub(crate) call: &'a str,
    pub(crate) of: Option<&'a str>,
    pub(crate) principal: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) digest: Option<&'a str>,
    pub(crate) via: Option<&'a str>,
    pub(crate) action: Action,
    pub(crate) vault: Option<&'a str>,
    pub(crate) secret: Option<&'a str>,
    pub(crate) version: Option<u64>,
    pub(crate) phase: Phase,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) grant: Option<&'a str>,
    pub(crate) policy: u32,
    pub(crate) cache: Option<Cache>,
    pub(crate) detail: Option<&'a str>,
    pub(crate) prev: [u8; 32],
    pub(crate) mac: [u8; 32],
    /// What the MAC covers.
    pub(crate) signed: &'a [u8],
}

impl<'a> RawLine<'a> {
    /// `line` without its newline.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, LineError> {
        if line.len() > MAX_LINE {
            return Err(LineError {
                what: "a shorter line",
                at: MAX_LINE,
            });
        }
        let text = std::str::from_utf8(line).map_err(|e| LineError {
            what: "UTF-8",
            at: e.valid_up_to(),
        })?;
        let mut p = Parser { text, at: 0 };
        p.literal("{\"v\":1,\"seq\":", "version 1")?;
        let seq = p.number("seq")?;
        let time = p.key_string(",\"time\":", "time")?;
        let call = p.key_string(",\"call\":", "call")?;
        let of = p.key_option(",\"of\":", "of")?;
        let principal = p.key_string(",\"principal\":", "principal")?;
        let instance = p.key_option(",\"instance\":", "instance")?;
        let digest = p.key_option(",\"digest\":", "digest")?;
        let via = p.key_option(",\"via\":", "via")?;
        let action = p.key_string(",\"action\":", "action")?;
        let action = action.parse().map_err(|_| p.error("a known action"))?;
        let vault = p.key_option(",\"vault\":", "vault")?;
        let secret = p.key_option(",\"secret\":", "secret")?;
        p.literal(",\"version\":", "version")?;
        let version = if p.skip("null") {
            None
        } else {
            Some(p.number("version")?)
        };
        let phase = p.key_string(",\"phase\":", "phase")?;
        let phase = phase.parse().map_err(|_| p.error("a known phase"))?;
        let outcome = match p.key_option(",\"outcome\":", "outcome")? {
            Some(word) => Some(word.parse().map_err(|_| p.error("a known outcome"))?),
            None => None,
        };
        let grant = p.key_option(",\"grant\":", "grant")?;
        p.literal(",\"policy\":", "policy")?;
        let policy = p.number("policy")?;
        let policy = u32::try_from(policy).map_err(|_| p.error("a policy number"))?;
        let cache = match p.key_option(",\"cache\":", "cache")? {
            Some(word) => Some(word.parse().map_err(|_| p.error("a known cache word"))?),
            None => None,
        };
        let detail = p.key_option(",\"detail\":", "detail")?;
        let prev = p.key_hash(",\"prev\":", "prev")?;
        let signed = line.get(..p.at).unwrap_or_default();
        let mac = p.key_hash(",\"mac\":", "mac")?;
        p.literal("}", "the end of the record")?;
        if p.at != text.len() {
            return Err(p.error("the end of the line"));
        }
        Ok(Self {
            seq,
            time,
            call,
            of,
            principal,
            instance,
            digest,
            via,
            action,
            vault,
            secret,
            version,
            phase,
            outcome,
            grant,
            policy,
            cache,
            detail,
            prev,
            mac,
            signed,
        })
    }

    pub(crate) fn to_record(self) -> Result<Record, LineError> {
        let own = |text: Option<&str>| text.map(unescape).transpose();
        Ok(Record {
            seq: self.seq,
            time: unescape(self.time)?,
            call: unescape(self.call)?,
            of: own(self.of)?,
            principal: unescape(self.principal)?,
            instance: own(self.instance)?,
            digest: own(self.digest)?,
            via: own(self.via)?,
            action: self.action,
            vault: own(self.vault)?,
            secret: own(self.secret)?,
            version: self.version,
            phase: self.phase,
            outcome: self.outcome,
            grant: own(self.grant)?,
            policy: self.policy,
            cache: self.cache,
            detail: own(self.detail)?,
            prev: self.prev,
            mac: self.mac,
        })
    }
}

/// What a line is made of; the pieces are JSON already, see [`subject_piece`] and its like.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) seq: u64,
    pub(crate) time: &'a [u8],
    pub(crate) writer: &'a str,
    pub(crate) call: u64,
    pub(crate) of: Option<u64>,
    pub(crate) subject: &'a [u8],
    pub(crate) via: &'a [u8],
    pub(crate) action: Action,
    pub(crate) target: &'a [u8],
    pub(crate) version: Option<u64>,
    pub(crate) phase: Phase,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) grant: &'a [u8],
    pub(crate) policy: u32,
    pub(crate) cache: Option<Cache>,
    pub(crate) detail: &'a [u8],
}

/// Appends everything before `,"mac"`.
pub(crate) fn write_signed(out: &mut Vec<u8>, parts: &Parts<'_>, prev: &[u8; 32]) {
    out.extend_from_slice(b"{\"v\":1,\"seq\":");
    write_number(out, parts.seq);
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(parts.time);
    out.extend_from_slice(b"\",\"call\":\"");
    out.extend_from_slice(parts.writer.as_bytes());
    out.push(b'.');
    write_number(out, parts.call);
    match parts.of {
        Some(of) => {
            out.extend_from_slice(b"\",\"of\":\"");
            out.extend_from_slice(parts.writer.as_bytes());
            out.push(b'.');
            write_number(out, of);
            out.extend_from_slice(b"\",");
        }
        None => out.extend_from_slice(b"\",\"of\":null,"),
    }
    out.extend_from_slice(parts.subject);
    out.extend_from_slice(b",\"via\":");
    out.extend_from_slice(parts.via);
    out.extend_from_slice(b",\"action\":\"");
    out.extend_from_slice(parts.action.as_str().as_bytes());
    out.extend_from_slice(b"\",");
    out.extend_from_slice(parts.target);
    out.extend_from_slice(b",\"version\":");
    match parts.version {
        Some(version) => write_number(out, version),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"phase\":\"");
    out.extend_from_slice(parts.phase.as_str().as_bytes());
    out.extend_from_slice(b"\",\"outcome\":");
    write_word(out, parts.outcome.map(Outcome::as_str));
    out.extend_from_slice(b",\"grant\":");
    out.extend_from_slice(parts.grant);
    out.extend_from_slice(b",\"policy\":");
    write_number(out, u64::from(parts.policy));
    out.extend_from_slice(b",\"cache\":");
    write_word(out, parts.cache.map(Cache::as_str));
    out.extend_from_slice(b",\"detail\":");
    out.extend_from_slice(parts.detail);
    out.extend_from_slice(b",\"prev\":\"");
    write_hex(out, prev);
    out.push(b'"');
}

/// Appends the rest of the line, without its newline.
pub(crate) fn write_mac(out: &mut Vec<u8>, mac: &[u8; 32]) {
    out.extend_from_slice(b",\"mac\":\"");
    write_hex(out, mac);
    out.extend_from_slice(b"\"}");
}

pub(crate) fn subject_piece(
    principal: &str,
    instance: Option<&str>,
    digest: Option<&str>,
) -> Vec<u8> {
    let mut out = b"\"principal\":".to_vec();
    write_string(&mut out, principal);
    out.extend_from_slice(b",\"instance\":");
    write_option(&mut out, instance);
    out.extend_from_slice(b",\"digest\":");
    write_option(&mut out, digest);
    out
}

pub(crate) fn target_piece(vault: Option<&str>, secret: Option<&str>) -> Vec<u8> {
    let mut out = b"\"vault\":".to_vec();
    write_option(&mut out, vault);
    out.extend_from_slice(b",\"secret\":");
    write_option(&mut out, secret);
    out
}

pub(crate) fn text_piece(text: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    write_option(&mut out, text);
    out
}

/// RFC 3339 with microseconds, for instants that mostly share their second with the one before.
#[derive(Debug, Default)]
pub(crate) struct TimeText {
    second: Option<i64>,
    text: Vec<u8>,
}

impl TimeText {
    pub(crate) fn format(&mut self, us: i64) -> &[u8] {
        let second = us.div_euclid(1_000_000);
        let mut fraction = us.rem_euclid(1_000_000);
        if self.second != Some(second) {
            let stamp = jiff::Timestamp::from_second(second).unwrap_or_default();
            self.text.clear();
            self.text.extend_from_slice(
                stamp
                    .strftime("%Y-%m-%dT%H:%M:%S.000000Z")
                    .to_string()
                    .as_bytes(),
            );
            self.second = Some(second);
        }
        let end = self.text.len().saturating_sub(1);
        for at in (end.saturating_sub(6)..end).rev() {
            if let Some(digit) = self.text.get_mut(at) {
                *digit = b'0' + (fraction % 10) as u8;
            }
            fraction /= 10;
        }
        &self.text
    }
}

fn write_option(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => write_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

fn write_word(out: &mut Vec<u8>, word: Option<&str>) {
    match word {
        Some(word) => {
            out.push(b'"');
            out.extend_from_slice(word.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// A JSON string in which nothing can act on a terminal or a log viewer: controls, C1 controls,
/// line separators and direction marks are escaped.
fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            ' '..='~' => out.push(c as u8),
            c if is_hidden(c) => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.extend_from_slice(b"\\u");
                    let digits = hex_pair((*unit >> 8) as u8);
                    out.extend_from_slice(&digits);
                    out.extend_from_slice(&hex_pair(*unit as u8));
                }
            }
            c => {
                let mut bytes = [0u8; 4];
                out.extend_from_slice(c.encode_utf8(&mut bytes).as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

pub(crate) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

fn write_hex(out: &mut Vec<u8>, bytes: &[u8; 32]) {
    let mut text = [0u8; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&hex_pair(*byte));
    }
    out.extend_from_slice(&text);
}

fn hex_pair(byte: u8) -> [u8; 2] {
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

/// The value of a lower-case hexadecimal digit; 255 for anything else.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 255,
    }
}

fn unescape(raw: &str) -> Result<String, LineError> {
    if !raw.contains('\\') {
        return Ok(raw.to_owned());
    }
    let quoted = format!("\"{raw}\"");
    serde_json::from_str(&quoted).map_err(|e| LineError {
        what: "a string",
        at: e.column(),
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, what: &'static str) -> LineError {
        LineError { what, at: self.at }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, literal: &str) -> bool {
        let found = self.rest().as_bytes().starts_with(literal.as_bytes());
        if found {
            self.at += literal.len();
        }
        found
    }

    fn literal(&mut self, literal: &str, what: &'static str) -> Result<(), LineError> {
        if self.skip(literal) {
            Ok(())
        } else {
            Err(self.error(what))
        }
    }

    fn number(&mut self, what: &'static str) -> Result<u64, LineError> {
        let rest = self.rest();
        let end = rest
            .bytes()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(rest.len());
        let digits = rest.get(..end).unwrap_or_default();
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(self.error(what));
        }
        let number = digits.parse().map_err(|_| self.error(what))?;
        self.at += end;
        Ok(number)
    }

    fn key_string(&mut self, key: &str, what: &'static str) -> Result<&'a str, LineError> {
        self.literal(key, what)?;
        self.string(what)
    }

    fn key_option(&mut self, key: &str, what: &'static str) -> Result<Option<&'a str>, LineError> {
        self.literal(key, what)?;
        if self.skip("null") {
            Ok(None)
        } else {
            self.string(what).map(Some)
        }
    }

    fn key_hash(&mut self, key: &str, what: &'static str) -> Result<[u8; 32], LineError> {
        let text = self.key_string(key, what)?;
        let mut hash = [0; 32];
        let mut bad = text.len() != 64;
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = *pair else { continue };
            let (high, low) = (nibble(high), nibble(low));
            bad |= (high | low) > 15;
            *byte = high << 4 | (low & 15);
        }
        if bad {
            return Err(self.error(what));
        }
        Ok(hash)
    }

    fn string(&mut self, what: &'static str) -> Result<&'a str, LineError> {
        self.literal("\"", what)?;
        let start = self.at;
        let mut bytes = self.rest().bytes().enumerate();
        while let Some((offset, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.at = start + offset + 1;
                    return Ok(self.text.get(start..start + offset).unwrap_or_default());
                }
                b'\\' => {
                    bytes.next();
                }
                0..=0x1f => break,
                _ => {}
            }
        }
        Err(self.error(what))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(
        principal: &str,
        secret: Option<&str>,
        detail: Option<&str>,
        version: Option<u64>,
        us: i64,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let subject = subject_piece(principal, secret, detail);
        let (target, detail) = (target_piece(Some("v"), secret), text_piece(detail));
        let mut time = TimeText::default();
        let parts = Parts {
            seq: 7,
            time: time.format(us),
            writer: "w",
            call: 3,
            of: version,
            subject: &subject,
            via: b"null",
            action: Action::UseHmac,
            target: &target,
            version,
            phase: Phase::Outcome,
            outcome: Some(Outcome::NotFound),
            grant: b"null",
            policy: 9,
            cache: Some(Cache::Stale),
            detail: &detail,
        };
        write_signed(&mut out, &parts, &[0xab; 32]);
        write_mac(&mut out, &[0xcd; 32]);
        out
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(principal in ".{0,40}", secret in proptest::option::of(".{0,80}"),
            detail in proptest::option::of("\\PC{0,40}"), version in proptest::option::of(any::<u64>()),
            us in 0..253_402_300_799_000_000i64) {
            let line = line(&principal, secret.as_deref(), detail.as_deref(), version, us);
            let record = parse_line(&line).unwrap();
            prop_assert_eq!(record.principal.clone(), principal);
            prop_assert_eq!(record.secret.clone(), secret);
            prop_assert_eq!(record.detail.clone(), detail);
            prop_assert_eq!(record.version, version);
            prop_assert_eq!(record.time_us(), Some(us));
            prop_assert!(line.iter().all(|b| *b >= 0x20 && *b != 0x7f));
            let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(json["principal"].as_str(), Some(record.principal.as_str()));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse_line(&bytes);
        }

        #[test]
        fn a_changed_line_is_survived(at in 0usize..500, byte in any::<u8>()) {
            let mut line = line("component:a", Some("s"), None, None, 1);
            let at = at % line.len();
            line[at] = byte;
            let _ = parse_line(&line);
        }
    }

    #[test]
    fn nothing_that_acts_on_a_terminal_is_written_raw() {
        let line = line(
            "a\n{\"v\":1\u{1b}[2J\u{202e}\u{9b}\"\\",
            None,
            None,
            None,
            0,
        );
        let text = std::str::from_utf8(&line).unwrap();
        assert!(!text.chars().any(is_hidden));
        assert!(text.contains("\\u000a{\\\"v\\\":1\\u001b[2J\\u202e\\u009b\\\"\\\\"));
    }
}
