//! The primitives of what is model-checked: the standard library's, or shuttle's under its feature.
//! Queue, flight and slot table take everything from here, so the file checked is the file shipped.

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::{
    Arc, Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

/// Locks, also after a panic of another holder: every critical section of this crate leaves its data
/// usable at each point where it could panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// So often a reader looks whether the writer is done before it goes to sleep: some tens of microseconds.
#[cfg(not(feature = "shuttle"))]
const LOOKS: u32 = 1_000;

/// Locks for reading; see [`lock`].
///
/// Whoever writes holds such a lock for a few microseconds, and to be woken takes longer than that: up to milliseconds
/// where the processor is a virtual one.
pub(crate) fn read<T>(shared: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    #[cfg(not(feature = "shuttle"))]
    for _ in 0..LOOKS {
        match shared.try_read() {
            Ok(guard) => return guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => std::hint::spin_loop(),
        }
    }
    shared.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Locks for writing; see [`lock`].
pub(crate) fn write<T>(shared: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shared.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}
