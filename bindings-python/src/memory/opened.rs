//! A `MemoryCache` with its options: what the methods of the class are made of.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyFloat, PyInt};
use scrubjay_core::ErrorKind;

use super::cache::Memory;
use super::state::Dead;
use super::store::{Bounds, Lookup, Put, Store, drop_entries};
use super::timer::{NEVER_MS, Timer};
use crate::args;
use crate::errors::{error, type_name};
use crate::seed::seed;

/// The most entries that a core takes as a bound: as good as none.
pub(super) const MOST_ENTRIES: u64 = 1 << 32;
/// The largest bound in other units.
const MOST_BYTES: u64 = 1 << 46;
/// What an entry costs beside its key and value, in bytes: the entry here, its places in the indices, its slot.
const OVERHEAD: u64 = 120;

/// A cache with its options.
pub(crate) struct Opened {
    pub(super) store: Arc<Store>,
    pub(super) timer: Option<Timer>,
    pub(super) maxsize: Py<PyAny>,
    pub(super) max_bytes: Option<u64>,
    pub(super) ttl: Py<PyAny>,
    ttl_ms: u64,
    pub(super) sizes: Sizes,
    /// What is larger is refused.
    largest: u64,
}

/// What an entry counts.
pub(super) enum Sizes {
    /// One.
    One,
    /// One; and it weighs what Python says of key and value.
    Estimated,
    /// What this callable says of its value.
    Of(Py<PyAny>),
    /// What the method of a subclass says of its value.
    Method,
}

type Pairs<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>;

