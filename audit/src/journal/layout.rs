//! Where things stand in a journal file, and how one record is packed into slots of eight words.

use crate::keys::SlotKey;
use crate::record::{Action, Cache, Outcome, Phase};

/// `SRAUDJ01`
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"SRAUDJ01");

// Words of the header.
pub(crate) const W_MAGIC: usize = 0;
pub(crate) const W_SLOTS: usize = 1;
pub(crate) const W_HALF: usize = 2;
/// The boot that the journal was made in.
pub(crate) const W_BOOT: usize = 3;
pub(crate) const W_SUM: usize = 8;
/// The last call that stands in the log, and the ring position after it.
pub(crate) const W_DRAINED_CALL: usize = 16;
pub(crate) const W_DRAINED_POS: usize = 17;
/// Where in the log the batch begins that is being written: its file's first seq, and the offset.
pub(crate) const W_BATCH_FILE: usize = 18;
pub(crate) const W_BATCH_OFFSET: usize = 19;
/// Generation of each half of the names.
pub(crate) const W_GEN: usize = 20;

/// Words of the header, with room to grow.
pub(crate) const HEADER: usize = 512;
/// One interface function each; code 0 is none.
pub(crate) const VIAS: usize = 256;
pub(crate) const VIA_WORDS: usize = 8;
/// Changes that may be between intent and outcome at a time; a record of each must be findable
/// after a crash. A broker's own limits of changes in flight are far below.
pub(crate) const INTENTS: usize = 2048;
pub(crate) const INTENT_WORDS: usize = 4;
pub(crate) const SLOT_WORDS: usize = 8;
/// Bytes that a continuation slot carries: its first word stays 0, so that it never looks committed.
pub(crate) const CONT_BYTES: usize = 56;

const VIA_START: usize = HEADER;
const INTENT_START: usize = VIA_START + VIAS * VIA_WORDS;
const NAMES_START: usize = INTENT_START + INTENTS * INTENT_WORDS;

/// A name's text follows in the record itself.
pub(crate) const INLINE: u32 = 1 << 30;
/// Which half of the names an id is in.
pub(crate) const HALF_BIT: u32 = 1 << 31;
/// Length and checksum before each name.
pub(crate) const NAME_HEAD: usize = 2;

/// Smallest and largest journal: the fixed parts and a few hundred slots; what name ids can address.
pub(crate) const MIN_JOURNAL: usize = 256 * 1024;
pub(crate) const MAX_JOURNAL: usize = 1 << 30;

/// Words to read a journal from: a live mapping or a copy of the file.
pub(crate) trait Words {
    /// 0 past the end. Whatever was stored before a published word is seen after loading it.
    fn load(&self, index: usize) -> u64;
}

/// The sizes of one journal's parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) slots: u64,
    pub(crate) half_words: usize,
}

impl Layout {
    pub(crate) fn for_size(bytes: usize) -> Self {
        let words = bytes.clamp(MIN_JOURNAL, MAX_JOURNAL) / 8;
        let slots = words / 2 / SLOT_WORDS;
        // The largest power of two, so that a position becomes an index by a mask.
        let slots = 1usize << slots.ilog2();
        let half_words = (words - NAMES_START - slots * SLOT_WORDS) / 2;
        Self {
            slots: slots as u64,
            half_words,
        }
    }

    /// Reads the sizes of a journal found in `words` words; `None` if its header is not whole.
    pub(crate) fn of(
        words: &impl Words,
        count: usize,
        writer: &str,
        key: &SlotKey,
    ) -> Option<Self> {
        let slots = words.load(W_SLOTS);
        let half_words = usize::try_from(words.load(W_HALF)).ok()?;
        let layout = Self { slots, half_words };
        let known = words.load(W_MAGIC) == MAGIC
            && slots.is_power_of_two()
            && slots <= (MAX_JOURNAL / 64) as u64
            && half_words <= MAX_JOURNAL / 8
            && words.load(W_SUM) == layout.sum(writer, key)
            && layout.words() <= count;
        known.then_some(layout)
    }

    pub(crate) fn sum(&self, writer: &str, key: &SlotKey) -> u64 {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.slots.to_le_bytes());
        bytes.extend_from_slice(&(self.half_words as u64).to_le_bytes());
        bytes.extend_from_slice(writer.as_bytes());
        key.sum(&bytes)
    }

    pub(crate) fn words(&self) -> usize {
        self.ring_start() + self.slots as usize * SLOT_WORDS
    }

    pub(crate) fn via(&self, code: u8) -> usize {
        VIA_START + usize::from(code) * VIA_WORDS
    }

    pub(crate) fn intent(&self, index: usize) -> usize {
        INTENT_START + index * INTENT_WORDS
    }

    pub(crate) fn half(&self, half: usize) -> usize {
        NAMES_START + half * self.half_words
    }

    fn ring_start(&self) -> usize {
        NAMES_START + 2 * self.half_words
    }

    #[inline]
    pub(crate) fn slot(&self, pos: u64) -> usize {
        self.ring_start() + (pos & (self.slots - 1)) as usize * SLOT_WORDS
    }
}

