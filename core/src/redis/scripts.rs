//! What the server does for us in one step: the scripts of `scripts/`, one partition a call, by the server's clock.

use bytes::Bytes;

use super::trouble::Trouble;
use crate::wire::{Outbound, Replies, Reply};

/// A script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Acquire,
    Fill,
    Extend,
    Release,
    Put,
    Invalidate,
    Beat,
    Revalidate,
    Intent,
    Tags,
    InvalidateTags,
    Sweep,
    BehindOpen,
    BehindAdd,
    BehindOwn,
    BehindRead,
    BehindDone,
    BehindMark,
    BehindSeen,
    Store,
    HoldTags,
    /// None: the versions of tags are read as they are, in the company of scripts.
    Look,
    /// None: a key is told to other programs.
    Tell,
}

use Script::{
    Acquire, Beat, BehindAdd, BehindDone, BehindMark, BehindOpen, BehindOwn, BehindRead, BehindSeen, Extend, Fill,
    HoldTags, Intent, Invalidate, InvalidateTags, Look, Put, Release, Revalidate, Store, Sweep, Tags, Tell,
};

/// All scripts, in the order in which they are loaded.
pub(super) const ALL: [Script; 21] = [
    Acquire,
    Fill,
    Extend,
    Release,
    Put,
    Invalidate,
    Beat,
    Revalidate,
    Intent,
    Tags,
    InvalidateTags,
    Sweep,
    BehindOpen,
    BehindAdd,
    BehindOwn,
    BehindRead,
    BehindDone,
    BehindMark,
    BehindSeen,
    Store,
    HoldTags,
];

impl Script {
    /// Its text. No text of a user's ever becomes part of it.
    pub fn text(self) -> &'static str {
        match self {
            Acquire => include_str!("scripts/acquire.lua"),
            Fill => include_str!("scripts/fill.lua"),
            Extend => include_str!("scripts/extend.lua"),
            Release => include_str!("scripts/release.lua"),
            Put => include_str!("scripts/put.lua"),
            Invalidate => include_str!("scripts/invalidate.lua"),
            Beat => include_str!("scripts/beat.lua"),
            Revalidate => include_str!("scripts/revalidate.lua"),
            Intent => include_str!("scripts/intent.lua"),
            Tags => include_str!("scripts/tags.lua"),
            InvalidateTags => include_str!("scripts/invalidate_tags.lua"),
            Sweep => include_str!("scripts/sweep.lua"),
            BehindOpen => include_str!("scripts/behind_open.lua"),
            BehindAdd => include_str!("scripts/behind_add.lua"),
            BehindOwn => include_str!("scripts/behind_own.lua"),
            BehindRead => include_str!("scripts/behind_read.lua"),
            BehindDone => include_str!("scripts/behind_done.lua"),
            BehindMark => include_str!("scripts/behind_mark.lua"),
            BehindSeen => include_str!("scripts/behind_seen.lua"),
            Store => include_str!("scripts/store.lua"),
            HoldTags => include_str!("scripts/hold_tags.lua"),
            Look | Tell => "",
        }
    }
}

/// The names under which a server knows the scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names([Bytes; ALL.len()]);

impl Names {
    /// From the replies to the commands of [`load`]; none where the server has no scripts, or not for us.
    pub fn of(replies: &[Reply]) -> Option<Names> {
        let name = |reply: &Reply| match reply {
            Reply::Value(name) if name.len() == 40 => Some(name.clone()),
            _ => None,
        };
        let names: Vec<Bytes> = replies.iter().map_while(name).collect();
        Some(Names(names.try_into().ok()?))
    }
}

/// Has the server load the scripts.
pub(super) fn load(to: &mut Outbound) {
    for script in ALL {
        to.command(&[b"SCRIPT", b"LOAD", script.text().as_bytes()]);
    }
}

/// One run of a script.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub script: Script,
    pub keys: Vec<Bytes>,
    pub arguments: Vec<Bytes>,
}

impl Call {
    /// Adds it: by the name that the server knows it by, or with its whole text.
    pub fn encode(&self, names: Option<&Names>, to: &mut Outbound) {
        if self.script == Look {
            return self.look(to);
        }
        to.begin(3 + self.keys.len() + self.arguments.len());
        match names {
            Some(Names(names)) => {
                to.part(b"EVALSHA");
                to.part(&names[self.script as usize]);
            }
            None => {
                to.part(b"EVAL");
                to.part(self.script.text().as_bytes());
            }
        }
        to.number(self.keys.len() as u64);
        self.keys.iter().for_each(|key| to.part(key));
        self.arguments.iter().for_each(|argument| to.shared(argument));
    }

