//! The structs and numbers of the header.

use std::ffi::c_void;

/// Bytes of the caller, read during the call only. `ptr` may be NULL when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sj_slice {
    /// The first byte.
    pub ptr: *const u8,
    /// How many.
    pub len: usize,
}

/// Bytes of the library: free them with sj_buf_free. `ptr` is not NULL even when `len` is 0 and there is a value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sj_buf {
    /// The first byte.
    pub ptr: *const u8,
    /// How many.
    pub len: usize,
    /// What sj_buf_free frees; NULL where there is nothing to free.
    pub owner: *mut c_void,
}

impl sj_buf {
    pub(crate) const EMPTY: sj_buf = sj_buf { ptr: std::ptr::null(), len: 0, owner: std::ptr::null_mut() };
}

/// Done.
pub const SJ_OK: i32 = 0;
/// A fresh value.
pub const SJ_HIT: i32 = 1;
/// Nothing is stored under the key.
pub const SJ_MISS: i32 = 2;
/// A value past its ttl, served because nothing better can be had.
pub const SJ_STALE: i32 = 3;
/// The caller runs its fetch, then calls sj_fulfil, sj_fail or sj_abandon with the lease.
pub const SJ_LEAD: i32 = 4;
/// The answer comes through the queue.
pub const SJ_PENDING: i32 = 5;
/// The caller runs its fetch for itself alone; there is no lease, and nothing is stored.
pub const SJ_BYPASS: i32 = 6;
/// One sj_item for each key, at the start of the value.
pub const SJ_MANY: i32 = 7;
/// Of one key among many: somebody else loads it, its answer comes by the token + 1 + its index.
pub const SJ_WAITING: i32 = 8;
/// Writes for the source, as structs sj_write at the start of the value; in a completion `lease` says how many.
pub const SJ_WRITES: i32 = 9;

/// An option, a URL or an argument is wrong; the message names it and its limit.
pub const SJ_ERR_INVALID_OPTION: i32 = -1;
/// A key is empty or longer than 1024 bytes.
pub const SJ_ERR_INVALID_KEY: i32 = -2;
/// A value cannot be stored: too large, too deep, or not readable in every language.
pub const SJ_ERR_INVALID_VALUE: i32 = -3;
/// The source said that what was asked for does not exist.
pub const SJ_ERR_NOT_FOUND: i32 = -4;
/// The fetch failed.
pub const SJ_ERR_FETCH_FAILED: i32 = -5;
/// The fetch did not end within fetch_hard_timeout.
pub const SJ_ERR_FETCH_TIMEOUT: i32 = -6;
/// A lease was answered after it had ended; nothing has changed.
pub const SJ_ERR_LEASE_EXPIRED: i32 = -7;
/// A fetch asked, directly or through others, for the key it is loading.
pub const SJ_ERR_RECURSIVE_FETCH: i32 = -8;
/// A bound on queues, waiters or loads in flight was reached.
pub const SJ_ERR_OVERLOADED: i32 = -9;
/// The cache, or the queue, was closed.
pub const SJ_ERR_CLOSED: i32 = -10;
/// The caller gave up waiting.
pub const SJ_ERR_CANCELLED: i32 = -11;
/// The shared tier could not be reached, in a call that cannot do without it.
pub const SJ_ERR_UNAVAILABLE: i32 = -12;
/// Some keys of a call on many failed; the others have their result.
pub const SJ_ERR_PARTIAL: i32 = -13;
/// A pending write of this key lies in another process.
pub const SJ_ERR_DIRTY_ELSEWHERE: i32 = -14;
/// This platform or server cannot do what was asked for.
pub const SJ_ERR_UNSUPPORTED: i32 = -15;
/// A defect of Scrubjay: please report it.
pub const SJ_ERR_INTERNAL: i32 = -16;

/// The value is bytes as they are.
pub const SJ_RAW: u32 = 0;
/// The value is JSON text in UTF-8.
pub const SJ_JSON: u32 = 1;
/// In `store_as` only: store JSON as MessagePack. Readers get JSON.
pub const SJ_MSGPACK: u32 = 2;
/// In `store_as`: as the cache's `codec` option says.
pub const SJ_STORE_DEFAULT: u32 = 0xffff_ffff;
/// As a ttl: the cache's `ttl` option.
pub const SJ_TTL_DEFAULT: i64 = i64::MIN;
/// In `flags` of sj_fetch_opts: do not answer from a tier; what is there did not decode.
pub const SJ_FETCH_BYPASS_CACHE: u32 = 1;

