//! Where the entries of one shard are: open addressing over words of four bytes, in lines of the processor's cache.
//!
//! A word has the number of a slot and, in the bits that leaves, a tag: a part of the key's hash. A line is looked
//! through at once, and the key compared in the record that a word with the right tag names: a hit costs two lines
//! of memory, and a miss one. An entry whose own line is full lies in the next that has room, and each line counts how
//! many have passed it, so a search knows where to end and a removal leaves nothing behind.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::prefetch::prefetch;

/// Words of a line, the count among them.
const WIDTH: usize = 16;
/// So many entries a line may have in the mean, before there are more lines.
const MEAN: usize = 11;
/// There are never less than so many bits for a slot.
const FEWEST_BITS: u32 = 8;

pub(super) struct Index {
    lines: Vec<Line>,
    used: usize,
    /// The bits of a word that are its slot.
    slot_bits: u32,
}

/// First the count of entries that passed it; then words, of which 0 is empty.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line([u32; WIDTH]);

impl Line {
    /// The positions of the words that are `wanted` in the bits of `mask`, as bits.
    #[inline]
    fn find(&self, wanted: u32, mask: u32) -> u32 {
        matching(&self.0, wanted, mask) & !1
    }

    fn passed(&mut self) -> &mut u32 {
        &mut self.0[0]
    }
}

/// Where the lines of an index are, for those that do not hold its lock yet: all they may do is have one fetched.
#[derive(Default)]
pub(super) struct Whereabouts {
    lines: AtomicPtr<Line>,
    count: AtomicUsize,
}

impl Whereabouts {
    #[inline]
    pub fn publish(&self, index: &Index) {
        self.lines.store(index.lines.as_ptr().cast_mut(), Ordering::Relaxed);
        self.count.store(index.lines.len(), Ordering::Relaxed);
    }

    /// Has the line of a hash fetched. It may be the wrong one, or none any more: that does no harm.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        let (lines, count) = (self.lines.load(Ordering::Relaxed), self.count.load(Ordering::Relaxed));
        prefetch(lines.wrapping_add(scaled(hash, count)).cast_const());
    }
}

/// The part `hash / 2^32` of `count`.
#[inline]
fn scaled(hash: u32, count: usize) -> usize {
    ((u64::from(hash) * count as u64) >> 32) as usize
}

/// All of a line at once: sixteen comparisons whose results are drawn together to one bit each.
#[cfg(target_arch = "x86_64")]
#[inline]
fn matching(words: &[u32; WIDTH], wanted: u32, mask: u32) -> u32 {
    use std::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_cmpeq_epi32, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16,
        _mm_packs_epi32, _mm_set1_epi32,
    };
    let at = words.as_ptr().cast::<__m128i>();
    // SAFETY: every x86-64 has SSE2; the loads read from any address, and the words at these four, four each.
    unsafe {
        let (wanted, mask) = (_mm_set1_epi32(wanted.cast_signed()), _mm_set1_epi32(mask.cast_signed()));
        let four = |number| _mm_cmpeq_epi32(_mm_and_si128(_mm_loadu_si128(at.add(number)), mask), wanted);
        let (first, second) = (_mm_packs_epi32(four(0), four(1)), _mm_packs_epi32(four(2), four(3)));
        _mm_movemask_epi8(_mm_packs_epi16(first, second)).cast_unsigned()
    }
}

/// Without an early end, so that compilers make it a few instructions for all of them.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn matching(words: &[u32; WIDTH], wanted: u32, mask: u32) -> u32 {
    let bits = words.iter().enumerate().map(|(at, word)| u32::from(word & mask == wanted) << at);
    bits.fold(0, |all, bit| all | bit)
}

impl Index {
    pub fn new() -> Self {
        Index { lines: vec![Line::default()], used: 0, slot_bits: FEWEST_BITS }
    }

    /// The first slot under `hash` of which `is_it` says yes.
    #[inline]
    pub fn find<T>(&self, hash: u32, mut is_it: impl FnMut(u32) -> Option<T>) -> Option<T> {
        let mask = u32::MAX << self.slot_bits;
        let home = self.home(hash);
        let mut at = home;
        loop {
            let line = &self.lines[at];
            let mut candidates = line.find(hash << self.slot_bits, mask);
            while candidates != 0 {
                let word = line.0[candidates.trailing_zeros() as usize];
                // An empty word looks like one of slot -1 with the tag 0.
                if let Some(slot) = (word & !mask).checked_sub(1)
                    && let Some(found) = is_it(slot)
                {
                    return Some(found);
                }
                candidates &= candidates - 1;
            }
            if line.0[0] == 0 {
                return None;
            }
            at = self.after(at);
            // Where there are few lines, each may have been passed.
            if at == home {
                return None;
            }
        }
    }

