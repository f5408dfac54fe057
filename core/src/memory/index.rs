//! Where the entries of one shard are: open addressing over words of hash and slot.
//!
//! Linear probing, eight words to a cache line; a removal shifts back what follows, so there are no tombstones. The
//! key is compared in the record that the slot names, so a hit costs two cache lines, and a miss one.

const FIRST: usize = 16;

/// The hash in the upper half, slot + 1 in the lower; 0 is empty.
pub(super) struct Index {
    words: Vec<u64>,
    used: usize,
}

#[inline]
fn hash_of(word: u64) -> u32 {
    (word >> 32) as u32
}

#[inline]
fn slot_of(word: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the slot + 1")]
    let slot = word as u32 - 1;
    slot
}

fn word(hash: u32, slot: u32) -> u64 {
    u64::from(hash) << 32 | (u64::from(slot) + 1)
}

impl Index {
    pub fn new() -> Self {
        Index { words: vec![0; FIRST], used: 0 }
    }

    /// The first slot under `hash` of which `is_it` says yes.
    #[inline]
    pub fn find<T>(&self, hash: u32, mut is_it: impl FnMut(u32) -> Option<T>) -> Option<T> {
        let mut at = self.home(hash);
        loop {
            let word = self.words[at];
            if word == 0 {
                return None;
            }
            if hash_of(word) == hash
                && let Some(found) = is_it(slot_of(word))
            {
                return Some(found);
            }
            at = self.after(at);
        }
    }

    pub fn insert(&mut self, hash: u32, slot: u32) {
        // Four fifths at most: there is always a gap, and probes stay short for absent keys too.
        if (self.used + 1) * 5 > self.words.len() * 4 {
            self.grow();
        }
        self.put(word(hash, slot));
        self.used += 1;
    }

    /// Has the entry lie in another slot.
    pub fn replace(&mut self, hash: u32, old: u32, new: u32) {
        if let Some(at) = self.position(word(hash, old)) {
            self.words[at] = word(hash, new);
        }
    }

    pub fn remove(&mut self, hash: u32, slot: u32) {
        let Some(mut gap) = self.position(word(hash, slot)) else { return };
        let mut at = gap;
        loop {
            at = self.after(at);
            let next = self.words[at];
            if next == 0 {
                break;
            }
            // It moves into the gap unless its probe begins behind the gap.
            let home = self.home(hash_of(next));
            let stays = if gap <= at { gap < home && home <= at } else { gap < home || home <= at };
            if !stays {
                self.words[gap] = next;
                gap = at;
            }
        }
        self.words[gap] = 0;
        self.used -= 1;
    }

    /// Where the probe for a hash begins: the hash scaled to the length, which is no power of two.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.words.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.words.len() { 0 } else { at + 1 }
    }

    fn put(&mut self, word: u64) {
        let mut at = self.home(hash_of(word));
        while self.words[at] != 0 {
            at = self.after(at);
        }
        self.words[at] = word;
    }

    fn position(&self, word: u64) -> Option<usize> {
        let mut at = self.home(hash_of(word));
        while self.words[at] != word {
            debug_assert!(self.words[at] != 0, "an entry in the policy is in the index");
            if self.words[at] == 0 {
                return None;
            }
            at = self.after(at);
        }
        Some(at)
    }

    fn grow(&mut self) {
        // By less than half: where many shards are full, few of their words are empty.
        let len = self.words.len() * 5 / 4 + FIRST;
        for word in std::mem::replace(&mut self.words, vec![0; len]) {
            if word != 0 {
                self.put(word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

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
                        index.replace(hash, slot, slot + 1000);
                        model.remove(&slot);
                        model.insert(slot + 1000, hash);
                        index.remove(hash, slot + 1000);
                        model.remove(&(slot + 1000));
                    }
                    _ if !model.contains_key(&slot) => {
                        index.insert(hash(slot), slot);
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
