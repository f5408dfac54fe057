//! What a store holds, under its guard: the entries, their slots, and what is counted. Nothing here runs Python code.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use pyo3::ffi;
use pyo3::prelude::*;
use scrubjay_core::host::{self, SlotRef, Slots};

use super::store::{Bounds, Lookup, Put, Store};
use crate::map::{Entry, Found, Map, Search, Walk};
use crate::slot_table::{SlotTable, has_come};
use crate::sweep;

/// The slot table tells times apart that are half its range away at most: what lives longer has a time of its own.
const FAR_MS: u64 = 1 << 30;

/// Full caches up to this size are searched for entries past their time before something else has to go.
const SMALL: usize = 256;

/// What an entry has beside its value.
pub(crate) struct Extra {
    /// What it counts in `currsize`.
    pub(crate) size: u64,
    /// What it weighs for the core.
    pub(super) weight: u64,
    /// When it expires, where a timer of the user says so.
    pub(crate) expires: Option<Py<PyAny>>,
    /// When its time is up by `monotonic_ms`, where that is too far ahead for the clock of the slot table; else 0.
    ends: u64,
}

/// An entry that is no longer in the map.
pub(crate) type Dead = Entry<Extra>;

/// The entries of a store.
pub(super) struct State {
    pub(super) map: Map<Extra>,
    pub(super) slots: Arc<Slots>,
    pub(super) table: SlotTable,
    /// Slots are of one process.
    pub(super) generation: u32,
    pub(super) size: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    /// No entry's time is up before this.
    pub(super) earliest: Option<u32>,
    pub(super) gone: Vec<SlotRef>,
}

/// One step of a search.
pub(super) enum Next {
    At(Option<u32>),
    Ask(u32, Py<PyAny>),
    Changed,
}

