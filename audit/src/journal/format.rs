//! From slots to lines: the side of a journal that the writer thread, recovery and `show` read.

use hashbrown::HashMap;

use super::layout::{
    At, FLAG_ACCEPT, FLAG_COUNTER, FLAG_ROTATE, FLAG_VERSION, HALF_BIT, INLINE, Layout, Slot,
    VIA_WORDS, W_GEN, Words, read_slot,
};
use super::names::{Name, read_name};
use super::ring::TAG_COUNTER;
use crate::keys::SlotKey;
use crate::line::{self, Parts, TimeText};
use crate::record::{Action, Phase};

/// Reads records in order and turns them into the pieces of lines; names are formatted once.
pub(crate) struct Formatter {
    writer: String,
    key: SlotKey,
    layout: Layout,
    time: TimeText,
    names: [Half; 2],
    vias: HashMap<u8, Vec<u8>>,
    more: Vec<u8>,
    inline: [Vec<u8>; 4],
    null_target: Vec<u8>,
}

#[derive(Default)]
struct Half {
    generation: u64,
    pieces: HashMap<u32, Box<[u8]>>,
}

/// What the log must know of a record beyond its line.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) action: Action,
    pub(crate) intent: bool,
    pub(crate) of: Option<u64>,
    pub(crate) share: u16,
    pub(crate) slots: u64,
    pub(crate) rotate: bool,
    pub(crate) counter: Option<Counted>,
}

/// A store's change counter that a record carries.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) vault: String,
    pub(crate) store: String,
    pub(crate) counter: u64,
    pub(crate) accept: bool,
}

/// What came of reading the next record.
pub(crate) enum Next {
    Free,
    Damaged,
    Line(Meta),
}

impl Formatter {
    pub(crate) fn new(writer: &str, key: SlotKey, layout: Layout) -> Self {
        Self {
            writer: writer.to_owned(),
            key,
            layout,
            time: TimeText::default(),
            names: Default::default(),
            vias: HashMap::new(),
            more: Vec::new(),
            inline: Default::default(),
            null_target: line::target_piece(None, None),
        }
    }

    /// Appends the signed part of record `call` at ring position `pos` to `out`.
    pub(crate) fn next(
        &mut self,
        words: &impl Words,
        pos: u64,
        call: u64,
        seq: u64,
        prev: &[u8; 32],
        out: &mut Vec<u8>,
    ) -> Next {
        let slot = match read_slot(words, &self.layout, &self.key, pos, call, &mut self.more) {
            At::Free => return Next::Free,
            At::Damaged => return Next::Damaged,
            At::Record(slot) => slot,
        };
        let (Some(action), Some(phase)) = (slot.action(), slot.phase()) else {
            return Next::Damaged;
        };
        let Some(counter) = self.unpack_more(&slot) else {
            return Next::Damaged;
        };
        for id in [slot.subject, slot.target, slot.grant, slot.detail] {
            if !self.know(words, id) {
                return Next::Damaged;
            }
        }
        self.know_via(words, slot.via);
        let counter = counter.map(|(store, value)| Counted {
            vault: self.vault_of(words, &slot).unwrap_or_default(),
            store,
            counter: value,
            accept: slot.flags & FLAG_ACCEPT != 0,
        });
        let [subject, target, grant, detail] = &self.inline;
        let null: &[u8] = b"null";
        let mut full_detail = Vec::new();
        let mut detail = piece(&self.names, slot.detail, detail, null);
        if let Some(counted) = &counter {
            full_detail = counter_detail(counted, detail);
            detail = &full_detail;
        } else if detail.starts_with(b"\"counter=") {
            // No other text may pass for a counter.
            full_detail.extend_from_slice(b"\"text: ");
            full_detail.extend_from_slice(detail.get(1..).unwrap_or_default());
            detail = &full_detail;
        }
        let of = (slot.of != 0).then(|| call.saturating_sub(u64::from(slot.of)));
        let parts = Parts {
            seq,
            time: self.time.format(slot.time),
            writer: &self.writer,
            call,
            of,
            subject: piece(
                &self.names,
                slot.subject,
                subject,
                b"\"principal\":\"host:unknown\",\"instance\":null,\"digest\":null",
            ),
            via: self.vias.get(&slot.via).map_or(null, Vec::as_slice),
            action,
            target: piece(&self.names, slot.target, target, &self.null_target),
            version: (slot.flags & FLAG_VERSION != 0).then_some(slot.version),
            phase,
            outcome: slot.outcome(),
            grant: piece(&self.names, slot.grant, grant, null),
            policy: slot.policy,
            cache: slot.cache(),
            detail,
        };
        line::write_signed(out, &parts, prev);
        Next::Line(Meta {
            action,
            intent: phase == Phase::Intent,
            of,
            share: slot.share,
            slots: 1 + u64::from(slot.conts),
            rotate: slot.flags & FLAG_ROTATE != 0,
            counter,
        })
    }

