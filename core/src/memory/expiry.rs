//! When entries die: a hierarchical timing wheel over the slots of one shard.
//!
//! Linking and unlinking are O(1); an entry moves to a finer level at most once per level on its way; time
//! without deadlines is skipped by bit maps. Every call does a bounded amount of work and can be continued, so
//! a shard's lock is never held for long, however many entries die together.
//!
//! Time is counted in ticks of 64 ms; a deadline is rounded up, so that nothing is found before its time.

const TICK_BITS: u32 = 6;
/// 64 buckets a level: one `u64` says which are occupied.
const LEVEL_BITS: u32 = 6;
const BUCKETS: usize = 1 << LEVEL_BITS;
const MASK: u64 = BUCKETS as u64 - 1;
const NIL: u32 = u32::MAX;
/// The bucket of a slot that is in none. Zero, so that a fresh record is in none.
const NOWHERE: u16 = 0;

/// What the wheel keeps in the entries themselves.
pub(super) trait Mortal {
    /// When the entry in a slot dies, in milliseconds.
    fn deadline(&self, slot: u32) -> u64;
    /// What [`Mortal::set_bucket`] was told last, 0 at first.
    fn bucket(&self, slot: u32) -> u16;
    fn set_bucket(&self, slot: u32, bucket: u16);
    /// What [`Mortal::set_links`] was told last.
    fn links(&self, slot: u32) -> Links;
    fn set_links(&self, slot: u32, links: Links);
}

#[derive(Default)]
pub(super) struct Wheel {
    /// Made when first needed: three cover a day, ten cover all of `u64`.
    levels: Vec<Level>,
    /// Every tick up to this one has been dealt with, but for the rest of the bucket that a sweep stopped in.
    ///
    /// A node lies on the level of the highest digit (of `LEVEL_BITS`) in which its tick differs from the
    /// cursor, in the bucket of its own digit. So all higher digits are equal, and within a level the buckets
    /// to come lie above the cursor's own: no bucket is ever used for two rounds.
    cursor: u64,
    len: usize,
}

/// The neighbours of a slot in its bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub prev: u32,
    pub next: u32,
}

struct Level {
    occupied: u64,
    heads: [u32; BUCKETS],
}

impl Wheel {
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Links a slot, by its deadline. A slot that is linked must be unlinked first, by the deadline that it had.
    pub fn link(&mut self, of: &impl Mortal, slot: u32, now: u64) {
        if self.is_empty() {
            self.cursor = self.cursor.max(now >> TICK_BITS);
        }
        self.place(of, slot);
        self.len += 1;
    }

    /// Takes a slot out, if it is in.
    pub fn unlink(&mut self, of: &impl Mortal, slot: u32) {
        let Some(bucket) = of.bucket(slot).checked_sub(1) else { return };
        of.set_bucket(slot, NOWHERE);
        let Links { prev, next } = of.links(slot);
        if next != NIL {
            of.set_links(next, Links { prev, ..of.links(next) });
        }
        if prev == NIL {
            let (level, at) = (usize::from(bucket) / BUCKETS, usize::from(bucket) % BUCKETS);
            let level = &mut self.levels[level];
            level.heads[at] = next;
            if next == NIL {
                level.occupied &= !(1 << at);
            }
        } else {
            of.set_links(prev, Links { next, ..of.links(prev) });
        }
        self.len -= 1;
    }

    /// Takes out one slot whose time was up at `now`. Each node looked at takes one from `budget`; none is found
    /// when it is used up, or when nothing is due.
    pub fn pop_due(&mut self, of: &impl Mortal, now: u64, budget: &mut usize) -> Option<u32> {
        let now = now >> TICK_BITS;
        while !self.is_empty() && *budget > 0 {
            let (level, at, start) = self.next_bucket()?;
            if start > now {
                self.cursor = self.cursor.max(now);
                return None;
            }
            // Of the ground level the bucket is one tick, which is behind us once it is empty; of others the
            // cursor enters the bucket now, and its nodes move below.
            self.cursor = self.cursor.max(if level == 0 { start - 1 } else { start });
            *budget -= 1;
            let slot = self.levels[level].heads[at];
            self.unlink(of, slot);
            // On the ground level a slot may be there because its tick had passed when it was linked.
            if level == 0 || tick(of, slot) <= now {
                return Some(slot);
            }
            self.place(of, slot);
            self.len += 1;
        }
        None
    }

