//! The breaker before the shared tier: after repeated failures operations are answered at once, and one at a time
//! tries whether it is back.
//!
//! ```text
//! closed --5 failures in 10 s, no success between--> open --cooldown over--> half open (one probe)
//!    ^                                                ^                        |          |
//!    |                                                +---- probe failed: the cooldown doubles
//!    +---------------------------- any success ---------------------------------+
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::stats::BreakerState;

/// So many failures in a row open the breaker,
const FAILURES: usize = 5;
/// if they came within this time, in milliseconds.
const WINDOW: u64 = 10_000;
/// How long the breaker stays open at first, and at most.
const COOLDOWN: u64 = 1000;
const LONGEST_COOLDOWN: u64 = 15_000;

/// A breaker. A breaker that is switched off lets everything pass.
pub(crate) struct Breaker {
    enabled: bool,
    clock: Clock,
    /// Whether it is closed and has no failure to remember: then neither leave nor success has anything to look at.
    at_rest: AtomicBool,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// When the last failures were, since the last success; the oldest is overwritten.
    failures: [u64; FAILURES],
    failed: usize,
    cooldown: u64,
}

enum Phase {
    Closed,
    /// Until this time.
    Open(u64),
    HalfOpen,
}

/// Leave to try an operation. Dropped without a word, it says nothing about the shared tier.
#[must_use = "the outcome of the operation is to be reported"]
pub(crate) struct Permit {
    breaker: Arc<Breaker>,
    probe: bool,
}

/// What a breaker says to those who would rather not try themselves.
pub(crate) enum CutOff {
    No,
    Yes,
    /// Operations are cut off, and this one may try.
    Probe(Permit),
}

impl Breaker {
    pub fn new(enabled: bool, clock: Clock) -> Self {
        let state = State { phase: Phase::Closed, failures: [0; FAILURES], failed: 0, cooldown: COOLDOWN };
        Breaker { enabled, clock, at_rest: AtomicBool::new(true), state: Mutex::new(state) }
    }

    /// Leave to try; none while the breaker is open, or another operation probes.
    pub fn permit(self: &Arc<Self>) -> Option<Permit> {
        if self.at_rest.load(Ordering::Relaxed) {
            return Some(Permit { breaker: self.clone(), probe: false });
        }
        let mut state = self.lock();
        let probe = match state.phase {
            Phase::Closed => false,
            Phase::Open(until) if self.clock.now_ms() >= until => {
                state.phase = Phase::HalfOpen;
                true
            }
            Phase::Open(_) | Phase::HalfOpen => return None,
        };
        drop(state);
        Some(Permit { breaker: self.clone(), probe })
    }

    /// Whether operations are cut off now. Where it is time to try whether the shared tier is back, who asks gets leave to
    /// try that, once; others are still cut off meanwhile.
    pub fn look(self: &Arc<Self>) -> CutOff {
        if self.at_rest.load(Ordering::Relaxed) {
            return CutOff::No;
        }
        match self.permit() {
            Some(permit) if permit.probe => CutOff::Probe(permit),
            // Closed, with failures to remember.
            Some(_) => CutOff::No,
            None => CutOff::Yes,
        }
    }

    /// The shared tier has answered.
    pub fn success(&self) {
        if self.at_rest.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        state.phase = Phase::Closed;
        state.failed = 0;
        state.cooldown = COOLDOWN;
        self.at_rest.store(true, Ordering::Relaxed);
    }

    /// A new connection stands. That proves no operation, so the breaker stays open, but a probe need not wait.
    pub fn reconnected(&self) {
        let mut state = self.lock();
        if let Phase::Open(until) = &mut state.phase {
            *until = self.clock.now_ms();
        }
    }

    pub fn state(&self) -> BreakerState {
        match self.lock().phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open(_) => BreakerState::Open,
            Phase::HalfOpen => BreakerState::HalfOpen,
        }
    }

    fn failure(&self, probe: bool) {
        if !self.enabled {
            return;
        }
        let now = self.clock.now_ms();
        let mut state = self.lock();
        self.at_rest.store(false, Ordering::Relaxed);
        match state.phase {
            Phase::Closed => {
                let at = state.failed % FAILURES;
                state.failures[at] = now;
                state.failed += 1;
                // The place of the next failure holds the oldest of the last ones.
                let oldest = state.failures[state.failed % FAILURES];
                if state.failed >= FAILURES && now - oldest <= WINDOW {
                    state.open(now);
                }
            }
            Phase::HalfOpen if probe => {
                state.cooldown = (state.cooldown * 2).min(LONGEST_COOLDOWN);
                state.open(now);
            }
            // Begun before the breaker opened: it is known already.
            Phase::Open(_) | Phase::HalfOpen => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&mut self, now: u64) {
        self.phase = Phase::Open(now + self.cooldown);
        self.failed = 0;
    }
}

impl Permit {
    /// The shared tier has answered.
    pub fn success(mut self) {
        self.probe = false;
        self.breaker.success();
    }

    /// It has not, or not in time.
    pub fn failure(mut self) {
        let probe = std::mem::take(&mut self.probe);
        self.breaker.failure(probe);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.probe {
            // A probe without an outcome: the next operation probes.
            let mut state = self.breaker.lock();
            if matches!(state.phase, Phase::HalfOpen) {
                state.phase = Phase::Open(0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
