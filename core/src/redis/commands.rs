//! The commands of the tier, and what their replies say. Replies are not trusted: what is no answer to the question
//! is told from an answer.

use std::time::Duration;

use bytes::Bytes;
use redis::{Pipeline, Value, cmd};

use super::connection::Batch;
use super::trouble::{OVERSIZED, Trouble};

/// Keys of one command, and commands of one pipeline.
pub(super) const MANY: usize = 1000;
/// A pipeline is handed over when it holds so many bytes of values.
const PIPELINE_BYTES: usize = 1 << 20;

/// Reads keys: `GET`, or `MGET` for more than one.
pub(super) fn get(keys: &[Vec<u8>]) -> Vec<Batch> {
    if let [key] = keys {
        let mut get = cmd("GET");
        get.arg(key);
        return vec![Batch::One(get)];
    }
    keys.chunks(MANY)
        .map(|keys| {
            let mut get = cmd("MGET");
            get.arg(keys);
            Batch::One(get)
        })
        .collect()
}

/// The values that [`get`] of `count` keys brought.
pub(super) fn values(replies: Vec<Value>, count: usize) -> Result<Vec<Option<Bytes>>, Trouble> {
    let values: Vec<Option<Bytes>> = if count == 1 {
        replies.into_iter().map(value).collect::<Result<_, _>>()?
    } else {
        let mut values = Vec::with_capacity(count);
        for reply in replies {
            let Value::Array(some) = reply else { return Err(unexpected(&reply)) };
            for one in some {
                values.push(value(one)?);
            }
        }
        values
    };
    if values.len() == count { Ok(values) } else { Err(Trouble::Unexpected) }
}

fn value(reply: Value) -> Result<Option<Bytes>, Trouble> {
    match reply {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        // Too large to be let in. No bytes at all are no entry either, and counted as such.
        Value::ServerError(error) if error.code() == OVERSIZED => Ok(Some(Bytes::new())),
        other => Err(unexpected(&other)),
    }
}

/// Stores entries, each for its life.
pub(super) fn set(entries: &[(Vec<u8>, Bytes, Duration)]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut pipeline = Pipeline::new();
    let mut bytes = 0;
    for (key, value, life) in entries {
        // 1 ms at least: 0 is an error there, and a life in whole ms never too long.
        let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX >> 2).max(1);
        pipeline.cmd("SET").arg(key).arg(&value[..]).arg("PX").arg(life);
        bytes += value.len();
        if pipeline.len() == MANY || bytes >= PIPELINE_BYTES {
            batches.push(Batch::Many(std::mem::take(&mut pipeline)));
            bytes = 0;
        }
    }
    if !pipeline.is_empty() {
        batches.push(Batch::Many(pipeline));
    }
    batches
}

/// Checks that every reply is `OK`.
pub(super) fn all_stored(replies: &[Value]) -> Result<(), Trouble> {
    replies.iter().try_for_each(|reply| match reply {
        Value::Okay => Ok(()),
        other => Err(unexpected(other)),
    })
}

/// Deletes keys, whose memory the server frees behind.
pub(super) fn unlink<'a>(keys: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<Batch> {
    let keys: Vec<&Vec<u8>> = keys.into_iter().collect();
    keys.chunks(MANY)
        .map(|keys| {
            let mut unlink = cmd("UNLINK");
            unlink.arg(keys);
            Batch::One(unlink)
        })
        .collect()
}

/// Checks that every reply is a number of deleted keys.
pub(super) fn all_deleted(replies: &[Value]) -> Result<(), Trouble> {
    replies.iter().try_for_each(|reply| match reply {
        Value::Int(_) => Ok(()),
        other => Err(unexpected(other)),
    })
}

/// Looks for some more keys of a pattern. The first cursor, and that after the last look, is `0`.
pub(super) fn scan(cursor: &[u8], pattern: &[u8]) -> Vec<Batch> {
    let mut scan = cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(MANY);
    vec![Batch::One(scan)]
}

/// The next cursor, and the keys that [`scan`] found.
pub(super) fn scanned(mut replies: Vec<Value>) -> Result<(Vec<u8>, Vec<Vec<u8>>), Trouble> {
    let reply = replies.pop().ok_or(Trouble::Unexpected)?;
    let Value::Array(parts) = reply else { return Err(unexpected(&reply)) };
    let Ok([Value::BulkString(cursor), Value::Array(found)]) = <[Value; 2]>::try_from(parts) else {
        return Err(Trouble::Unexpected);
    };
    let bytes = |value| match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(Trouble::Unexpected),
    };
    Ok((cursor, found.into_iter().map(bytes).collect::<Result<_, _>>()?))
}

fn unexpected(reply: &Value) -> Trouble {
    match reply {
        Value::ServerError(error) => error.into(),
        _ => Trouble::Unexpected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn what_is_no_list_of_values_is_out_of_step() {
        for (replies, count) in [
            (vec![], 1),
            (vec![Value::Okay], 1),
            (vec![Value::Int(1)], 1),
            (vec![bulk("a"), bulk("b")], 1),
            (vec![bulk("a")], 2),
            (vec![Value::Array(vec![bulk("a")])], 2),
            (vec![Value::Array(vec![bulk("a"), Value::Int(2)])], 2),
        ] {
            assert_eq!(values(replies.clone(), count), Err(Trouble::Unexpected), "{replies:?}");
        }
        let many = vec![Value::Array(vec![bulk("a"), Value::Nil])];
        assert_eq!(values(many, 2), Ok(vec![Some(Bytes::from("a")), None]));
    }

    #[test]
    fn a_scan_ends_only_by_its_cursor() {
        let reply = vec![Value::Array(vec![bulk("17"), Value::Array(vec![bulk("k")])])];
        assert_eq!(scanned(reply), Ok((b"17".to_vec(), vec![b"k".to_vec()])));
        for wrong in [vec![], vec![Value::Okay], vec![Value::Array(vec![bulk("0")])]] {
            assert_eq!(scanned(wrong), Err(Trouble::Unexpected));
        }
    }

    #[test]
    fn large_writes_leave_in_several_pipelines() {
        let entry = |bytes: usize| (b"k".to_vec(), Bytes::from(vec![0; bytes]), Duration::from_secs(1));
        assert_eq!(set(&vec![entry(1); 2500]).len(), 3);
        assert_eq!(set(&vec![entry(600 << 10); 4]).len(), 2);
        assert!(set(&[]).is_empty());
    }
}
