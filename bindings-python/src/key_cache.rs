//! Names of fields, shared by all decoded values: most values have the same few.
//!
//! Without it each decoded object would hold text of its own for every name, 60 bytes each.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::guarded::Guarded;

/// Longer names are no names of fields.
const LONGEST: usize = 64;
const PLACES: usize = 1024;

type Places = [Option<Py<PyString>>; PLACES];

static CACHE: LazyLock<(Guarded<Box<Places>>, RandomState)> =
    LazyLock::new(|| (Guarded::new(Box::new([const { None }; PLACES])), RandomState::new()));

/// The text of a name.
pub(crate) fn name<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyString> {
    if text.len() > LONGEST {
        return PyString::new(py, text);
    }
    let (cache, hasher) = &*CACHE;
    let place = hasher.hash_one(text) as usize % PLACES;
    let known = cache.with(py, |places| places[place].as_ref().map(|name| name.clone_ref(py)));
    if let Some(known) = known.map(|known| known.into_bound(py))
        && known.to_str().is_ok_and(|known| known == text)
    {
        return known;
    }
    let fresh = PyString::new(py, text);
    let former = cache.with(py, |places| places[place].replace(fresh.clone().unbind()));
    drop(former);
    fresh
}
