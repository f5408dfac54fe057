//! What a step expects, compared with what came.

use std::collections::HashMap;

use scrubjay::{Error, ErrorKind, Receipt};

use crate::json::Json;
use crate::runner::Runner;
use crate::step::Step;
use crate::value::Value;

/// The error of a fetch, as a program would have its own.
#[derive(Debug)]
pub struct OriginError(pub String);

impl std::fmt::Display for OriginError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OriginError {}

/// The kind of an error as the corpus names it: the error of our own fetch is `FetchFailed`, and an error of the cache
/// that a fetch passed on stays what it is.
pub fn kind_of(error: &Error) -> ErrorKind {
    if let Error::Fetch(source) = error
        && let Some(inner) = source.downcast_ref::<Error>()
    {
        return kind_of(inner);
    }
    error.kind()
}

/// Checks an operation that failed: that it was to, and how.
pub fn failed(step: &Step, kind: ErrorKind, message: &str) -> Result<(), String> {
    match &step.expect_error {
        None => Err(message.to_owned()),
        Some(expected) if expected != kind.name() => {
            Err(format!("{expected} was expected, not {kind}: {message}"))
        }
        Some(_) => match step.expect_names.iter().find(|name| !message.contains(name.as_str())) {
            Some(name) => Err(format!("{name:?} is not in the message: {message}")),
            None => Ok(()),
        },
    }
}

pub fn error(step: &Step, error: &Error) -> Result<(), String> {
    failed(step, kind_of(error), &error.to_string())
}

/// Checks an operation that succeeded: that it was to.
pub fn no_error(step: &Step) -> Result<(), String> {
    match &step.expect_error {
        Some(expected) => Err(format!("{expected} was expected, nothing went wrong")),
        None => Ok(()),
    }
}

pub fn receipt(runner: &Runner, step: &Step, result: Result<Receipt, Error>) -> Result<(), String> {
    match result {
        Err(found) => error(step, &found),
        Ok(receipt) => {
            no_error(step)?;
            if let Some(name) = &step.remember {
                runner.tokens.lock().expect("no panic under it").insert(name.clone(), receipt.token);
            }
            match step.expect_pending {
                Some(pending) if pending != receipt.pending => Err(format!("pending is {}", receipt.pending)),
                _ => Ok(()),
            }
        }
    }
}

pub fn value(step: &Step, found: &Value) -> Result<(), String> {
    no_error(step)?;
    let Some(expected) = &step.expect else { return Ok(()) };
    let expected = Value::build(expected)?;
    if expected == *found { Ok(()) } else { Err(format!("expected {expected}, got {found}")) }
}

/// Compares a map with the pairs expected: these keys, no others.
pub fn entries(step: &Step, found: &HashMap<String, Value>) -> Result<(), String> {
    let Some(expected) = &step.expect else { return Ok(()) };
    let pairs: Vec<(Json, Json)> = serde_json::from_str(expected.text()).map_err(|error| error.to_string())?;
    let expected = build_entries(&pairs)?;
    if expected == *found { Ok(()) } else { Err(format!("expected {expected:?}, got {found:?}")) }
}

pub fn build_entries(pairs: &[(Json, Json)]) -> Result<HashMap<String, Value>, String> {
    pairs.iter().map(|(key, value)| Ok((Value::text_key(key)?, Value::build(value)?))).collect()
}
