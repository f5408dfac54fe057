//! The commands of the tier, and what their replies say. Replies are not trusted: what is no answer to the question
//! is told from an answer.

use bytes::Bytes;

use super::trouble::Trouble;
use crate::key::Names;
use crate::wire::{Outbound, Replies, Reply};

/// Keys of one command.
pub(super) const MANY: usize = 1000;

/// Reads a key.
pub(super) fn get(key: &[u8], to: &mut Outbound) {
    to.command(&[b"GET", key]);
}

/// Asks how long a key has to live, in ms.
pub(super) fn life(key: &[u8], to: &mut Outbound) {
    to.command(&[b"PTTL", key]);
}

/// Reads keys.
pub(super) fn get_many(names: &Names, to: &mut Outbound) {
    for first in (0..names.len()).step_by(MANY) {
        let some = first..names.len().min(first + MANY);
        with_keys(b"MGET", some.len(), some.map(|index| names.name(index)), to);
    }
}

fn with_keys<'a>(name: &[u8], count: usize, keys: impl Iterator<Item = &'a [u8]>, to: &mut Outbound) {
    to.begin(1 + count);
    to.part(name);
    keys.for_each(|key| to.part(key));
}

/// The value that [`get`] brought.
pub(super) fn value(replies: Replies) -> Result<Option<Bytes>, Trouble> {
    of_reply(replies.one().ok_or(Trouble::Unexpected)?)
}

/// The last reply, where one more command was sent than is asked for here, and those before it.
pub(super) fn without_last(replies: Replies, more: bool) -> Result<(Replies, Option<Reply>), Trouble> {
    if !more {
        return Ok((replies, None));
    }
    let mut replies: Vec<Reply> = replies.into_iter().collect();
    let last = replies.pop().ok_or(Trouble::Unexpected)?;
    Ok((replies.into_iter().collect(), Some(last)))
}

/// The values that [`get_many`] of `count` keys brought.
pub(super) fn values(replies: Replies, count: usize) -> Result<Vec<Option<Bytes>>, Trouble> {
    let mut values = Vec::with_capacity(count);
    for reply in replies {
        let some = match reply {
            Reply::List(some) => some,
            Reply::TooMuch => return Err(Trouble::TooMuch),
            other => return Err((&other).into()),
        };
        for one in some {
            values.push(of_reply(one)?);
        }
    }
    if values.len() == count { Ok(values) } else { Err(Trouble::Unexpected) }
}

fn of_reply(reply: Reply) -> Result<Option<Bytes>, Trouble> {
    match reply {
        Reply::Nothing => Ok(None),
        Reply::Value(bytes) => Ok(Some(bytes)),
        // Too large to be let in. No bytes at all are no entry either, and counted as such.
        Reply::TooLarge => Ok(Some(Bytes::new())),
        Reply::TooMuch => Err(Trouble::TooMuch),
        other => Err((&other).into()),
    }
}

/// Deletes keys, whose memory the server frees behind.
pub(super) fn unlink<'a>(keys: impl IntoIterator<Item = &'a Vec<u8>>, to: &mut Outbound) {
    let keys: Vec<&Vec<u8>> = keys.into_iter().collect();
    for keys in keys.chunks(MANY) {
        with_keys(b"UNLINK", keys.len(), keys.iter().map(|key| key.as_slice()), to);
    }
}

/// Checks that every reply is a number of deleted keys.
pub(super) fn all_deleted(replies: &Replies) -> Result<(), Trouble> {
    replies.iter().try_for_each(|reply| match reply {
        Reply::Number(_) => Ok(()),
        other => Err(other.into()),
    })
}

/// Looks for some more keys of a pattern. The first cursor, and that after the last look, is `0`.
pub(super) fn scan(cursor: &[u8], pattern: &[u8], to: &mut Outbound) {
    to.command(&[b"SCAN", cursor, b"MATCH", pattern, b"COUNT", MANY.to_string().as_bytes()]);
}

/// The next cursor, and the keys that [`scan`] found.
pub(super) fn scanned(replies: Replies) -> Result<(Vec<u8>, Vec<Vec<u8>>), Trouble> {
    let reply = replies.one().ok_or(Trouble::Unexpected)?;
    let Reply::List(parts) = reply else { return Err((&reply).into()) };
    let Ok([Reply::Value(cursor), Reply::List(found)]) = <[Reply; 2]>::try_from(parts) else {
        return Err(Trouble::Unexpected);
    };
    let bytes = |reply| match reply {
        Reply::Value(bytes) => Ok(bytes.to_vec()),
        _ => Err(Trouble::Unexpected),
    };
    Ok((cursor.to_vec(), found.into_iter().map(bytes).collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Value(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn replies(replies: Vec<Reply>) -> Replies {
        replies.into_iter().collect()
    }

    #[test]
    fn what_is_no_value_is_out_of_step() {
        for wrong in [vec![], vec![Reply::Okay], vec![Reply::Number(1)], vec![text("a"), text("b")]] {
            assert_eq!(value(replies(wrong.clone())), Err(Trouble::Unexpected), "{wrong:?}");
        }
        assert_eq!(value(replies(vec![text("a")])), Ok(Some(Bytes::from("a"))));
        assert_eq!(value(replies(vec![Reply::TooLarge])), Ok(Some(Bytes::new())));
        assert_eq!(value(replies(vec![Reply::Nothing])), Ok(None));
    }

    #[test]
    fn what_is_no_list_of_values_is_out_of_step() {
        for (wrong, count) in [
            (vec![], 1),
            (vec![text("a")], 1),
            (vec![Reply::List(vec![text("a")])], 2),
            (vec![Reply::List(vec![text("a"), text("b")])], 1),
            (vec![Reply::List(vec![text("a"), Reply::Number(2)])], 2),
        ] {
            assert_eq!(values(replies(wrong.clone()), count), Err(Trouble::Unexpected), "{wrong:?}");
        }
        for (beyond, count) in [
            (vec![Reply::List(vec![text("a"), Reply::TooMuch])], 2),
            (vec![Reply::List(vec![text("a")]), Reply::TooMuch], 2),
        ] {
            assert_eq!(values(replies(beyond), count), Err(Trouble::TooMuch));
        }
        let many = replies(vec![Reply::List(vec![text("a"), Reply::Nothing])]);
        assert_eq!(values(many, 2), Ok(vec![Some(Bytes::from("a")), None]));
    }

    #[test]
    fn a_scan_ends_only_by_its_cursor() {
        let reply = vec![Reply::List(vec![text("17"), Reply::List(vec![text("k")])])];
        assert_eq!(scanned(replies(reply)), Ok((b"17".to_vec(), vec![b"k".to_vec()])));
        for wrong in [vec![], vec![Reply::Okay], vec![Reply::List(vec![text("0")])]] {
            assert_eq!(scanned(replies(wrong)), Err(Trouble::Unexpected));
        }
    }

    #[test]
    fn many_keys_go_into_several_commands() {
        let keys: Vec<Vec<u8>> = (0..2500).map(|n: u32| n.to_string().into_bytes()).collect();
        let names =
            crate::key::Layout::new("shop", crate::key::Format::Scrubjay).names(keys.iter().map(Vec::as_slice));
        let (mut reads, mut deletions) = (Outbound::default(), Outbound::default());
        get_many(&names, &mut reads);
        unlink(&keys, &mut deletions);
        assert_eq!((reads.commands(), deletions.commands()), (3, 3));
    }
}
