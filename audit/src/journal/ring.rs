//! The appending side of this process's journal.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap as FastMap;
use rustix::fs::FallocateFlags;

use super::layout::{
    CONT_BYTES, FLAG_ACCEPT, FLAG_COUNTER, FLAG_ROTATE, FLAG_VERSION, HALF_BIT, INLINE,
    INTENT_WORDS, INTENTS, Layout, MAGIC, NAME_HEAD, SLOT_WORDS, Slot, VIA_WORDS, VIAS,
    W_BATCH_FILE, W_BATCH_OFFSET, W_BOOT, W_DRAINED_CALL, W_DRAINED_POS, W_GEN, W_HALF, W_MAGIC,
    W_SLOTS, W_SUM, slot_sum,
};
use super::map::Map;
use super::names::{Cell, name_sum, name_words};
use crate::entry::Entry;
use crate::error::Error;
use crate::files;
use crate::keys::SlotKey;
use crate::record::{Action, Call, Outcome, Phase};

/// Share 0 is the log's own: never held back by others.
pub(crate) const SYSTEM_SHARE: u16 = 0;

/// Principals with a share of their own; more than that share the last one.
const MAX_SHARES: usize = 4096;

/// Slots kept for the log's own records, so that a full ring can still be ended properly.
const RESERVED: u64 = 64;

/// The halves of the names change places at most this often (us): each change makes all re-enter
/// their names, which no principal may cause at will.
const MIN_SWITCH: i64 = 1_000_000;

/// Threads read the clock before they queue for the journal; only more than this back is a step (us).
const CLOCK_TOLERANCE: i64 = 1_000_000;

/// The ring has no room for this record now.
pub(crate) struct Full;

/// What an append did.
pub(crate) struct Appended {
    pub(crate) call: Call,
    /// The writer thread should not wait for its next turn.
    pub(crate) wake: bool,
    /// The clock went back by so many microseconds since the record before.
    pub(crate) step: Option<i64>,
}

pub(crate) struct Ring {
    pub(crate) map: Map,
    pub(crate) layout: Layout,
    pub(crate) key: SlotKey,
    pub(crate) path: PathBuf,
    /// Holds the journal's lock for as long as this process lives.
    file: File,
    state: Mutex<State>,
}

struct State {
    next_call: u64,
    pos: u64,
    drained_pos: u64,
    drained_call: u64,
    last_time: i64,
    stepped: bool,
    woken: bool,
    /// The last record of this writer was appended.
    sealed: bool,
    half: usize,
    generation: u32,
    used: usize,
    /// Position up to which records may name the other half.
    retired: u64,
    switched: i64,
    names: FastMap<Box<[u8]>, u32>,
    shares: Vec<Share>,
    share_index: HashMap<String, u16>,
    intents: FastMap<u64, usize>,
    free_intents: Vec<usize>,
    vias: Vec<String>,
    more: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct Share {
    outstanding: u64,
    names: usize,
}

/// How far the log has the journal's records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) next_call: u64,
    pub(crate) drained_call: u64,
    pub(crate) drained_pos: u64,
}