impl State {
    pub(super) fn new(map: Map<Extra>, slots: Arc<Slots>) -> Self {
        // SAFETY: the slots live as long as the state.
        let table = unsafe { SlotTable::new(slots.table()) };
        State {
            map,
            slots,
            table,
            generation: host::fork_generation(),
            size: 0,
            hits: 0,
            misses: 0,
            earliest: None,
            gone: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.generation != host::fork_generation() || self.table.has_gone()
    }

    #[inline]
    pub(super) fn is_live(&self, index: u32) -> bool {
        let entry = self.map.entry(index);
        self.table.holds(entry.at) && !is_over(entry, self.slots.now())
    }

    #[inline]
    pub(super) fn read(&mut self, py: Python<'_>, index: u32) -> Lookup {
        if !self.is_live(index) {
            self.misses += 1;
            return Lookup::Miss;
        }
        self.hits += 1;
        let entry = self.map.entry(index);
        self.table.visit(entry.at);
        Lookup::Hit(entry.value.clone_ref(py))
    }

    pub(super) fn next(&self, py: Python<'_>, key: *mut ffi::PyObject, search: &mut Search, version: u64) -> Next {
        if self.map.version() != version {
            return Next::Changed;
        }
        match self.map.find(key, search) {
            Found::Entry(index) => Next::At(Some(index)),
            Found::Nothing => Next::At(None),
            Found::Ask(index) => Next::Ask(index, self.map.entry(index).key.clone_ref(py)),
        }
    }

    pub(super) fn next_live(&self, walk: &mut Walk) -> Option<u32> {
        loop {
            let index = self.map.step(walk)?;
            if self.is_live(index) {
                return Some(index);
            }
        }
    }

    pub(super) fn seen(&self, py: Python<'_>, index: u32) -> (SlotRef, Option<Py<PyAny>>) {
        let entry = self.map.entry(index);
        (entry.at, entry.extra.expires.as_ref().map(|expires| expires.clone_ref(py)))
    }

    pub(super) fn left_ms(&self, index: u32) -> u64 {
        left_ms(self.map.entry(index), self.slots.now())
    }

    /// Notes that an entry is no longer in the map.
    pub(super) fn left(&mut self, entry: &Dead) {
        self.size -= entry.extra.size;
    }

    pub(super) fn remove(&mut self, index: u32) -> Dead {
        let entry = self.map.remove(index);
        self.free(&entry);
        entry
    }

    /// Gives the slot of an entry back that is no longer in the map.
    pub(super) fn free(&mut self, entry: &Dead) {
        self.slots.remove(entry.at);
        self.left(entry);
    }

    pub(super) fn put(
        &mut self,
        key: &Bound<'_, PyAny>,
        hash: isize,
        found: Option<u32>,
        put: Put,
        dead: &mut Vec<Py<PyAny>>,
    ) -> Option<SlotRef> {
        let instead = found.map(|index| self.map.entry(index).at);
        let now = self.slots.now();
        if self.map.len() <= SMALL && self.earliest.is_some_and(|earliest| has_come(earliest, now)) {
            for entry in self.take_expired(now, instead) {
                bury(entry, dead);
            }
        }
        let mut gone = std::mem::take(&mut self.gone);
        let mixed = self.map.mixed(hash);
        let granted = self.slots.insert(mixed, put.weight, put.ttl_ms, instead, &mut gone);
        match (granted, found) {
            (None, found) => {
                if let Some(index) = found {
                    self.lost(index, dead);
                }
            }
            (Some(copy), found) => {
                if let Some(former) = self.map.remove_former(copy.at.slot, found) {
                    self.left(&former);
                    bury(former, dead);
                }
                let extra = Extra {
                    size: put.size,
                    weight: put.weight,
                    expires: put.expires,
                    ends: if put.ttl_ms > FAR_MS { monotonic_ms() + put.ttl_ms } else { 0 },
                };
                self.size += extra.size;
                if let Some(index) = found {
                    let (value, extra) = self.map.replace(index, put.value, copy.at, copy.until, extra);
                    self.size -= extra.size;
                    dead.push(value);
                    dead.extend(extra.expires);
                } else {
                    self.map.insert(hash, key.clone().unbind(), put.value, copy.at, copy.until, extra);
                }
                if self.earliest.is_none_or(|earliest| has_come(copy.until, earliest)) {
                    self.earliest = Some(copy.until);
                }
            }
        }
        self.bury_gone(&mut gone, dead);
        self.gone = gone;
        granted.map(|copy| copy.at)
    }

    /// The core has let an entry go.
    pub(super) fn lost(&mut self, index: u32, dead: &mut Vec<Py<PyAny>>) {
        let entry = self.map.remove(index);
        self.left(&entry);
        bury(entry, dead);
    }

    /// Removes what the core says has gone.
    pub(super) fn bury_gone(&mut self, gone: &mut Vec<SlotRef>, dead: &mut Vec<Py<PyAny>>) {
        for at in gone.drain(..) {
            if let Some(entry) = self.map.remove_at(at) {
                self.left(&entry);
                bury(entry, dead);
            }
        }
    }

    /// Takes out what is past its time, and what the core has let go, all but one. All others keep their indices.
    pub(super) fn take_expired(&mut self, now: u32, but: Option<SlotRef>) -> Vec<Dead> {
        let mut earliest: Option<u32> = None;
        let (table, slots) = (&self.table, &self.slots);
        let dead = self.map.take_where(|entry| {
            if Some(entry.at) == but {
                return false;
            }
            if is_over(entry, now) {
                slots.remove(entry.at);
                return true;
            }
            if earliest.is_none_or(|earliest| has_come(entry.until, earliest)) {
                earliest = Some(entry.until);
            }
            !table.holds(entry.at)
        });
        self.earliest = earliest;
        dead.iter().for_each(|entry| self.size -= entry.extra.size);
        dead
    }

    pub(super) fn expire(&mut self, ahead: i32) -> Vec<Dead> {
        let now = self.slots.now().wrapping_add_signed(ahead);
        if self.earliest.is_none_or(|earliest| !has_come(earliest, now)) {
            return Vec::new();
        }
        let dead = self.take_expired(now, None);
        self.map.tidy();
        dead
    }

    /// Takes the entries along into a forked process, whose slots are its own; drops what has gone.
    pub(super) fn catch_up(&mut self, store: &Store, dead: &mut Vec<Py<PyAny>>) {
        if self.generation != host::fork_generation() {
            self.move_to_this_process(store, dead);
        }
        let mut gone = std::mem::take(&mut self.gone);
        self.slots.drain(sweep::BATCH, &mut gone);
        self.bury_gone(&mut gone, dead);
        self.gone = gone;
    }

    /// The locks of the parent's slots may be held by threads that do not exist here: they are left alone.
    pub(super) fn move_to_this_process(&mut self, store: &Store, dead: &mut Vec<Py<PyAny>>) {
        let Bounds { entries, bytes } = store.bounds;
        let Ok(slots) = Slots::open(entries, bytes) else { return };
        watch(&slots, &store.me);
        let mut gone = Vec::new();
        let now = self.slots.now();
        let table = &self.table;
        let lost = self.map.move_slots(|entry, mixed| {
            if is_over(entry, now) || !table.holds(entry.at) {
                return None;
            }
            let granted = slots.insert(mixed, entry.extra.weight, left_ms(entry, now), None, &mut gone);
            granted.map(|copy| (copy.at, copy.until))
        });
        // SAFETY: the slots live as long as the state.
        self.table = unsafe { SlotTable::new(slots.table()) };
        std::mem::forget(std::mem::replace(&mut self.slots, slots));
        self.generation = host::fork_generation();
        self.earliest = self.map.iter().map(|entry| entry.until).reduce(|a, b| if has_come(a, b) { a } else { b });
        for entry in lost {
            self.left(&entry);
            bury(entry, dead);
        }
        self.bury_gone(&mut gone, dead);
    }
}

/// Whether the time of an entry is up at `now` of the slot table.
#[inline]
fn is_over(entry: &Dead, now: u32) -> bool {
    has_come(entry.until, now) && (entry.extra.ends == 0 || entry.extra.ends <= monotonic_ms())
}

/// What is left of an entry's time.
fn left_ms(entry: &Dead, now: u32) -> u64 {
    match entry.extra.ends {
        0 if has_come(entry.until, now) => 0,
        0 => u64::from(entry.until.wrapping_sub(now)),
        ends => ends.saturating_sub(monotonic_ms()),
    }
}

/// Milliseconds since some moment of this process or a parent of it.
fn monotonic_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}

/// Takes an entry apart, to be dropped where Python code may run.
pub(super) fn bury(entry: Dead, dead: &mut Vec<Py<PyAny>>) {
    dead.extend([entry.key, entry.value]);
    dead.extend(entry.extra.expires);
}

/// Lets the sweeper know when entries go.
pub(super) fn watch(slots: &Slots, store: &Weak<Store>) {
    let store = store.clone();
    slots.on_gone(move || sweep::wake(store.clone()));
}
