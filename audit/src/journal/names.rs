//! The texts that records point to, as they are packed in a journal.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::layout::{HALF_BIT, Layout, NAME_HEAD, W_GEN, Words};
use crate::keys::SlotKey;
use crate::line;

const SUBJECT: u8 = 1;
const TARGET: u8 = 2;
const TEXT: u8 = 3;

// Caps, so that no record grows beyond a few kilobytes whatever a guest asks for. Component names,
// vault ids and ULIDs have at most 64 bytes, paths 255; the rest is room for texts of ours.
const MAX_PRINCIPAL: usize = 128;
const MAX_SHORT: usize = 96;
const MAX_PATH: usize = 512;
const MAX_TEXT: usize = 1024;

/// A packed text, and where the journal has it now: generation (high half) and id.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) packed: Box<[u8]>,
    pub(crate) place: AtomicU64,
}

impl Cell {
    fn new(packed: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            packed: packed.into_boxed_slice(),
            place: AtomicU64::new(0),
        })
    }

    pub(crate) fn subject(
        principal: &str,
        instance: Option<&str>,
        digest: Option<&str>,
    ) -> Arc<Self> {
        let flags = u8::from(instance.is_some()) | u8::from(digest.is_some()) << 1;
        let mut packed = vec![SUBJECT, flags];
        push(&mut packed, principal, MAX_PRINCIPAL);
        packed.push(0);
        push(&mut packed, instance.unwrap_or_default(), MAX_SHORT);
        packed.push(0);
        push(&mut packed, digest.unwrap_or_default(), MAX_SHORT);
        Self::new(packed)
    }

    pub(crate) fn target(vault: Option<&str>, secret: Option<&str>) -> Arc<Self> {
        let flags = u8::from(vault.is_some()) | u8::from(secret.is_some()) << 1;
        let mut packed = vec![TARGET, flags];
        push(&mut packed, vault.unwrap_or_default(), MAX_SHORT);
        packed.push(0);
        push(&mut packed, secret.unwrap_or_default(), MAX_PATH);
        Self::new(packed)
    }

    pub(crate) fn text(text: &str) -> Arc<Self> {
        let mut packed = vec![TEXT, 0];
        push(&mut packed, text, MAX_TEXT);
        Self::new(packed)
    }
}

/// Appends a text, cut at a character's end where it is too long; NUL separates and is replaced.
fn push(packed: &mut Vec<u8>, text: &str, max: usize) {
    let start = packed.len();
    let end = text.floor_char_boundary(max);
    packed.extend_from_slice(text.get(..end).unwrap_or_default().as_bytes());
    for byte in packed.iter_mut().skip(start).filter(|byte| **byte == 0) {
        *byte = b'?';
    }
    if end < text.len() {
        packed.extend_from_slice(format!("...[{} bytes]", text.len()).as_bytes());
    }
}

/// A packed text taken apart.
pub(crate) enum Name<'a> {
    Subject {
        principal: &'a str,
        instance: Option<&'a str>,
        digest: Option<&'a str>,
    },
    Target {
        vault: Option<&'a str>,
        secret: Option<&'a str>,
    },
    Text(&'a str),
}

impl<'a> Name<'a> {
    pub(crate) fn unpack(packed: &'a [u8]) -> Option<Self> {
        let (head, text) = packed.split_at_checked(2)?;
        let text = std::str::from_utf8(text).ok()?;
        let flags = head.get(1)?;
        let optional = |bit: u8, text: &'a str| (flags & bit != 0).then_some(text);
        let mut parts = text.split('\0');
        Some(match *head.first()? {
            SUBJECT => Self::Subject {
                principal: parts.next()?,
                instance: optional(1, parts.next()?),
                digest: optional(2, parts.next()?),
            },
            TARGET => Self::Target {
                vault: optional(1, parts.next()?),
                secret: optional(2, parts.next()?),
            },
            TEXT => Self::Text(text),
            _ => return None,
        })
    }

    /// Its part of a line.
    pub(crate) fn piece(&self) -> Vec<u8> {
        match self {
            Self::Subject {
                principal,
                instance,
                digest,
            } => line::subject_piece(principal, *instance, *digest),
            Self::Target { vault, secret } => line::target_piece(*vault, *secret),
            Self::Text(text) => line::text_piece(Some(text)),
        }
    }
}

/// The checksum of a name at its place in one generation.
pub(crate) fn name_sum(key: &SlotKey, generation: u32, id: u32, packed: &[u8]) -> u64 {
    let mut bytes = generation.to_le_bytes().to_vec();
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(packed);
    key.sum(&bytes)
}

/// Words that a name takes.
pub(crate) fn name_words(packed: &[u8]) -> usize {
    NAME_HEAD + packed.len().div_ceil(8)
}

/// Word index of a name, and the generation its half must have.
pub(crate) fn locate(layout: &Layout, id: u32) -> Option<(usize, usize)> {
    let half = usize::from(id & HALF_BIT != 0);
    let offset = usize::try_from((id & !HALF_BIT).checked_sub(1)?).ok()?;
    (offset < layout.half_words).then(|| (half, layout.half(half) + offset))
}

/// Reads a name; `None` if it is not whole.
pub(crate) fn read_name(
    words: &impl Words,
    layout: &Layout,
    key: &SlotKey,
    id: u32,
) -> Option<Vec<u8>> {
    let (half, at) = locate(layout, id)?;
    let generation = words.load(W_GEN + half) as u32;
    let length = usize::try_from(words.load(at))
        .ok()
        .filter(|length| *length <= 4 * MAX_TEXT)?;
    let sum = words.load(at + 1);
    let mut packed = Vec::with_capacity(length + 8);
    for word in 0..length.div_ceil(8) {
        packed.extend_from_slice(&words.load(at + NAME_HEAD + word).to_le_bytes());
    }
    packed.truncate(length);
    (name_sum(key, generation, id, &packed) == sum).then_some(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unpacked_as_they_were_packed() {
        let cell = Cell::subject("component:a\0b", None, Some(""));
        assert!(matches!(
            Name::unpack(&cell.packed),
            Some(Name::Subject {
                principal: "component:a?b",
                instance: None,
                digest: Some("")
            })
        ));
        let cell = Cell::target(Some("v"), None);
        assert!(matches!(
            Name::unpack(&cell.packed),
            Some(Name::Target {
                vault: Some("v"),
                secret: None
            })
        ));
    }

    #[test]
    fn long_texts_are_cut_with_their_length() {
        let text = "\u{e9}".repeat(3000);
        let cell = Cell::text(&text);
        let Some(Name::Text(cut)) = Name::unpack(&cell.packed) else {
            panic!("a text")
        };
        assert!(cut.len() < 1100 && cut.ends_with("...[6000 bytes]"));
    }
}
