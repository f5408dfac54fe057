//! The entries of one `MemoryCache` or memoised function: objects here, what lives there.
//!
//! The core decides what lives. This half holds the objects, and asks the slot table at each hit. Every operation
//! that may run Python code (hashing is done before, comparing is done here) looks again at what it found before.

use std::sync::{Arc, Weak};

use pyo3::ffi;
use pyo3::prelude::*;
use scrubjay_core::host::{self, SlotRef, Slots};

use super::state::{Dead, Next, State, bury, watch};
use crate::errors;
use crate::guarded::Guarded;
use crate::map::{Found, Map, Walk};
use crate::raw;
use crate::sweep::{self, Sweep};

/// The bounds of a store.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) entries: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

/// A value on its way in.
pub(crate) struct Put {
    pub(crate) value: Py<PyAny>,
    pub(crate) size: u64,
    pub(crate) weight: u64,
    pub(crate) ttl_ms: u64,
    pub(crate) expires: Option<Py<PyAny>>,
}

/// An error of Python is set.
pub(crate) struct Raised;

/// What a read came to.
pub(crate) enum Lookup {
    /// The value, a new reference.
    Hit(Py<PyAny>),
    Miss,
    Raised,
}

/// The entry of a key, as long as the version of the map is this one.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    index: Option<u32>,
    version: u64,
}

pub(crate) struct Store {
    pub(super) bounds: Bounds,
    pub(super) me: Weak<Store>,
    state: Guarded<State>,
}

