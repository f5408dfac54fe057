//! No panic crosses into C.

use std::panic::{AssertUnwindSafe, catch_unwind};

use scrubjay_core::{Error, ErrorKind};

/// What `work` returns, or `otherwise` when it panics.
pub(crate) fn guarded<R>(otherwise: R, work: impl FnOnce() -> R) -> R {
    // Unwind safety: what is shared behind the handles is the core's, which is consistent after a panic; the rest
    // is dropped here.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise)
}

/// A panic as an error.
pub(crate) fn defect(operation: &'static str) -> Error {
    Error::new(ErrorKind::Internal, operation, "the library panicked; please report it")
}

/// What `work` returns, or the panic as an error.
pub(crate) fn attempt<R>(operation: &'static str, work: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(defect(operation)))
}
