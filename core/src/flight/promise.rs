//! One answer for a Rust caller: a future on the caller's own executor.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::sink::{Reply, Sink};
use crate::error::Result;
use crate::host::Answer;
use crate::sync::{Arc, Mutex, lock};

/// Waits for one answer. Dropping it tells the sink that the caller has left; an undelivered lead is then
/// abandoned.
pub(crate) struct Promise(Arc<Slot>);

#[derive(Default)]
struct Slot {
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    answer: Option<Answer>,
    waker: Option<Waker>,
    left: bool,
}

impl Future for Promise {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut state = lock(&self.0.state);
        match state.answer.take() {
            Some(answer) => {
                state.left = true;
                Poll::Ready(answer)
            }
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let undelivered = {
            let mut state = lock(&self.0.state);
            state.left = true;
            state.waker = None;
            state.answer.take()
        };
        // A lead inside runs into the flight table: not under our lock.
        drop(undelivered);
    }
}

impl Sink for Slot {
    fn finish(&self, answer: Answer) -> std::result::Result<(), Answer> {
        let waker = {
            let mut state = lock(&self.state);
            if state.left {
                return Err(answer);
            }
            state.answer = Some(answer);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    fn is_live(&self) -> bool {
        let state = lock(&self.state);
        !state.left && state.answer.is_none()
    }
}

/// Makes the promises of one call.
#[derive(Default)]
pub(crate) struct PromiseReply {
    call: RefCell<Option<Promise>>,
    keys: RefCell<Vec<(usize, Promise)>>,
}

impl PromiseReply {
    /// The promise of the call itself, if it was made pending.
    pub fn take(&self) -> Option<Promise> {
        self.call.take()
    }

    /// The promises of single keys of a call on many, with their indices.
    pub fn take_keys(&self) -> Vec<(usize, Promise)> {
        self.keys.take()
    }
}

impl Reply for PromiseReply {
    fn sink(&self, _operation: &'static str, index: Option<usize>) -> Result<Arc<dyn Sink>> {
        let slot = Arc::new(Slot::default());
        let promise = Promise(slot.clone());
        match index {
            None => drop(self.call.replace(Some(promise))),
            Some(index) => self.keys.borrow_mut().push((index, promise)),
        }
        Ok(slot)
    }
}
