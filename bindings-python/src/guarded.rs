//! State behind a Python object.
//!
//! With the GIL it is a cell: whoever has a `Python` token is alone. Without one it is a mutex. In both worlds
//! the rule of its users is the same: nothing inside of `with` may run Python code, so nothing in there drops an
//! object, compares two or allocates one. What is to be dropped is moved out first.

use pyo3::prelude::*;

#[cfg(Py_GIL_DISABLED)]
type Cell<T> = std::sync::Mutex<T>;
#[cfg(not(Py_GIL_DISABLED))]
type Cell<T> = std::cell::RefCell<T>;

/// State that one thread at a time looks at.
pub(crate) struct Guarded<T>(Cell<T>);

#[cfg(not(Py_GIL_DISABLED))]
// SAFETY: every access but `try_with` takes a `Python` token, and holds it until the access is over: it does not
// run Python code and cannot let the GIL go. `try_with` is for the collector, which runs with the GIL held. So no
// two threads are inside of the cell at once; and one thread cannot be twice, for a `RefCell` refuses that.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub(crate) fn new(state: T) -> Self {
        Guarded(Cell::new(state))
    }

    /// Looks at the state. `look` runs no Python code.
    #[inline]
    pub(crate) fn with<R>(&self, _py: Python<'_>, look: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(Py_GIL_DISABLED)]
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        #[cfg(not(Py_GIL_DISABLED))]
        let mut state = self.0.borrow_mut();
        look(&mut state)
    }

    /// Looks at the state on behalf of the garbage collector, which passes by where somebody is inside.
    pub(crate) fn try_with<R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        #[cfg(Py_GIL_DISABLED)]
        let state = self.0.try_lock().ok();
        #[cfg(not(Py_GIL_DISABLED))]
        let state = self.0.try_borrow_mut().ok();
        state.map(|mut state| look(&mut state))
    }
}