/// The slots of a table begin at this offset.
pub const SJ_TABLE_HEADER: usize = 64;
/// Each slot has so many bytes.
pub const SJ_TABLE_STRIDE: usize = 8;
/// As a bound of sj_slots_open: none.
pub const SJ_UNBOUNDED: u64 = u64::MAX;
/// For sj_keep_copies: decoded values weigh what they do in Go.
pub const SJ_COPIES_GO: u32 = 1;

/// In `flags` of sj_put_opts: those who wait for the value get it, and it is stored nowhere. What is stored already stays.
pub const SJ_PUT_DISCARD: u32 = 1;

/// How a value is stored. Start from `SJ_PUT_OPTS_INIT`; NULL is the same.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sj_put_opts {
    /// sizeof(sj_put_opts): how a library knows what its caller knows.
    pub size: u32,
    /// What the bytes given are: SJ_JSON or SJ_RAW.
    pub codec: u32,
    /// How long the value is fresh, in milliseconds: 1 to 31,536,000,000 (365 days), or SJ_TTL_DEFAULT.
    pub ttl_ms: i64,
    /// What JSON is stored as: SJ_JSON, SJ_MSGPACK, or SJ_STORE_DEFAULT.
    pub store_as: u32,
    /// 0, or with sj_fulfil SJ_PUT_DISCARD.
    pub flags: u32,
    /// The tags of the entry, one behind the other without anything between, each 1 to 128 bytes of UTF-8: see
    /// sj_invalidate_tags. With sj_fulfil: more tags than its sj_begin said. The option `max_tags` says how many, 16 by
    /// default.
    pub tags: sj_slice,
    /// Where each of them ends, counted from the start of the first. May be NULL when `tags_len` is 0.
    pub tag_ends: *const u64,
    /// How many.
    pub tags_len: usize,
}

/// For sj_update_opts: do not write where the shared tier cannot be told of it.
pub const SJ_UPDATE_STRICT: u32 = 1;

/// How an update goes. Start from `SJ_UPDATE_OPTS_INIT`; NULL is the same.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sj_update_opts {
    /// sizeof(sj_update_opts).
    pub size: u32,
    /// 0, or SJ_UPDATE_STRICT.
    pub flags: u32,
    /// For how long nothing is stored should the writer die, in milliseconds: 100 to 3,600,000; 0 for 30,000. It must be
    /// longer than the longest transaction.
    pub intent_ttl_ms: i64,
    /// For how long nothing is stored after the write, in milliseconds, up to 3,600,000: where fetches read a replica of the
    /// source, the bound of its lag. 0 for not at all.
    pub hold_ms: i64,
    /// Tags of what the write changes, as in sj_put_opts: as for the keys, nothing that has one of them is stored or read
    /// meanwhile, and then they are invalidated. Not for sj_store_begin.
    pub tags: sj_slice,
    /// As in sj_put_opts.
    pub tag_ends: *const u64,
    /// How many.
    pub tags_len: usize,
}

/// In `kind` of sj_write: the whole new value.
pub const SJ_WRITE_SET: u32 = 1;
/// In `kind` of sj_write: the key goes; there is no value.
pub const SJ_WRITE_DELETE: u32 = 2;
/// In `kind` of sj_write: a change, to be applied to what is there.
pub const SJ_WRITE_DELTA: u32 = 3;

/// How large a batch of writes may be, and how long it may take. Start from `SJ_BATCH_OPTS_INIT`; NULL is the same.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sj_batch_opts {
    /// sizeof(sj_batch_opts).
    pub size: u32,
    /// At most so many writes, up to 10,000; 0 for 100.
    pub max_items: u32,
    /// At most so many bytes of keys and values, unless it is one write; 0 for 1 MiB.
    pub max_bytes: u64,
    /// For how long the first write waits for others, in milliseconds, up to 3,600,000.
    pub linger_ms: i64,
    /// How long to wait for the first one, in milliseconds; -1 for as long as it takes.
    pub wait_ms: i64,
}

