//! A memory tier whose values the caller keeps: the library decides what lives.

use std::cell::Cell;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use scrubjay_core::host::{SlotRef, Slots, Ttl};
use scrubjay_core::{Error, Options};

use crate::answer::{copy, slot};
use crate::args;
use crate::error::{invalid, report, sj_error};
use crate::guard::{attempt, guarded};
use crate::queue::sj_queue;
use crate::types::{
    SJ_ERR_INVALID_OPTION, SJ_MISS, SJ_OK, SJ_TTL_DEFAULT, SJ_UNBOUNDED, sj_copy, sj_slot, sj_slots_stats,
    sj_table,
};

/// A memory tier without values: the caller keeps `key → (value, slot, generation, until)` and reads the table; the
/// library bounds it, ages it, and says what is gone. For caches of decoded values in the memory of another language.
pub struct sj_slots {
    slots: Arc<Slots>,
    /// What an insert freed and its caller had no room for.
    left: Mutex<Vec<SlotRef>>,
}

impl sj_slots {
    fn left(&self) -> MutexGuard<'_, Vec<SlotRef>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    /// What a call frees, so that an insert into a full tier allocates nothing.
    static GONE: Cell<Vec<SlotRef>> = const { Cell::new(Vec::new()) };
}

/// Runs `work` with an empty vector of this thread.
pub(crate) fn with_gone<R>(work: impl FnOnce(&mut Vec<SlotRef>) -> R) -> R {
    let mut gone = GONE.take();
    gone.clear();
    let result = work(&mut gone);
    GONE.set(gone);
    result
}

/// Writes as many as fit, and returns how many that are.
///
/// # Safety
/// `out` has room for `max` slots.
pub(crate) unsafe fn write_slots(gone: &[SlotRef], out: *mut sj_slot, max: usize) -> usize {
    let count = gone.len().min(max);
    for (index, at) in gone[..count].iter().enumerate() {
        // SAFETY: `index` is below `max`, for which there is room, says the caller.
        unsafe { out.add(index).write(slot(*at)) };
    }
    count
}

/// Makes a memory tier bounded by entries, by what they weigh, or by both; SJ_UNBOUNDED is no bound, and no bound at
/// all is 64 MiB. Starts no thread. Free it with sj_slots_free. `err` may be NULL.
///
/// # Safety
/// `out` is valid for a write; `err` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_open(
    max_entries: u64,
    max_bytes: u64,
    out: *mut *mut sj_slots,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "open";
    let bound = |bound: u64| Some(bound).filter(|bound| *bound != SJ_UNBOUNDED);
    let opened = attempt(OPERATION, || {
        // SAFETY: valid or NULL, says the caller.
        unsafe { args::object(OPERATION, "out", out)? };
        Slots::open(bound(max_entries), bound(max_bytes))
    });
    match opened {
        Ok(slots) => {
            let slots = Box::new(sj_slots { slots, left: Mutex::default() });
            // SAFETY: checked not to be NULL above; otherwise valid, says the caller.
            unsafe { *out = Box::into_raw(slots) };
            SJ_OK
        }
        // SAFETY: NULL or valid, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// Frees a memory tier and its table. No other thread may be in a call with it, or read the table. NULL is allowed.
///
/// # Safety
/// `slots` is NULL or slots that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_free(slots: *mut sj_slots) {
    if !slots.is_null() {
        // SAFETY: it came from sj_slots_open and was not freed, says the caller.
        guarded((), || drop(unsafe { Box::from_raw(slots) }));
    }
}

/// Says where the table is.
///
/// # Safety
/// `slots` is NULL or live; `out` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_table(slots: *const sj_slots, out: *mut sj_table) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let Some(slots) = (unsafe { slots.as_ref() }).filter(|_| !out.is_null()) else { return SJ_ERR_INVALID_OPTION };
    // SAFETY: not NULL, and valid for a write, says the caller.
    unsafe { out.write(table(slots.slots.table())) };
    SJ_OK
}

