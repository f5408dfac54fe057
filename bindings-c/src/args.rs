//! Arguments of C callers, checked.

use scrubjay_core::host::{PutOptions, Ttl, Value};
use scrubjay_core::{Codec, Error, ErrorKind};

use crate::error::invalid;
use crate::types::{
    SJ_JSON, SJ_MSGPACK, SJ_PUT_DISCARD, SJ_RAW, SJ_STORE_DEFAULT, SJ_TTL_DEFAULT, sj_fetch_opts, sj_put_opts,
    sj_slice,
};

/// More keys than this in one call are refused.
const MAX_KEYS: usize = 1 << 20;

/// The object behind a handle.
///
/// # Safety
/// `handle` is NULL or points to a live object.
pub(crate) unsafe fn object<'a, T>(operation: &'static str, name: &str, handle: *const T) -> Result<&'a T, Error> {
    // SAFETY: NULL or valid, says the caller.
    unsafe { handle.as_ref() }.ok_or_else(|| invalid(operation, &format!("{name} must not be NULL")))
}

/// The bytes of a slice.
///
/// # Safety
/// `slice` describes readable bytes that live as long as the call, or has the length 0.
pub(crate) unsafe fn bytes<'a>(operation: &'static str, name: &str, slice: sj_slice) -> Result<&'a [u8], Error> {
    if slice.len == 0 {
        return Ok(&[]);
    }
    if slice.ptr.is_null() || slice.len > isize::MAX as usize {
        return Err(invalid(operation, &format!("{name}.ptr is NULL, or {name}.len is too large")));
    }
    // SAFETY: not NULL, not too long, and readable, says the caller.
    Ok(unsafe { std::slice::from_raw_parts(slice.ptr, slice.len) })
}

/// An array of numbers.
///
/// # Safety
/// `ptr` points to `len` numbers that live as long as the call, or `len` is 0.
pub(crate) unsafe fn numbers<'a, T>(
    operation: &'static str,
    name: &str,
    ptr: *const T,
    len: usize,
) -> Result<&'a [T], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    if ptr.is_null() || len > MAX_KEYS {
        return Err(invalid(operation, &format!("{name} must not be NULL and have at most {MAX_KEYS} numbers")));
    }
    // SAFETY: not NULL, not too long, and readable, says the caller.
    Ok(unsafe { std::slice::from_raw_parts(ptr, len) })
}

/// Byte strings that lie behind each other in `flat`, each up to its number in `ends`.
///
/// # Safety
/// As for [`bytes`] and [`numbers`].
pub(crate) unsafe fn strings<'a>(
    operation: &'static str,
    name: &str,
    flat: sj_slice,
    ends: *const u64,
    count: usize,
) -> Result<Vec<&'a [u8]>, Error> {
    // SAFETY: the caller's promise.
    let (flat, ends) = unsafe { (bytes(operation, name, flat)?, numbers(operation, name, ends, count)?) };
    let mut strings = Vec::with_capacity(count);
    let mut start = 0;
    for end in ends {
        let end = usize::try_from(*end).unwrap_or(usize::MAX);
        let Some(string) = flat.get(start..end) else {
            let message = format!("the ends of {name} must not decrease, nor pass its length");
            return Err(invalid(operation, &message));
        };
        strings.push(string);
        start = end;
    }
    Ok(strings)
}

/// The options of a put, those of `SJ_PUT_OPTS_INIT` for NULL.
///
/// # Safety
/// `opts` is NULL or points to a struct whose `size` says how much of it there is; `tags` in it as in [`strings`].
pub(crate) unsafe fn put(operation: &'static str, opts: *const sj_put_opts) -> Result<(u32, PutOptions), Error> {
    if opts.is_null() {
        return Ok((SJ_JSON, PutOptions::default()));
    }
    // SAFETY: at least the size can be read, says the caller; the rest only when the size covers it.
    let size = unsafe { (*opts).size } as usize;
    if size < size_of::<sj_put_opts>() {
        return Err(invalid(operation, &format!("opts.size must be sizeof(sj_put_opts), is {size}")));
    }
    // SAFETY: see above.
    let opts = unsafe { *opts };
    if opts.codec != SJ_JSON && opts.codec != SJ_RAW {
        return Err(invalid(operation, &format!("opts.codec must be SJ_JSON or SJ_RAW, is {}", opts.codec)));
    }
    // SAFETY: the caller's promise.
    let tags = unsafe { tags(operation, opts.tags, opts.tag_ends, opts.tags_len)? };
    let (ttl, codec) = (ttl(operation, opts.ttl_ms)?, stored_as(operation, opts.store_as)?);
    if opts.flags & !SJ_PUT_DISCARD != 0 {
        return Err(invalid(operation, &format!("opts.flags must be 0 or SJ_PUT_DISCARD, is {}", opts.flags)));
    }
    let discard = opts.flags & SJ_PUT_DISCARD != 0;
    Ok((opts.codec, PutOptions { ttl, codec, tags, discard }))
}