/// A write for the source. Offsets are counted from the start of the buffer that it stands in.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct sj_write {
    /// For sj_write_behind_ack, nack, replay and drop: good in this process.
    pub number: u64,
    /// With `sequence` the identity of the write: a writer that meets it twice has written it already.
    pub process: u64,
    /// Grows with each write of a process, and follows the clock across processes (microseconds since 1970, or more): a
    /// source that keeps it with the row can refuse what is older. Below 2^53.
    pub sequence: u64,
    /// When it was acknowledged, in milliseconds since 1970; where writes were merged, the first of them.
    pub enqueued_ms: u64,
    /// SJ_WRITE_SET, SJ_WRITE_DELETE or SJ_WRITE_DELTA.
    pub kind: u32,
    /// Of the value: SJ_JSON or SJ_RAW.
    pub codec: u32,
    /// How often it was handed out, this time included; of a dead letter, how often it was.
    pub attempt: u32,
    /// Zero.
    pub reserved: u32,
    /// Where the key begins.
    pub key: u64,
    /// Its length.
    pub key_len: u64,
    /// Where the value, or the change, begins.
    pub value: u64,
    /// Its length.
    pub value_len: u64,
    /// Of a dead letter: where the text of its last error begins.
    pub error: u64,
    /// Its length.
    pub error_len: u64,
}

/// What sj_write_behind_flush or sj_write_behind_close came to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct sj_drain_report {
    /// Writes that the source got meanwhile.
    pub written: u64,
    /// Writes that it has not got: after a close they are in the journal or the stream, or lost with `ack` "memory".
    pub left: u64,
    /// Dead letters, which stay where they are.
    pub dead: u64,
}

/// How a get_or_fetch is answered. Start from `SJ_FETCH_OPTS_INIT`; NULL is the same.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sj_fetch_opts {
    /// sizeof(sj_fetch_opts).
    pub size: u32,
    /// 0, or SJ_FETCH_BYPASS_CACHE.
    pub flags: u32,
    /// How long the fetched value is fresh, in milliseconds, or SJ_TTL_DEFAULT.
    pub ttl_ms: i64,
    /// What JSON is stored as: SJ_JSON, SJ_MSGPACK, or SJ_STORE_DEFAULT.
    pub store_as: u32,
    /// Zero.
    pub reserved: u32,
    /// The leases of the fetches inside which this call is made: so a fetch that asks for its own key is refused
    /// instead of waiting for itself. May be NULL when `held_len` is 0.
    pub held: *const u64,
    /// How many.
    pub held_len: usize,
    /// The caller's name for the loop or thread that would run the fetch, or 0.
    pub owner: u64,
    /// The tags of the fetched value, as in sj_put_opts.
    pub tags: sj_slice,
    /// As in sj_put_opts.
    pub tag_ends: *const u64,
    /// How many.
    pub tags_len: usize,
}

/// What became of a write.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct sj_receipt {
    /// 1 when the shared tier was not reached yet: an invalidation of the keys is queued and retried until it lands.
    pub pending: u32,
    /// Zero.
    pub reserved: u32,
    /// An opaque position in the order of writes.
    pub token: [u8; 16],
}

/// A slot of a memory tier at one time of its life. Whatever removes or replaces what is there changes the generation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct sj_slot {
    /// The number of the slot.
    pub slot: u32,
    /// Its generation then.
    pub generation: u32,
}

/// Leave to keep a copy of a value in the caller's own memory, and to serve it without asking again: as long as the
/// slot has that generation in the table, and the time of the table has not reached `until`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct sj_copy {
    /// The slot of the value.
    pub at: sj_slot,
    /// In the time of the table, which wraps around: over when (int32_t)(now - until) >= 0.
    pub until: u32,
    /// 1 when leave is given; otherwise the rest is 0.
    pub granted: u32,
}

/// Where the slots of a memory tier lie: memory that never moves, good as long as its owner, and read with atomic
/// loads, by any thread:
///
/// - at 0 a uint32_t: now, in milliseconds since the table was made, moved in steps of up to 10 ms while anything is
///   held;
/// - at 4 a uint32_t: not 0 while there is something to drain;
/// - at SJ_TABLE_HEADER + SJ_TABLE_STRIDE * slot a uint32_t, the generation of that slot, and behind it a byte: how
///   often it was used, 0 to 3. Who serves a copy raises that by one unless it is 3, with a plain store; three bytes
///   behind it are zero.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sj_table {
    /// Where it begins.
    pub base: *const u8,
    /// How long it is.
    pub bytes: usize,
    /// How many slots there can ever be.
    pub slots: u32,
    /// Zero.
    pub reserved: u32,
}

