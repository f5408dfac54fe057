//! Keys made from arguments, by the rules that all languages share.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use scrubjay_core::ErrorKind;
use scrubjay_core::template::{self, Arg};

use crate::errors::{error, raised, type_name};

/// A parsed template of keys or tags, like "user:{user_id}".
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Template(template::Template);

#[pymethods]
impl Template {
    #[new]
    #[pyo3(signature = (template, is_tag=false))]
    fn new(py: Python<'_>, template: &Bound<'_, PyString>, is_tag: bool) -> PyResult<Self> {
        let text = text(template).map_err(|_| refused(py, "key must be text without lone surrogates"))?;
        let parsed = if is_tag { template::Template::parse_tag(text) } else { template::Template::parse(text) };
        parsed.map(Template).map_err(|error| raised(py, &error))
    }

    /// The names of the placeholders, in order.
    #[getter]
    fn names(&self) -> Vec<&str> {
        self.0.names().collect()
    }

    /// The key for these arguments, by name.
    fn render(&self, py: Python<'_>, arguments: &Bound<'_, PyDict>) -> PyResult<String> {
        let mut values = Vec::new();
        for name in self.0.names() {
            let value = arguments.get_item(name)?;
            values.push(value.map(|value| Argument::new(&value, name)).transpose()?);
        }
        let mut values = values.iter();
        self.0
            .render(|_| values.next().and_then(Option::as_ref).map(Argument::arg))
            .map_err(|error| raised(py, &error))
    }
}

/// An argument as it stands in a key.
enum Argument {
    Str(String),
    Int(String),
    Float(f64),
    Bool(bool),
    Null,
}

impl Argument {
    fn new(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        let py = value.py();
        if value.is_none() {
            return Ok(Argument::Null);
        }
        if let Ok(value) = value.cast::<PyBool>() {
            return Ok(Argument::Bool(value.is_true()));
        }
        if let Ok(value) = value.cast::<PyString>() {
            let text = text(value).map_err(|_| {
                refused(py, &format!("key cannot hold the lone surrogate in the argument {{{name}}}"))
            })?;
            return Ok(Argument::Str(text.to_owned()));
        }
        if value.is_instance_of::<PyInt>() {
            return crate::encode::digits(value).map(Argument::Int);
        }
        if let Ok(value) = value.cast::<PyFloat>() {
            return Ok(Argument::Float(value.value()));
        }
        let message = format!("key cannot hold a {}, the argument {{{name}}}", type_name(value));
        Err(refused(py, &message))
    }

    fn arg(&self) -> Arg<'_> {
        match self {
            Argument::Str(text) => Arg::Str(text),
            Argument::Int(digits) => Arg::Int(digits),
            Argument::Float(value) => Arg::Float(*value),
            Argument::Bool(value) => Arg::Bool(*value),
            Argument::Null => Arg::Null,
        }
    }
}

/// The key of a function and the canonical JSON of its arguments.
#[pyfunction]
pub(crate) fn default_key(name: &str, arguments: &str) -> String {
    template::default_key(name, arguments)
}

fn text<'a>(string: &'a Bound<'_, PyString>) -> Result<&'a str, PyErr> {
    string.to_str()
}

fn refused(py: Python<'_>, message: &str) -> PyErr {
    error(py, ErrorKind::InvalidOption, "cached", message)
}
