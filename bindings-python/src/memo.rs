//! Decoded copies of what lies in the memory tier: the hits of `CacheService` are answered from here.
//!
//! The core grants a copy with a hit, and says by the slot table how long it is good. Keys are text or bytes, of
//! exactly these types: to compare them runs no code of the user.

use std::sync::{Arc, Weak};

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use scrubjay_core::host::{self, Answer, Copy, Language, SlotRef, Step};

use crate::guarded::Guarded;
use crate::map::{Entry, Found, Map};
use crate::seed::seed;
use crate::slot_table::{SlotTable, has_come};
use crate::sweep::{self, Sweep};
use crate::weight;

/// A cache of the core, and the copies of its values.
pub(crate) struct Opened {
    pub(crate) core: host::Cache,
    me: Weak<Opened>,
    copies: Guarded<Copies>,
}

struct Copies {
    map: Map<()>,
    /// None where no copies are granted.
    table: Option<SlotTable>,
    /// The table is of one process.
    generation: u32,
    /// Hits that the core has not been told of.
    hits: u64,
    gone: Vec<SlotRef>,
}

impl Opened {
    pub(crate) fn new(core: host::Cache) -> Arc<Self> {
        core.keep_copies(Language::Python);
        Arc::new_cyclic(|me: &Weak<Opened>| {
            watch(&core, me);
            let copies = Copies {
                map: Map::new(seed()),
                table: table(&core),
                generation: host::fork_generation(),
                hits: 0,
                gone: Vec::new(),
            };
            Opened { core, me: me.clone(), copies: Guarded::new(copies) }
        })
    }

    /// The value of a key, where there is a copy of it.
    ///
    /// # Safety
    /// The key is a live object.
    #[inline]
    pub(crate) unsafe fn held(&self, py: Python<'_>, key: *mut ffi::PyObject) -> Option<Py<PyAny>> {
        // SAFETY: the key lives, as the caller says; types that are exactly those of CPython hash without Python code.
        let hash = unsafe {
            if !is_text_or_bytes(key) {
                return None;
            }
            ffi::PyObject_Hash(key)
        };
        // Before the generation is read, and with no lock held: see there.
        let now = self.core.now();
        let held = self.copies.with(py, |copies| {
            if copies.is_behind() {
                return Err(());
            }
            let Some(index) = copies.find(key, hash) else { return Ok(None) };
            let entry = copies.map.entry(index);
            let Some(table) = &copies.table else { return Ok(None) };
            if !table.holds(entry.at) || has_come(entry.until, now) {
                return Ok(None);
            }
            table.visit(entry.at);
            let value = entry.value.clone_ref(py);
            copies.hits += 1;
            Ok(Some(value))
        });
        held.unwrap_or_else(|()| {
            self.settle(py);
            None
        })
    }

    /// The value of a key, where there is a copy of it.
    pub(crate) fn copy_of<'py>(&self, key: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: the key is a bound object.
        unsafe { self.held(key.py(), key.as_ptr()) }.map(|value| value.into_bound(key.py()))
    }

    /// Keeps a decoded value for which the core has given leave.
    pub(crate) fn keep(&self, key: &Bound<'_, PyAny>, copy: Copy, value: &Bound<'_, PyAny>) {
        let py = key.py();
        // SAFETY: the key is a bound object.
        let hash = unsafe {
            if !is_text_or_bytes(key.as_ptr()) {
                return;
            }
            ffi::PyObject_Hash(key.as_ptr())
        };
        self.settle(py);
        let dead = self.copies.with(py, |copies| copies.keep(key, hash, copy, value));
        drop_entries(py, dead);
        sweep::start(py);
    }

    /// Keeps the copies that a call on many keys was given leave for. `values` are in the order of the keys.
    pub(crate) fn keep_many(&self, keys: &[Bound<'_, PyAny>], copies: &[Option<Copy>], values: &Bound<'_, PyAny>) {
        if let Ok(values) = values.cast::<pyo3::types::PyList>() {
            for ((key, copy), value) in keys.iter().zip(copies).zip(values) {
                if let Some(copy) = copy
                    && !crate::answer::is_signal(&value)
                {
                    self.keep(key, *copy, &value);
                }
            }
        }
    }

    /// Tells the core of the hits that it has not seen.
    pub(crate) fn note_hits(&self, py: Python<'_>) {
        let hits = self.copies.with(py, |copies| std::mem::take(&mut copies.hits));
        if hits > 0 {
            self.core.note_hits(hits);
        }
    }

    /// Drops what has gone, and in a forked child everything.
    pub(crate) fn settle(&self, py: Python<'_>) {
        let mut dead = Vec::new();
        self.copies.with(py, |copies| copies.catch_up(self, &mut dead));
        drop_entries(py, dead);
    }

    /// Drops every copy.
    pub(crate) fn drop_copies(&self, py: Python<'_>) {
        let dead = self.copies.with(py, |copies| copies.map.take());
        drop_entries(py, dead.into_iter().flatten().collect());
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let visited = self.copies.try_with(|copies| {
            copies.map.iter().try_for_each(|entry| {
                visit.call(&entry.key)?;
                visit.call(&entry.value)
            })
        });
        visited.unwrap_or(Ok(()))
    }
}

