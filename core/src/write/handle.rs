//! The write-behind of a host: made anew in a forked child, which has neither the parent's threads nor its journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::behind::Behind;
use super::files::{Disk, Machine};
use super::options::{AckLevel, WriteBehindOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::Generations;
use crate::host::fork_generation;

/// What a write-behind object holds.
pub(crate) struct Handle {
    options: WriteBehindOptions,
    cache: Arc<Generations>,
    disk: Arc<dyn Disk>,
    current: AtomicPtr<Made>,
}

struct Made {
    generation: u32,
    behind: Arc<Behind>,
}

impl Handle {
    /// A write-behind over a cache. Starts no thread, opens no file and no socket: its first use does.
    ///
    /// # Errors
    /// `InvalidOption` naming the option and its limit; `Closed`.
    pub fn open(cache: Arc<Generations>, options: WriteBehindOptions) -> Result<Handle> {
        Self::open_on(cache, options, Arc::new(Machine))
    }

    pub(super) fn open_on(
        cache: Arc<Generations>,
        options: WriteBehindOptions,
        disk: Arc<dyn Disk>,
    ) -> Result<Handle> {
        options.check()?;
        cache.tiers().check_open("write_behind")?;
        let streams = cache.tiers().shared.as_ref().is_some_and(|shared| !shared.is_plain());
        if options.ack == AckLevel::Redis && !streams {
            let message = "ack = \"redis\" needs a cache whose url names a Redis, and whose format is not plain";
            return Err(Error::new(ErrorKind::InvalidOption, "write_behind", message));
        }
        let handle = Handle { options, cache, disk, current: AtomicPtr::new(std::ptr::null_mut()) };
        handle.behind();
        Ok(handle)
    }

    /// The write-behind of this process.
    pub fn behind(&self) -> &Arc<Behind> {
        let generation = fork_generation();
        let mut current = self.current.load(Ordering::Acquire);
        loop {
            // SAFETY: what `current` points to came from Box::into_raw in this object. It is freed by drop only, which has
            // `&mut self`, so the reference, bound to `&self`, does not outlive it.
            if let Some(made) = unsafe { current.as_ref() }
                && made.generation == generation
            {
                return &made.behind;
            }
            let behind = Behind::new(self.options.clone(), self.cache.tiers().clone(), self.disk.clone());
            let fresh = Box::into_raw(Box::new(Made { generation, behind }));
            match self.current.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
                // The parent's is leaked: its locks may be held by threads that do not exist here.
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

impl Drop for Handle {
    fn drop(&mut self) {
        let current = *self.current.get_mut();
        if current.is_null() {
            return;
        }
        // SAFETY: see `behind`; nobody else has a reference now.
        let made = unsafe { Box::from_raw(current) };
        if made.generation == fork_generation() {
            made.behind.leave();
        } else {
            std::mem::forget(made);
        }
    }
}
