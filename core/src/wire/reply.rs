//! What a server answers, in RESP2 or RESP3.

use bytes::Bytes;

/// One reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// `$-1`, `*-1` or `_`.
    Nothing,
    /// `+OK`.
    Okay,
    /// Another status line, a double or a number beyond 64 bits: its text.
    Status(Box<[u8]>),
    /// `:`; a truth value is 1 or 0.
    Number(i64),
    /// A value, in memory of its own.
    Value(Bytes),
    /// A value longer than is let in: its bytes were passed over.
    TooLarge,
    /// A value, or a whole reply, beyond the bytes that the replies to one request may have: they were passed over.
    TooMuch,
    /// An array or a set.
    List(Vec<Reply>),
    /// A map: keys and values in turn.
    Map(Vec<Reply>),
    /// What the server says unasked: no request waits for it.
    Push(Vec<Reply>),
    /// What the server refuses. The first word is the code; see [`Reply::code`].
    Error(Box<[u8]>),
}

/// The replies to one request may have so many bytes in values, unless it is one value: as many as the memory tier of a
/// cache holds by default. Without that, a list of a thousand keys could bring as many times the longest value.
pub(super) const MAX_BYTES: usize = 64 << 20;

impl Reply {
    /// The bytes of the values in it.
    pub fn bytes(&self) -> usize {
        match self {
            Reply::Value(bytes) => bytes.len(),
            Reply::List(items) | Reply::Map(items) => items.iter().map(Reply::bytes).sum(),
            _ => 0,
        }
    }

    /// The first word of an error.
    pub fn code(&self) -> Option<&str> {
        let Reply::Error(text) = self else { return None };
        let word = text.split(|byte| *byte == b' ').next()?;
        Some(std::str::from_utf8(word).unwrap_or_default())
    }
}
