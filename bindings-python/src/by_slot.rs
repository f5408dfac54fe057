//! Which entry has a slot.

/// So many slots are one page.
const PAGE: usize = 1024;

/// Indices of entries by slot, in pages: slots are dense within a shard of the core, but not over all of them.
#[derive(Default)]
pub(crate) struct BySlot(Vec<Option<Box<[u32; PAGE]>>>);

impl BySlot {
    /// The index of the entry that has this slot.
    pub(crate) fn get(&self, slot: u32) -> Option<u32> {
        let page = self.0.get(slot as usize / PAGE)?.as_ref()?;
        page[slot as usize % PAGE].checked_sub(1)
    }

    /// Notes who has this slot.
    pub(crate) fn set(&mut self, slot: u32, index: u32) {
        let page = slot as usize / PAGE;
        if page >= self.0.len() {
            self.0.resize_with(page + 1, || None);
        }
        self.0[page].get_or_insert_with(|| Box::new([0; PAGE]))[slot as usize % PAGE] = index + 1;
    }

    /// Forgets who has this slot, unless that is another one by now.
    pub(crate) fn unset(&mut self, slot: u32, index: u32) {
        if self.get(slot) == Some(index)
            && let Some(Some(page)) = self.0.get_mut(slot as usize / PAGE)
        {
            page[slot as usize % PAGE] = 0;
        }
    }
}
