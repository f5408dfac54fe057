//! The bell of an event loop: a descriptor that is written to once, however often it is rung.
//!
//! The lost wake to avoid: who takes the mark back before the signal lets somebody ring in between, and takes that signal
//! too. The mark stays, so nobody ever signals again. So the signal goes first; who rings before the mark has gone as well
//! is seen by the look that follows.

#[cfg(not(feature = "shuttle"))]
use std::sync::atomic::AtomicBool;

#[cfg(feature = "shuttle")]
use shuttle::sync::atomic::AtomicBool;

use super::wake::EventFd;
use crate::sync::Ordering;
use crate::wire::Bell;

/// Something that stays signalled until it is cleared.
pub(super) trait Signal: Send + Sync {
    fn signal(&self);
    fn clear(&self);
}

impl Signal for EventFd {
    fn signal(&self) {
        self.signal();
    }

    fn clear(&self) {
        self.clear();
    }
}

/// The bell.
pub(crate) struct LoopBell<S = EventFd> {
    pub(super) signal: S,
    rung: AtomicBool,
}

impl<S: Signal> LoopBell<S> {
    pub(super) fn new(signal: S) -> Self {
        LoopBell { signal, rung: AtomicBool::new(false) }
    }

    /// Wakes the loop, if it was not woken since it last listened.
    pub(super) fn sound(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.signal.signal();
        }
    }

    /// The loop is awake, and looks at everything that it may have been woken for after this.
    pub(super) fn listen(&self) {
        self.signal.clear();
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl Bell for LoopBell {
    fn ring(&self) {
        self.sound();
    }

    fn is_of_loop(&self) -> bool {
        true
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod model {
    use shuttle::sync::atomic::AtomicUsize;
    use shuttle::sync::{Arc, Condvar, Mutex};
    use shuttle::thread;

    use super::*;

    const RINGERS: usize = 2;
    const RINGS: usize = 3;
    const SCHEDULES: usize = 5_000;

    #[derive(Default)]
    struct Signalled {
        is: Mutex<bool>,
        changed: Condvar,
    }

    impl Signal for Arc<Signalled> {
        fn signal(&self) {
            *self.is.lock().expect("no panic") = true;
            self.changed.notify_one();
        }

        fn clear(&self) {
            *self.is.lock().expect("no panic") = false;
        }
    }

    /// Each ring is for something new; a loop that sleeps on though something is there stands still, which shuttle finds.
    fn everything_is_seen(flag_first: bool) {
        let signalled = Arc::new(Signalled::default());
        let bell = Arc::new(LoopBell::new(signalled.clone()));
        let there = Arc::new(AtomicUsize::new(0));
        let ringers: Vec<_> = (0..RINGERS)
            .map(|_| {
                let (bell, there) = (bell.clone(), there.clone());
                thread::spawn(move || {
                    for _ in 0..RINGS {
                        there.fetch_add(1, Ordering::AcqRel);
                        bell.sound();
                    }
                })
            })
            .collect();
        let mut seen = 0;
        while seen < RINGERS * RINGS {
            let mut is = signalled.is.lock().expect("no panic");
            while !*is {
                is = signalled.changed.wait(is).expect("no panic");
            }
            drop(is);
            if flag_first {
                bell.rung.swap(false, Ordering::AcqRel);
                bell.signal.clear();
            } else {
                bell.listen();
            }
            seen += there.swap(0, Ordering::AcqRel);
        }
        ringers.into_iter().for_each(|ringer| ringer.join().expect("no panic"));
    }

    #[test]
    fn model_no_ring_is_lost() {
        shuttle::check_random(|| everything_is_seen(false), SCHEDULES);
    }

    #[test]
    fn model_a_mark_that_goes_first_is_found() {
        let checked = std::panic::catch_unwind(|| shuttle::check_random(|| everything_is_seen(true), SCHEDULES));
        assert!(checked.is_err());
    }
}
