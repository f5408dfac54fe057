//! Decoded values that the caller keeps beside the cache: see `sj_copy`.

use scrubjay_core::host::Language;

use crate::cache::sj_cache;
use crate::guard::guarded;
use crate::queue::sj_queue;
use crate::slots::{table, with_gone, write_slots};
use crate::types::{SJ_COPIES_GO, SJ_ERR_INTERNAL, SJ_ERR_INVALID_OPTION, SJ_MISS, SJ_OK, sj_slot, sj_table};

/// Says that the caller will keep decoded copies of values, which are counted to the bound of the memory tier by what
/// they weigh in its language: from now on hits from memory come with leave to do so (`copy` in sj_completion and
/// sj_item). Before the first other call of the cache.
///
/// # Safety
/// `cache` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_keep_copies(cache: *const sj_cache, language: u32) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let Some(cache) = (unsafe { cache.as_ref() }).filter(|_| language == SJ_COPIES_GO) else {
        return SJ_ERR_INVALID_OPTION;
    };
    guarded(SJ_ERR_INTERNAL, || {
        cache.0.keep_copies(Language::Go);
        SJ_OK
    })
}

/// Says where the table of the memory tier is: SJ_OK, or SJ_MISS where there is no memory tier. A forked child has
/// another one than its parent.
///
/// # Safety
/// `cache` is NULL or live; `out` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_cache_table(cache: *const sj_cache, out: *mut sj_table) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let Some(cache) = (unsafe { cache.as_ref() }).filter(|_| !out.is_null()) else { return SJ_ERR_INVALID_OPTION };
    guarded(SJ_ERR_INTERNAL, || {
        let Some(found) = cache.0.table() else { return SJ_MISS };
        // SAFETY: not NULL, and valid for a write, says the caller.
        unsafe { out.write(table(found)) };
        SJ_OK
    })
}

/// The time of the table, as sj_slots_now has it. 0 for NULL.
///
/// # Safety
/// `cache` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_cache_now(cache: *const sj_cache) -> u32 {
    // SAFETY: NULL or live, says the caller.
    unsafe { cache.as_ref() }.map_or(0, |cache| guarded(0, || cache.0.now()))
}

/// Takes up to `max` slots whose copies are to be dropped, as sj_slots_drain does.
///
/// # Safety
/// `cache` is NULL or live; `gone` has room for `max` slots.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_drain_copies(cache: *const sj_cache, gone: *mut sj_slot, max: usize) -> usize {
    // SAFETY: NULL or live, says the caller.
    let Some(cache) = (unsafe { cache.as_ref() }).filter(|_| !gone.is_null()) else { return 0 };
    guarded(0, || {
        with_gone(|freed| {
            cache.0.drain_copies(max, freed);
            // SAFETY: checked above; otherwise the caller's promise.
            unsafe { write_slots(freed, gone, max) }
        })
    })
}

/// Has `queue` give SJ_OK by `token`, which no call may use, each time that there is something for sj_drain_copies and
/// everything before was drained. Once for each cache; later calls change nothing.
///
/// # Safety
/// `cache` and `queue` are NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_ring_copies(cache: *const sj_cache, queue: *const sj_queue, token: u64) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let (Some(cache), Some(queue)) = (unsafe { (cache.as_ref(), queue.as_ref()) }) else {
        return SJ_ERR_INVALID_OPTION;
    };
    let queue = queue.0.clone();
    guarded(SJ_ERR_INTERNAL, || {
        cache.0.on_gone(move || queue.ring(token));
        SJ_OK
    })
}

/// Adds reads that the caller answered from its copies to the counter hits_l1.
///
/// # Safety
/// `cache` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_note_hits(cache: *const sj_cache, hits: u64) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let Some(cache) = (unsafe { cache.as_ref() }) else { return SJ_ERR_INVALID_OPTION };
    guarded(SJ_ERR_INTERNAL, || {
        cache.0.note_hits(hits);
        SJ_OK
    })
}
