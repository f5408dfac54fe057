//! What is told on the channels of a namespace: `docs/wire-format.md` has the table.

use crate::key::MAX_KEY;

/// A message: its number in the sequence of its partition, and what happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub sequence: u64,
    pub kind: Kind,
    names: &'a [u8],
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Keys were written or invalidated.
    Invalidated,
    /// The same, and the keys follow on the channel of other programs.
    Published,
    /// Keys were written that the server tracks. It does not count that: the number is only one of this connection.
    Tracked,
    /// A key was filled, for which somebody waits.
    Filled,
    /// The lease of a key was given back, for which somebody waits.
    Released,
    /// Tags were invalidated.
    Tags,
    /// Everything was invalidated.
    Cleared,
}

impl Kind {
    /// Whether the sequence counts it.
    pub fn is_counted(self) -> bool {
        matches!(self, Kind::Invalidated | Kind::Published | Kind::Tags | Kind::Cleared)
    }
}

impl<'a> Message<'a> {
    /// Reads a message; none where it is of a kind that this release does not know, or is none at all.
    pub fn parse(bytes: &'a [u8]) -> Option<Message<'a>> {
        let (sequence, rest) = bytes.split_first_chunk::<8>()?;
        let (kind, names) = rest.split_first()?;
        let kind = match kind {
            b'i' => Kind::Invalidated,
            b'p' => Kind::Published,
            b'f' => Kind::Filled,
            b'r' => Kind::Released,
            b't' => Kind::Tags,
            b'x' => Kind::Cleared,
            _ => return None,
        };
        let message = Message { sequence: u64::from_le_bytes(*sequence), kind, names };
        // Whole, or not at all.
        let whole = message.names().map(|name| name.len() + 2).sum::<usize>() == names.len();
        whole.then_some(message)
    }

    /// Of tracked keys, as [`Message::encoded`] makes them.
    pub fn of_tracked(sequence: u64, names: &'a [u8]) -> Message<'a> {
        Message { sequence, kind: Kind::Tracked, names }
    }

    /// Of all keys.
    pub fn of_all(sequence: u64) -> Message<'a> {
        Message { sequence, kind: Kind::Cleared, names: &[] }
    }

    /// Keys, as they stand in a message.
    pub fn encoded(keys: &[&[u8]]) -> Vec<u8> {
        let lengths = keys.iter().map(|key| u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        lengths.zip(keys).flat_map(|(length, key)| length.into_iter().chain(key.iter().copied())).collect()
    }

    /// The keys, or tags.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.names;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_le_bytes(*length));
            let (name, after) = after.split_at_checked(length).filter(|_| (1..=MAX_KEY).contains(&length))?;
            rest = after;
            Some(name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kind: u8, names: &[&[u8]]) -> Vec<u8> {
        let mut bytes = 7_u64.to_le_bytes().to_vec();
        bytes.push(kind);
        bytes.extend(Message::encoded(names));
        bytes
    }

    #[test]
    fn a_message_names_what_happened_to_which_keys() {
        let bytes = bytes(b'i', &[b"a", b"\xff\0"]);
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!((message.sequence, message.kind), (7, Kind::Invalidated));
        assert_eq!(message.names().collect::<Vec<_>>(), [&b"a"[..], b"\xff\0"]);
        assert_eq!(Message::parse(&self::bytes(b'x', &[])).map(|message| message.kind), Some(Kind::Cleared));
    }

    #[test]
    fn what_is_no_message_is_none() {
        let whole = bytes(b'i', &[b"key", b"other"]);
        for end in (0..whole.len()).filter(|end| ![9, 14].contains(end)) {
            assert_eq!(Message::parse(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(Message::parse(&bytes(b'?', &[b"key"])), None);
        assert_eq!(Message::parse(&bytes(b'i', &[b""])), None);
        assert_eq!(Message::parse(&bytes(b'i', &[&[1; MAX_KEY + 1]])), None);
    }
}