    /// Reads what continues a record: names without room elsewhere, and a counter.
    fn unpack_more(&mut self, slot: &Slot) -> Option<Option<(String, u64)>> {
        let mut counter = None;
        let mut rest = self.more.as_slice();
        while let Some((tag, after)) = rest.split_first().filter(|(tag, _)| **tag != 0) {
            let (length, after) = after.split_first_chunk::<2>()?;
            let (body, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            rest = after;
            match tag {
                &TAG_COUNTER => {
                    let (value, store) = body.split_first_chunk::<8>()?;
                    counter = Some((
                        String::from_utf8(store.to_vec()).ok()?,
                        u64::from_le_bytes(*value),
                    ));
                }
                tag => *self.inline.get_mut(usize::from(*tag) - 1)? = Name::unpack(body)?.piece(),
            }
        }
        (counter.is_some() == (slot.flags & FLAG_COUNTER != 0)).then_some(counter)
    }

    /// Makes sure that the piece of a name is at hand.
    #[inline]
    fn know(&mut self, words: &impl Words, id: u32) -> bool {
        if id == 0 || id == INLINE {
            return true;
        }
        let at = usize::from(id & HALF_BIT != 0);
        let generation = words.load(W_GEN + at);
        let Some(half) = self.names.get_mut(at) else {
            return false;
        };
        if half.generation != generation {
            half.pieces.clear();
            half.generation = generation;
        }
        if half.pieces.contains_key(&id) {
            return true;
        }
        let packed = read_name(words, &self.layout, &self.key, id);
        let Some(name) = packed.as_deref().and_then(Name::unpack) else {
            return false;
        };
        half.pieces.insert(id, name.piece().into_boxed_slice());
        true
    }

    fn know_via(&mut self, words: &impl Words, code: u8) {
        if code == 0 || self.vias.contains_key(&code) {
            return;
        }
        let at = self.layout.via(code);
        let length = (words.load(at) as usize).min(VIA_WORDS * 8 - 8);
        let mut name: Vec<u8> = (1..VIA_WORDS)
            .flat_map(|word| words.load(at + word).to_le_bytes())
            .collect();
        name.truncate(length);
        let name = String::from_utf8_lossy(&name).into_owned();
        self.vias.insert(code, line::text_piece(Some(&name)));
    }

    fn vault_of(&self, words: &impl Words, slot: &Slot) -> Option<String> {
        if slot.target == INLINE {
            let json = format!("{{{}}}", String::from_utf8_lossy(self.inline.get(1)?));
            let json: serde_json::Value = serde_json::from_str(&json).ok()?;
            return Some(json.get("vault")?.as_str()?.to_owned());
        }
        let packed = read_name(words, &self.layout, &self.key, slot.target)?;
        match Name::unpack(&packed)? {
            Name::Target { vault, .. } => vault.map(str::to_owned),
            _ => None,
        }
    }
}

fn piece<'a>(names: &'a [Half; 2], id: u32, inline: &'a [u8], none: &'a [u8]) -> &'a [u8] {
    match id {
        0 => none,
        INLINE => inline,
        id => {
            let [low, high] = names;
            let half = if id & HALF_BIT == 0 { low } else { high };
            half.pieces.get(&id).map_or(none, |piece| piece)
        }
    }
}

/// `counter=N store=ID[ accepted]` before whatever else the detail says.
fn counter_detail(counted: &Counted, detail: &[u8]) -> Vec<u8> {
    let accepted = if counted.accept { " accepted" } else { "" };
    let store: String = counted
        .store
        .chars()
        .map(|c| if c == ' ' { '_' } else { c })
        .collect();
    let text = format!("counter={} store={store}{accepted}", counted.counter);
    let mut out = line::text_piece(Some(&text));
    if let Some(rest) = detail.strip_prefix(b"\"") {
        out.pop();
        out.extend_from_slice(b"; ");
        out.extend_from_slice(rest);
    }
    out
}

/// Reads a counter back from a record's detail.
pub(crate) fn counter_of(vault: Option<&str>, detail: Option<&str>) -> Option<Counted> {
    let detail = detail?.strip_prefix("counter=")?;
    let head = detail.split("; ").next()?;
    let mut words = head.split(' ');
    let counter = words.next()?.parse().ok()?;
    let store = words.next()?.strip_prefix("store=")?.to_owned();
    let accept = words.next() == Some("accepted");
    Some(Counted {
        vault: vault?.to_owned(),
        store,
        counter,
        accept,
    })
}