/// What a fetch is answered with.
pub(crate) struct Fetch<'a> {
    pub put: PutOptions,
    pub held: &'a [u64],
    pub owner: u64,
    pub flags: u32,
}

/// The options of a fetch, those of `SJ_FETCH_OPTS_INIT` for NULL.
///
/// # Safety
/// `opts` is NULL or points to a struct whose `size` says how much of it there is; `held` in it as in [`numbers`],
/// `tags` as in [`strings`].
pub(crate) unsafe fn fetch<'a>(operation: &'static str, opts: *const sj_fetch_opts) -> Result<Fetch<'a>, Error> {
    if opts.is_null() {
        return Ok(Fetch { put: PutOptions::default(), held: &[], owner: 0, flags: 0 });
    }
    // SAFETY: at least the size can be read, says the caller; the rest only when the size covers it.
    let size = unsafe { (*opts).size } as usize;
    if size < size_of::<sj_fetch_opts>() {
        return Err(invalid(operation, &format!("opts.size must be sizeof(sj_fetch_opts), is {size}")));
    }
    // SAFETY: see above.
    let opts = unsafe { *opts };
    // SAFETY: the caller's promise.
    let held = unsafe { numbers(operation, "opts.held", opts.held, opts.held_len)? };
    // SAFETY: the caller's promise.
    let tags = unsafe { tags(operation, opts.tags, opts.tag_ends, opts.tags_len)? };
    let put = PutOptions {
        ttl: ttl(operation, opts.ttl_ms)?,
        codec: stored_as(operation, opts.store_as)?,
        tags,
        discard: false,
    };
    Ok(Fetch { put, held, owner: opts.owner, flags: opts.flags })
}

/// Tags, copied.
///
/// # Safety
/// As for [`strings`].
pub(crate) unsafe fn tags(
    operation: &'static str,
    flat: sj_slice,
    ends: *const u64,
    count: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    if count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the caller's promise.
    let tags = unsafe { strings(operation, "opts.tags", flat, ends, count)? };
    Ok(tags.into_iter().map(<[u8]>::to_vec).collect())
}

fn ttl(operation: &'static str, millis: i64) -> Result<Ttl, Error> {
    if millis == SJ_TTL_DEFAULT {
        return Ok(Ttl::Default);
    }
    Ttl::from_millis(millis).map_err(|error| Error::new(error.kind(), operation, error.message()))
}

fn stored_as(operation: &'static str, store_as: u32) -> Result<Option<Codec>, Error> {
    match store_as {
        SJ_STORE_DEFAULT => Ok(None),
        SJ_JSON => Ok(Some(Codec::Json)),
        SJ_MSGPACK => Ok(Some(Codec::MsgPack)),
        _ => {
            Err(invalid(operation, "codec must be \"json\" or \"msgpack\" (opts.store_as); bytes are always raw"))
        }
    }
}

/// A value of the caller, copied.
pub(crate) fn value(operation: &'static str, codec: u32, bytes: &[u8]) -> Result<Value, Error> {
    let codec = match codec {
        SJ_RAW => Codec::Raw,
        SJ_JSON => Codec::Json,
        _ => {
            return Err(invalid(operation, &format!("codec must be SJ_JSON or SJ_RAW, is {codec}")));
        }
    };
    Ok(Value { codec, bytes: kept(bytes) })
}

/// A copy of bytes in a block of one of a few sizes, eight from a power of two to the next: what was freed is used
/// again, where blocks of any size leave gaps that nothing fits into. Small ones have few sizes by themselves.
fn kept(bytes: &[u8]) -> bytes::Bytes {
    if bytes.len() < 512 {
        return bytes::Bytes::copy_from_slice(bytes);
    }
    let step = (bytes.len() / 8).next_power_of_two();
    let mut copy = Vec::with_capacity(bytes.len().next_multiple_of(step));
    copy.extend_from_slice(bytes);
    bytes::Bytes::from(copy)
}

/// The kind with this number, of either sign.
pub(crate) fn kind(code: i32) -> Option<ErrorKind> {
    ErrorKind::ALL.into_iter().find(|kind| kind.code().unsigned_abs() == code.unsigned_abs())
}
