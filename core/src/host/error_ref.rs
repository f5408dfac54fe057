//! Names for error objects that stay in the host.
//!
//! Waiters of the same runtime get the leader's own error object. The core never sees it: the host keeps it in
//! a table under a number, and the core says when no completion can mention that number any more.

use std::sync::Arc;

use super::process::process;

/// The number of one error object; the last clone that goes away releases it.
#[derive(Clone)]
pub struct ErrorRef(Arc<Inner>);

struct Inner {
    id: u64,
}

impl ErrorRef {
    /// A reference to the host's error object `id`; none for 0.
    pub(crate) fn new(id: u64) -> Option<Self> {
        (id != 0).then(|| ErrorRef(Arc::new(Inner { id })))
    }

    /// The host's number.
    pub fn id(&self) -> u64 {
        self.0.id
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        process().release_error(self.id);
    }
}

/// Appends the numbers of the error objects that no completion can mention any more.
pub fn take_released_errors(out: &mut Vec<u64>) {
    process().take_released_errors(out);
}
