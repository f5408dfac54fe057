//! What stands under a key, for `explain`.

use super::{Asked, Shared};
use crate::envelope::{self, Entry, Unreadable};
use crate::error::Result;
use crate::redis::Read;

/// What stands under a key, for who wants to know and not to read.
pub(crate) enum There {
    /// An entry, and the server's time.
    Entry(Box<Entry>, u64),
    Absent,
    Pending,
    Damaged,
    Foreign,
    Unreachable,
}

impl Shared {
    /// What a read of `key` came to, for who wants to know and not to read.
    pub fn seen(&self, key: &[u8], read: Result<Read<Asked>>) -> There {
        if self.is_pending(key) {
            return There::Pending;
        }
        let (found, now) = match read {
            Ok(Read { found: Asked::Found(Some(found)), server_now, .. }) => (found, server_now),
            Ok(_) => return There::Absent,
            Err(_) => return There::Unreachable,
        };
        match envelope::decode(found, self.layout.prefix(), key, self.max_value) {
            Ok(entry) => There::Entry(Box::new(entry), now),
            Err(Unreadable::Unknown) => There::Foreign,
            Err(Unreadable::Corrupt(_)) => There::Damaged,
            Err(Unreadable::WrongKey) => {
                self.tier.report_wrong_key();
                There::Unreachable
            }
        }
    }
}