    /// Adds what a server without scripts can do in its place: nothing but store and delete. Where that is nothing, a
    /// command whose reply no script gives.
    pub fn encode_plainly(&self, to: &mut Outbound) {
        match self.script {
            // What must not be stored here: then what stands there must go.
            Put if self.arguments[0].is_empty() => to.command(&[b"UNLINK", &self.keys[0]]),
            Put => {
                to.begin(5);
                to.part(b"SET");
                to.part(&self.keys[0]);
                to.shared(&self.arguments[0]);
                to.part(b"PX");
                to.part(&self.arguments[1]);
            }
            Fill => {
                to.begin(5);
                to.part(b"SET");
                to.part(&self.keys[0]);
                to.shared(&self.arguments[1]);
                to.part(b"PX");
                to.part(&self.arguments[2]);
            }
            Invalidate | Intent => {
                to.begin(self.keys.len());
                to.part(b"UNLINK");
                self.keys[1..].iter().for_each(|key| to.part(key));
            }
            // Gone is not what any entry carries.
            InvalidateTags | HoldTags => {
                to.begin(self.keys.len());
                to.part(b"UNLINK");
                self.keys[1..].iter().for_each(|key| to.part(key));
            }
            Tags | Look => self.look(to),
            Tell => to.command(&[b"PUBLISH", &self.arguments[0], &self.arguments[1]]),
            Sweep => {
                to.begin(1 + self.keys.len());
                to.part(b"UNLINK");
                self.keys.iter().for_each(|key| to.part(key));
            }
            Revalidate => to.command(&[b"GET", &self.keys[0]]),
            BehindOpen | BehindAdd | BehindOwn | BehindRead | BehindDone | BehindMark | BehindSeen => {
                to.command(&[b"EXISTS", &self.keys[0]]);
            }
            Acquire | Extend | Release | Beat | Store => to.command(&[b"EXISTS", &self.keys[0]]),
        }
    }

    fn look(&self, to: &mut Outbound) {
        to.begin(1 + self.keys.len());
        to.part(b"MGET");
        self.keys.iter().for_each(|key| to.part(key));
    }
}

/// Whether the server has forgotten the script.
pub(super) fn is_unknown(reply: &Reply) -> bool {
    reply.code() == Some("NOSCRIPT")
}

/// What came of an attempt to get a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    /// It is ours: the number of the last write before.
    Won(u64),
    /// There is a fresh entry.
    Found(Bytes),
    /// Another one loads; the milliseconds until its lease ends.
    Wait(u64),
    /// A writer is at work: load, but store nothing.
    Held,
    /// What stands there is left alone.
    Foreign,
    /// The server has no scripts.
    Unfenced,
}

/// What a reply to [`Script::Acquire`] says.
pub(super) fn acquired(reply: Reply) -> Result<Acquired, Trouble> {
    let parts = match reply {
        Reply::List(parts) => parts,
        Reply::Number(_) => return Ok(Acquired::Unfenced),
        other => return Err((&other).into()),
    };
    let mut parts = parts.into_iter();
    Ok(match (parts.next(), parts.next()) {
        (Some(Reply::Number(1)), Some(Reply::Number(sequence))) => Acquired::Won(sequence.unsigned_abs()),
        (Some(Reply::Number(2)), Some(Reply::Value(entry))) => Acquired::Found(entry),
        // Too large to be let in, which is told by what decodes to nothing.
        (Some(Reply::Number(2)), Some(Reply::TooLarge)) => Acquired::Found(Bytes::new()),
        (Some(Reply::Number(3)), Some(Reply::Number(left))) => Acquired::Wait(left.unsigned_abs()),
        (Some(Reply::Number(4)), Some(Reply::Number(_))) => Acquired::Held,
        (Some(Reply::Number(5)), None) => Acquired::Foreign,
        _ => return Err(Trouble::Unexpected),
    })
}

