//! The slot table: what a host must know to answer from its own memory, as plain atomics that it reads directly.
//!
//! ```text
//! 0              now u32     ms since the table was made, wraps; moved by each tick and each insert
//! 4              gone u32    not zero while the host has something to drain
//! 8..64          reserved
//! 64 + 8 × slot  generation u32 · visited u32, 0 to 3: of it a host may also write the first byte alone
//! ```
//!
//! A host keeps `key → (value, slot, generation, until)`. Its copy is good while the generation is the same and `until`
//! lies ahead of `now`, compared as signed differences. A hit counts `visited` up to 3, by a plain store, and only
//! when that changes it.
//!
//! Whatever takes an entry out bumps the generation under the shard's lock, before its call returns; a generation that
//! was read together with the entry, under that lock, is that of this very entry.

use super::arena::{Arena, Zeroed};
use super::policy::MAX_USES;
use super::prefetch::prefetch;
use crate::sync::{AtomicU32, Mutex, Ordering, lock};

/// Bytes before the first slot.
pub const TABLE_HEADER: usize = 64;
/// Bytes from one slot to the next.
pub const TABLE_STRIDE: usize = 8;
const HEADER_SLOTS: usize = TABLE_HEADER / TABLE_STRIDE;

/// The longest time that a copy may be used without a question: half the range of a signed difference.
const LONGEST: u64 = 1 << 30;

/// A slot, and the generation under which a value was put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotRef {
    /// The number of the slot.
    pub slot: u32,
    /// Another number for each entry that lies there in turn.
    pub generation: u32,
}

/// Leave for a host to answer from its own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Where the entry lies.
    pub at: SlotRef,
    /// Until when, in ms of the table.
    pub until: u32,
}

/// Where a slot table lies. Valid as long as the object it was asked of.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its first byte.
    pub base: *const u8,
    /// Its length in bytes.
    pub bytes: usize,
    /// How many slots it has.
    pub slots: u32,
}

/// The cells of a slot; in the header the first pair are `now` and `gone`.
#[derive(Default)]
#[repr(C)]
struct Cells {
    generation: AtomicU32,
    visited: AtomicU32,
}

// SAFETY: numbers whose zero is their default.
unsafe impl Zeroed for Cells {}

#[cfg(not(feature = "shuttle"))]
const _: () = assert!(size_of::<Cells>() == TABLE_STRIDE && TABLE_HEADER.is_multiple_of(TABLE_STRIDE));

type Wake = Box<dyn Fn() + Send + Sync>;

pub(crate) struct SlotTable {
    cells: Arena<Cells>,
    /// What the cache's clock showed when the table was made.
    origin: u64,
    gone: Mutex<Vec<SlotRef>>,
    wake: std::sync::OnceLock<Wake>,
}

impl SlotTable {
    /// A table for so many slots; none where the address space is short.
    pub fn new(slots: usize, now: u64) -> Option<Self> {
        Some(SlotTable {
            cells: Arena::new(slots + HEADER_SLOTS)?,
            origin: now,
            gone: Mutex::new(Vec::new()),
            wake: std::sync::OnceLock::new(),
        })
    }

    /// How many slots there are cells for.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.cells.len() - HEADER_SLOTS).unwrap_or(u32::MAX)
    }

    pub fn view(&self) -> Table {
        Table { base: self.cells.base(), bytes: self.cells.len() * TABLE_STRIDE, slots: self.slots() }
    }

    /// Has the cells of a slot fetched.
    pub fn prefetch(&self, slot: u32) {
        prefetch(self.slot(slot));
    }

    /// Is told that slots up to this one are used.
    pub fn reached(&self, slot: usize) {
        self.cells.reached(slot + HEADER_SLOTS);
    }

    fn slot(&self, slot: u32) -> &Cells {
        self.cells.get(slot as usize + HEADER_SLOTS)
    }

    /// `now` of the cache's clock as the table counts it.
    pub fn time(&self, now: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "it wraps")]
        let time = now.saturating_sub(self.origin) as u32;
        time
    }

    /// A moment ahead as the table counts it, drawn nearer where it is too far to be told from one behind.
    pub fn until(&self, deadline: u64, now: u64) -> u32 {
        self.time(deadline.min(now + LONGEST))
    }

    pub fn set_now(&self, now: u64) {
        self.cells.get(0).generation.store(self.time(now), Ordering::Release);
    }

    pub fn generation(&self, slot: u32) -> u32 {
        self.slot(slot).generation.load(Ordering::Acquire)
    }

    /// A new generation: every copy of what lies in the slot is dead. Returns the old one.
    pub fn bump(&self, slot: u32) -> SlotRef {
        let cells = self.slot(slot);
        cells.visited.store(0, Ordering::Relaxed);
        SlotRef { slot, generation: cells.generation.fetch_add(1, Ordering::AcqRel) }
    }

    pub fn visited(&self, slot: u32) -> u8 {
        // A host that writes nonsense there harms its own hit ratio only.
        self.slot(slot).visited.load(Ordering::Relaxed).to_le_bytes()[0].min(MAX_USES)
    }

    pub fn set_visited(&self, slot: u32, uses: u8) {
        let visited = &self.slot(slot).visited;
        if visited.load(Ordering::Relaxed) != u32::from(uses) {
            visited.store(u32::from(uses), Ordering::Relaxed);
        }
    }

    /// Has the host told that copies are dead. Called with no lock held: it wakes the host.
    pub fn report(&self, dead: &[SlotRef]) {
        if dead.is_empty() {
            return;
        }
        let first = {
            let mut gone = lock(&self.gone);
            gone.extend_from_slice(dead);
            self.gone_cell().swap(1, Ordering::AcqRel) == 0
        };
        if first && let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// Gives at most `max` of the dead copies.
    pub fn drain(&self, max: usize, out: &mut Vec<SlotRef>) -> usize {
        let mut gone = lock(&self.gone);
        let count = max.min(gone.len());
        let rest = gone.len() - count;
        out.extend(gone.drain(rest..));
        if rest == 0 {
            // A burst need not keep its memory for ever.
            gone.shrink_to(1 << 10);
            self.gone_cell().store(0, Ordering::Release);
        }
        count
    }

    pub fn on_gone(&self, wake: Wake) {
        // The first one stays: a host sets it once.
        drop(self.wake.set(wake));
    }

    fn gone_cell(&self) -> &AtomicU32 {
        &self.cells.get(0).visited
    }
}
