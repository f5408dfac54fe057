//! The host's half of a memory cache: objects by key, each with the slot that the core gave it.
//!
//! An open-addressing index over a list of entries in the order of their insertion. Keys are compared by their
//! objects; where two objects differ but their hashes agree, the map *asks*: only its user may run the Python code
//! that an `__eq__` can be. So nothing here runs any, and nothing here drops an object: what leaves is returned.

use pyo3::ffi;
use pyo3::prelude::*;
use scrubjay_core::host::SlotRef;

use crate::by_slot::BySlot;

/// One object of a cache.
pub(crate) struct Entry<X> {
    pub(crate) key: Py<PyAny>,
    pub(crate) value: Py<PyAny>,
    pub(crate) at: SlotRef,
    /// When its time is up, by the clock of the slot table.
    pub(crate) until: u32,
    hash: isize,
    /// Rises from entry to entry.
    number: u64,
    /// What the user of the map adds.
    pub(crate) extra: X,
}

/// A place of the index: half of the mixed hash, and the entry's place in the list plus one; 0 is free.
#[derive(Clone, Copy, Default)]
struct Place {
    tag: u32,
    entry: u32,
}

/// A search that goes on where it asked.
#[derive(Clone, Copy)]
pub(crate) struct Search {
    tag: u32,
    hash: isize,
    position: usize,
}

/// Where a search has come to.
pub(crate) enum Found {
    /// The entry has this key.
    Entry(u32),
    /// No entry has this key.
    Nothing,
    /// The key of this entry is another object with the same hash.
    Ask(u32),
}

/// Where a walk over the entries stands. It lasts whatever happens to the map.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    position: usize,
    packings: u64,
    /// The number of the next entry to show.
    from: u64,
    /// Entries from here on were not there at the start of the walk.
    end: u64,
}

/// Entries by the objects of their keys.
pub(crate) struct Map<X> {
    places: Box<[Place]>,
    entries: Vec<Option<Entry<X>>>,
    live: usize,
    slots: BySlot,
    seed: u64,
    next: u64,
    /// Rises with each change after which a place found before may be another.
    version: u64,
    packings: u64,
}

/// The list is packed when it is full and so large a part of it is free, in percent.
const FREE_TO_PACK: usize = 25;
const SMALLEST: usize = 8;