    /// The occupied bucket that begins first: its level, number and first tick.
    fn next_bucket(&self) -> Option<(usize, usize, u64)> {
        let buckets = self.levels.iter().enumerate().filter(|(_, level)| level.occupied != 0);
        buckets
            .map(|(number, level)| {
                let at = level.occupied.trailing_zeros();
                let shift = number as u32 * LEVEL_BITS;
                let digits_above = (self.cursor >> shift) & !MASK;
                (number, at as usize, (digits_above | u64::from(at)) << shift)
            })
            .min_by_key(|(_, _, start)| *start)
    }

    fn place(&mut self, of: &impl Mortal, slot: u32) {
        // A tick that has passed comes with the next one.
        let tick = tick(of, slot).max(self.cursor + 1);
        let highest = (tick ^ self.cursor).checked_ilog2().unwrap_or(0);
        let number = highest / LEVEL_BITS;
        let at = ((tick >> (number * LEVEL_BITS)) & MASK) as usize;
        let number = number as usize;
        while self.levels.len() <= number {
            self.levels.push(Level { occupied: 0, heads: [NIL; BUCKETS] });
        }
        let level = &mut self.levels[number];
        let next = std::mem::replace(&mut level.heads[at], slot);
        level.occupied |= 1 << at;
        if next != NIL {
            of.set_links(next, Links { prev: slot, ..of.links(next) });
        }
        of.set_links(slot, Links { prev: NIL, next });
        #[expect(clippy::cast_possible_truncation, reason = "at most 11 levels of 64 buckets")]
        let bucket = (number * BUCKETS + at + 1) as u16;
        of.set_bucket(slot, bucket);
    }
}

