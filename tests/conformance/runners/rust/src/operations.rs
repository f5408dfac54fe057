//! The operations of the corpus that load nothing.

use std::collections::BTreeMap;

use scrubjay::CacheService;

use crate::expect;
use crate::fetch;
use crate::json::Json;
use crate::runner::{Ended, Runner, set_options};
use crate::step::Step;
use crate::value::Value;

pub async fn run(runner: &Runner, cache: &CacheService, step: &Step) -> Ended {
    match step.op.as_str() {
        "get" => get(cache, step).await,
        "set" => {
            let value = Value::build(step.value.as_ref().ok_or("there is no value")?)?;
            expect::receipt(runner, step, cache.set(&key(step)?, &value, set_options(step)?).await)
        }
        "delete" => expect::receipt(runner, step, cache.delete(&key(step)?).await),
        "clear" => expect::receipt(runner, step, cache.clear().await),
        "invalidate_tags" => expect::receipt(runner, step, cache.invalidate_tags(&step.tags).await),
        "close" => expect::receipt(runner, step, cache.close().await),
        "get_many" => get_many(cache, step).await,
        "set_many" => {
            let entries = expect::build_entries(&step.entries)?;
            let borrowed = entries.iter().map(|(key, value)| (key.as_str(), value));
            expect::receipt(runner, step, cache.set_many(borrowed, set_options(step)?).await)
        }
        "delete_many" => {
            let keys = keys(step)?;
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            expect::receipt(runner, step, cache.delete_many(&keys).await)
        }
        "observe" => observe(runner, cache, step),
        "stats" => stats(cache, step),
        "update" => fetch::update(runner, cache, step).await,
        "explain" => explain(cache, step).await,
        "get_or_fetch" => fetch::one(runner, cache, step).await,
        "get_or_fetch_many" => fetch::many(runner, cache, step).await,
        "concurrent" => fetch::concurrent(runner, cache, step).await,
        other => Err(format!("unknown operation {other:?}")),
    }
}

pub fn key(step: &Step) -> Result<Vec<u8>, String> {
    Value::key(step.key.as_ref().ok_or("there is no key")?)
}

pub fn keys(step: &Step) -> Result<Vec<String>, String> {
    step.keys.iter().map(Value::text_key).collect()
}

async fn get(cache: &CacheService, step: &Step) -> Ended {
    match cache.get::<Value>(&key(step)?).await {
        Err(found) => expect::error(step, &found),
        Ok(found) if step.expect_miss => match found {
            Some(value) => Err(format!("a miss was expected, got {value}")),
            None => Ok(()),
        },
        Ok(None) => Err("a value was expected, got a miss".to_owned()),
        Ok(Some(value)) => expect::value(step, &value),
    }
}

async fn get_many(cache: &CacheService, step: &Step) -> Ended {
    let keys = keys(step)?;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    match cache.get_many::<Value>(&keys).await {
        Err(found) => expect::error(step, &found),
        Ok(found) => {
            expect::no_error(step)?;
            expect::entries(step, &found)
        }
    }
}

async fn explain(cache: &CacheService, step: &Step) -> Ended {
    let seen = match cache.explain(&key(step)?).await {
        Ok(seen) => seen,
        Err(found) => return expect::error(step, &found),
    };
    expect::no_error(step)?;
    let writers = seen.hold.as_ref().map_or(0, |hold| hold.writers);
    let more = format!("{{\"writers\":{writers},\"loading\":{},", seen.lease.is_some());
    fields(step, &seen.to_json().replacen('{', &more, 1))
}

fn observe(runner: &Runner, cache: &CacheService, step: &Step) -> Ended {
    let remembered = match &step.token_of {
        None => None,
        Some(name) => {
            let tokens = runner.tokens.lock().expect("no panic under it");
            Some(tokens.get(name).ok_or_else(|| format!("no token {name:?} is remembered"))?.to_string())
        }
    };
    let token = remembered.as_ref().or(step.token.as_ref()).ok_or("there is no token")?;
    let keys = keys(step)?;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    match token.parse().and_then(|token| cache.observe(token, &keys)) {
        Err(found) => expect::error(step, &found),
        Ok(()) => expect::no_error(step),
    }
}

fn stats(cache: &CacheService, step: &Step) -> Ended {
    fields(step, &cache.stats().to_json())
}

/// Compares the fields that are expected.
fn fields(step: &Step, found: &str) -> Ended {
    let found: BTreeMap<String, Json> = serde_json::from_str(found).map_err(|error| error.to_string())?;
    let expected = step.expect.as_ref().ok_or("there is nothing expected")?;
    let expected: BTreeMap<String, Json> =
        serde_json::from_str(expected.text()).map_err(|error| error.to_string())?;
    for (field, value) in &expected {
        let found = found.get(field).map(Json::text);
        if found != Some(value.text()) {
            return Err(format!("{field} is {found:?}, expected {}", value.text()));
        }
    }
    Ok(())
}
