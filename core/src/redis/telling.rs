//! Keys are told to programs that know nothing of Scrubjay, on a channel of theirs whose messages are bare keys.
//!
//! Scripts do so themselves, in one step with the write: whoever follows our own channel as well knows these messages from
//! those of other programs, see `push/echo.rs`. Without scripts the message is a command of its own behind the write.

use bytes::Bytes;

use super::scripts::{Call, Script};
use super::tier::Tier;

impl Tier {
    /// The channel, as scripts get it: empty for none.
    pub(super) fn told(&self) -> Bytes {
        self.published.clone().unwrap_or_default()
    }

    /// The calls that tell the keys in these names, for a server without scripts.
    pub(super) fn tellings<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> Vec<Call> {
        let Some(channel) = &self.published else { return Vec::new() };
        let tell = |name| Call {
            script: Script::Tell,
            keys: Vec::new(),
            arguments: vec![channel.clone(), self.key_of(name)],
        };
        names.map(tell).collect()
    }
}
