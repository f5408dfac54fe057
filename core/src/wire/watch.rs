//! Who waits on a socket: a task of the core, or a host that has taken it over; and who is to be told of what.
//!
//! The promise: where anything is on its way, somebody waits on the socket, or has been told to, or is awake and will
//! look. No socket is needed for that, so it is checked under every schedule (`model.rs`).

use std::sync::Arc;

use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, lock};

/// Wakes a host that drives.
pub(crate) trait Bell: Send + Sync {
    /// Wakes it, or keeps it from falling asleep.
    fn ring(&self);

    /// Whether it is an event loop, of which nobody knows whether it waits.
    fn is_of_loop(&self) -> bool {
        false
    }
}

/// The host waits on the socket at this moment.
const WAITING: u64 = u64::MAX;
/// A host that was away for so long, in milliseconds, while replies are due, drives no more.
pub(super) const AWAY: u64 = 50;

/// Who waits. `C` is by what the task of the core does: it waits as long as there is one.
pub(super) struct Watch<C> {
    who: Mutex<Who<C>>,
    /// When the host that drives was last there, in ms; [`WAITING`] while it waits.
    seen: AtomicU64,
    /// Whether the task looks at deadlines, and at who waits, by itself.
    timed: AtomicBool,
    #[cfg(all(test, feature = "shuttle"))]
    pub mutant: Option<Mutant>,
}

struct Who<C> {
    /// The task of the core, by this.
    core: Option<C>,
    /// A host, that is woken by this.
    host: Option<Arc<dyn Bell>>,
}

/// Seeded bugs, for the model check to find.
#[cfg(all(test, feature = "shuttle"))]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mutant {
    /// A host that drives no more tells nobody.
    LeavesInSilence,
    /// Who will not wait has nobody else do it.
    LooksAway,
}

impl<C> Watch<C> {
    /// Nobody waits.
    pub fn new() -> Self {
        Watch {
            who: Mutex::new(Who { core: None, host: None }),
            seen: AtomicU64::new(0),
            timed: AtomicBool::new(false),
            #[cfg(all(test, feature = "shuttle"))]
            mutant: None,
        }
    }

    /// Makes the host of `bell` the one that drives, unless another one waits. Returns whether it is now.
    pub fn claim(&self, bell: &Arc<dyn Bell>, now: u64) -> bool {
        let mut who = self.who();
        if let Some(host) = &who.host {
            if Arc::ptr_eq(host, bell) {
                return true;
            }
            if self.is_host_waiting() {
                return false;
            }
        }
        self.note_host(now);
        who.host = Some(bell.clone());
        // Under the lock: the task must not wait anew before this has ended.
        who.core = None;
        true
    }

    /// The host of `bell` drives no more. Returns whether the task is to be told: where nothing is on its way it looks a
    /// little later by itself whether a host has come back.
    pub fn release(&self, bell: &Arc<dyn Bell>, is_idle: impl FnOnce() -> bool) -> bool {
        let released = self.who().host.take_if(|host| Arc::ptr_eq(host, bell)).is_some();
        #[cfg(all(test, feature = "shuttle"))]
        if self.mutant == Some(Mutant::LeavesInSilence) {
            return false;
        }
        released && !(is_idle() && self.is_timed())
    }

    /// Whether the host of `bell` drives.
    pub fn is_driven_by(&self, bell: &Arc<dyn Bell>) -> bool {
        self.who().host.as_ref().is_some_and(|host| Arc::ptr_eq(host, bell))
    }

    /// The caller will not wait. Returns whether the task is to be told to, because nobody waits at this moment.
    pub fn look_away(&self) -> bool {
        let mut who = self.who();
        let away = if self.is_host_waiting() { None } else { who.host.take() };
        let nobody = who.is_nobody();
        drop(who);
        // The last of its holders may do more than we should under a lock.
        drop(away);
        #[cfg(all(test, feature = "shuttle"))]
        if self.mutant == Some(Mutant::LooksAway) {
            return false;
        }
        nobody
    }

    /// Whether nobody waits.
    pub fn is_nobody(&self) -> bool {
        self.who().is_nobody()
    }

    /// Whether nobody is known to wait.
    pub fn is_doubtful(&self) -> bool {
        let who = self.who();
        who.core.is_none() && who.host.as_ref().is_none_or(|host| host.is_of_loop())
    }

    /// Tells the host that drives that there is something to send. Returns whether the task is to be told: of that where
    /// there is no host, and of a deadline where it would not look by itself.
    pub fn tell_host(&self) -> bool {
        let host = self.who().host.clone();
        if let Some(host) = &host {
            host.ring();
        }
        host.is_none() || !self.is_timed()
    }

    /// The host that drives begins to wait.
    pub fn note_waiting(&self) {
        self.seen.store(WAITING, Ordering::Release);
    }

    /// The host that drives is there.
    pub fn note_host(&self, now: u64) {
        self.seen.store(now, Ordering::Release);
    }

    fn is_host_waiting(&self) -> bool {
        self.seen.load(Ordering::Acquire) == WAITING
    }

    /// Whether a host drives that does not wait at this moment.
    #[cfg(all(test, feature = "shuttle"))]
    pub fn is_host_away(&self) -> bool {
        let who = self.who();
        who.host.is_some() && !self.is_host_waiting()
    }

    /// Has the task wait, by what `begin` gives, where no host drives: also where one does that has been away too long.
    /// `stays` says whether it keeps the socket all the same, and is told whether it is an event loop. Returns whether the
    /// task waits.
    pub fn watch<E>(
        &self,
        now: u64,
        stays: impl FnOnce(bool) -> bool,
        begin: impl FnOnce() -> Result<C, E>,
    ) -> Result<bool, E> {
        let mut who = self.who();
        if let Some(host) = &who.host {
            let seen = self.seen.load(Ordering::Acquire);
            if seen == WAITING || seen + AWAY > now || stays(host.is_of_loop()) {
                return Ok(false);
            }
            who.host = None;
        }
        if who.core.is_none() {
            who.core = Some(begin()?);
        }
        Ok(true)
    }

    /// What `look` says of that by which the task waits; false where it does not.
    pub fn by_core(&self, look: impl FnOnce(&C) -> bool) -> bool {
        self.who().core.as_ref().is_some_and(look)
    }

    /// Whether the task looks at deadlines by itself.
    pub fn is_timed(&self) -> bool {
        self.timed.load(Ordering::Acquire)
    }

    /// The task looks at deadlines by itself from now on, or until it is told.
    pub fn set_timed(&self, timed: bool) {
        self.timed.store(timed, Ordering::Release);
    }

    fn who(&self) -> MutexGuard<'_, Who<C>> {
        lock(&self.who)
    }
}

impl<C> Who<C> {
    fn is_nobody(&self) -> bool {
        self.core.is_none() && self.host.is_none()
    }
}
