//! Where the entries of one shard are: open addressing over words of hash and slot, read without a lock.
//!
//! Linear probing; a removal shifts back what follows, so there are no tombstones. Writers hold the shard's lock and
//! count a *version* up before and after each change, so it is odd in between. A reader that finds its entry needs
//! no version: the entry's own pin proves it. One that finds none asks whether the version stood still meanwhile,
//! and looks again where it did not.
//!
//! A table that was outgrown stays mapped until the index is dropped, for readers that still look at it, but its
//! pages go back at once: they read as empty, and the version sends their readers to the new table.

use super::arena::{Arena, Zeroed};
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

const FIRST: usize = 16;

/// The hash in the upper half, slot + 1 in the lower; 0 is empty.
#[derive(Default)]
struct Word(AtomicU64);

// SAFETY: an atomic number, whose zero is its default.
unsafe impl Zeroed for Word {}

impl Word {
    #[inline]
    fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn store(&self, word: u64) {
        self.0.store(word, Ordering::Release);
    }
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

struct Table {
    words: Arena<Word>,
    len: usize,
}

impl Table {
    fn new(len: usize) -> Box<Self> {
        // As Rust's own tables do where there is no memory.
        let words = Arena::new(len).expect("the operating system has no memory for the index of a cache");
        Box::new(Table { words, len })
    }

    /// Where the probe for a hash begins: the hash scaled to the length, which is no power of two.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.len as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.len { 0 } else { at + 1 }
    }

    fn put(&self, word: u64) {
        let mut at = self.home(hash_of(word));
        while self.words.get(at).load() != 0 {
            at = self.after(at);
        }
        self.words.get(at).store(word);
    }

    fn position(&self, word: u64) -> Option<usize> {
        let mut at = self.home(hash_of(word));
        loop {
            match self.words.get(at).load() {
                0 => return None,
                found if found == word => return Some(at),
                _ => at = self.after(at),
            }
        }
    }
}

pub(super) struct Index {
    table: AtomicPtr<Table>,
    version: AtomicU32,
}

/// What only writers know, under the shard's lock.
#[derive(Default)]
pub(super) struct IndexWriter {
    /// All tables there ever were; the last one is in use.
    #[expect(clippy::vec_box, reason = "readers hold their addresses")]
    tables: Vec<Box<Table>>,
    used: usize,
}

impl Index {
    pub fn new() -> (Self, IndexWriter) {
        let (index, mut writer) = (
            Index { table: AtomicPtr::new(std::ptr::null_mut()), version: AtomicU32::new(0) },
            IndexWriter::default(),
        );
        writer.grow_to(&index, FIRST);
        (index, writer)
    }

    /// The version, for [`Index::stood_still`].
    #[inline]
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether nothing was changed since `version` was read.
    pub fn stood_still(&self, version: u32) -> bool {
        fence(Ordering::Acquire);
        version & 1 == 0 && self.version.load(Ordering::Relaxed) == version
    }

    /// The first slot under `hash` of which `is_it` says yes. An entry that is being written may be missed.
    #[inline]
    pub fn find<T>(&self, hash: u32, mut is_it: impl FnMut(u32) -> Option<T>) -> Option<T> {
        // SAFETY: tables are freed with the index only.
        let table = unsafe { &*self.table.load(Ordering::Acquire) };
        let mut at = table.home(hash);
        // A table that is being filled or emptied beneath us may show no gap for a while.
        for _ in 0..table.len {
            let word = table.words.get(at).load();
            if word == 0 {
                return None;
            }
            if hash_of(word) == hash
                && let Some(found) = is_it(slot_of(word))
            {
                return Some(found);
            }
            at = table.after(at);
        }
        None
    }

    /// Counts one change, which is what `change` does. Not to be nested.
    pub fn changing<T>(&self, change: impl FnOnce() -> T) -> T {
        let before = self.version.load(Ordering::Relaxed);
        debug_assert!(before & 1 == 0, "a change inside a change");
        self.version.store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let made = change();
        self.version.store(before.wrapping_add(2), Ordering::Release);
        made
    }
}

impl IndexWriter {
    fn table(&self) -> &Table {
        self.tables.last().expect("made with the index")
    }

    pub fn insert(&mut self, index: &Index, hash: u32, slot: u32) {
        // Three quarters at most: probes stay short for absent keys too.
        if (self.used + 1) * 4 > self.table().len * 3 {
            let len = self.table().len;
            self.grow_to(index, len + len / 2);
        }
        index.changing(|| self.table().put(word(hash, slot)));
        self.used += 1;
    }

    /// Sends an entry's readers to another slot. Inside [`Index::changing`] of the caller, which changes more.
    pub fn replace(&self, hash: u32, old: u32, new: u32) {
        match self.table().position(word(hash, old)) {
            Some(at) => self.table().words.get(at).store(word(hash, new)),
            None => debug_assert!(false, "an entry in the policy is in the index"),
        }
    }

    pub fn remove(&mut self, index: &Index, hash: u32, slot: u32) {
        let table = self.table();
        let Some(mut gap) = table.position(word(hash, slot)) else {
            debug_assert!(false, "an entry in the policy is in the index");
            return;
        };
        index.changing(|| {
            let mut at = gap;
            loop {
                at = table.after(at);
                let next = table.words.get(at).load();
                if next == 0 {
                    break;
                }
                // It moves into the gap unless its probe begins behind the gap.
                let home = table.home(hash_of(next));
                let stays = if gap <= at { gap < home && home <= at } else { gap < home || home <= at };
                if !stays {
                    table.words.get(gap).store(next);
                    gap = at;
                }
            }
            table.words.get(gap).store(0);
        });
        self.used -= 1;
    }

    fn grow_to(&mut self, index: &Index, len: usize) {
        let table = Table::new(len);
        if let Some(old) = self.tables.last() {
            for at in 0..old.len {
                let word = old.words.get(at).load();
                if word != 0 {
                    table.put(word);
                }
            }
        }
        self.tables.push(table);
        self.switch(index);
    }

    /// Sends readers to the last table, and lets go of the pages of the one before.
    fn switch(&mut self, index: &Index) {
        let [.., old, _] = &self.tables[..] else {
            index.table.store(&raw mut **self.tables.last_mut().expect("just pushed"), Ordering::Release);
            return;
        };
        index.changing(|| {
            let new: *const Table = &raw const **self.tables.last().expect("just pushed");
            index.table.store(new.cast_mut(), Ordering::Release);
            old.words.discard();
        });
    }
}