    /// Has the line of a hash fetched, for a call that comes soon.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        prefetch(&raw const self.lines[self.home(hash)]);
    }

    /// Puts a slot in. `others` are those that are in, with their hashes: asked where the words must be laid anew.
    pub fn insert<I: Iterator<Item = (u32, u32)>>(&mut self, hash: u32, slot: u32, others: impl FnOnce() -> I) {
        let is_full = self.used >= self.lines.len() * MEAN;
        if is_full || !self.fits(slot) {
            let lines = if is_full { self.lines.len() * 3 / 2 + 1 } else { self.lines.len() };
            self.lay_anew(lines, slot, others());
        }
        self.put(hash, slot);
        self.used += 1;
    }

    /// Has the entry lie in another slot.
    pub fn replace<I: Iterator<Item = (u32, u32)>>(
        &mut self,
        hash: u32,
        old: u32,
        new: u32,
        others: impl FnOnce() -> I,
    ) {
        self.remove(hash, old);
        self.insert(hash, new, others);
    }

    pub fn remove(&mut self, hash: u32, slot: u32) {
        let word = self.word(hash, slot);
        let home = self.home(hash);
        let mut at = home;
        let mut found = self.lines[at].find(word, u32::MAX);
        while found == 0 {
            debug_assert!(self.lines[at].0[0] > 0, "an entry in the policy is in the index");
            if self.lines[at].0[0] == 0 {
                return;
            }
            at = self.after(at);
            found = self.lines[at].find(word, u32::MAX);
        }
        self.lines[at].0[found.trailing_zeros() as usize] = 0;
        self.used -= 1;
        let mut passed = home;
        while passed != at {
            *self.lines[passed].passed() -= 1;
            passed = self.after(passed);
        }
    }

    /// The line of a hash: its upper bits scaled to the number of lines, which is no power of two.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        scaled(hash, self.lines.len())
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.lines.len() { 0 } else { at + 1 }
    }

    /// The tag is of the hash's lower bits.
    fn word(&self, hash: u32, slot: u32) -> u32 {
        hash << self.slot_bits | (slot + 1)
    }

    fn fits(&self, slot: u32) -> bool {
        slot + 1 < 1 << self.slot_bits
    }

    fn put(&mut self, hash: u32, slot: u32) {
        let word = self.word(hash, slot);
        let mut at = self.home(hash);
        loop {
            let line = &mut self.lines[at];
            let empty = line.find(0, u32::MAX);
            if empty != 0 {
                line.0[empty.trailing_zeros() as usize] = word;
                return;
            }
            *line.passed() += 1;
            at = self.after(at);
        }
    }

    #[cold]
    fn lay_anew(&mut self, lines: usize, slot: u32, others: impl Iterator<Item = (u32, u32)>) {
        // One bit more than the slot takes: so that this does not come again soon.
        self.slot_bits = self.slot_bits.max((slot + 1).ilog2() + 2).min(u32::BITS - 1);
        // The old ones go first: there need not be room for both.
        self.lines = Vec::new();
        self.lines = vec![Line::default(); lines];
        for (slot, hash) in others {
            self.put(hash, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_search_ends_where_every_line_was_passed() {
        let mut index = Index::new();
        let (first, second) = (0, u32::MAX);
        let mut held = BTreeMap::new();
        let mut add = |index: &mut Index, hash, slots: std::ops::Range<u32>| {
            for slot in slots {
                index.insert(hash, slot, || held.clone().into_iter());
                held.insert(slot, hash);
            }
        };
        // Two lines: the first is passed by seven, and has room again; then the second is.
        add(&mut index, first, 0..22);
        (0..10).for_each(|slot| index.remove(first, slot));
        add(&mut index, second, 100..109);
        assert_eq!(index.lines.iter().map(|line| line.0[0]).collect::<Vec<_>>(), [7, 1]);
        assert_eq!(index.find(first, |_| None::<u32>), None);
        assert_eq!(index.find(second ^ 1, |_| None::<u32>), None);
        let found = |slot| index.find(second, |other| (other == slot).then_some(other));
        assert!((100..109).all(|slot| found(slot).is_some()));
    }

    proptest! {
        #[test]
        fn finds_what_was_put_in_and_nothing_else(ops in prop::collection::vec((0..4_u8, 0..200_u32), 1..300)) {
            // Few different hashes, at the ends of their range too: probes run long and wrap around.
            let hash = |slot: u32| [0, 1 << 31, u32::MAX, u32::MAX - 1][slot as usize % 4] ^ (slot / 16);
            let mut index = Index::new();
            let mut model = BTreeMap::new();
            for (step, (op, slot)) in ops.into_iter().enumerate() {
                match op {
                    0 if model.remove(&slot).is_some() => index.remove(hash(slot), slot),
                    1 if model.contains_key(&slot) && !model.contains_key(&(slot + 1000)) => {
                        let hash = hash(slot);
                        model.remove(&slot);
                        index.replace(hash, slot, slot + 1000, || model.clone().into_iter());
                        index.remove(hash, slot + 1000);
                    }
                    _ if !model.contains_key(&slot) => {
                        index.insert(hash(slot), slot, || model.clone().into_iter());
                        model.insert(slot, hash(slot));
                    }
                    _ => {}
                }
                // All of them, now and then; what was just changed, at once.
                let slots = if step % 50 == 49 { 0..200 } else { slot..slot + 1 };
                for slot in slots {
                    let found = index.find(hash(slot), |other| (other == slot).then_some(other));
                    prop_assert_eq!(found.is_some(), model.contains_key(&slot));
                }
                prop_assert_eq!(index.used, model.len());
            }
        }
    }
}
