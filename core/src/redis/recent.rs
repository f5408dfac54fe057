//! The writes of the last minute, for a server that comes back without them: one that was restarted from an older copy of
//! its data, or a replica that took over before it had everything. Their keys are invalidated once more.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a write may be lost by its server after it was acknowledged, in milliseconds.
const WINDOW: u64 = 60_000;
/// More bytes than this are not kept: then it is the last ones that are.
const MAX_BYTES: usize = 8 << 20;
/// What is kept of a write beside its name.
const OVERHEAD: usize = 48;

/// The names of the entries that this process wrote or invalidated.
#[derive(Default)]
pub(super) struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// When, in ms of the clock of whoever calls, and what. The oldest first.
    writes: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
}

impl Recent {
    /// A write of this entry is sent.
    pub fn note(&self, name: &[u8], now: u64) {
        let mut inner = self.lock();
        inner.bytes += name.len() + OVERHEAD;
        inner.writes.push_back((now, name.to_vec()));
        inner.forget(now);
    }

    /// The names of the last minute, none of them twice in a row.
    pub fn names(&self, now: u64) -> Vec<Vec<u8>> {
        let mut inner = self.lock();
        inner.forget(now);
        let mut names: Vec<Vec<u8>> = inner.writes.iter().map(|(_, name)| name.clone()).collect();
        names.dedup();
        names
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self, now: u64) {
        while let Some((at, name)) = self.writes.front()
            && (at + WINDOW < now || self.bytes > MAX_BYTES)
        {
            self.bytes -= name.len() + OVERHEAD;
            self.writes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_is_kept_as_far_as_there_is_room() {
        let recent = Recent::default();
        recent.note(b"a", 1);
        recent.note(b"b", 2);
        recent.note(b"b", WINDOW);
        assert_eq!(recent.names(WINDOW), [b"a", b"b"]);
        assert_eq!(recent.names(WINDOW + 2), [b"b"]);
        assert!(recent.names(3 * WINDOW).is_empty());
        let long = vec![7; 1024];
        for _ in 0..MAX_BYTES / 1024 {
            recent.note(&long, 3 * WINDOW);
        }
        assert!(recent.lock().bytes <= MAX_BYTES && recent.lock().writes.len() > 7000);
    }
}
