//! Walking over a `MemoryCache`.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::cache::Memory;
use crate::guarded::Guarded;
use crate::map;

/// What a walk shows of each entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    Keys,
    Values,
    Items,
    /// Key, value, and the seconds left, or when it expires by the timer of the cache.
    Lives,
}

/// An iterator over the entries that were there when it was made, and still live when it comes to them. It lasts
/// whatever happens to the cache meanwhile.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct MemoryIterator {
    cache: Py<Memory>,
    walk: Guarded<map::Walk>,
    shows: Shows,
}

impl MemoryIterator {
    pub(super) fn new(cache: Bound<'_, Memory>, shows: Shows) -> PyResult<Self> {
        let walk = Guarded::new(cache.get().opened(cache.py(), "iter")?.store.walk(cache.py()));
        Ok(MemoryIterator { cache: cache.unbind(), walk, shows })
    }
}

#[pymethods]
impl MemoryIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let opened = self.cache.get().opened(py, "iter")?;
        loop {
            let Some(seen) = self.walk.with(py, |walk| opened.store.step(py, walk)) else { return Ok(None) };
            if let (Some(timer), Some(expires)) = (&opened.timer, &seen.expires)
                && !timer.now(py)?.lt(expires)?
            {
                continue;
            }
            let (key, value) = (seen.key.into_bound(py), seen.value.into_bound(py));
            return Ok(Some(match self.shows {
                Shows::Keys => key,
                Shows::Values => value,
                Shows::Items => PyTuple::new(py, [key, value])?.into_any(),
                Shows::Lives => {
                    let left = seen.left_ms as f64 / 1000.0;
                    let life = seen.expires.map_or_else(
                        || left.into_pyobject(py).map(Bound::into_any),
                        |expires| Ok(expires.into_bound(py)),
                    )?;
                    PyTuple::new(py, [key, value, life])?.into_any()
                }
            }));
        }
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.cache)
    }
}
