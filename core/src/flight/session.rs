//! The session with the server that tells of writes: how long what was read in it is known to be current.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which session a record was read in; 0 is none.
pub(crate) type SessionId = u32;

/// Ids are so many bits; the rest of the word is the moment.
const ID_BITS: u32 = 24;
const UNTIL_BITS: u32 = u64::BITS - ID_BITS;

/// One word, so that a reader never puts the id of one session and the moment of another together.
///
/// A record of a session may be served while that is the present one and its moment has not come: then all that was
/// written until `max_staleness` ago was told, see `redis/push.rs`.
#[derive(Default)]
pub(crate) struct Session {
    /// Id and moment, in ms of the cache's clock: 35 years of them fit.
    word: AtomicU64,
    /// The last id that was given. They come again after 16 million sessions.
    last: AtomicU64,
}

impl Session {
    /// The session that is live now; 0 for none.
    pub fn current(&self, now: u64) -> SessionId {
        let (id, until) = self.parts();
        if until > now { id } else { 0 }
    }

    /// Whether what was read in `session` may be served now.
    #[inline]
    pub fn is_live(&self, session: SessionId, now: u64) -> bool {
        session != 0 && self.current(now) == session
    }

    /// Whether a session has begun and not ended; it may be late.
    pub fn is_begun(&self) -> bool {
        self.parts().0 != 0
    }

    /// Until when the present one is live.
    pub fn until(&self) -> u64 {
        self.parts().1
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// A new session, live until then.
    pub fn begin(&self, until: u64) {
        let count = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let ids = (1 << ID_BITS) - 1;
        self.word.store((1 + (count - 1) % ids) << UNTIL_BITS | moment(until), Ordering::SeqCst);
    }

    /// The present one is live until then.
    pub fn renew(&self, until: u64) {
        let word = self.word.load(Ordering::Relaxed);
        // Who renews is the only one that writes.
        self.word.store(word >> UNTIL_BITS << UNTIL_BITS | moment(until), Ordering::SeqCst);
    }

    /// Nothing that was read in the present one is served any more.
    pub fn end(&self) {
        self.word.store(0, Ordering::SeqCst);
    }

    fn parts(&self) -> (SessionId, u64) {
        let word = self.word.load(Ordering::SeqCst);
        ((word >> UNTIL_BITS) as SessionId, moment(word))
    }
}

fn moment(ms: u64) -> u64 {
    ms & ((1 << UNTIL_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_in_a_session_is_served_while_it_is_live() {
        let session = Session::default();
        assert_eq!((session.current(5), session.is_live(0, 5), session.is_begun()), (0, false, false));
        session.begin(100);
        let first = session.current(99);
        assert!(first != 0 && session.is_live(first, 99) && !session.is_live(first, 100) && session.is_begun());
        session.renew(200);
        assert!(session.is_live(first, 199), "late, and then answered");
        session.end();
        assert!(!session.is_live(first, 1));
        session.begin(300);
        assert!(!session.is_live(first, 1) && session.is_live(session.current(1), 299));
        assert_eq!((session.until(), session.count()), (300, 2));
    }
}