impl Sweep for Opened {
    fn sweep(&self, py: Python<'_>, gone: &mut Vec<Py<PyAny>>) -> bool {
        let mut dead = Vec::new();
        let more = self.copies.with(py, |copies| {
            copies.catch_up(self, &mut dead);
            copies.is_behind()
        });
        gone.extend(dead.into_iter().flat_map(|entry| [entry.key, entry.value]));
        more
    }
}

impl Copies {
    #[inline]
    fn is_behind(&self) -> bool {
        self.generation != host::fork_generation() || self.table.as_ref().is_some_and(SlotTable::has_gone)
    }

    #[inline]
    fn find(&self, key: *mut ffi::PyObject, hash: isize) -> Option<u32> {
        let mut search = self.map.search(hash);
        loop {
            match self.map.find(key, &mut search) {
                Found::Entry(index) => return Some(index),
                Found::Nothing => return None,
                Found::Ask(index) if are_equal(self.map.entry(index).key.as_ptr(), key) => return Some(index),
                Found::Ask(_) => {}
            }
        }
    }

    fn keep(
        &mut self,
        key: &Bound<'_, PyAny>,
        hash: isize,
        copy: Copy,
        value: &Bound<'_, PyAny>,
    ) -> Vec<Entry<()>> {
        let mut dead = Vec::new();
        if let Some(index) = self.find(key.as_ptr(), hash) {
            dead.push(self.map.remove(index));
        }
        dead.extend(self.map.remove_former(copy.at.slot, None));
        let value = value.clone().unbind();
        self.map.insert(hash, key.clone().unbind(), value, copy.at, copy.until, ());
        // What died between the grant and now was reported before it was here.
        if self.table.as_ref().is_none_or(|table| !table.holds(copy.at)) {
            dead.extend(self.map.remove_at(copy.at));
        }
        dead
    }

    fn catch_up(&mut self, opened: &Opened, dead: &mut Vec<Entry<()>>) {
        if self.generation != host::fork_generation() {
            dead.extend(self.map.take().into_iter().flatten());
            watch(&opened.core, &opened.me);
            self.table = table(&opened.core);
            self.generation = host::fork_generation();
        }
        if self.is_behind() {
            let mut gone = std::mem::take(&mut self.gone);
            opened.core.drain_copies(sweep::BATCH, &mut gone);
            dead.extend(gone.drain(..).filter_map(|at| self.map.remove_at(at)));
            self.gone = gone;
        }
    }
}

/// The copy that an answer gives leave to keep, if its value is not too heavy for that.
pub(crate) fn granted_by(answer: &Answer) -> Option<Copy> {
    match answer {
        Answer::Hit { value, copy, lease: None } => copy.filter(|_| weight::is_light(value)),
        _ => None,
    }
}

/// The same of a call that may be answered.
pub(crate) fn granted(step: &Step) -> Option<Copy> {
    match step {
        Step::Ready(answer) => granted_by(answer),
        Step::Pending => None,
    }
}

/// The same of a call on many keys.
pub(crate) fn granted_many(step: &Step) -> Vec<Option<Copy>> {
    match step {
        Step::Ready(Answer::Many(answers)) => answers.iter().map(granted_by).collect(),
        _ => Vec::new(),
    }
}

fn table(core: &host::Cache) -> Option<SlotTable> {
    // SAFETY: the cache lives as long as the copies, and in a child of a fork another table takes its place.
    core.table().map(|table| unsafe { SlotTable::new(table) })
}

fn watch(core: &host::Cache, opened: &Weak<Opened>) {
    let opened = opened.clone();
    core.on_gone(move || sweep::wake(opened.clone()));
}

/// Whether an object is exactly a `str` or a `bytes`.
///
/// # Safety
/// The object is live.
#[inline]
unsafe fn is_text_or_bytes(object: *mut ffi::PyObject) -> bool {
    // SAFETY: as the caller says; the types are those of CPython.
    unsafe {
        let class = ffi::Py_TYPE(object);
        class == &raw mut ffi::PyUnicode_Type || class == &raw mut ffi::PyBytes_Type
    }
}

/// Compares two keys of which each is exactly a `str` or a `bytes`: that runs no Python code and cannot fail.
fn are_equal(mine: *mut ffi::PyObject, other: *mut ffi::PyObject) -> bool {
    // SAFETY: both are live objects: one is an entry's, the other an argument of the caller. Text is never compared
    // with bytes, which Python may warn of.
    unsafe {
        ffi::Py_TYPE(mine) == ffi::Py_TYPE(other) && ffi::PyObject_RichCompareBool(mine, other, ffi::Py_EQ) == 1
    }
}

fn drop_entries(py: Python<'_>, dead: Vec<Entry<()>>) {
    for entry in dead {
        entry.key.drop_ref(py);
        entry.value.drop_ref(py);
    }
}
