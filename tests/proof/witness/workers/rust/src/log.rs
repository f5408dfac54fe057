//! What the worker writes down: see `records.py`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Copy)]
pub enum Op {
    Get = 1,
    GetOrFetch = 2,
    GetMany = 3,
    GetOrFetchMany = 4,
    Delete = 5,
    Set = 6,
    Landed = 7,
    Last = 8,
}

pub const PENDING: u8 = 1;
pub const NEGATIVE: u8 = 2;
pub const FAILED: u8 = 4;
pub const MISS: u8 = 8;
pub const LOADED: u8 = 16;

const NO_BOUND: u32 = u32::MAX;

/// An operation that has begun.
#[derive(Clone, Copy)]
pub struct Begun {
    pub op: Op,
    at: u64,
    bound: u32,
}

impl Begun {
    pub fn new(op: Op, bound: Option<Duration>) -> Self {
        let micros = |bound: Duration| u32::try_from(bound.as_micros()).unwrap_or(NO_BOUND).min(NO_BOUND - 1);
        Begun { op, bound: bound.map_or(NO_BOUND, micros), at: now() }
    }
}

pub struct Log {
    file: Mutex<BufWriter<File>>,
    worker: u16,
}

impl Log {
    pub fn open(path: &str, worker: u16) -> Self {
        Log { file: Mutex::new(BufWriter::with_capacity(1 << 16, File::create(path).expect("a log"))), worker }
    }

    /// An operation that ends now; it saw this version, in a value that names this key.
    pub fn note(&self, begun: Begun, key: u32, (ver, named): (i64, u32), flags: u8) {
        let mut record = [0; 40];
        record[0..8].copy_from_slice(&begun.at.to_le_bytes());
        record[8..16].copy_from_slice(&now().to_le_bytes());
        record[16..24].copy_from_slice(&ver.to_le_bytes());
        record[24..28].copy_from_slice(&key.to_le_bytes());
        record[28..32].copy_from_slice(&named.to_le_bytes());
        record[32..36].copy_from_slice(&begun.bound.to_le_bytes());
        record[36..38].copy_from_slice(&self.worker.to_le_bytes());
        record[38] = begun.op as u8;
        record[39] = flags;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&record).expect("the log takes it");
    }

    pub fn flush(&self) {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).flush().expect("the log takes it");
    }
}

/// The clock of all records, in ns.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the write, and the clock exists since Linux 2.6.39.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    assert_eq!(status, 0, "the kernel has CLOCK_BOOTTIME");
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
