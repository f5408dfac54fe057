//! One works at a time, and no work is left behind.

use std::sync::TryLockError;

use crate::sync::{Mutex, MutexGuard, lock};

/// Something that many bring work to and one works with.
pub(super) struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    pub fn new(inner: T) -> Self {
        Exclusive(Mutex::new(inner))
    }

    /// Works until nothing is left: `work` may end it by false. Where somebody works already this returns at once: that
    /// one looks for what is left after he has let go, as this does, so what was brought before this call is seen.
    ///
    /// The lost work to avoid: one who looks *before* he lets go misses what comes in between, and who brought it finds
    /// the lock still taken.
    pub fn work(&self, mut work: impl FnMut(&mut T) -> bool, is_left: impl Fn() -> bool) {
        loop {
            let mut inner = match self.0.try_lock() {
                Ok(inner) => inner,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let go_on = work(&mut inner);
            drop(inner);
            if !go_on || !is_left() {
                return;
            }
        }
    }

    /// Waits for its turn. The caller looks for what is left after it has let go.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.0)
    }
}