impl Ring {
    /// Makes the journal of `writer`, allocated whole and locked, visible under its name only then.
    pub(crate) fn create(
        folder: &Path,
        writer: &str,
        size: usize,
        key: SlotKey,
    ) -> Result<Self, Error> {
        let path = folder.join(format!("{writer}.journal"));
        let temp = folder.join(format!(".{writer}.new"));
        let file = files::open(
            &temp,
            OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600),
        )
        .map_err(|e| Error::io("cannot create", &temp, e))?;
        let layout = Layout::for_size(size);
        // Random, so that a name made for another log never passes for one that stands here.
        let mut generation = [0; 4];
        getrandom::fill(&mut generation)
            .map_err(|_| Error::Unavailable("no randomness from the operating system".into()))?;
        let generation = u32::from_le_bytes(generation) | 1;
        let made = Self::prepare(&file, &temp, &path, &layout, writer, &key, generation);
        let map = match made {
            Ok(map) => map,
            Err(e) => {
                let _ = std::fs::remove_file(&temp);
                return Err(e);
            }
        };
        let state = State {
            next_call: 1,
            pos: 0,
            drained_pos: 0,
            drained_call: 0,
            last_time: i64::MIN,
            stepped: false,
            woken: false,
            sealed: false,
            half: 0,
            generation,
            used: 0,
            retired: 0,
            switched: i64::MIN,
            names: FastMap::new(),
            shares: vec![Share::default()],
            share_index: HashMap::new(),
            intents: FastMap::new(),
            free_intents: (0..INTENTS).rev().collect(),
            vias: Vec::new(),
            more: Vec::new(),
        };
        Ok(Self {
            map,
            layout,
            key,
            path,
            file,
            state: Mutex::new(state),
        })
    }

    fn prepare(
        file: &File,
        temp: &Path,
        path: &Path,
        layout: &Layout,
        writer: &str,
        key: &SlotKey,
        generation: u32,
    ) -> Result<Map, Error> {
        // Never mapped over a hole: with a full disk the first store there would kill the process.
        let bytes = layout.words() as u64 * 8;
        rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes)
            .map_err(|e| Error::io("cannot allocate", temp, e))?;
        if !files::try_lock(file, false).map_err(|e| Error::io("cannot lock", temp, e))? {
            return Err(Error::Unavailable(
                "a new journal is locked by another process".into(),
            ));
        }
        let map = Map::new(file).map_err(|e| Error::io("cannot map", temp, e))?;
        map.store(W_SLOTS, layout.slots);
        map.store(W_HALF, layout.half_words as u64);
        map.store(W_BOOT, files::boot_word(&files::boot_id()));
        map.store(W_GEN, u64::from(generation));
        map.store(W_SUM, layout.sum(writer, key));
        map.publish(W_MAGIC, MAGIC);
        std::fs::rename(temp, path).map_err(|e| Error::io("cannot name", path, e))?;
        Ok(map)
    }

    /// The share of a principal.
    pub(crate) fn share(&self, principal: &str) -> u16 {
        let mut state = self.lock();
        if let Some(share) = state.share_index.get(principal) {
            return *share;
        }
        if state.shares.len() >= MAX_SHARES {
            return (MAX_SHARES - 1) as u16;
        }
        let share = state.shares.len() as u16;
        state.shares.push(Share::default());
        state.share_index.insert(principal.to_owned(), share);
        share
    }

    /// The code of an interface function, 0 when there are too many.
    pub(crate) fn via(&self, name: &str) -> u8 {
        let name = name
            .get(..name.floor_char_boundary(VIA_WORDS * 8 - 8))
            .unwrap_or_default();
        let mut state = self.lock();
        if let Some(at) = state.vias.iter().position(|known| known == name) {
            return at as u8 + 1;
        }
        if state.vias.len() >= VIAS - 1 || name.is_empty() {
            return 0;
        }
        state.vias.push(name.to_owned());
        let code = state.vias.len() as u8;
        let at = self.layout.via(code);
        for (word, chunk) in name.as_bytes().chunks(8).enumerate() {
            self.map.store(at + 1 + word, le_word(chunk));
        }
        self.map.publish(at, name.len() as u64);
        code
    }

    /// Appends one record. One lock; when warm no allocation, no system call, no text.
    #[inline]
    pub(crate) fn append(&self, entry: &Entry<'_>, time: i64) -> Result<Appended, Full> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.sealed {
            return Err(Full);
        }
        let share = entry.subject.share;
        let mut slot = Slot {
            version: entry.version.unwrap_or_default(),
            policy: entry.policy,
            via: entry.via.0,
            action: entry.action as u8,
            outcome: entry.outcome.map_or(0, |o| o as u8),
            phase_cache: entry.phase as u8 | entry.cache.map_or(0, |c| c as u8) << 4,
            flags: if entry.version.is_some() {
                FLAG_VERSION
            } else {
                0
            } | if entry.rotate { FLAG_ROTATE } else { 0 },
            share,
            ..Slot::default()
        };
        if !self.place_names(state, entry, &mut slot) || entry.counter.is_some() {
            self.place_more(state, entry, &mut slot, time)?;
        }
        let count = 1 + u64::from(slot.conts);
        let waiting = state.pos - state.drained_pos;
        if share != SYSTEM_SHARE {
            let room = self.layout.slots - RESERVED;
            let outstanding = state
                .shares
                .get(usize::from(share))
                .map_or(u64::MAX, |s| s.outstanding);
            if waiting + count > room || outstanding + count > room / 2 {
                return Err(Full);
            }
        } else if waiting + count > self.layout.slots {
            return Err(Full);
        }
        let mut step = None;
        slot.time = time;
        if time < state.last_time {
            if !state.stepped && state.last_time - time > CLOCK_TOLERANCE {
                state.stepped = true;
                step = Some(state.last_time - time);
            }
            slot.time = state.last_time;
        } else {
            state.last_time = time;
            state.stepped = false;
        }
        let call = state.next_call;
        if entry.phase == Phase::Intent {
            self.open_intent(state, call)?;
        }
        if let Some(of) = entry.of {
            slot.of = call
                .checked_sub(of.0)
                .and_then(|back| u32::try_from(back).ok())
                .unwrap_or_default();
        }
        self.write(state, call, &slot);
        state.next_call += 1;
        state.pos += count;
        state.sealed = entry.action == Action::Close;
        if let Some(charged) = state.shares.get_mut(usize::from(share)) {
            charged.outstanding += count;
        }
        if let Some(of) = entry.of {
            self.close_intent(state, of.0);
        }
        let wake = !state.woken && waiting + count > self.layout.slots / 4;
        state.woken |= wake;
        Ok(Appended {
            call: Call(call),
            wake,
            step,
        })
    }

    /// Ids of names that stand in the half in use; false if one does not.
    #[inline]
    fn place_names(&self, state: &State, entry: &Entry<'_>, slot: &mut Slot) -> bool {
        let generation = state.generation;
        let mut warm = true;
        let mut id = |cell: &Cell| {
            let place = cell.place.load(Ordering::Relaxed);
            warm &= (place >> 32) as u32 == generation;
            place as u32
        };
        slot.subject = id(&entry.subject.cell);
        slot.target = entry.target.map_or(0, |t| id(&t.cell));
        slot.grant = entry.grant.map_or(0, |t| id(&t.cell));
        slot.detail = entry.detail.map_or(0, |t| id(&t.cell));
        warm
    }

    /// Enters names that are new to this half; those that find no room, and a counter, go into
    /// slots that continue the record.
    #[cold]
    fn place_more(
        &self,
        state: &mut State,
        entry: &Entry<'_>,
        slot: &mut Slot,
        time: i64,
    ) -> Result<(), Full> {
        let share = entry.subject.share;
        // Grants come from the configuration and are everyone's.
        let cells = [
            Some((&*entry.subject.cell, share)),
            entry.target.map(|t| (&*t.cell, t.share)),
            entry.grant.map(|t| (&*t.cell, SYSTEM_SHARE)),
            entry.detail.map(|t| (&*t.cell, t.share)),
        ];
        let mut ids = self.enter_all(state, &cells);
        if ids.contains(&INLINE) && self.switch_half(state, time) {
            ids = self.enter_all(state, &cells);
        }
        [slot.subject, slot.target, slot.grant, slot.detail] = ids;
        let mut more = std::mem::take(&mut state.more);
        more.clear();
        for ((id, cell), tag) in ids.iter().zip(&cells).zip(1u8..) {
            if let (&INLINE, Some((cell, _))) = (id, cell) {
                more.push(tag);
                more.extend_from_slice(&(cell.packed.len() as u16).to_le_bytes());
                more.extend_from_slice(&cell.packed);
            }
        }
        if let Some(counter) = &entry.counter {
            slot.flags |= FLAG_COUNTER | if counter.accept { FLAG_ACCEPT } else { 0 };
            let store = counter
                .store
                .get(..counter.store.floor_char_boundary(128))
                .unwrap_or_default();
            more.push(TAG_COUNTER);
            more.extend_from_slice(&((store.len() + 8) as u16).to_le_bytes());
            more.extend_from_slice(&counter.value.to_le_bytes());
            more.extend_from_slice(store.as_bytes());
        }
        let conts = more.len().div_ceil(CONT_BYTES);
        more.resize(conts * CONT_BYTES, 0);
        state.more = more;
        slot.conts = u8::try_from(conts).map_err(|_| Full)?;
        Ok(())
    }

    fn enter_all(&self, state: &mut State, cells: &[Option<(&Cell, u16)>; 4]) -> [u32; 4] {
        cells.map(|cell| cell.map_or(0, |(cell, share)| self.enter(state, cell, share)))
    }

    fn enter(&self, state: &mut State, cell: &Cell, share: u16) -> u32 {
        let place = cell.place.load(Ordering::Relaxed);
        if (place >> 32) as u32 == state.generation {
            return place as u32;
        }
        let id = match state.names.get(&cell.packed) {
            Some(id) => *id,
            None => {
                let words = name_words(&cell.packed);
                let limit = if share == SYSTEM_SHARE {
                    self.layout.half_words
                } else {
                    self.layout.half_words / 2
                };
                let Some(charged) = state.shares.get_mut(usize::from(share)) else {
                    return INLINE;
                };
                if state.used + words > self.layout.half_words || charged.names + words > limit {
                    return INLINE;
                }
                charged.names += words;
                let half_bit = if state.half == 0 { 0 } else { HALF_BIT };
                let id = (state.used as u32 + 1) | half_bit;
                let at = self.layout.half(state.half) + state.used;
                self.map.store(at, cell.packed.len() as u64);
                self.map.store(
                    at + 1,
                    name_sum(&self.key, state.generation, id, &cell.packed),
                );
                for (word, chunk) in cell.packed.chunks(8).enumerate() {
                    self.map.store(at + NAME_HEAD + word, le_word(chunk));
                }
                state.used += words;
                state.names.insert(cell.packed.clone(), id);
                id
            }
        };
        cell.place.store(
            u64::from(state.generation) << 32 | u64::from(id),
            Ordering::Relaxed,
        );
        id
    }

    /// Begins the other half of the names anew, if no waiting record names it any more.
    fn switch_half(&self, state: &mut State, time: i64) -> bool {
        let early = state.switched != i64::MIN && time.saturating_sub(state.switched) < MIN_SWITCH;
        if state.drained_pos < state.retired || early {
            return false;
        }
        // Names that were never entered have generation 0.
        let generation = state.generation.wrapping_add(1).max(1);
        state.half = 1 - state.half;
        state.generation = generation;
        state.used = 0;
        state.retired = state.pos;
        state.switched = time;
        state.names.clear();
        for share in &mut state.shares {
            share.names = 0;
        }
        self.map.publish(W_GEN + state.half, u64::from(generation));
        true
    }

    #[inline]
    fn write(&self, state: &State, call: u64, slot: &Slot) {
        let words = slot.pack();
        let base = self.layout.slot(state.pos);
        let more: &[u8] = if slot.conts == 0 { &[] } else { &state.more };
        for (cont, bytes) in (1u64..).zip(more.chunks(CONT_BYTES)) {
            let base = self.layout.slot(state.pos + cont);
            self.map.store(base, 0);
            for (word, chunk) in (1usize..).zip(bytes.chunks(8)) {
                self.map.store(base + word, le_word(chunk));
            }
        }
        // The slot still holds an older record's call number, which no reader asks for any more.
        for (word, value) in (1usize..).zip(&words) {
            self.map.store(base + word, *value);
        }
        self.map.store(
            base + SLOT_WORDS - 1,
            slot_sum(&self.key, call, &words, more),
        );
        self.map.publish(base, call);
    }

    fn open_intent(&self, state: &mut State, call: u64) -> Result<(), Full> {
        let index = state.free_intents.pop().ok_or(Full)?;
        let at = self.layout.intent(index);
        for word in 1..INTENT_WORDS {
            self.map.store(at + word, 0);
        }
        self.map.publish(at, call);
        state.intents.insert(call, index);
        Ok(())
    }

    fn close_intent(&self, state: &mut State, call: u64) {
        if let Some(index) = state.intents.remove(&call) {
            self.map.publish(self.layout.intent(index), 0);
            state.free_intents.push(index);
        }
    }

    /// Notes where in the log an intent stands, for whoever must end it after a crash.
    pub(crate) fn intent_stands_at(&self, call: u64, file: u64, offset: u64) {
        let state = self.lock();
        if let Some(index) = state.intents.get(&call) {
            let at = self.layout.intent(*index);
            self.map.store(at + 1, file);
            self.map.publish(at + 2, offset);
        }
    }

    /// Intents without outcome, oldest first.
    pub(crate) fn open_intents(&self) -> Vec<Call> {
        let mut calls: Vec<Call> = self.lock().intents.keys().map(|call| Call(*call)).collect();
        calls.sort_unstable();
        calls
    }

    /// Notes where the batch begins that is about to be written. Call under the log's lock.
    pub(crate) fn begin_batch(&self, file: u64, offset: u64) {
        self.map.store(W_BATCH_OFFSET, offset);
        self.map.publish(W_BATCH_FILE, file);
    }

    /// Gives the slots of records back that stand in the log now; `charged` tells whose they were.
    pub(crate) fn drained(&self, call: u64, pos: u64, charged: &[(u16, u64)]) {
        let mut state = self.lock();
        for (share, slots) in charged {
            if let Some(share) = state.shares.get_mut(usize::from(*share)) {
                share.outstanding = share.outstanding.saturating_sub(*slots);
            }
        }
        state.drained_pos = pos;
        state.drained_call = call;
        state.woken = false;
        self.map.publish(W_DRAINED_POS, pos);
        self.map.publish(W_DRAINED_CALL, call);
    }

    pub(crate) fn progress(&self) -> Progress {
        let state = self.lock();
        Progress {
            next_call: state.next_call,
            drained_call: state.drained_call,
            drained_pos: state.drained_pos,
        }
    }

    /// Whether a share has room for a record of common size.
    pub(crate) fn has_room(&self, share: u16) -> bool {
        let state = self.lock();
        let room = self.layout.slots - RESERVED;
        let outstanding = state
            .shares
            .get(usize::from(share))
            .map_or(0, |s| s.outstanding);
        state.pos - state.drained_pos + 4 <= room
            && outstanding + 4 <= room / 2
            && !state.free_intents.is_empty()
    }

    /// Whether the journal still is where recovery looks for it.
    pub(crate) fn in_place(&self) -> bool {
        matches!(files::same_file(&self.path, &self.file), Ok(true))
    }

    /// Removes the journal's file. Everything in it must stand in the log.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(|e| Error::io("cannot remove", &self.path, e))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the state torn: a record counts only once its commit word is stored,
        // and positions move after that.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tags of what continues a record: 1 to 4 are its names in the order of the line.
pub(crate) const TAG_COUNTER: u8 = 5;

#[inline]
fn le_word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

/// The records that the log writes about itself carry these.
pub(crate) fn is_system_action(action: Action) -> bool {
    action as u8 >= Action::Open as u8
}

const _: () = assert!(Outcome::Unknown as u8 <= 15 && Phase::Outcome as u8 <= 15);