impl Opened {
    /// # Errors
    /// `InvalidOption` naming the argument and its limit.
    pub(super) fn new(
        slf: &Bound<'_, Memory>,
        maxsize: Bound<'_, PyAny>,
        ttl: Bound<'_, PyAny>,
        timer: Option<Bound<'_, PyAny>>,
        getsizeof: Option<Bound<'_, PyAny>>,
        max_bytes: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = slf.py();
        let refused = |message: String| error(py, ErrorKind::InvalidOption, "open", &message);
        for (name, callable) in [("timer", &timer), ("getsizeof", &getsizeof)] {
            if let Some(object) = callable
                && !object.is_callable()
            {
                return Err(refused(format!("{name} must be callable, is {}", type_name(object))));
            }
        }
        // Reading the clock of the default by its name is no reason not to read a faster one.
        let timer = timer.filter(|timer| default_timer(py).map_or(true, |default| !timer.is(&default)));
        let ttl_ms = match &timer {
            None => args::ttl_ms("open", &ttl)?,
            Some(_) => {
                check_timer_ttl("open", &ttl)?;
                NEVER_MS
            }
        };
        let most = |name: &str, object: &Bound<'_, PyAny>, most: u64| {
            bound(object, most).ok_or_else(|| {
                let shown = object.repr().map_or_else(|_| type_name(object), |repr| repr.to_string());
                refused(format!("{name} must be a number from 0 to {most}, or None, is {shown}"))
            })
        };
        let method = !slf.get_type().is(py.get_type::<Memory>())
            && !slf
                .get_type()
                .getattr(intern!(py, "getsizeof"))?
                .is(&py.get_type::<Memory>().getattr(intern!(py, "getsizeof"))?);
        let weighs = getsizeof.is_some() || method;
        let count = match (maxsize.is_none(), weighs) {
            (true, true) => {
                return Err(refused(
                    "maxsize must be given with getsizeof: it is the bound of the sizes".to_owned(),
                ));
            }
            (true, false) => None,
            (false, true) => Some(most("maxsize", &maxsize, MOST_BYTES)?),
            (false, false) => Some(most("maxsize", &maxsize, MOST_ENTRIES)?),
        };
        let bytes = max_bytes.as_ref().map(|bytes| most("max_bytes", bytes, MOST_BYTES)).transpose()?;
        if weighs && bytes.is_some() {
            return Err(refused(
                "max_bytes must not be given with getsizeof: sizes have one bound, maxsize".to_owned(),
            ));
        }
        let sizes = match getsizeof {
            Some(callable) => Sizes::Of(callable.unbind()),
            None if method => Sizes::Method,
            None if count.is_none() || bytes.is_some() => Sizes::Estimated,
            None => Sizes::One,
        };
        // A bound of nothing is one that refuses everything: no value gets as far as the core.
        let at_least_one = |bound: u64| bound.max(1);
        let bounds = if weighs {
            Bounds { entries: None, bytes: count.map(at_least_one) }
        } else {
            Bounds { entries: count.map(at_least_one), bytes: bytes.map(at_least_one) }
        };
        let largest = match (weighs, count, bytes) {
            (true, Some(count), _) => count,
            (false, Some(0), _) => 0,
            (_, _, Some(bytes)) => bytes,
            _ => u64::MAX,
        };
        Ok(Opened {
            store: Store::open(py, bounds, seed())?,
            timer: timer.map(|timer| Timer::new(timer.unbind())),
            maxsize: maxsize.unbind(),
            max_bytes: bytes,
            ttl: ttl.unbind(),
            ttl_ms,
            sizes,
            largest,
        })
    }

    /// The live value of a key. Counted as a hit or a miss.
    pub(super) fn read<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let hash = key.hash()?;
        if self.timer.is_some() {
            let found = self.peek(key, hash)?;
            self.store.note(py, found.is_some());
            return Ok(found);
        }
        match self.store.lookup(py, key.as_ptr(), hash) {
            Lookup::Hit(value) => Ok(Some(value.into_bound(py))),
            Lookup::Miss => Ok(None),
            Lookup::Raised => Err(PyErr::fetch(py)),
        }
    }

    /// The live value of a key; nothing is counted.
    pub(super) fn peek<'py>(&self, key: &Bound<'py, PyAny>, hash: isize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        loop {
            let spot = self.store.find(py, key.as_ptr(), hash).map_err(|_| PyErr::fetch(py))?;
            let Some(found) = self.store.at(py, spot) else { continue };
            let Some((value, expires)) = found else { return Ok(None) };
            let value = value.into_bound(py);
            return Ok(self.is_before(py, expires)?.then_some(value));
        }
    }

    /// Whether the timer, where there is one, is before the end of an entry.
    pub(super) fn is_before(&self, py: Python<'_>, expires: Option<Py<PyAny>>) -> PyResult<bool> {
        match (&self.timer, expires) {
            (Some(timer), Some(expires)) => timer.now(py)?.lt(expires.into_bound(py)),
            _ => Ok(true),
        }
    }

    /// Removes a key. What its entry was, if it was alive.
    pub(super) fn remove<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let hash = key.hash()?;
        loop {
            let spot = self.store.find(py, key.as_ptr(), hash).map_err(|_| PyErr::fetch(py))?;
            let Some(removed) = self.store.remove(py, spot) else { continue };
            let Some((entry, live)) = removed else { return Ok(None) };
            let Dead { key, value, extra, .. } = entry;
            key.drop_ref(py);
            let value = value.into_bound(py);
            return Ok((live && self.is_before(py, extra.expires)?).then_some(value));
        }
    }

    /// Removes a key whose entry is alive, and returns its value. One that has expired stays for `expire` to return.
    pub(super) fn take<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let hash = key.hash()?;
        loop {
            let spot = self.store.find(py, key.as_ptr(), hash).map_err(|_| PyErr::fetch(py))?;
            let Some(found) = self.store.at(py, spot) else { continue };
            let Some((value, expires)) = found else { return Ok(None) };
            let value = value.into_bound(py);
            if !self.is_before(py, expires)? {
                return Ok(None);
            }
            let Some(removed) = self.store.remove(py, spot) else { continue };
            drop_entries(py, vec![removed.map(|(entry, _)| entry)]);
            return Ok(Some(value));
        }
    }

    pub(super) fn expire<'py>(&self, py: Python<'py>, now: Option<&Bound<'py, PyAny>>) -> PyResult<Pairs<'py>> {
        if let Some(timer) = &self.timer {
            let now = now.map_or_else(|| timer.now(py), |now| Ok(now.clone()))?;
            return timer.expire(&self.store, &now);
        }
        // Another time is given as that of the clock which `timer` names.
        let ahead = now.map_or(Ok(0.0), |now| {
            let current: f64 = default_timer(py)?.call0()?.extract()?;
            now.extract::<f64>().map(|given| (given - current) * 1000.0)
        })?;
        let expired = self.store.expire(py, ahead as i32);
        Ok(expired.into_iter().map(|entry| (entry.key.into_bound(py), entry.value.into_bound(py))).collect())
    }

    /// What a value counts, and weighs for the core.
    pub(super) fn size(
        &self,
        slf: &Bound<'_, Memory>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<(u64, u64)> {
        let size = match &self.sizes {
            Sizes::One => return Ok((1, 1)),
            Sizes::Estimated => {
                return Ok((1, estimate(key)?.saturating_add(estimate(value)?).saturating_add(OVERHEAD)));
            }
            Sizes::Of(callable) => callable.bind(slf.py()).call1((value,))?,
            Sizes::Method => slf.call_method1(intern!(slf.py(), "getsizeof"), (value,))?,
        };
        let counted = if let Ok(float) = size.cast::<PyFloat>() {
            Some(float.value()).filter(|size| *size >= 0.0 && size.fract() == 0.0).map(|size| size as u64)
        } else {
            size.extract::<u64>().ok()
        };
        counted.map(|size| (size, size)).ok_or_else(|| {
            let shown = size.repr().map_or_else(|_| type_name(&size), |repr| repr.to_string());
            let message = format!("getsizeof must return a whole number from 0 up, returned {shown}");
            error(slf.py(), ErrorKind::InvalidValue, "set", &message)
        })
    }

    pub(super) fn store(
        &self,
        slf: &Bound<'_, Memory>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let expires = match &self.timer {
            Some(timer) => {
                let now = timer.now(py)?;
                timer.expire(&self.store, &now)?;
                let ttl = ttl.unwrap_or_else(|| self.ttl.bind(py));
                check_timer_ttl("set", ttl)?;
                Some(now.add(ttl)?.unbind())
            }
            None => None,
        };
        let ttl_ms = match ttl {
            Some(ttl) if self.timer.is_none() => args::ttl_ms("set", ttl)?,
            _ => self.ttl_ms,
        };
        self.put(slf, key, value, ttl_ms, expires, ttl.is_some())
    }

    /// Stores a value whose end is known.
    pub(super) fn put(
        &self,
        slf: &Bound<'_, Memory>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl_ms: u64,
        expires: Option<Py<PyAny>>,
        own_ttl: bool,
    ) -> PyResult<()> {
        let py = slf.py();
        let hash = key.hash()?;
        let (size, weight) = self.size(slf, key, value)?;
        let too_large = |weight: u64| {
            let message = format!("value too large: it counts {weight}, and the cache holds {}", self.largest);
            error(py, ErrorKind::InvalidValue, "set", &message)
        };
        if weight > self.largest {
            return Err(too_large(weight));
        }
        let noted = expires.as_ref().map(|expires| expires.clone_ref(py));
        let put = Put { value: value.clone().unbind(), size, weight, ttl_ms, expires };
        let Some(at) = self.store.put(py, key, hash, put)? else { return Err(too_large(weight)) };
        if let (Some(timer), Some(expires)) = (&self.timer, noted) {
            timer.note(py, at, expires, own_ttl, &self.store);
        }
        Ok(())
    }
}

