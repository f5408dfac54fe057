//! Time, three ways: of this machine since boot (sleep counted), as a test sets it, and the one thread that
//! looks at deadlines.

mod ticker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use ticker::{Tick, Ticker, Watch, forget_in_child, pause_for_fork, register, resume_after_fork};

/// Milliseconds since boot, time asleep included: a machine that slept must not find its leases alive.
pub(crate) fn boottime_ms() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

/// The same by the coarse clock: a few ns to read, at most one kernel tick old. It stands still while the
/// machine sleeps, so the ticker adds that time, one period after the machine woke up at the latest.
pub(crate) fn coarse_ms() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE) + SLEPT_MS.load(Ordering::Relaxed)
}

static SLEPT_MS: AtomicU64 = AtomicU64::new(0);

/// Notes how long the machine has slept since boot.
pub(crate) fn note_sleep() {
    let slept = boottime_ms().saturating_sub(read(libc::CLOCK_MONOTONIC));
    // The two readings are some ns apart: less than a second is no sleep.
    if slept >= SLEPT_MS.load(Ordering::Relaxed) + 1000 {
        SLEPT_MS.store(slept, Ordering::Relaxed);
    }
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to; both clocks exist on every supported kernel.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec.unsigned_abs() * 1000 + time.tv_nsec.unsigned_abs() / 1_000_000
}

/// What ends later than this many milliseconds since boot, has not ended yet: the thread that looks at deadlines
/// says so before it sleeps for a moment. [`UNKNOWN`] otherwise.
///
/// It is why most hits need not read a clock. A process that was stopped for more than [`AHEAD_MS`] may believe it
/// for as long as that thread takes to wake up when it goes on.
static NOT_BEFORE: AtomicU64 = AtomicU64::new(UNKNOWN);
const UNKNOWN: u64 = u64::MAX;
/// The thread is late by less than this, or the machine is beyond help.
const AHEAD_MS: u64 = 1000;

fn foresee() {
    NOT_BEFORE.store(coarse_ms() + AHEAD_MS, Ordering::Relaxed);
}

fn stop_foreseeing() {
    NOT_BEFORE.store(UNKNOWN, Ordering::Relaxed);
}

/// Where a cache reads the time: the machine's clock, or one that a test moves.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

/// Moves a manual [`Clock`].
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl Clock {
    /// A clock that stands still until its [`ManualClock`] moves it.
    pub fn manual() -> (Clock, ManualClock) {
        let time = Arc::new(AtomicU64::new(1));
        (Clock(Some(time.clone())), ManualClock(time))
    }

    /// Milliseconds since some fixed moment.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            None => coarse_ms(),
            Some(time) => time.load(Ordering::Acquire),
        }
    }

    /// Whether this moment has come.
    #[inline]
    pub(crate) fn has_come(&self, moment: u64) -> bool {
        match &self.0 {
            None => moment <= NOT_BEFORE.load(Ordering::Relaxed) && moment <= coarse_ms(),
            Some(time) => moment <= time.load(Ordering::Acquire),
        }
    }
}

impl ManualClock {
    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::AcqRel);
    }
}