impl<X> Map<X> {
    pub(crate) fn new(seed: u64) -> Self {
        Map {
            places: Box::default(),
            entries: Vec::new(),
            live: 0,
            slots: BySlot::default(),
            seed,
            next: 0,
            version: 0,
            packings: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The hash of a key as the core wants it: all bits are worth something, and differ from process to process.
    #[inline]
    pub(crate) fn mixed(&self, hash: isize) -> u64 {
        let wide = u128::from(hash.cast_unsigned() as u64 ^ self.seed);
        let wide = wide.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        (wide >> 64) as u64 ^ wide as u64
    }

    #[inline]
    pub(crate) fn search(&self, hash: isize) -> Search {
        let tag = self.mixed(hash) as u32;
        Search { tag, hash, position: tag as usize }
    }

    /// Goes on with a search for a key.
    #[inline]
    pub(crate) fn find(&self, key: *mut ffi::PyObject, search: &mut Search) -> Found {
        if self.places.is_empty() {
            return Found::Nothing;
        }
        let mask = self.places.len() - 1;
        loop {
            let place = self.places[search.position & mask];
            if place.entry == 0 {
                return Found::Nothing;
            }
            search.position += 1;
            if place.tag == search.tag {
                let index = place.entry - 1;
                let entry = self.entry(index);
                if entry.key.as_ptr() == key {
                    return Found::Entry(index);
                }
                if entry.hash == search.hash {
                    return Found::Ask(index);
                }
            }
        }
    }

    #[inline]
    pub(crate) fn entry(&self, index: u32) -> &Entry<X> {
        self.entries[index as usize].as_ref().expect("an index names an entry")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<X>> {
        self.entries.iter().flatten()
    }

    /// Adds an entry whose key is not there.
    pub(crate) fn insert(
        &mut self,
        hash: isize,
        key: Py<PyAny>,
        value: Py<PyAny>,
        at: SlotRef,
        until: u32,
        extra: X,
    ) {
        self.make_room();
        let index = self.entries.len() as u32;
        self.entries.push(Some(Entry { key, value, at, until, hash, number: self.next, extra }));
        self.next += 1;
        self.live += 1;
        self.version += 1;
        self.slots.set(at.slot, index);
        self.place(self.mixed(hash) as u32, index);
    }

    /// Gives an entry another value and slot; it keeps its key and its place in the order. Returns what it had.
    pub(crate) fn replace(
        &mut self,
        index: u32,
        value: Py<PyAny>,
        at: SlotRef,
        until: u32,
        extra: X,
    ) -> (Py<PyAny>, X) {
        let entry = self.entries[index as usize].as_mut().expect("an index names an entry");
        self.slots.unset(entry.at.slot, index);
        self.slots.set(at.slot, index);
        (entry.at, entry.until) = (at, until);
        (std::mem::replace(&mut entry.value, value), std::mem::replace(&mut entry.extra, extra))
    }

    /// Gives an entry the slot of another table. `BySlot` is made anew by the caller: see `move_slots`.
    pub(crate) fn move_slots(
        &mut self,
        mut to: impl FnMut(&Entry<X>, u64) -> Option<(SlotRef, u32)>,
    ) -> Vec<Entry<X>> {
        self.slots = BySlot::default();
        let mut lost = Vec::new();
        for index in 0..self.entries.len() {
            let Some(entry) = &self.entries[index] else { continue };
            match to(entry, self.mixed(entry.hash)) {
                Some((at, until)) => {
                    let entry = self.entries[index].as_mut().expect("it was looked at just now");
                    (entry.at, entry.until) = (at, until);
                    self.slots.set(at.slot, index as u32);
                }
                None => lost.extend(self.remove_kept(index as u32)),
            }
        }
        lost
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, index: u32) -> Entry<X> {
        let entry = self.remove_kept(index).expect("an index names an entry");
        self.tidy();
        entry
    }

    /// Takes out those of which `is_wanted` says so; all others keep their indices until the map is tidied.
    pub(crate) fn take_where(&mut self, mut is_wanted: impl FnMut(&Entry<X>) -> bool) -> Vec<Entry<X>> {
        let mut taken = Vec::new();
        for index in 0..self.entries.len() {
            if self.entries[index].as_ref().is_some_and(&mut is_wanted) {
                taken.extend(self.remove_kept(index as u32));
            }
        }
        taken
    }

    /// Gives memory back where most of the list is free.
    pub(crate) fn tidy(&mut self) {
        if self.live * 4 < self.entries.len() && self.entries.len() > 64 {
            self.pack();
        }
    }

    /// Takes an entry out; all others keep their indices.
    fn remove_kept(&mut self, index: u32) -> Option<Entry<X>> {
        let entry = self.entries[index as usize].take()?;
        self.slots.unset(entry.at.slot, index);
        self.unplace(self.mixed(entry.hash) as u32, index);
        self.live -= 1;
        self.version += 1;
        Some(entry)
    }

    /// Whether the entry that got exactly this slot is here.
    pub(crate) fn has(&self, at: SlotRef) -> bool {
        self.slots.get(at.slot).is_some_and(|index| self.entry(index).at == at)
    }

    /// Takes out the entry that has exactly this slot, if it is still here.
    pub(crate) fn remove_at(&mut self, at: SlotRef) -> Option<Entry<X>> {
        let index = self.slots.get(at.slot)?;
        (self.entry(index).at == at).then(|| self.remove(index))
    }

    /// Takes out the entry whose slot has been given to another one: `keeper`'s index is left alone.
    pub(crate) fn remove_former(&mut self, slot: u32, keeper: Option<u32>) -> Option<Entry<X>> {
        let index = self.slots.get(slot)?;
        // Nothing may move while the keeper's index is in use.
        (Some(index) != keeper).then(|| self.remove_kept(index)).flatten()
    }

    /// Empties the map and returns what was in it.
    pub(crate) fn take(&mut self) -> Vec<Option<Entry<X>>> {
        self.places = Box::default();
        self.slots = BySlot::default();
        self.live = 0;
        self.version += 1;
        self.packings += 1;
        std::mem::take(&mut self.entries)
    }

    /// Begins a walk over the entries that there are now, in the order of their insertion.
    pub(crate) fn walk(&self) -> Walk {
        Walk { position: 0, packings: self.packings, from: 0, end: self.next }
    }

    /// The next entry of a walk.
    pub(crate) fn step(&self, walk: &mut Walk) -> Option<u32> {
        if walk.packings != self.packings {
            // The list was packed: the entry that is next stands further in front.
            let from = walk.from;
            walk.position =
                self.entries.iter().position(|entry| entry.as_ref().is_some_and(|entry| entry.number >= from))?;
            walk.packings = self.packings;
        }
        loop {
            let index = walk.position;
            let entry = self.entries.get(index)?;
            walk.position += 1;
            if let Some(entry) = entry {
                walk.from = entry.number + 1;
                return (entry.number < walk.end).then_some(index as u32);
            }
        }
    }

    fn make_room(&mut self) {
        if self.places.is_empty() {
            self.places = vec![Place::default(); SMALLEST * 2].into();
            self.entries.reserve_exact(SMALLEST);
        }
        if self.entries.len() < self.entries.capacity() {
            return;
        }
        if (self.entries.len() - self.live) * 100 >= self.entries.len() * FREE_TO_PACK {
            self.pack();
        } else {
            self.entries.reserve_exact(self.entries.len().max(SMALLEST));
            self.index();
        }
    }

    /// Closes the gaps in the list.
    fn pack(&mut self) {
        self.entries.retain(Option::is_some);
        let room = (self.live + self.live / 2).max(SMALLEST);
        if room < self.entries.capacity() / 2 {
            self.entries.shrink_to(room);
        }
        self.packings += 1;
        self.version += 1;
        for (index, entry) in self.entries.iter().enumerate() {
            self.slots.set(entry.as_ref().expect("gaps are closed").at.slot, index as u32);
        }
        self.index();
    }

    /// Makes the index anew, for as many entries as the list has room for.
    fn index(&mut self) {
        let size = (self.entries.capacity() * 3 / 2).next_power_of_two().max(SMALLEST * 2);
        self.version += 1;
        self.places = vec![Place::default(); size].into();
        for index in 0..self.entries.len() {
            if let Some(entry) = &self.entries[index] {
                self.place(self.mixed(entry.hash) as u32, index as u32);
            }
        }
    }

    fn place(&mut self, tag: u32, index: u32) {
        let mask = self.places.len() - 1;
        let mut position = tag as usize & mask;
        while self.places[position].entry != 0 {
            position = (position + 1) & mask;
        }
        self.places[position] = Place { tag, entry: index + 1 };
    }

    /// Frees the place of an entry, and moves those behind it up that stand there for want of a place in front.
    fn unplace(&mut self, tag: u32, index: u32) {
        let mask = self.places.len() - 1;
        let mut gap = tag as usize & mask;
        while self.places[gap].entry != index + 1 {
            gap = (gap + 1) & mask;
        }
        let mut next = gap;
        loop {
            next = (next + 1) & mask;
            let place = self.places[next];
            if place.entry == 0 {
                break;
            }
            let home = place.tag as usize & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(gap) & mask {
                self.places[gap] = place;
                gap = next;
            }
        }
        self.places[gap] = Place::default();
    }
}