/// What `time.monotonic` tells, as cachetools has it.
pub(super) fn default_timer(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static MONOTONIC: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    MONOTONIC.import(py, "time", "monotonic").cloned()
}

/// What an object takes, as Python knows it: what it refers to is not counted.
fn estimate(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    static SIZE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    SIZE.import(object.py(), "sys", "getsizeof")?.call1((object,))?.extract()
}

/// A bound as a number; an endless one is the largest that there is.
fn bound(object: &Bound<'_, PyAny>, most: u64) -> Option<u64> {
    if object.is_instance_of::<PyBool>() {
        return None;
    }
    if let Ok(float) = object.cast::<PyFloat>() {
        let float = float.value();
        return match float {
            f64::INFINITY => Some(most),
            float if float >= 0.0 && float.fract() == 0.0 && float <= most as f64 => Some(float as u64),
            _ => None,
        };
    }
    object.is_instance_of::<PyInt>().then(|| object.extract::<u64>().ok()).flatten().filter(|bound| *bound <= most)
}

/// With a timer, a ttl is whatever can be added to a time; as a number it cannot be nothing.
fn check_timer_ttl(operation: &str, ttl: &Bound<'_, PyAny>) -> PyResult<()> {
    match args::seconds(ttl)? {
        Some(seconds) if seconds.is_nan() || seconds <= 0.0 => {
            let message = format!("ttl must be more than 0, is {seconds}");
            Err(error(ttl.py(), ErrorKind::InvalidOption, operation, &message))
        }
        _ => Ok(()),
    }
}