/// The tick by whose end an entry is dead.
fn tick(of: &impl Mortal, slot: u32) -> u64 {
    of.deadline(slot).div_ceil(1 << TICK_BITS)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A wheel and the entries whose deadlines it watches.
    #[derive(Default)]
    struct Whole {
        wheel: Wheel,
        entries: Entries,
    }

    #[derive(Default)]
    struct Entries {
        deadlines: Vec<u64>,
        buckets: RefCell<Vec<u16>>,
        links: RefCell<Vec<Links>>,
    }

    impl Mortal for Entries {
        fn deadline(&self, slot: u32) -> u64 {
            self.deadlines[slot as usize]
        }

        fn bucket(&self, slot: u32) -> u16 {
            self.buckets.borrow().get(slot as usize).copied().unwrap_or(0)
        }

        fn set_bucket(&self, slot: u32, bucket: u16) {
            self.buckets.borrow_mut()[slot as usize] = bucket;
        }

        fn links(&self, slot: u32) -> Links {
            self.links.borrow()[slot as usize]
        }

        fn set_links(&self, slot: u32, links: Links) {
            self.links.borrow_mut()[slot as usize] = links;
        }
    }

    impl Whole {
        fn link(&mut self, slot: u32, deadline: u64, now: u64) {
            self.unlink(slot);
            let len = self.entries.deadlines.len().max(slot as usize + 1);
            self.entries.deadlines.resize(len, 0);
            self.entries.buckets.borrow_mut().resize(len, 0);
            self.entries.links.borrow_mut().resize(len, Links { prev: NIL, next: NIL });
            self.entries.deadlines[slot as usize] = deadline;
            self.wheel.link(&self.entries, slot, now);
        }

        fn unlink(&mut self, slot: u32) {
            self.wheel.unlink(&self.entries, slot);
        }

        fn pop_due(&mut self, now: u64, budget: &mut usize) -> Option<u32> {
            self.wheel.pop_due(&self.entries, now, budget)
        }
    }

    /// Everything due at `now`, found in steps of one.
    fn due(wheel: &mut Whole, now: u64) -> Vec<u32> {
        let mut found = Vec::new();
        loop {
            let mut budget = 1;
            match wheel.pop_due(now, &mut budget) {
                Some(slot) => found.push(slot),
                None if budget == 1 => break,
                None => {}
            }
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn finds_at_the_ends_of_time() {
        let mut wheel = Whole::default();
        wheel.link(0, u64::MAX, 0);
        wheel.link(1, 0, 5);
        wheel.link(2, 1, 5);
        wheel.link(3, 365 * 24 * 3_600_000, 5);
        assert!(due(&mut wheel, 63).is_empty());
        assert_eq!(due(&mut wheel, 64), [1, 2]);
        assert_eq!(due(&mut wheel, 365 * 24 * 3_600_000 + 64), [3]);
        assert!(due(&mut wheel, u64::MAX - 64).is_empty());
        assert!(!wheel.wheel.is_empty());
        wheel.unlink(0);
        wheel.unlink(0);
        assert!(wheel.wheel.is_empty());
    }

    #[test]
    fn a_sweep_of_many_that_live_on_is_bounded() {
        let mut wheel = Whole::default();
        let hour = 3_600_000;
        for slot in 0..10_000 {
            wheel.link(slot, hour + u64::from(slot), 0);
        }
        let mut steps = 0;
        for now in (0..hour).step_by(500) {
            let mut budget = 100_000;
            assert_eq!(wheel.pop_due(now, &mut budget), None);
            steps += 100_000 - budget;
        }
        assert!(steps <= 3 * 10_000, "{steps} steps for 10,000 entries");
    }

    #[derive(Clone, Debug)]
    enum Op {
        Link(u32, u64),
        Unlink(u32),
        Advance(u64),
        Sweep(usize),
    }

    fn life() -> impl Strategy<Value = u64> {
        prop_oneof![0..200_u64, 0..20_000_u64, 0..4_000_000_u64, 0..40_000_000_000_u64]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..40_u32, life()).prop_map(|(slot, life)| Op::Link(slot, life)),
            1 => (0..40_u32).prop_map(Op::Unlink),
            2 => life().prop_map(Op::Advance),
            2 => (1..8_usize).prop_map(Op::Sweep),
        ]
    }

    proptest! {
        #[test]
        fn finds_all_that_is_due_and_nothing_else(start in 0..u64::MAX >> 20, ops in prop::collection::vec(op(), 1..200)) {
            let mut wheel = Whole::default();
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = start;
            for op in ops {
                match op {
                    Op::Link(slot, life) => {
                        wheel.link(slot, now + life, now);
                        model.insert(slot, now + life);
                    }
                    Op::Unlink(slot) => {
                        wheel.unlink(slot);
                        model.remove(&slot);
                    }
                    Op::Advance(by) => now += by,
                    Op::Sweep(mut budget) => {
                        while let Some(slot) = wheel.pop_due(now, &mut budget) {
                            let deadline = model.remove(&slot);
                            prop_assert!(deadline.is_some_and(|deadline| deadline <= now));
                        }
                    }
                }
                prop_assert_eq!(wheel.wheel.len, model.len());
            }
            for slot in due(&mut wheel, now) {
                let deadline = model.remove(&slot);
                prop_assert!(deadline.is_some_and(|deadline| deadline <= now));
            }
            // Two ticks: one for rounding up, one for a deadline that had passed when it was linked.
            prop_assert!(model.values().all(|deadline| deadline + 128 > now), "{:?} at {}", model, now);
            now += 40_000_000_000;
            let found = due(&mut wheel, now);
            prop_assert_eq!(found, model.into_keys().collect::<Vec<_>>());
            prop_assert!(wheel.wheel.is_empty());
        }
    }
}
