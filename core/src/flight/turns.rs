//! Who may write a key now: its writers in this process, one after the other, in the order in which they came.
//!
//! A writer has its turn until it [leaves](Turns::leave), which lets the next one in. Who would wait for itself, or for one
//! that waits for it, is refused: the write inside which it asks could never end.

use std::collections::{HashMap, VecDeque};

use super::cycle::{Leader, WaitGraph};
use super::sink::Sink;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, Mutex, Ordering, lock};

/// More writers than this do not wait.
const MAX_WAITING: usize = 100_000;
/// Nor do more bytes of what they would write.
const MAX_BYTES: usize = 256 << 20;

/// The writers of all keys; `W` is what one does when its turn has come.
pub(crate) struct Turns<W> {
    inner: Mutex<Inner<W>>,
    waits: WaitGraph,
}

struct Inner<W> {
    keys: HashMap<Vec<u8>, Line<W>>,
    waiting: usize,
    bytes: usize,
}

/// The writers of one key.
struct Line<W> {
    /// The lease of the one whose turn it is.
    leader: Leader,
    waiting: VecDeque<(u64, usize, W)>,
}

impl<W> Default for Turns<W> {
    fn default() -> Self {
        let inner = Inner { keys: HashMap::new(), waiting: 0, bytes: 0 };
        Turns { inner: Mutex::new(inner), waits: WaitGraph::default() }
    }
}

impl<W> Turns<W> {
    /// A writer of `key` comes, under this lease, from within the writes and fetches that it holds the others of. `work`
    /// is given back where it is its turn.
    ///
    /// # Errors
    /// [`ErrorKind::RecursiveFetch`]: it would wait for itself. [`ErrorKind::Overloaded`]: too many wait.
    pub fn enter(
        &self,
        key: &[u8],
        lease: u64,
        held: &[u64],
        caller: &Arc<dyn Sink>,
        bytes: usize,
        work: W,
    ) -> Result<Option<W>> {
        let mut inner = lock(&self.inner);
        let Inner { keys, waiting, bytes: total } = &mut *inner;
        let Some(line) = keys.get_mut(key) else {
            let line = Line { leader: Leader::new(lease.into()), waiting: VecDeque::new() };
            keys.insert(key.to_vec(), line);
            return Ok(Some(work));
        };
        if *waiting >= MAX_WAITING || total.saturating_add(bytes) > MAX_BYTES {
            let message =
                format!("more than {MAX_WAITING} writes, or {MAX_BYTES} bytes of them, wait for their turn");
            return Err(Error::new(ErrorKind::Overloaded, "write_through", message));
        }
        if !self.waits.wait(held, &line.leader, caller) {
            let message = "the write would wait for the one inside which it is made";
            return Err(Error::new(ErrorKind::RecursiveFetch, "write_through", message));
        }
        line.waiting.push_back((lease, bytes, work));
        *waiting += 1;
        *total += bytes;
        Ok(None)
    }

    /// The writer of `key` whose turn it was has ended; what the next one is to do.
    pub fn leave(&self, key: &[u8]) -> Option<W> {
        let mut inner = lock(&self.inner);
        let Inner { keys, waiting, bytes: total } = &mut *inner;
        let line = keys.get_mut(key)?;
        let Some((lease, bytes, work)) = line.waiting.pop_front() else {
            keys.remove(key);
            return None;
        };
        line.leader.store(lease, Ordering::Release);
        *waiting -= 1;
        *total -= bytes;
        Some(work)
    }

    /// Takes all that wait.
    pub fn close(&self) -> Vec<W> {
        let mut inner = lock(&self.inner);
        (inner.waiting, inner.bytes) = (0, 0);
        inner.keys.values_mut().flat_map(|line| line.waiting.drain(..)).map(|(_, _, work)| work).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Answer;

    struct Caller;

    impl Sink for Caller {
        fn finish(&self, _: Answer) -> std::result::Result<(), Answer> {
            Ok(())
        }

        fn is_live(&self) -> bool {
            true
        }
    }

    fn enter(turns: &Turns<u64>, key: &str, lease: u64, held: &[u64], bytes: usize) -> Result<Option<u64>> {
        let caller: Arc<dyn Sink> = Arc::new(Caller);
        turns.enter(key.as_bytes(), lease, held, &caller, bytes, lease)
    }

    #[test]
    fn writers_of_a_key_have_their_turns_as_they_came() {
        let turns = Turns::default();
        assert_eq!(enter(&turns, "a", 1, &[], 0).expect("room"), Some(1));
        assert_eq!(enter(&turns, "a", 2, &[], 0).expect("room"), None);
        assert_eq!(enter(&turns, "b", 3, &[], 0).expect("room"), Some(3), "another key");
        assert_eq!(enter(&turns, "a", 4, &[], 0).expect("room"), None);
        assert_eq!((turns.leave(b"a"), turns.leave(b"a"), turns.leave(b"a")), (Some(2), Some(4), None));
        assert_eq!(enter(&turns, "a", 5, &[], 0).expect("room"), Some(5), "it is free again");
    }

    #[test]
    fn who_would_wait_for_itself_is_refused() {
        let turns = Turns::default();
        for (key, lease) in [("a", 1), ("b", 2)] {
            enter(&turns, key, lease, &[], 0).expect("room");
        }
        let itself = enter(&turns, "a", 3, &[1], 0).expect_err("a circle of one");
        assert_eq!(itself.kind(), ErrorKind::RecursiveFetch);
        assert_eq!(enter(&turns, "b", 4, &[1], 0).expect("no circle"), None);
        let each_other = enter(&turns, "a", 5, &[2], 0).expect_err("a circle of two");
        assert_eq!(each_other.kind(), ErrorKind::RecursiveFetch);
    }

    #[test]
    fn what_waits_is_bounded() {
        let turns = Turns::default();
        enter(&turns, "a", 1, &[], MAX_BYTES).expect("it does not wait");
        enter(&turns, "a", 2, &[], MAX_BYTES).expect("room");
        let full = enter(&turns, "a", 3, &[], 1).expect_err("too many bytes");
        assert_eq!(full.kind(), ErrorKind::Overloaded);
        turns.leave(b"a");
        for lease in 0..MAX_WAITING as u64 {
            enter(&turns, "a", lease, &[], 0).expect("room");
        }
        let full = enter(&turns, "a", 4, &[], 0).expect_err("too many");
        assert_eq!(full.kind(), ErrorKind::Overloaded);
        assert_eq!(turns.close().len(), MAX_WAITING);
    }
}
