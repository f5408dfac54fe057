//! Answers of the core as structs of C.

use std::ffi::c_void;

use bytes::Bytes;
use scrubjay_core::host::{Answer, Payload, Receipt, SlotRef};
use scrubjay_core::{Codec, Error};

use crate::error::status;
use crate::guard::guarded;
use crate::types::{
    SJ_BYPASS, SJ_HIT, SJ_JSON, SJ_LEAD, SJ_MANY, SJ_MISS, SJ_OK, SJ_RAW, SJ_STALE, SJ_WAITING, SJ_WRITES, sj_buf,
    sj_completion, sj_copy, sj_item, sj_receipt, sj_slot,
};

/// Bytes handed to the caller, shared with the core.
pub(crate) fn buffer(bytes: Bytes) -> sj_buf {
    let owner = Box::new(bytes);
    sj_buf { ptr: owner.as_ptr(), len: owner.len(), owner: Box::into_raw(owner).cast::<c_void>() }
}

/// Frees bytes of the library and empties the struct; a second call does nothing. NULL is allowed.
///
/// # Safety
/// `buf` is NULL or points to a buffer that this library filled, or that is all zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_buf_free(buf: *mut sj_buf) {
    // SAFETY: NULL or valid, says the caller.
    let Some(buf) = (unsafe { buf.as_mut() }) else { return };
    let owner = std::mem::replace(buf, sj_buf::EMPTY).owner;
    if !owner.is_null() {
        // SAFETY: a buffer's owner is the Box<Bytes> that `buffer` made, and it was not freed: freeing empties it.
        guarded((), || drop(unsafe { Box::from_raw(owner.cast::<Bytes>()) }));
    }
}

pub(crate) fn receipt(receipt: Receipt) -> sj_receipt {
    sj_receipt { pending: u32::from(receipt.pending), reserved: 0, token: receipt.token.0 }
}

/// A grant of the core.
pub(crate) fn copy(copy: Option<scrubjay_core::host::Copy>) -> sj_copy {
    copy.map_or_else(sj_copy::default, |copy| sj_copy { at: slot(copy.at), until: copy.until, granted: 1 })
}

pub(crate) fn slot(at: SlotRef) -> sj_slot {
    sj_slot { slot: at.slot, generation: at.generation }
}

pub(crate) fn codec_id(codec: Codec) -> u32 {
    if codec == Codec::Raw { SJ_RAW } else { SJ_JSON }
}

/// An answer with nothing in it.
pub(crate) fn plain(token: u64, status: i32) -> sj_completion {
    sj_completion {
        token,
        status,
        codec: SJ_RAW,
        lease: 0,
        error_ref: 0,
        receipt: sj_receipt::default(),
        copy: sj_copy::default(),
        value: sj_buf::EMPTY,
    }
}

/// A failure as an answer: its message is the value.
pub(crate) fn failure(token: u64, error: &Error) -> sj_completion {
    sj_completion {
        error_ref: error.host_ref(),
        value: buffer(Bytes::from(error.message())),
        ..plain(token, status(error.kind()))
    }
}

/// A value as an answer.
pub(crate) fn value(token: u64, status: i32, value: Payload) -> sj_completion {
    sj_completion { codec: codec_id(value.codec), value: buffer(value.bytes), ..plain(token, status) }
}

/// Any answer. Leases in it are the caller's from here on.
pub(crate) fn completion(token: u64, answer: Answer) -> sj_completion {
    match answer {
        Answer::Many(answers) => sj_completion { value: buffer(pack(answers)), ..plain(token, SJ_MANY) },
        Answer::Done(done) => sj_completion { receipt: receipt(done), ..plain(token, SJ_OK) },
        Answer::Writes(writes) => {
            let writes = writes.into_items();
            sj_completion {
                lease: writes.len() as u64,
                value: buffer(crate::worker::pack(writes)),
                ..plain(token, SJ_WRITES)
            }
        }
        Answer::Count(count) => sj_completion { lease: count, ..plain(token, SJ_OK) },
        Answer::Drained(report) => {
            sj_completion { codec: SJ_JSON, value: buffer(report.to_json().into()), ..plain(token, SJ_HIT) }
        }
        answer => {
            let one = Item::of(answer);
            let has_value = one.status < 0 || one.status == SJ_HIT || one.status == SJ_STALE;
            let value = if has_value { buffer(one.bytes) } else { sj_buf::EMPTY };
            sj_completion {
                codec: one.codec,
                lease: one.lease,
                error_ref: one.error_ref,
                copy: one.copy,
                value,
                ..plain(token, one.status)
            }
        }
    }
}

