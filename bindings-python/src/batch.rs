//! A blocked caller's answers that are still to come, of a call on many keys.

use std::sync::Arc;

use pyo3::prelude::*;
use scrubjay_core::host::{self, Answer, Queue};

use crate::answer;
use crate::blocking;

/// The keys of one call that others are loading. Dropping it, or closing it, takes them all back.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Batch {
    cache: host::Cache,
    queue: Arc<Queue>,
    generation: u32,
    main: bool,
}

/// The token of a call on many keys; that of its i-th key is `TOKEN + 1 + i`.
pub(crate) const TOKEN: u64 = 1;

impl Batch {
    pub(crate) fn new(py: Python<'_>, cache: &host::Cache) -> PyResult<Self> {
        Ok(Batch {
            cache: cache.clone(),
            queue: Queue::new(),
            generation: host::fork_generation(),
            main: blocking::is_main(py)?,
        })
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Waits for the answer of the call itself; those of keys that come before it are kept.
    pub(crate) fn first(&self, py: Python<'_>, early: &mut Vec<(u64, Answer)>) -> PyResult<Answer> {
        loop {
            let completion = blocking::wait(py, &self.queue, self.main)?;
            if completion.token == TOKEN {
                return Ok(completion.answer);
            }
            early.push((completion.token - TOKEN - 1, completion.answer));
        }
    }
}

#[pymethods]
impl Batch {
    /// Waits for the next key: its index, and its answer.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<(u64, Bound<'py, PyAny>)> {
        let completion = blocking::wait(py, &self.queue, self.main)?;
        Ok((completion.token - TOKEN - 1, answer::object(py, &self.cache, completion.answer)?))
    }

    /// Takes back what has not come.
    fn close(&self) {
        if self.generation == host::fork_generation() {
            self.queue.close();
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.generation == host::fork_generation() {
            self.queue.close();
        } else {
            std::mem::forget(self.queue.clone());
        }
    }
}