pub(crate) fn table(table: scrubjay_core::host::Table) -> sj_table {
    sj_table { base: table.base, bytes: table.bytes, slots: table.slots, reserved: 0 }
}

/// The time of the table, read from the clock: at most a few milliseconds behind, where the cell in the table may be
/// 10 ms behind. 0 for NULL.
///
/// # Safety
/// `slots` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_now(slots: *const sj_slots) -> u32 {
    // SAFETY: NULL or live, says the caller.
    unsafe { slots.as_ref() }.map_or(0, |slots| guarded(0, || slots.slots.now()))
}

/// Takes an entry in: of a key with this hash, of this weight in bytes (nothing is added to it), for 1 ms to 365 days, or
/// SJ_TTL_DEFAULT: that of a cache whose options do not say. `instead` is the slot of an entry of the same key that this
/// one replaces, or NULL. What had to leave for it is written to `gone`, at most `max` slots; `*count` is how many there
/// are, and what did not fit is taken with sj_slots_drain. `instead` and `err` may be NULL.
///
/// Returns SJ_OK and the slot in `*out`; SJ_MISS when it is larger than the bound, and what `instead` names is gone
/// all the same; or an error, and nothing has changed. The slot may be one that was another entry's a moment ago: who
/// finds an older copy under its number drops that.
///
/// # Safety
/// `slots` is NULL or live; `instead` is NULL or readable; `out`, `count` and `err` are NULL or valid for a
/// write; `gone` has room for `max` slots.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_insert(
    slots: *const sj_slots,
    hash: u64,
    weight: u64,
    ttl_ms: i64,
    instead: *const sj_slot,
    out: *mut sj_copy,
    gone: *mut sj_slot,
    max: usize,
    count: *mut usize,
    err: *mut *mut sj_error,
) -> i32 {
    let inserted = attempt(OPERATION, || {
        // SAFETY: NULL or live, says the caller.
        let slots = unsafe {
            args::object(OPERATION, "out", out)?;
            args::object(OPERATION, "count", count)?;
            args::object(OPERATION, "slots", slots)?
        };
        if gone.is_null() && max > 0 {
            return Err(invalid(OPERATION, "gone must not be NULL where max is not 0"));
        }
        let ttl_ms = checked(ttl_ms)?;
        // SAFETY: NULL or readable, says the caller.
        let instead = unsafe { instead.as_ref() }.map(reference);
        Ok(with_gone(|freed| {
            let granted = slots.slots.insert(hash, weight, ttl_ms, instead, freed);
            // SAFETY: checked above; otherwise the caller's promise.
            let fit = unsafe { write_slots(freed, gone, max) };
            if fit < freed.len() {
                slots.left().extend_from_slice(&freed[fit..]);
            }
            // SAFETY: checked above; otherwise valid for a write, says the caller.
            unsafe { count.write(freed.len()) };
            granted
        }))
    });
    match inserted {
        Ok(granted) => {
            // SAFETY: checked above; otherwise valid for a write, says the caller.
            unsafe { out.write(copy(granted)) };
            if granted.is_some() { SJ_OK } else { SJ_MISS }
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// The call by its name in every language.
const OPERATION: &str = "set";

/// A ttl in milliseconds, as the core takes it.
fn checked(ttl_ms: i64) -> Result<u64, Error> {
    static DEFAULT: LazyLock<u64> = LazyLock::new(|| {
        let default = Options::default().ttl;
        u64::try_from(default.as_millis()).unwrap_or(u64::MAX)
    });
    if ttl_ms == SJ_TTL_DEFAULT {
        return Ok(*DEFAULT);
    }
    Ttl::from_millis(ttl_ms).map_err(|error| Error::new(error.kind(), OPERATION, error.message()))?;
    Ok(ttl_ms.unsigned_abs())
}

fn reference(at: &sj_slot) -> SlotRef {
    SlotRef { slot: at.slot, generation: at.generation }
}

/// The entry as it is now: SJ_OK, or SJ_MISS when it has gone. `until` of an entry that lives for more than twelve days
/// is told in steps, so that it can be told from a time that is over: where a copy is over by its time, ask this once
/// before it is dropped.
///
/// # Safety
/// `slots` is NULL or live; `out` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_renew(slots: *const sj_slots, at: sj_slot, out: *mut sj_copy) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let Some(slots) = (unsafe { slots.as_ref() }).filter(|_| !out.is_null()) else { return SJ_ERR_INVALID_OPTION };
    guarded(crate::types::SJ_ERR_INTERNAL, || {
        let renewed = slots.slots.renew(reference(&at));
        // SAFETY: not NULL, and valid for a write, says the caller.
        unsafe { out.write(copy(renewed)) };
        if renewed.is_some() { SJ_OK } else { SJ_MISS }
    })
}

/// Removes an entry: SJ_OK, or SJ_MISS when it had gone already.
///
/// # Safety
/// `slots` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_remove(slots: *const sj_slots, at: sj_slot) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let Some(slots) = (unsafe { slots.as_ref() }) else { return SJ_ERR_INVALID_OPTION };
    guarded(crate::types::SJ_ERR_INTERNAL, || if slots.slots.remove(reference(&at)) { SJ_OK } else { SJ_MISS })
}

/// Removes every entry. Nothing is said to be gone: the caller drops all that it has.
///
/// # Safety
/// `slots` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_clear(slots: *const sj_slots) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let Some(slots) = (unsafe { slots.as_ref() }) else { return SJ_ERR_INVALID_OPTION };
    guarded(crate::types::SJ_ERR_INTERNAL, || {
        slots.slots.clear();
        slots.left().clear();
        SJ_OK
    })
}