struct Item {
    status: i32,
    codec: u32,
    lease: u64,
    error_ref: u64,
    copy: sj_copy,
    bytes: Bytes,
}

impl Item {
    fn of(answer: Answer) -> Item {
        let plain = |status| Item {
            status,
            codec: SJ_RAW,
            lease: 0,
            error_ref: 0,
            copy: sj_copy::default(),
            bytes: Bytes::new(),
        };
        let with = |status, value: Payload, lease: Option<scrubjay_core::host::Lease>| Item {
            codec: codec_id(value.codec),
            lease: lease.map_or(0, scrubjay_core::host::Lease::into_id),
            bytes: value.bytes,
            ..plain(status)
        };
        match answer {
            Answer::Hit { value, lease, copy: granted } => {
                Item { copy: copy(granted), ..with(SJ_HIT, value, lease) }
            }
            Answer::Stale { value, lease } => with(SJ_STALE, value, lease),
            Answer::Lead(lease) => Item { lease: lease.into_id(), ..plain(SJ_LEAD) },
            Answer::Miss => plain(SJ_MISS),
            Answer::Bypass => plain(SJ_BYPASS),
            Answer::Waiting => plain(SJ_WAITING),
            Answer::Done(_) | Answer::Many(_) | Answer::Writes(_) | Answer::Count(_) | Answer::Drained(_) => {
                plain(SJ_OK)
            }
            Answer::Failed(error) => Item {
                error_ref: error.host_ref(),
                bytes: Bytes::from(error.message()),
                ..plain(status(error.kind()))
            },
        }
    }
}

/// The items, and behind them their values. The buffer is aligned for the items.
fn pack(answers: Vec<Answer>) -> Bytes {
    let items: Vec<Item> = answers.into_iter().map(Item::of).collect();
    let head = items.len() * size_of::<sj_item>();
    let total = head + items.iter().map(|item| item.bytes.len()).sum::<usize>();
    let mut words = vec![0_u64; total.div_ceil(8)];
    // SAFETY: the vector's memory, as bytes; there are at least `total` of them, and any byte is a valid u8 and part
    // of a valid u64.
    let room = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), total) };
    let mut offset = head;
    for (index, item) in items.iter().enumerate() {
        let end = offset + item.bytes.len();
        room[offset..end].copy_from_slice(&item.bytes);
        let raw = sj_item {
            status: item.status,
            codec: item.codec,
            lease: item.lease,
            error_ref: item.error_ref,
            offset: offset as u64,
            len: item.bytes.len() as u64,
            copy: item.copy,
        };
        // SAFETY: `index` is below the number of items, for which `head` bytes lie at the start of the vector, which
        // is aligned for u64 as sj_item is.
        unsafe { room.as_mut_ptr().cast::<sj_item>().add(index).write(raw) };
        offset = end;
    }
    Bytes::from_owner(Words { words, len: total })
}

/// Structs, and bytes behind them. The buffer is aligned for the structs.
pub(crate) fn packed(structs: &[crate::types::sj_write], rest: &[u8]) -> Bytes {
    let head = size_of_val(structs);
    let len = head + rest.len();
    let mut words = vec![0_u64; len.div_ceil(8)];
    // SAFETY: the vector's memory, as bytes; there are at least `len` of them, and any byte is a valid u8 and part of a
    // valid u64.
    let room = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), len) };
    room[head..].copy_from_slice(rest);
    for (index, one) in structs.iter().enumerate() {
        // SAFETY: `index` is below the number of structs, for which `head` bytes lie at the start of the vector, which is
        // aligned for u64 as sj_write is.
        unsafe { room.as_mut_ptr().cast::<crate::types::sj_write>().add(index).write(*one) };
    }
    Bytes::from_owner(Words { words, len })
}

/// Bytes in memory that is aligned for 64-bit numbers.
struct Words {
    words: Vec<u64>,
    len: usize,
}

impl AsRef<[u8]> for Words {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the vector has at least `len` bytes, all initialised, and is not changed any more.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast::<u8>(), self.len) }
    }
}
