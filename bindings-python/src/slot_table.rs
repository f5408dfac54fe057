//! The slot table of the core as this module reads it: whether a copy still lives, and that it was used.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use scrubjay_core::host::{SlotRef, TABLE_HEADER, TABLE_STRIDE, Table};

/// Uses beyond this many are not told apart.
const VISITED_MAX: u8 = 3;
/// Where the cell lies that says that something is to be drained.
const GONE: usize = 4;
/// Where in a slot the number of its uses lies.
const VISITED: usize = 4;

/// A view of a slot table. Whoever has one keeps the owner of the table alive.
pub(crate) struct SlotTable(Table);

// SAFETY: the table is memory of atomics, to be read and marked from any thread; its owner lives.
unsafe impl Send for SlotTable {}
// SAFETY: as above.
unsafe impl Sync for SlotTable {}

impl SlotTable {
    /// # Safety
    /// What the table was asked of lives as long as the view.
    pub(crate) unsafe fn new(table: Table) -> Self {
        SlotTable(table)
    }

    #[inline]
    fn cell(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset + 4 <= self.0.bytes);
        // SAFETY: the offset is that of a whole u32 inside of the table, which the core uses as an atomic too.
        unsafe { AtomicU32::from_ptr(self.0.base.add(offset).cast_mut().cast()) }
    }

    /// Whether entries have gone whose copies are still here.
    #[inline]
    pub(crate) fn has_gone(&self) -> bool {
        self.cell(GONE).load(Ordering::Relaxed) != 0
    }

    /// Whether what got this slot still has it.
    #[inline]
    pub(crate) fn holds(&self, at: SlotRef) -> bool {
        at.slot < self.0.slots
            && self.cell(TABLE_HEADER + TABLE_STRIDE * at.slot as usize).load(Ordering::Acquire) == at.generation
    }

    /// Marks a slot as used: its entry is the last to be evicted. Written only when it changes.
    #[inline]
    pub(crate) fn visit(&self, at: SlotRef) {
        let offset = TABLE_HEADER + TABLE_STRIDE * at.slot as usize + VISITED;
        debug_assert!(offset < self.0.bytes);
        // SAFETY: the offset is inside of the table, for only slots that `holds` was asked for are marked.
        let visited = unsafe { AtomicU8::from_ptr(self.0.base.add(offset).cast_mut()) };
        let uses = visited.load(Ordering::Relaxed);
        if uses < VISITED_MAX {
            visited.store(uses + 1, Ordering::Relaxed);
        }
    }
}

/// Whether a time of the table's clock has come. Times wrap.
#[inline]
pub(crate) fn has_come(until: u32, now: u32) -> bool {
    now.wrapping_sub(until).cast_signed() >= 0
}