/// What a reply to [`Script::Revalidate`] says.
pub(super) fn revalidated(reply: Reply) -> Result<Revalidated, Trouble> {
    match reply {
        Reply::Number(1) => Ok(Revalidated::Same),
        Reply::Value(entry) => Ok(Revalidated::Found(Some(entry))),
        Reply::TooLarge => Ok(Revalidated::Found(Some(Bytes::new()))),
        Reply::Nothing => Ok(Revalidated::Found(None)),
        other => Err((&other).into()),
    }
}

/// Whether an entry is still the one that was read before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revalidated {
    Same,
    /// Another one, or none.
    Found(Option<Bytes>),
}

/// The versions in a reply to [`Script::Tags`] or [`Script::Look`] of so many tags; none where there is none.
pub(super) fn versions(reply: Reply, count: usize) -> Result<Vec<Option<u64>>, Trouble> {
    let parts = match reply {
        Reply::List(parts) => parts,
        other => return Err((&other).into()),
    };
    let versions: Vec<Option<u64>> = parts
        .into_iter()
        .map(|part| match part {
            Reply::Value(bytes) => Ok(bytes.as_ref().try_into().ok().map(u64::from_le_bytes)),
            Reply::Nothing | Reply::TooLarge => Ok(None),
            other => Err(Trouble::from(&other)),
        })
        .collect::<Result<_, _>>()?;
    if versions.len() == count { Ok(versions) } else { Err(Trouble::Unexpected) }
}

/// Whether the holder of a lease still had it.
pub(super) fn was_held(reply: &Reply) -> Result<bool, Trouble> {
    match reply {
        Reply::Number(held) => Ok(*held != 0),
        // Of a server without scripts.
        Reply::Okay => Ok(true),
        other => Err(other.into()),
    }
}

/// The number of the last write where a fill was accepted; none where the lease was lost.
pub(super) fn filled(reply: &Reply) -> Result<Option<u64>, Trouble> {
    match reply {
        Reply::Number(0) => Ok(None),
        reply => sequence(reply).map(Some),
    }
}

/// The number of a write in its sequence; 0 from a server without scripts.
pub(super) fn sequence(reply: &Reply) -> Result<u64, Trouble> {
    match reply {
        Reply::Number(sequence) => Ok(sequence.unsigned_abs()),
        Reply::Okay => Ok(0),
        other => Err(other.into()),
    }
}

/// What came of a write of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Landed {
    /// Its number in its sequence; 0 from a server without scripts.
    pub sequence: u64,
    /// A writer holds the key: nothing was stored.
    pub held: bool,
}

/// What a reply to [`Script::Put`] says.
pub(super) fn landed(reply: &Reply) -> Result<Landed, Trouble> {
    Ok(Landed { sequence: sequence(reply)?, held: matches!(reply, Reply::Number(number) if *number < 0) })
}

/// Checks that every reply is the number of a write.
pub(super) fn all_counted(replies: &Replies) -> Result<(), Trouble> {
    replies.iter().try_for_each(|reply| sequence(reply).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_script_answers_is_out_of_step() {
        let number = Reply::Number;
        for wrong in [
            Reply::Okay,
            Reply::Value(Bytes::from("OK")),
            Reply::List(vec![]),
            Reply::List(vec![number(1)]),
            Reply::List(vec![number(2)]),
            Reply::List(vec![number(3), Reply::Nothing]),
            Reply::List(vec![number(6)]),
        ] {
            assert_eq!(acquired(wrong.clone()), Err(Trouble::Unexpected), "{wrong:?}");
        }
        assert_eq!(acquired(Reply::List(vec![number(3), number(7)])), Ok(Acquired::Wait(7)));
        assert_eq!(acquired(number(0)), Ok(Acquired::Unfenced));
        assert_eq!(was_held(&Reply::Nothing), Err(Trouble::Unexpected));
        assert_eq!(sequence(&Reply::List(vec![])), Err(Trouble::Unexpected));
    }

    #[test]
    fn names_are_all_there_or_none() {
        let name = |fill: u8| Reply::Value(Bytes::from(vec![fill; 40]));
        let all: Vec<Reply> = (b'a'..).take(ALL.len()).map(name).collect();
        assert!(Names::of(&all).is_some());
        assert_eq!(Names::of(&all[1..]), None);
        assert_eq!(Names::of(&[vec![Reply::Okay], all[1..].to_vec()].concat()), None);
    }
}