/// The counters of a store.
pub(crate) struct Counters {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) evictions: u64,
    pub(crate) expired: u64,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Store {
    /// # Errors
    /// `InvalidOption` where a bound is outside its limits.
    pub(crate) fn open(py: Python<'_>, bounds: Bounds, seed: u64) -> PyResult<Arc<Self>> {
        let slots = Slots::open(bounds.entries, bounds.bytes).map_err(|error| errors::raised(py, &error))?;
        Ok(Arc::new_cyclic(|me: &Weak<Store>| {
            watch(&slots, me);
            Store { bounds, me: me.clone(), state: Guarded::new(State::new(Map::new(seed), slots)) }
        }))
    }

    /// Reads a value. This is what a hit costs.
    #[inline]
    pub(crate) fn lookup(&self, py: Python<'_>, key: *mut ffi::PyObject, hash: isize) -> Lookup {
        let first = self.state.with(py, |state| {
            if state.is_behind() {
                return None;
            }
            match state.map.find(key, &mut state.map.search(hash)) {
                Found::Entry(index) => Some(state.read(py, index)),
                Found::Nothing => {
                    state.misses += 1;
                    Some(Lookup::Miss)
                }
                Found::Ask(_) => None,
            }
        });
        match first {
            Some(lookup) => lookup,
            None => self.lookup_asking(py, key, hash),
        }
    }

    /// Whether a key is there and lives, where that is seen without Python code.
    #[inline]
    pub(crate) fn contains(&self, py: Python<'_>, key: *mut ffi::PyObject, hash: isize) -> Option<bool> {
        self.state.with(py, |state| {
            if state.is_behind() {
                return None;
            }
            match state.map.find(key, &mut state.map.search(hash)) {
                Found::Entry(index) => Some(state.is_live(index)),
                Found::Nothing => Some(false),
                Found::Ask(_) => None,
            }
        })
    }

    #[inline(never)]
    fn lookup_asking(&self, py: Python<'_>, key: *mut ffi::PyObject, hash: isize) -> Lookup {
        loop {
            let Ok(spot) = self.find(py, key, hash) else { return Lookup::Raised };
            let read = self.state.with(py, |state| {
                (state.map.version() == spot.version).then(|| match spot.index {
                    Some(index) => state.read(py, index),
                    None => {
                        state.misses += 1;
                        Lookup::Miss
                    }
                })
            });
            if let Some(lookup) = read {
                return lookup;
            }
        }
    }

    /// Finds the entry of a key, dead or alive. Compares keys, and so may run Python code.
    pub(crate) fn find(&self, py: Python<'_>, key: *mut ffi::PyObject, hash: isize) -> Result<Spot, Raised> {
        self.settle(py);
        'again: loop {
            let (mut search, version) = self.state.with(py, |state| (state.map.search(hash), state.map.version()));
            loop {
                let next = self.state.with(py, |state| state.next(py, key, &mut search, version));
                match next {
                    Next::Changed => continue 'again,
                    Next::At(index) => return Ok(Spot { index, version }),
                    Next::Ask(index, other) => {
                        if are_equal(other, key)? {
                            match self.state.with(py, |state| state.map.version() == version) {
                                true => return Ok(Spot { index: Some(index), version }),
                                false => continue 'again,
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whether there is a live entry at a spot: its value and when it expires. None when the map has changed.
    pub(crate) fn at(&self, py: Python<'_>, spot: Spot) -> Option<Option<Lives>> {
        self.state.with(py, |state| {
            if state.map.version() != spot.version {
                return None;
            }
            Some(spot.index.filter(|index| state.is_live(*index)).map(|index| {
                let entry = state.map.entry(index);
                let expires = entry.extra.expires.as_ref().map(|expires| expires.clone_ref(py));
                (entry.value.clone_ref(py), expires)
            }))
        })
    }

    /// Stores a value. No slot when it is larger than the bound: then what was there has gone.
    pub(crate) fn put(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        hash: isize,
        put: Put,
    ) -> PyResult<Option<SlotRef>> {
        let mut put = Some(put);
        let mut dead = Vec::new();
        loop {
            let spot = self.find(py, key.as_ptr(), hash).map_err(|_| PyErr::fetch(py))?;
            let stored = self.state.with(py, |state| {
                if state.map.version() != spot.version {
                    return None;
                }
                let put = put.take()?;
                Some(state.put(key, hash, spot.index, put, &mut dead))
            });
            if let Some(stored) = stored {
                discard(py, dead);
                sweep::start(py);
                return Ok(stored);
            }
        }
    }

    /// Removes the entry at a spot: what it was, and whether it was alive. None when the map has changed.
    pub(crate) fn remove(&self, py: Python<'_>, spot: Spot) -> Option<Option<(Dead, bool)>> {
        self.state.with(py, |state| {
            if state.map.version() != spot.version {
                return None;
            }
            Some(spot.index.map(|index| {
                let live = state.is_live(index);
                (state.remove(index), live)
            }))
        })
    }

    /// Removes the entry with exactly this slot.
    pub(crate) fn remove_at(&self, py: Python<'_>, at: SlotRef) -> Option<Dead> {
        self.state.with(py, |state| {
            let entry = state.map.remove_at(at)?;
            state.free(&entry);
            Some(entry)
        })
    }

    /// The slot of the entry that was stored first and lives.
    pub(crate) fn oldest(&self, py: Python<'_>) -> Option<(SlotRef, Option<Py<PyAny>>)> {
        self.settle(py);
        let mut walk = self.walk(py);
        self.state.with(py, |state| state.next_live(&mut walk).map(|index| state.seen(py, index)))
    }

    pub(crate) fn clear(&self, py: Python<'_>) {
        self.settle(py);
        let dead = self.state.with(py, |state| {
            state.slots.clear();
            (state.size, state.earliest) = (0, None);
            state.map.take()
        });
        drop_entries(py, dead);
    }

    /// Removes what is past its time by the clock of the core, or will be so many milliseconds ahead of it.
    pub(crate) fn expire(&self, py: Python<'_>, ahead: i32) -> Vec<Dead> {
        self.settle(py);
        self.state.with(py, |state| state.expire(ahead))
    }

    pub(crate) fn walk(&self, py: Python<'_>) -> Walk {
        self.state.with(py, |state| state.map.walk())
    }

    /// The next live entry of a walk: key, value, and when it expires.
    pub(crate) fn step(&self, py: Python<'_>, walk: &mut Walk) -> Option<Seen> {
        self.state.with(py, |state| {
            let index = state.next_live(walk)?;
            let left_ms = state.left_ms(index);
            let entry = state.map.entry(index);
            Some(Seen {
                key: entry.key.clone_ref(py),
                value: entry.value.clone_ref(py),
                expires: entry.extra.expires.as_ref().map(|expires| expires.clone_ref(py)),
                left_ms,
            })
        })
    }

    pub(crate) fn len(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.map.len())
    }

    pub(crate) fn size(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |state| state.size)
    }

    /// Hits and misses are counted here, all else by the core.
    pub(crate) fn counters(&self, py: Python<'_>) -> Counters {
        self.settle(py);
        self.state.with(py, |state| {
            let core = state.slots.stats();
            Counters {
                hits: state.hits,
                misses: state.misses,
                evictions: core.evictions,
                expired: core.expired,
                entries: state.map.len() as u64,
                bytes: core.bytes,
            }
        })
    }

    /// Counts a read whose answer was found otherwise.
    pub(crate) fn note(&self, py: Python<'_>, hit: bool) {
        self.state.with(py, |state| {
            state.hits += u64::from(hit);
            state.misses += u64::from(!hit);
        });
    }

    /// Whether the entry with exactly this slot is there.
    pub(crate) fn has(&self, py: Python<'_>, at: SlotRef) -> bool {
        self.state.with(py, |state| state.map.has(at))
    }

    pub(crate) fn reset_counters(&self, py: Python<'_>) {
        self.state.with(py, |state| (state.hits, state.misses) = (0, 0));
    }

    /// Drops what has gone, and takes the entries along into a forked process.
    pub(crate) fn settle(&self, py: Python<'_>) {
        let mut dead = Vec::new();
        self.state.with(py, |state| {
            if state.is_behind() {
                state.catch_up(self, &mut dead);
            }
        });
        discard(py, dead);
    }

    /// For the garbage collector.
    pub(crate) fn traverse(
        &self,
        mut visit: impl FnMut(&Py<PyAny>) -> Result<(), pyo3::PyTraverseError>,
    ) -> Result<(), pyo3::PyTraverseError> {
        let visited = self.state.try_with(|state| {
            for entry in state.map.iter() {
                visit(&entry.key)?;
                visit(&entry.value)?;
                entry.extra.expires.as_ref().map_or(Ok(()), &mut visit)?;
            }
            Ok(())
        });
        visited.unwrap_or(Ok(()))
    }

    /// For the garbage collector: everything, to be dropped.
    pub(crate) fn take(&self) -> Vec<Option<Dead>> {
        let taken = self.state.try_with(|state| {
            if state.generation == host::fork_generation() {
                state.slots.clear();
            }
            state.size = 0;
            state.map.take()
        });
        taken.unwrap_or_default()
    }
}

/// A live value, and when it expires by a timer of the user.
pub(crate) type Lives = (Py<PyAny>, Option<Py<PyAny>>);

/// What a walk shows.
pub(crate) struct Seen {
    pub(crate) key: Py<PyAny>,
    pub(crate) value: Py<PyAny>,
    pub(crate) expires: Option<Py<PyAny>>,
    /// What is left of its time by the clock of the core.
    pub(crate) left_ms: u64,
}

impl Sweep for Store {
    fn sweep(&self, py: Python<'_>, gone: &mut Vec<Py<PyAny>>) -> bool {
        let mut dead = Vec::new();
        let more = self.state.with(py, |state| {
            if state.is_behind() {
                state.catch_up(self, &mut dead);
            }
            state.table.has_gone()
        });
        gone.append(&mut dead);
        more
    }
}

/// Compares a key of the map with that of a call. Runs Python code: nothing here has a destructor meanwhile.
fn are_equal(mine: Py<PyAny>, key: *mut ffi::PyObject) -> Result<bool, Raised> {
    let mine = mine.into_ptr();
    // SAFETY: the thread is attached; both are live objects: one is owned, the other borrowed from the arguments.
    let equal = unsafe {
        let equal = raw::is_equal(mine, key);
        ffi::Py_DECREF(mine);
        equal
    };
    if equal < 0 { Err(Raised) } else { Ok(equal == 1) }
}

/// Drops whole entries. Runs Python code where a `__del__` does.
pub(crate) fn drop_entries(py: Python<'_>, entries: Vec<Option<Dead>>) {
    let mut dead = Vec::new();
    entries.into_iter().flatten().for_each(|entry| bury(entry, &mut dead));
    discard(py, dead);
}

/// Drops objects. Runs Python code where a `__del__` does.
pub(crate) fn discard(py: Python<'_>, dead: Vec<Py<PyAny>>) {
    for object in dead {
        object.drop_ref(py);
    }
}
