//! Errors on their way to JavaScript.

use scrubjay_core::{Error, ErrorKind};

use crate::answer::FAILED;
use crate::js::{Arguments, Js, Value};

/// `[FAILED, number, name, operation, message, retryable, error_ref]`.
pub fn failure(js: Js, error: &Error) -> Value {
    describe(js, error.kind(), error.operation(), &error.message(), error.host_ref())
}

/// The error of a check that does not know in which operation it is made.
pub fn failure_in(js: Js, operation: &str, error: &Error) -> Value {
    describe(js, error.kind(), operation, &error.message(), error.host_ref())
}

/// An error that the binding itself found: an argument of a type that the core never sees.
pub fn refuse(js: Js, kind: ErrorKind, operation: &str, message: &str) -> Value {
    describe(js, kind, operation, message, 0)
}

#[expect(clippy::cast_precision_loss, reason = "references are below 2^53: errors.rs")]
fn describe(js: Js, kind: ErrorKind, operation: &str, message: &str, error_ref: u64) -> Value {
    js.array(&[
        js.int(FAILED),
        js.int(kind.code()),
        js.string(kind.name()),
        js.string(operation),
        js.string(message),
        js.boolean(kind.retryable()),
        js.number(error_ref as f64),
    ])
}

/// `kinds()` → `[[number, name, retryable], …]`: every kind there is.
pub fn kinds(js: Js, _: Arguments) -> Value {
    let kinds: Vec<Value> = ErrorKind::ALL
        .iter()
        .map(|kind| js.array(&[js.int(kind.code()), js.string(kind.name()), js.boolean(kind.retryable())]))
        .collect();
    js.array(&kinds)
}