/// One record as it stands in the ring; names are ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) time: i64,
    pub(crate) version: u64,
    pub(crate) subject: u32,
    pub(crate) target: u32,
    pub(crate) grant: u32,
    pub(crate) detail: u32,
    pub(crate) policy: u32,
    /// How many calls back the intent is; 0 is none.
    pub(crate) of: u32,
    pub(crate) via: u8,
    pub(crate) action: u8,
    pub(crate) outcome: u8,
    /// Phase (low nibble) and cache.
    pub(crate) phase_cache: u8,
    pub(crate) flags: u8,
    pub(crate) conts: u8,
    /// Whom the slots are charged to while they wait.
    pub(crate) share: u16,
}

pub(crate) const FLAG_VERSION: u8 = 1;
pub(crate) const FLAG_COUNTER: u8 = 2;
pub(crate) const FLAG_ACCEPT: u8 = 4;
/// The log begins a new file after this record.
pub(crate) const FLAG_ROTATE: u8 = 8;

impl Slot {
    /// Words 1 to 6.
    #[inline]
    pub(crate) fn pack(&self) -> [u64; 6] {
        let two = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let small = u64::from_le_bytes([
            self.via,
            self.action,
            self.outcome,
            self.phase_cache,
            self.flags,
            self.conts,
            self.share as u8,
            (self.share >> 8) as u8,
        ]);
        [
            self.time as u64,
            self.version,
            two(self.subject, self.target),
            two(self.grant, self.detail),
            two(self.policy, self.of),
            small,
        ]
    }

    #[inline]
    pub(crate) fn unpack(words: &[u64; 6]) -> Self {
        let [time, version, names, texts, numbers, small] = *words;
        let [
            via,
            action,
            outcome,
            phase_cache,
            flags,
            conts,
            share0,
            share1,
        ] = small.to_le_bytes();
        Self {
            time: time as i64,
            version,
            subject: names as u32,
            target: (names >> 32) as u32,
            grant: texts as u32,
            detail: (texts >> 32) as u32,
            policy: numbers as u32,
            of: (numbers >> 32) as u32,
            via,
            action,
            outcome,
            phase_cache,
            flags,
            conts,
            share: u16::from_le_bytes([share0, share1]),
        }
    }

    pub(crate) fn action(&self) -> Option<Action> {
        Action::from_code(self.action)
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        Outcome::from_code(self.outcome)
    }

    pub(crate) fn phase(&self) -> Option<Phase> {
        Phase::from_code(self.phase_cache & 15)
    }

    pub(crate) fn cache(&self) -> Option<Cache> {
        Cache::from_code(self.phase_cache >> 4)
    }
}

/// The checksum of a record: call, words 1 to 6, and what continues it.
#[inline]
pub(crate) fn slot_sum(key: &SlotKey, call: u64, words: &[u64; 6], more: &[u8]) -> u64 {
    let mut bytes = [0u8; 56];
    for (to, word) in bytes.chunks_exact_mut(8).zip([call].iter().chain(words)) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    if more.is_empty() {
        return key.sum(&bytes);
    }
    let mut all = bytes.to_vec();
    all.extend_from_slice(more);
    key.sum(&all)
}

/// What stands at a position of the ring.
pub(crate) enum At {
    /// Nothing committed yet.
    Free,
    /// Committed, but not as it was written.
    Damaged,
    /// A whole record; `more` gets what continues it.
    Record(Slot),
}

/// Reads the record `call` at `pos`.
pub(crate) fn read_slot(
    words: &impl Words,
    layout: &Layout,
    key: &SlotKey,
    pos: u64,
    call: u64,
    more: &mut Vec<u8>,
) -> At {
    let base = layout.slot(pos);
    if words.load(base) != call {
        return At::Free;
    }
    let mut packed = [0u64; 6];
    for (at, word) in packed.iter_mut().enumerate() {
        *word = words.load(base + 1 + at);
    }
    let slot = Slot::unpack(&packed);
    more.clear();
    for cont in 1..=u64::from(slot.conts) {
        let base = layout.slot(pos + cont);
        for at in 1..SLOT_WORDS {
            more.extend_from_slice(&words.load(base + at).to_le_bytes());
        }
    }
    if slot_sum(key, call, &packed, more) != words.load(base + 7) {
        return At::Damaged;
    }
    At::Record(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_reversible() {
        let slot = Slot {
            time: -5,
            version: u64::MAX,
            subject: 1,
            target: 2,
            grant: 3,
            detail: 4,
            policy: 5,
            of: 6,
            via: 7,
            action: 8,
            outcome: 9,
            phase_cache: 0x21,
            flags: 11,
            conts: 12,
            share: 0xabcd,
        };
        assert_eq!(Slot::unpack(&slot.pack()), slot);
    }

    #[test]
    fn every_size_fits_its_file() {
        for bytes in [0, MIN_JOURNAL, 1 << 20, 3_000_000, 16 << 20] {
            let layout = Layout::for_size(bytes);
            assert!(layout.slots >= 256);
            assert!(layout.half_words > 1000);
            assert!(layout.words() * 8 <= bytes.max(MIN_JOURNAL));
        }
    }
}
