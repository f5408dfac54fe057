//! The caches of one scenario, and the steps on them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use scrubjay::{CacheService, Codec, ConsistencyToken, SetOptions};

use crate::expect;
use crate::json::Json;
use crate::operations;
use crate::step::Step;
use crate::value::Value;

pub type Ended = Result<(), String>;

pub struct Runner {
    /// URL and prefix of the caches that do not say their own.
    defaults: Option<(String, String)>,
    caches: Mutex<BTreeMap<String, CacheService>>,
    /// Those of receipts, by the names under which they are remembered.
    pub tokens: Mutex<BTreeMap<String, ConsistencyToken>>,
}

impl Runner {
    pub fn new(defaults: Option<(String, String)>) -> Self {
        Runner { defaults, caches: Mutex::default(), tokens: Mutex::default() }
    }

    pub fn steps<'a>(&'a self, steps: &'a [Step]) -> Pin<Box<dyn Future<Output = Ended> + 'a>> {
        Box::pin(async move {
            for (number, step) in steps.iter().enumerate() {
                self.step(step).await.map_err(|why| format!("step {}, {}: {why}", number + 1, step.op))?;
            }
            Ok(())
        })
    }

    pub fn step<'a>(&'a self, step: &'a Step) -> Pin<Box<dyn Future<Output = Ended> + 'a>> {
        Box::pin(async move {
            let name = step.cache.as_deref().unwrap_or("a");
            match step.op.as_str() {
                "open" => {
                    return match self.open(name, &step.options).await {
                        Ok(()) => expect::no_error(step),
                        Err(error) => expect::error(step, &error),
                    };
                }
                "eventually" => return self.eventually(step).await,
                _ => {}
            }
            let cache = self.caches.lock().expect("no panic under it").get(name).cloned();
            let cache = cache.ok_or_else(|| format!("no cache {name:?} is open"))?;
            operations::run(self, &cache, step).await
        })
    }

    /// Opens a cache under a name, with the defaults of the scenario where the options do not say.
    pub async fn open(&self, name: &str, options: &BTreeMap<String, Json>) -> Result<(), scrubjay::Error> {
        let mut all = BTreeMap::new();
        if let Some((url, prefix)) = &self.defaults {
            all.insert("url".to_owned(), serde_json::json!(url).to_string());
            all.insert("prefix".to_owned(), serde_json::json!(prefix).to_string());
        }
        for (option, value) in options {
            all.insert(option.clone(), value.text().to_owned());
        }
        let fields: Vec<String> =
            all.iter().map(|(name, text)| format!("{}:{text}", serde_json::json!(name))).collect();
        let cache = CacheService::from_options_json(&format!("{{{}}}", fields.join(",")))?;
        let before = self.caches.lock().expect("no panic under it").insert(name.to_owned(), cache);
        if let Some(before) = before {
            before.close().await?;
        }
        Ok(())
    }

    pub async fn close_all(&self) {
        let caches = std::mem::take(&mut *self.caches.lock().expect("no panic under it"));
        for cache in caches.into_values() {
            drop(cache.close().await);
        }
    }

    async fn eventually(&self, step: &Step) -> Ended {
        let mut inner = *step.step.clone().ok_or("there is no step to repeat")?;
        inner.cache = inner.cache.or_else(|| step.cache.clone());
        let within = Duration::from_secs_f64(step.within.unwrap_or(10.0));
        poll(within, async || self.step(&inner).await).await
    }
}

/// Tries every 5 ms until it succeeds, or an attempt that began after the time fails: an earlier one saw what was
/// allowed then, however long it took to say so.
pub async fn poll(within: Duration, mut attempt: impl AsyncFnMut() -> Ended) -> Ended {
    let deadline = Instant::now() + within;
    loop {
        let began = Instant::now();
        match attempt().await {
            Err(_) if began < deadline => tokio::time::sleep(Duration::from_millis(5)).await,
            ended => return ended.map_err(|why| format!("not within {within:?}: {why}")),
        }
    }
}

/// How the values of a step are stored.
pub fn set_options(step: &Step) -> Result<SetOptions, String> {
    let mut options = SetOptions::new().tags(step.tags.clone());
    if let Some(ttl) = &step.ttl {
        options = options.ttl(ttl_of(ttl)?);
    }
    match step.codec.as_deref() {
        None => Ok(options),
        Some("json") => Ok(options.codec(Codec::Json)),
        Some("msgpack") => Ok(options.codec(Codec::MsgPack)),
        // The one codec that can be named and not be asked for.
        Some(_) => Ok(options.codec(Codec::Raw)),
    }
}

/// A ttl. What is no duration cannot be written in Rust: the nearest is what a wrong calculation gives.
pub fn ttl_of(ttl: &Json) -> Result<Duration, String> {
    #[expect(clippy::cast_precision_loss, reason = "ttls of the corpus are small")]
    let seconds = match Value::build(ttl)? {
        Value::Int(seconds) => seconds as f64,
        Value::Float(seconds) => seconds,
        value => return Err(format!("{value} is no ttl")),
    };
    let duration = Duration::try_from_secs_f64(seconds);
    Ok(duration.unwrap_or(if seconds > 0.0 { Duration::MAX } else { Duration::ZERO }))
}