/// Takes up to `max` slots whose entries are gone since the last call: expired, or evicted by another thread. Returns
/// how many; call it until that is less than `max`. A slot may have another entry by now: drop a copy only if it has
/// the generation that is given here.
///
/// # Safety
/// `slots` is NULL or live; `gone` has room for `max` slots.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_drain(slots: *const sj_slots, gone: *mut sj_slot, max: usize) -> usize {
    // SAFETY: NULL or live, says the caller.
    let Some(slots) = (unsafe { slots.as_ref() }).filter(|_| !gone.is_null()) else { return 0 };
    guarded(0, || {
        with_gone(|freed| {
            {
                let mut left = slots.left();
                let count = left.len().min(max);
                freed.extend(left.drain(..count));
            }
            let room = max - freed.len();
            if room > 0 {
                slots.slots.drain(room, freed);
            }
            // SAFETY: checked above; otherwise the caller's promise.
            unsafe { write_slots(freed, gone, max) }
        })
    })
}

/// Has `queue` give SJ_OK by `token`, which no call may use, each time that something is gone and everything before
/// was drained: then call sj_slots_drain. Once for each memory tier; later calls change nothing.
///
/// # Safety
/// `slots` and `queue` are NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_ring(slots: *const sj_slots, queue: *const sj_queue, token: u64) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let (Some(slots), Some(queue)) = (unsafe { (slots.as_ref(), queue.as_ref()) }) else {
        return SJ_ERR_INVALID_OPTION;
    };
    let queue = queue.0.clone();
    guarded(crate::types::SJ_ERR_INTERNAL, || {
        slots.slots.on_gone(move || queue.ring(token));
        SJ_OK
    })
}

/// The counters.
///
/// # Safety
/// `slots` is NULL or live; `out` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_slots_counters(slots: *const sj_slots, out: *mut sj_slots_stats) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let Some(slots) = (unsafe { slots.as_ref() }).filter(|_| !out.is_null()) else { return SJ_ERR_INVALID_OPTION };
    guarded(crate::types::SJ_ERR_INTERNAL, || {
        let stats = slots.slots.stats();
        let counters = sj_slots_stats {
            evictions: stats.evictions,
            expired: stats.expired,
            entries: stats.entries,
            bytes: stats.bytes,
        };
        // SAFETY: not NULL, and valid for a write, says the caller.
        unsafe { out.write(counters) };
        SJ_OK
    })
}
