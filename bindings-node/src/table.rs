//! A slot table of the core as an `ArrayBuffer`: JavaScript looks into it at every hit, and writes the counts of hits.

use scrubjay_core::host::Table;

use crate::js::{Js, Value};

/// As much of a table as JavaScript sees: every index into it is then a small whole number of V8, and no version of
/// Node that we run on has a lower bound for buffers. Of slots beyond it nothing is kept.
const WINDOW: usize = 1 << 31;

/// The table that `owner` was asked for; the owner lives as long as the buffer does.
pub fn table(js: Js, owner: impl Send + 'static, table: &Table) -> Option<Value> {
    // SAFETY: the table consists of atomics, made for hosts to write to, and stays as long as the object it was asked of.
    unsafe { js.window(owner, table.base, table.bytes.min(WINDOW)) }
}
