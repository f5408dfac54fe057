//! How an event loop waits: one queue for each loop, whose descriptor the loop watches.
//!
//! When that is readable the loop drives the connections itself, so a reply of the server wakes this thread and none of
//! the core before it; what is asked for by those who got an answer leaves as one write.
//!
//! A call that is answered at once touches no future. Otherwise its token stands for a future here, and the
//! loop's own thread sets the results of a whole batch at one wake. A call is made on that thread too, so its
//! future is in its place before anything can be delivered.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;
use scrubjay_core::host::{self, Answer, Completion, Queue, Step};
use scrubjay_core::{Codec, Result};

use crate::large::{self, Copying};
use crate::{answer, blocking, errors, exit, sweep};

/// At most this many answers are delivered before the loop gets on with other things,
const BATCH: usize = 256;
/// and at most for so long, or one.
const TURN: Duration = Duration::from_millis(1);

/// The completion queue of one event loop.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct LoopQueue {
    queue: Arc<Queue>,
    generation: u32,
    owner: u64,
    next: AtomicU64,
    waiters: Mutex<HashMap<u64, Waiter>>,
    /// Answers that a thread took from the queue for a loop that cannot watch a descriptor.
    taken: Mutex<Vec<Completion>>,
    /// Large bytes that have come, and are not objects yet.
    copying: Mutex<VecDeque<Copying>>,
}

/// Who waits for a token.
struct Waiter {
    cache: host::Cache,
    future: Py<PyAny>,
    /// The futures of the keys of a call on many.
    keys: Vec<Py<PyAny>>,
}

impl LoopQueue {
    fn waiters(&self) -> MutexGuard<'_, HashMap<u64, Waiter>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Completion>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copying(&self) -> MutexGuard<'_, VecDeque<Copying>> {
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with large bytes until the turn is over.
    fn copy(&self, py: Python<'_>, begun: Instant) {
        // A loop that watches nothing cannot be asked to come again.
        let watched = self.queue.fd().is_some();
        loop {
            let Some(mut first) = self.copying().pop_front() else { return };
            if first.step() {
                let (future, made) = first.end();
                set_result(future.bind(py), made.bind(py));
            } else {
                self.copying().push_front(first);
            }
            if watched && begun.elapsed() > TURN {
                break;
            }
        }
        if !self.copying().is_empty() {
            self.queue.rouse();
        }
    }

    /// The loop's name for the core: who runs a fetch.
    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    fn is_of_this_process(&self) -> bool {
        self.generation == host::fork_generation()
    }

    fn hand_out(&self, py: Python<'_>, completion: Completion) -> PyResult<()> {
        let Some(waiter) = self.waiters().remove(&completion.token) else {
            // Its caller has gone: a lead goes back with it.
            return Ok(());
        };
        let result = match completion.answer {
            Answer::Hit { value, lease: None, .. } | Answer::Stale { value, lease: None }
                if value.codec == Codec::Raw && value.bytes.len() > large::PIECE && waiter.keys.is_empty() =>
            {
                let copying = Copying::begin(py, value.bytes, waiter.future)?;
                self.copying().push_back(copying);
                return Ok(());
            }
            Answer::Many(answers) => {
                let futures = waiter.keys.iter().map(|future| future.clone_ref(py)).collect();
                self.many(py, &waiter.cache, completion.token, answers, futures)?
            }
            answer => {
                for index in 0..waiter.keys.len() {
                    drop(self.waiters().remove(&(completion.token + 1 + index as u64)));
                }
                answer::object(py, &waiter.cache, answer)?
            }
        };
        set_result(waiter.future.bind(py), &result);
        Ok(())
    }

    /// The answers of many keys; those that are still to come as [`Pending`]. `futures` are those of the keys,
    /// whose tokens follow that of the call; none where keys have no tokens of their own.
    fn many<'py>(
        &self,
        py: Python<'py>,
        cache: &host::Cache,
        token: u64,
        answers: Vec<Answer>,
        futures: Vec<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut futures = futures.into_iter();
        let objects = PyList::empty(py);
        for (token, answer) in (token + 1..).zip(answers) {
            let future = futures.next();
            let object = match (answer, future) {
                (Answer::Waiting, Some(future)) => Pending::object(py, token, 0, future)?,
                (answer, Some(_)) => {
                    drop(self.waiters().remove(&token));
                    answer::object(py, cache, answer)?
                }
                // The number after ours is the token of another call.
                (answer, None) => answer::object(py, cache, answer)?,
            };
            objects.append(object)?;
        }
        Ok(objects.into_any())
    }
}

