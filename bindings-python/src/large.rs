//! Large bytes on their way to an event loop: copied piece by piece, so that the loop has its turns in between.
//!
//! Bytes of Python lie inside of their object, so they are copied once, out of the memory that they came in.

use bytes::Bytes;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Values of more bytes than this are copied in pieces of so many.
pub(crate) const PIECE: usize = 256 << 10;

/// Bytes that are being copied for a future.
pub(crate) struct Copying {
    pub(crate) future: Py<PyAny>,
    made: Py<PyBytes>,
    from: Bytes,
    at: usize,
}

impl Copying {
    /// Begins to copy; nothing is copied yet, and nobody else sees the object before all is.
    pub(crate) fn begin(py: Python<'_>, from: Bytes, future: Py<PyAny>) -> PyResult<Self> {
        let length = from.len().cast_signed();
        // SAFETY: without a source the object is made with its bytes as they are; the result is checked.
        let made =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), length)) }?;
        Ok(Copying { future, made: made.cast_into::<PyBytes>()?.unbind(), from, at: 0 })
    }

    /// Copies a piece. Whether all is copied.
    pub(crate) fn step(&mut self) -> bool {
        let piece = self.from.len().min(self.at + PIECE) - self.at;
        // SAFETY: the object has as many bytes as the source, and no reference to it but ours, so that nobody reads or
        // shares what is not written yet. Its bytes stay where they are.
        unsafe {
            let to = ffi::PyBytes_AsString(self.made.as_ptr()).cast::<u8>().add(self.at);
            std::ptr::copy_nonoverlapping(self.from.as_ptr().add(self.at), to, piece);
        }
        self.at += piece;
        self.at == self.from.len()
    }

    /// The future, and its result. All was copied.
    pub(crate) fn end(self) -> (Py<PyAny>, Py<PyBytes>) {
        (self.future, self.made)
    }
}
