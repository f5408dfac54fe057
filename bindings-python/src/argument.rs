//! Default keys: the name of a function, and what it was called with.
//!
//! Only exact built-in types are read here: looking into anything else may run code of the user, which no frame of ours may
//! lie below. `_argument.py` turns the rest into `Typed`.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};
use scrubjay_core::template::{Arg, Named};

use crate::errors::raised;
use crate::template::refused;

/// The deepest nesting of an argument.
const MAX_DEPTH: usize = 64;

/// A value of a type that the core does not know: the name of the type, and what tells its values apart.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Typed {
    name: String,
    value: Py<PyAny>,
}

#[pymethods]
impl Typed {
    #[new]
    fn new(name: String, value: Py<PyAny>) -> Self {
        Typed { name, value }
    }
}

/// The default keys of a function.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct CallKeys(Named);

#[pymethods]
impl CallKeys {
    #[new]
    fn new(py: Python<'_>, name: &str) -> PyResult<Self> {
        Named::new(name).map(CallKeys).map_err(|error| raised(py, &error))
    }

    /// The key of a call; None where an argument is not of a type that is known here.
    fn key(&self, arguments: &Bound<'_, PyTuple>, named: &Bound<'_, PyDict>) -> PyResult<Option<String>> {
        let mut positional = Vec::with_capacity(arguments.len());
        for argument in arguments.iter_borrowed() {
            let Some(argument) = read(&argument, 0)? else { return Ok(None) };
            positional.push(argument);
        }
        let mut others = Vec::with_capacity(named.len());
        for (name, value) in named.iter() {
            let Some(value) = read(&value, 0)? else { return Ok(None) };
            let name = name.cast::<PyString>()?.to_str().map_err(|_| surrogate(named.py()))?.to_owned();
            others.push((name, value));
        }
        Ok(Some(self.0.key(&positional, &others)))
    }
}

fn surrogate(py: Python<'_>) -> PyErr {
    refused(py, "key must be given: an argument has text with a lone surrogate")
}

/// None for what is not of an exact built-in type.
fn read(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Option<Arg>> {
    let py = value.py();
    if depth > MAX_DEPTH {
        let message = format!("key must be given: an argument is nested deeper than {MAX_DEPTH} levels");
        return Err(refused(py, &message));
    }
    let all = |items: &mut dyn Iterator<Item = Bound<'_, PyAny>>| -> PyResult<Option<Vec<Arg>>> {
        items.map(|item| read(&item, depth + 1)).collect()
    };
    Ok(if value.is_none() {
        Some(Arg::Null)
    } else if let Ok(value) = value.cast_exact::<PyBool>() {
        Some(Arg::Bool(value.is_true()))
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        Some(Arg::Str(text.to_str().map_err(|_| surrogate(py))?.to_owned()))
    } else if value.is_exact_instance_of::<PyInt>() {
        Some(match value.extract::<i64>() {
            Ok(small) => Arg::Int(small.into()),
            Err(_) => {
                let digits = crate::encode::digits(value);
                Arg::integer(
                    digits.map_err(|_| refused(py, "key must be given: an argument has too many digits"))?,
                )
            }
        })
    } else if let Ok(value) = value.cast_exact::<PyFloat>() {
        Some(Arg::Float(value.value()))
    } else if let Ok(value) = value.cast_exact::<PyBytes>() {
        Some(Arg::Bytes(value.as_bytes().to_vec()))
    } else if let Ok(items) = value.cast_exact::<PyList>() {
        all(&mut items.iter())?.map(Arg::List)
    } else if let Ok(items) = value.cast_exact::<PyTuple>() {
        all(&mut items.iter())?.map(Arg::Tuple)
    } else if let Ok(items) = value.cast_exact::<PySet>() {
        all(&mut items.iter())?.map(Arg::Set)
    } else if let Ok(entries) = value.cast_exact::<PyDict>() {
        let mut pairs = Vec::with_capacity(entries.len());
        for (key, value) in entries.iter() {
            let (Some(key), Some(value)) = (read(&key, depth + 1)?, read(&value, depth + 1)?) else {
                return Ok(None);
            };
            pairs.push((key, value));
        }
        Some(Arg::Map(pairs))
    } else if let Ok(typed) = value.cast_exact::<Typed>() {
        let typed = typed.get();
        read(typed.value.bind(py), depth + 1)?.map(|value| Arg::Typed(typed.name.clone(), Box::new(value)))
    } else {
        None
    })
}
