//! The lease of an entry in the shared tier, as long as a flight of this process holds it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::host::process;
use crate::redis::{Tier, Token};
use crate::tags::Looked;

/// Held until it is [taken](Grip::take); dropping it gives the lease back, so that others need not wait for its end.
pub(crate) struct Grip(Arc<Held>);

/// What the renewal of a lease needs.
pub(super) struct Held {
    tier: Arc<Tier>,
    name: Vec<u8>,
    /// None where the server has no leases: then whoever loads may store.
    token: Option<Token>,
    /// When it was asked for, in ms of the cache's clock: what is loaded under it was current then.
    since: u64,
    /// The number of the last write before it was won.
    sequence: u64,
    /// The versions of tags as they were then.
    seen: Arc<Looked>,
    state: AtomicU8,
    /// A forked child must not give back what is its parent's.
    process: u32,
}

const HELD: u8 = 0;
const LOST: u8 = 1;
const TAKEN: u8 = 2;

/// What is left of a grip once a value is there.
pub(crate) struct Taken {
    pub name: Vec<u8>,
    pub token: Option<Token>,
}

impl Grip {
    pub fn new(
        tier: Arc<Tier>,
        name: Vec<u8>,
        token: Option<Token>,
        since: u64,
        sequence: u64,
        seen: Arc<Looked>,
    ) -> Self {
        let (state, process) = (AtomicU8::new(HELD), std::process::id());
        Grip(Arc::new(Held { tier, name, token, since, sequence, seen, state, process }))
    }

    /// The number of the last write before the lease was won.
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    pub fn since(&self) -> u64 {
        self.0.since
    }

    /// Ends it without giving the lease back: the value follows. None where the lease was lost: the key was written
    /// since, or another one loads it.
    pub fn take(self) -> Option<Taken> {
        let held = &self.0;
        let kept = held.state.compare_exchange(HELD, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_ok();
        kept.then(|| Taken { name: held.name.clone(), token: held.token })
    }

    /// Whether it is a lease: a server without scripts has none.
    pub fn is_fenced(&self) -> bool {
        self.0.token.is_some()
    }

    /// The versions of tags that were seen when it was asked for.
    pub fn seen(&self) -> Arc<Looked> {
        self.0.seen.clone()
    }

    /// Ends it without a word: a write has voided the lease.
    pub fn forget(self) {
        self.0.state.store(TAKEN, Ordering::Release);
    }

    /// To keep it alive; none where there is nothing to keep.
    pub(super) fn renewable(&self) -> Option<Weak<Held>> {
        self.0.token.is_some().then(|| Arc::downgrade(&self.0))
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        let held = self.0.clone();
        let Some(token) = held.token else { return };
        if held.state.load(Ordering::Acquire) != HELD || held.process != std::process::id() {
            return;
        }
        // Locks may be held here.
        process().runtime().spawn(async move {
            // Where there is too much to do it ends by itself.
            if let Ok(slot) = held.tier.admit("get_or_fetch", held.name.len()) {
                held.tier.release(slot, held.name.clone(), token).go_behind();
            }
        });
    }
}

impl Held {
    /// Keeps the lease for `lease` from now on, unless it has ended; false where it has.
    pub fn extend(self: &Arc<Self>, lease: Duration) -> bool {
        let Some(token) = self.token else { return false };
        if self.state.load(Ordering::Acquire) != HELD {
            return false;
        }
        // Where there is too much to do: the next time.
        let Ok(slot) = self.tier.admit("get_or_fetch", self.name.len()) else { return true };
        let me = self.clone();
        let kick = self.tier.extend(slot, self.name.clone(), token, lease, move |kept| {
            if matches!(kept, Ok(false)) {
                // A fill that has begun will be refused by the server.
                let _ = me.state.compare_exchange(HELD, LOST, Ordering::AcqRel, Ordering::Acquire);
            }
        });
        kick.go_behind();
        true
    }
}
