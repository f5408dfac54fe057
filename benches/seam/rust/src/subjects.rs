//! Scrubjay's cache service without its memory tier, and clients of Redis, each over one connection as they come.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use redis::AsyncCommands;
use rustis::commands::{SetExpiration, StringCommands};
use rustis::resp::BulkString;
use scrubjay::{CacheService, Raw};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TTL: Duration = Duration::from_secs(3600);

/// One of them. Keys of the peers have the size of the value in front.
pub enum Subject {
    Scrubjay(CacheService),
    RedisRs(redis::aio::MultiplexedConnection, &'static str),
    Rustis(rustis::client::Client, &'static str),
}

impl Subject {
    /// All of them, for values of the size that `label` names.
    pub async fn open(url: &str, label: &'static str) -> Result<Vec<Subject>> {
        let ours = CacheService::builder().url(url).prefix(format!("bench{label}")).l1_bytes(0_u64).build()?;
        let redis_rs = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        let rustis = rustis::client::Client::connect(url).await?;
        Ok(vec![Subject::Scrubjay(ours), Subject::RedisRs(redis_rs, label), Subject::Rustis(rustis, label)])
    }

    pub fn name(&self) -> &'static str {
        match self {
            Subject::Scrubjay(_) => "scrubjay",
            Subject::RedisRs(..) => "redis-rs",
            Subject::Rustis(..) => "rustis",
        }
    }

    pub async fn get(&self, key: &str) -> Result<Bytes> {
        Ok(match self {
            Subject::Scrubjay(cache) => cache.get::<Raw>(key).await?.ok_or("a miss")?.0,
            Subject::RedisRs(connection, label) => connection.clone().get::<_, Bytes>(named(label, key)).await?,
            Subject::Rustis(client, label) => Vec::from(client.get::<BulkString>(named(label, key)).await?).into(),
        })
    }

    pub async fn get_many(&self, keys: &[&str]) -> Result<usize> {
        Ok(match self {
            Subject::Scrubjay(cache) => cache.get_many::<Raw>(keys).await?.len(),
            Subject::RedisRs(connection, label) => {
                let keys: Vec<String> = keys.iter().map(|key| named(label, key)).collect();
                connection.clone().mget::<_, Vec<Bytes>>(keys).await?.len()
            }
            Subject::Rustis(client, label) => {
                let keys: Vec<String> = keys.iter().map(|key| named(label, key)).collect();
                client.mget::<Vec<BulkString>>(keys).await?.len()
            }
        })
    }

    /// The value of a key that is not stored, after which it is. Programs that have a client and no cache read, fetch
    /// and write.
    pub async fn load(&self, key: &str, value: Vec<u8>) -> Result<Bytes> {
        match self {
            Subject::Scrubjay(cache) => {
                let fetch = || async { Ok::<_, Infallible>(Raw::from(&value[..])) };
                return Ok(cache.get_or_fetch(key, TTL, fetch).await?.0);
            }
            Subject::RedisRs(connection, label) => {
                let found = connection.clone().get::<_, Option<Bytes>>(named(label, key)).await?;
                if let Some(found) = found {
                    return Ok(found);
                }
            }
            Subject::Rustis(client, label) => {
                if let Some(found) = client.get::<Option<BulkString>>(named(label, key)).await? {
                    return Ok(Vec::from(found).into());
                }
            }
        }
        self.set(key, &value).await?;
        Ok(value.into())
    }

    pub async fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        match self {
            Subject::Scrubjay(cache) => drop(cache.set(key, &Raw::from(value), TTL).await?),
            Subject::RedisRs(connection, label) => {
                connection.clone().set_ex::<_, _, ()>(named(label, key), value, TTL.as_secs()).await?;
            }
            Subject::Rustis(client, label) => {
                let (value, life) = (BulkString::from(value.to_vec()), SetExpiration::Ex(TTL.as_secs()));
                client.set_with_options(named(label, key), value, None, life).await?;
            }
        }
        Ok(())
    }
}

fn named(label: &str, key: &str) -> String {
    format!("{label}:{key}")
}
