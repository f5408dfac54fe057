//! Writes of a write-behind, as JavaScript sees them: arrays, in the order of the fields of the core.

use scrubjay_core::host::{DrainReport, Write, WriteKind, Writes};

use crate::answer::payload;
use crate::js::{Js, Value};

/// `[number, process, sequence, key, kind, value, attempt, enqueuedMs, error]` of each: `key` a `Buffer`, `kind` 1 to 3 (set,
/// delete, delta), `value` as that of a hit, `undefined` for a delete.
pub fn list(js: Js, writes: Writes) -> Value {
    let writes: Vec<Value> = writes.into_items().into_iter().map(|write| one(js, write)).collect();
    js.array(&writes)
}

/// One of them.
pub fn one(js: Js, write: Write) -> Value {
    let deletes = write.kind == WriteKind::Delete;
    js.array(&[
        number(js, write.number),
        number(js, write.process),
        number(js, write.sequence),
        js.buffer(write.key).unwrap_or_else(|| js.undefined()),
        js.int(write.kind as i32),
        if deletes { js.undefined() } else { payload(js, write.value) },
        number(js, write.attempt.into()),
        number(js, write.enqueued_ms),
        js.string(&write.error),
    ])
}

/// `[written, left, dead]`
pub fn report(js: Js, report: DrainReport) -> Value {
    js.array(&[number(js, report.written), number(js, report.left), number(js, report.dead)])
}

/// A number below 2^53.
#[expect(clippy::cast_precision_loss, reason = "numbers of writes, processes and times are below 2^53")]
pub fn number(js: Js, number: u64) -> Value {
    js.number(number as f64)
}
