//! Memory that the addon shares with the JavaScript of one environment, for numbers on their way in and out: a call
//! then costs a fraction of one with as many arguments, and allocates nothing.
//!
//! JavaScript runs between the calls and only then; whatever stands here is read before the next call. `lib/exchange.js`
//! has the same layout, in words of 32 bits.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

use scrubjay_core::host::{Copy, SlotRef};

use crate::js::{Js, Value};

/// How many slots that are gone are told at once.
pub const BATCH: usize = 1000;

/// The memory itself.
#[repr(C, align(8))]
pub struct Exchange {
    /// Out: the slot of what was taken in or may be kept; −1 for none.
    slot: AtomicI32,
    generation: AtomicU32,
    until: AtomicU32,
    /// Out: how many there are in `gone`.
    count: AtomicU32,
    /// In: the slot that is replaced or removed; −1 for none.
    instead: AtomicI32,
    instead_generation: AtomicU32,
    /// In: the hash of the key.
    hash: [AtomicU32; 2],
    /// In: bytes, and milliseconds, as numbers of JavaScript.
    weight: AtomicU64,
    ttl: AtomicU64,
    /// Out: whether there were more than fit into `gone`.
    more: AtomicU32,
    unused: [AtomicU32; 3],
    /// Out: slots and their generations.
    gone: [[AtomicU32; 2]; BATCH],
}

impl Exchange {
    /// Empty.
    pub fn new() -> Arc<Self> {
        Arc::new(Exchange {
            slot: AtomicI32::new(-1),
            generation: AtomicU32::new(0),
            until: AtomicU32::new(0),
            count: AtomicU32::new(0),
            instead: AtomicI32::new(-1),
            instead_generation: AtomicU32::new(0),
            hash: [AtomicU32::new(0), AtomicU32::new(0)],
            weight: AtomicU64::new(0),
            ttl: AtomicU64::new(0),
            more: AtomicU32::new(0),
            unused: [const { AtomicU32::new(0) }; 3],
            gone: [const { [AtomicU32::new(0), AtomicU32::new(0)] }; BATCH],
        })
    }

    /// The memory as an `ArrayBuffer`.
    pub fn window(self: &Arc<Self>, js: Js) -> Option<Value> {
        // SAFETY: these are the bytes of the very object that the buffer's owner shares, all of them atomics.
        unsafe { js.window(self.clone(), Arc::as_ptr(self).cast(), size_of::<Exchange>()) }
    }

    /// Says under which slot a value may be kept, if any.
    pub fn grant(&self, copy: Option<Copy>) {
        let Some(Copy { at, until }) = copy else { return self.slot.store(-1, Relaxed) };
        // A slot beyond what JavaScript sees of the table is as none.
        self.slot.store(i32::try_from(at.slot).unwrap_or(-1), Relaxed);
        self.generation.store(at.generation, Relaxed);
        self.until.store(until, Relaxed);
    }

    /// Says which slots are gone: takes a batch at most out of `gone`.
    pub fn tell_gone(&self, gone: &mut Vec<SlotRef>) {
        let rest = gone.len().saturating_sub(BATCH);
        let mut count = 0;
        for (cells, at) in self.gone.iter().zip(gone.drain(rest..)) {
            cells[0].store(at.slot, Relaxed);
            cells[1].store(at.generation, Relaxed);
            count += 1;
        }
        self.count.store(count, Relaxed);
        self.more.store(u32::from(rest > 0), Relaxed);
    }

    /// The entry that JavaScript means.
    pub fn instead(&self) -> Option<SlotRef> {
        let slot = u32::try_from(self.instead.load(Relaxed)).ok()?;
        Some(SlotRef { slot, generation: self.instead_generation.load(Relaxed) })
    }

    /// The hash of the key.
    pub fn hash(&self) -> u64 {
        u64::from(self.hash[0].load(Relaxed)) << 32 | u64::from(self.hash[1].load(Relaxed))
    }

    /// The bytes of an entry.
    pub fn weight(&self) -> u64 {
        whole(f64::from_bits(self.weight.load(Relaxed)).ceil())
    }

    /// The milliseconds that an entry is to live.
    pub fn ttl(&self) -> u64 {
        whole(f64::from_bits(self.ttl.load(Relaxed)))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "our JavaScript has checked it")]
fn whole(number: f64) -> u64 {
    number as u64
}
