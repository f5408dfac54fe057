//! Keys made from arguments, by the rules that all languages share.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};
use scrubjay_core::ErrorKind;
use scrubjay_core::template::{self, Arg, First, Part};

use crate::errors::{error, raised, type_name};

/// A parsed template of keys or tags, like "user:{user_id}".
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Template(template::Template);

#[pymethods]
impl Template {
    #[new]
    #[pyo3(signature = (template, is_tag=false))]
    fn new(py: Python<'_>, template: &Bound<'_, PyString>, is_tag: bool) -> PyResult<Self> {
        let text = template.to_str().map_err(|_| refused(py, "key must be text without lone surrogates"))?;
        let parsed = if is_tag { template::Template::parse_tag(text) } else { template::Template::parse(text) };
        parsed.map(Template).map_err(|error| raised(py, &error))
    }

    /// For each placeholder, in order, its text and the way to its value: an argument by its position or by its name, then
    /// fields by their names and elements by their positions.
    #[getter]
    fn paths<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let paths = PyList::empty(py);
        for path in self.0.paths() {
            let way = PyList::empty(py);
            match &path.first {
                First::Position(position) => way.append(*position)?,
                First::Name(name) => way.append(name)?,
            }
            for part in &path.rest {
                match part {
                    Part::Index(index) => way.append(*index)?,
                    Part::Field(name) => way.append(name)?,
                }
            }
            paths.append((&path.text, way.to_tuple()))?;
        }
        Ok(paths)
    }

    /// The key for these values, one for each placeholder.
    fn render(&self, py: Python<'_>, values: &Bound<'_, PyTuple>) -> PyResult<String> {
        let arguments: PyResult<Vec<Arg>> =
            self.0.paths().zip(values.iter()).map(|(path, value)| read(&value, &path.text)).collect();
        let mut arguments = arguments?.into_iter();
        self.0.render(|_| arguments.next()).map_err(|error| raised(py, &error))
    }
}

/// A value as it stands in a key.
fn read(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Arg> {
    let py = value.py();
    if value.is_none() {
        return Ok(Arg::Null);
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Arg::Bool(value.is_true()));
    }
    if let Ok(value) = value.cast::<PyString>() {
        let text = value
            .to_str()
            .map_err(|_| refused(py, &format!("key cannot hold the lone surrogate in the argument {{{name}}}")))?;
        return Ok(Arg::Str(text.to_owned()));
    }
    if value.is_instance_of::<PyInt>() {
        return crate::encode::digits(value).map(Arg::integer);
    }
    if let Ok(value) = value.cast::<PyFloat>() {
        return Ok(Arg::Float(value.value()));
    }
    if let Ok(value) = value.cast::<PyBytes>() {
        return Ok(Arg::Bytes(value.as_bytes().to_vec()));
    }
    let message = format!("key cannot hold a {}, the argument {{{name}}}", type_name(value));
    Err(refused(py, &message))
}

pub(crate) fn refused(py: Python<'_>, message: &str) -> PyErr {
    error(py, ErrorKind::InvalidOption, "cached", message)
}