#[pymethods]
impl LoopQueue {
    /// A queue with a descriptor to watch, or one for a thread that blocks in `take`.
    #[new]
    fn new(watched: bool) -> PyResult<Self> {
        static OWNERS: AtomicU64 = AtomicU64::new(1);
        let queue = if watched { Queue::looping(false)? } else { Queue::new() };
        let owner = OWNERS.fetch_add(1, Ordering::Relaxed);
        sweep::enrol(owner, &queue);
        Ok(LoopQueue {
            queue,
            generation: host::fork_generation(),
            owner,
            next: AtomicU64::new(1),
            waiters: Mutex::default(),
            taken: Mutex::default(),
            copying: Mutex::default(),
        })
    }

    /// The descriptor that is readable while answers are there.
    fn fileno(&self) -> PyResult<i32> {
        self.queue.fd().ok_or_else(|| PyRuntimeError::new_err("this queue has no descriptor"))
    }

    /// Delivers what is there. Called on the thread of the loop. What it returns is what has left the caches: the
    /// loop drops it, with no frame of ours below.
    fn deliver(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        if !self.is_of_this_process() {
            return Ok(Vec::new());
        }
        let begun = Instant::now();
        let mut batch = std::mem::take(&mut *self.taken());
        self.queue.drive(BATCH, &mut batch);
        let mut batch = batch.into_iter();
        let mut outcome = Ok(());
        while let Some(completion) = batch.next() {
            // One answer that cannot be made an object must not keep the others from their callers.
            outcome = outcome.and(self.hand_out(py, completion));
            if begun.elapsed() > TURN && batch.len() > 0 {
                self.queue.give_back(batch);
                break;
            }
        }
        self.copy(py, begun);
        let gone = sweep::taken_by_loop(py, self.owner);
        outcome.map(|()| gone)
    }

    /// Blocks until answers are there, for a later `deliver`. False when the queue was closed.
    fn take(&self, py: Python<'_>) -> bool {
        let mut batch = Vec::new();
        py.detach(|| {
            self.queue.wait(BATCH, None, &mut batch);
            exit::stay_if_over(false);
        });
        self.taken().append(&mut batch);
        !self.queue.is_closed()
    }

    /// Ends the queue: nobody waits any more.
    fn close(&self) {
        if self.is_of_this_process() {
            self.queue.close();
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        // Nothing is locked while Python code can run, so the collector finds it free.
        if let Ok(waiters) = self.waiters.try_lock() {
            for waiter in waiters.values() {
                visit.call(&waiter.future)?;
                waiter.keys.iter().try_for_each(|future| visit.call(future))?;
            }
        }
        if let Ok(copying) = self.copying.try_lock() {
            copying.iter().try_for_each(|copying| visit.call(&copying.future))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let waiters = std::mem::take(&mut *self.waiters());
        let copying = std::mem::take(&mut *self.copying());
        drop((waiters, copying));
    }
}

impl Drop for LoopQueue {
    fn drop(&mut self) {
        if self.is_of_this_process() {
            self.queue.close();
        } else {
            // In a forked child: the parent's locks may be held by threads that do not exist here.
            std::mem::forget(self.queue.clone());
            std::mem::forget(std::mem::take(self.taken.get_mut().unwrap_or_else(PoisonError::into_inner)));
        }
    }
}

/// A future that was cancelled just now takes none; neither does one whose loop was closed.
fn set_result(future: &Bound<'_, PyAny>, result: &Bound<'_, PyAny>) {
    let _ = future.call_method1(intern!(future.py(), "set_result"), (result,));
}

/// An answer that is still to come.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Pending {
    token: u64,
    /// So many keys of the call have tokens of their own, after this one.
    keys: u64,
    future: Py<PyAny>,
}

impl Pending {
    fn object(py: Python<'_>, token: u64, keys: u64, future: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
        Ok(Bound::new(py, Pending { token, keys, future })?.into_any())
    }
}

#[pymethods]
impl Pending {
    /// The future of the answer. Its result is a value, a turn, a receipt, a signal, a list of such, or
    /// a failure that is to be raised; it never fails itself.
    #[getter]
    fn future(&self, py: Python<'_>) -> Py<PyAny> {
        self.future.clone_ref(py)
    }

