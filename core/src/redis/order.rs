//! Operations begin in the order in which they were asked for.
//!
//! Two writes of a key must leave in the order in which memory got them. A scheduler promises no such thing: tokio
//! now and then prefers what comes from outside to what it has taken in already. So each operation takes its first
//! step here, one after the other; that step brings it to the turnstile of the connection, which keeps the order.
//! Then it goes on as a task of its own.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;
use tokio::task::{unconstrained, yield_now};

use crate::host::process;

/// First steps in a row, before other tasks are let in.
const IN_A_ROW: usize = 32;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Work that has not begun.
pub(super) struct Order {
    state: Mutex<State>,
    /// Notified when all has begun.
    quiet: Arc<Notify>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    /// Work that is in its first step, or waits for it.
    open: usize,
    running: bool,
}

impl Order {
    pub fn new(quiet: Arc<Notify>) -> Self {
        Order { state: Mutex::default(), quiet }
    }

    /// Begins `work` after all that was begun before.
    pub fn begin(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.lock();
        state.waiting.push_back(Box::pin(work));
        state.open += 1;
        if !state.running {
            state.running = true;
            process().runtime().spawn(run(self.clone()));
        }
    }

    /// How many have not taken their first step.
    pub fn open(&self) -> usize {
        self.lock().open
    }

    fn next(&self, first: bool) -> Option<Work> {
        let mut state = self.lock();
        if !first {
            state.open -= 1;
        }
        let next = state.waiting.pop_front();
        state.running = next.is_some();
        let all_begun = state.open == 0;
        drop(state);
        if all_begun {
            self.quiet.notify_waiters();
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(order: Arc<Order>) {
    let mut taken = 0;
    while let Some(mut work) = order.next(taken == 0) {
        // The scheduler's budget must not end a first step before it has done anything.
        let step = unconstrained(poll_fn(|cx| {
            // A panic ends the one that panicked, as it would in a task of its own.
            let done = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx).is_ready()));
            Poll::Ready(done.unwrap_or(true))
        }));
        if !step.await {
            tokio::spawn(work);
        }
        taken += 1;
        if taken % IN_A_ROW == 0 {
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn first_steps_are_in_order_however_many_there_are() {
        let order = Arc::new(Order::new(Arc::default()));
        let begun = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = std::sync::mpsc::channel();
        for n in 0..5000 {
            let (begun, sender) = (begun.clone(), sender.clone());
            order.begin(async move {
                let place = begun.fetch_add(1, Ordering::SeqCst);
                yield_now().await;
                sender.send(place == n).expect("the test waits");
            });
        }
        drop(sender);
        assert!(receiver.iter().all(|in_order| in_order));
        assert_eq!((begun.load(Ordering::SeqCst), order.open()), (5000, 0));
    }

    #[test]
    fn a_panic_does_not_hold_up_what_comes_after() {
        let order = Arc::new(Order::new(Arc::default()));
        let (sender, receiver) = std::sync::mpsc::channel();
        order.begin(async { panic!("in its first step") });
        order.begin(async move { sender.send(()).expect("the test waits") });
        receiver.recv().expect("it ran");
    }
}
