//! The tiers of one cache object, made anew in a forked child.

use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};

use super::tiers::Tiers;
use crate::error::Result;
use crate::host::{Language, fork_generation};
use crate::options::Options;

/// What a cache object holds: its options, and the tiers of this process. A child of a fork starts with empty
/// memory and connections of its own, and never touches what it inherited: a lock in there may have been held
/// by a thread that does not exist any more.
pub(crate) struct Generations {
    options: Options,
    /// For whom decoded copies are granted.
    copies: OnceLock<Language>,
    current: AtomicPtr<Made>,
}

struct Made {
    generation: u32,
    tiers: Arc<Tiers>,
}

impl Generations {
    pub fn new(options: Options) -> Result<Self> {
        let made = Made { generation: fork_generation(), tiers: Tiers::open(options.clone())? };
        Ok(Generations {
            options,
            copies: OnceLock::new(),
            current: AtomicPtr::new(Box::into_raw(Box::new(made))),
        })
    }

    /// Has these tiers, and those of later processes, grant copies.
    pub fn keep_copies(&self, language: Language) {
        // The first language stays: a cache object belongs to one host.
        let language = *self.copies.get_or_init(|| language);
        self.tiers().keep_copies(language);
    }

    /// The tiers of this process.
    pub fn tiers(&self) -> &Arc<Tiers> {
        let generation = fork_generation();
        let mut current = self.current.load(Ordering::Acquire);
        loop {
            // SAFETY: `current` came from Box::into_raw in this object. It is freed by drop only, which has
            // `&mut self`, so the reference, bound to `&self`, does not outlive it.
            let made = unsafe { &*current };
            if made.generation == generation {
                return &made.tiers;
            }
            // The options were good when the cache was opened: a file that has gone since is the one cause.
            let tiers = Tiers::open(self.options.clone()).unwrap_or_else(|_| Tiers::closed(&self.options));
            if let Some(language) = self.copies.get() {
                tiers.keep_copies(*language);
            }
            let fresh = Box::into_raw(Box::new(Made { generation, tiers }));
            match self.current.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
                // The parent's tiers are leaked.
                Ok(_) => current = fresh,
                Err(winner) => {
                    // SAFETY: `fresh` came from Box::into_raw just now and nobody else saw it.
                    drop(unsafe { Box::from_raw(fresh) });
                    current = winner;
                }
            }
        }
    }
}

impl Drop for Generations {
    fn drop(&mut self) {
        let current = *self.current.get_mut();
        // SAFETY: see `tiers`; nobody else has a reference now.
        let made = unsafe { Box::from_raw(current) };
        if made.generation == fork_generation() {
            made.tiers.leave();
        } else {
            std::mem::forget(made);
        }
    }
}