    /// Nobody waits any more. Called on the thread of the loop, or of nobody when the loop has ended; a lead
    /// that was delivered goes back with the result of its future.
    fn withdraw(&self, py: Python<'_>) -> PyResult<()> {
        let event_loop = self.future.bind(py).call_method0("get_loop")?;
        let Ok(attached) = event_loop.getattr(intern!(py, "_scrubjay_queue")) else { return Ok(()) };
        let queue = attached.cast_into::<LoopQueue>()?;
        let queue = queue.get();
        for token in self.token..=self.token + self.keys {
            drop(queue.waiters().remove(&token));
            if queue.is_of_this_process() {
                queue.queue.cancel(token);
            }
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.future)
    }
}

/// Makes a call on the running loop. Its answer, or a [`Pending`].
///
/// # Errors
/// The error of the call, and `RuntimeError` where no loop runs.
pub(crate) fn call<'py>(
    py: Python<'py>,
    cache: &host::Cache,
    keys: usize,
    start: impl FnOnce(&LoopQueue, &Arc<Queue>, u64) -> Result<Step>,
) -> PyResult<Bound<'py, PyAny>> {
    if exit::is_over() {
        let main = blocking::is_main(py)?;
        py.detach(|| exit::stay_if_over(main));
    }
    let event_loop = running_loop(py)?.ok_or_else(|| PyRuntimeError::new_err("no running event loop"))?;
    let attached = attached(py, &event_loop)?;
    let own = attached.get();
    let token = own.next.fetch_add(1 + keys as u64, Ordering::Relaxed);
    let new_future = || event_loop.call_method0(intern!(py, "create_future")).map(Bound::unbind);
    let wait_for = |token: u64, future: &Py<PyAny>, keys: Vec<Py<PyAny>>| {
        let waiter = Waiter { cache: cache.clone(), future: future.clone_ref(py), keys };
        drop(own.waiters().insert(token, waiter));
    };
    match start(own, &own.queue, token) {
        Ok(Step::Ready(Answer::Many(answers))) => {
            let mut futures = Vec::new();
            for (token, answer) in (token + 1..=token + keys as u64).zip(&answers) {
                let waits = matches!(answer, Answer::Waiting);
                let future = if waits { new_future()? } else { py.None() };
                if waits {
                    wait_for(token, &future, Vec::new());
                }
                futures.push(future);
            }
            own.many(py, cache, token, answers, futures)
        }
        Ok(Step::Ready(answer)) => answer::object_or_raise(py, cache, answer),
        Ok(Step::Pending) => {
            let mut futures = Vec::new();
            for token in token + 1..=token + keys as u64 {
                let future = new_future()?;
                wait_for(token, &future, Vec::new());
                futures.push(future);
            }
            let future = new_future()?;
            wait_for(token, &future, futures);
            Pending::object(py, token, keys as u64, future)
        }
        Err(error) => Err(errors::raised(py, &error)),
    }
}

/// The owner of the loop that runs in this thread, 0 where none does, or none that waits for a cache.
pub(crate) fn owner_in_this_thread(py: Python<'_>) -> PyResult<u64> {
    let Some(event_loop) = running_loop(py)? else { return Ok(0) };
    let attached = event_loop.getattr(intern!(py, "_scrubjay_queue"));
    let queue = attached.ok().and_then(|attached| attached.cast_into::<LoopQueue>().ok());
    Ok(queue.map_or(0, |queue| queue.get().owner()))
}

fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let running = RUNNING.import(py, "asyncio", "_get_running_loop")?;
    let event_loop = running.call0()?;
    Ok((!event_loop.is_none()).then_some(event_loop))
}

/// The queue of a loop, made at its first call. It lives in an attribute of the loop, and goes with it.
fn attached<'py>(py: Python<'py>, event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, LoopQueue>> {
    static ATTACH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if let Ok(attached) = event_loop.getattr(intern!(py, "_scrubjay_queue"))
        && let Ok(queue) = attached.cast_into::<LoopQueue>()
        && queue.get().is_of_this_process()
        && !queue.get().queue.is_closed()
    {
        return Ok(queue);
    }
    let attach = ATTACH.import(py, "scrubjay._loop", "attach")?;
    Ok(attach.call1((event_loop,))?.cast_into::<LoopQueue>()?)
}