/// The counters of slots.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct sj_slots_stats {
    /// Entries that left for want of room, those too large to be stored at all included.
    pub evictions: u64,
    /// Entries that left at the end of their life.
    pub expired: u64,
    /// Entries held now.
    pub entries: u64,
    /// What they weigh together.
    pub bytes: u64,
}

/// An answer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sj_completion {
    /// The token of the call.
    pub token: u64,
    /// SJ_HIT and its like, or the negative number of an error, whose message is then in `value`.
    pub status: i32,
    /// Of the value: SJ_JSON or SJ_RAW.
    pub codec: u32,
    /// Not 0: the caller is to load the key and to answer for this lease. With SJ_HIT and SJ_STALE the value is to
    /// be used now, and refreshed.
    pub lease: u64,
    /// Of a failed fetch: the number that its leader gave to sj_fail, or 0.
    pub error_ref: u64,
    /// Of a write.
    pub receipt: sj_receipt,
    /// Of a value: leave to keep it decoded, after sj_keep_copies.
    pub copy: sj_copy,
    /// The value, the message, or the items; free it with sj_buf_free.
    pub value: sj_buf,
}

/// The answer for one key of a call on many. The items stand at the start of the completion's value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sj_item {
    /// As in sj_completion, and SJ_WAITING.
    pub status: i32,
    /// Of the value: SJ_JSON or SJ_RAW.
    pub codec: u32,
    /// As in sj_completion.
    pub lease: u64,
    /// As in sj_completion.
    pub error_ref: u64,
    /// Where the value, or the message, begins in the completion's value.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// As in sj_completion.
    pub copy: sj_copy,
}

// The numbers of the header are those of the core.
const _: () = {
    assert!(SJ_TABLE_HEADER == scrubjay_core::host::TABLE_HEADER);
    assert!(SJ_TABLE_STRIDE == scrubjay_core::host::TABLE_STRIDE);
    assert!(SJ_WRITE_SET == scrubjay_core::host::WriteKind::Set as u32);
    assert!(SJ_WRITE_DELETE == scrubjay_core::host::WriteKind::Delete as u32);
    assert!(SJ_WRITE_DELTA == scrubjay_core::host::WriteKind::Delta as u32);
};
const _: () = {
    use scrubjay_core::ErrorKind;
    assert!(SJ_ERR_INVALID_OPTION == -(ErrorKind::InvalidOption as i32));
    assert!(SJ_ERR_INVALID_KEY == -(ErrorKind::InvalidKey as i32));
    assert!(SJ_ERR_INVALID_VALUE == -(ErrorKind::InvalidValue as i32));
    assert!(SJ_ERR_NOT_FOUND == -(ErrorKind::NotFound as i32));
    assert!(SJ_ERR_FETCH_FAILED == -(ErrorKind::FetchFailed as i32));
    assert!(SJ_ERR_FETCH_TIMEOUT == -(ErrorKind::FetchTimeout as i32));
    assert!(SJ_ERR_LEASE_EXPIRED == -(ErrorKind::LeaseExpired as i32));
    assert!(SJ_ERR_RECURSIVE_FETCH == -(ErrorKind::RecursiveFetch as i32));
    assert!(SJ_ERR_OVERLOADED == -(ErrorKind::Overloaded as i32));
    assert!(SJ_ERR_CLOSED == -(ErrorKind::Closed as i32));
    assert!(SJ_ERR_CANCELLED == -(ErrorKind::Cancelled as i32));
    assert!(SJ_ERR_UNAVAILABLE == -(ErrorKind::Unavailable as i32));
    assert!(SJ_ERR_PARTIAL == -(ErrorKind::Partial as i32));
    assert!(SJ_ERR_DIRTY_ELSEWHERE == -(ErrorKind::DirtyElsewhere as i32));
    assert!(SJ_ERR_UNSUPPORTED == -(ErrorKind::Unsupported as i32));
    assert!(SJ_ERR_INTERNAL == -(ErrorKind::Internal as i32));
};
