//! Tells our own messages on the channel of other programs from theirs.
//!
//! Their messages are bare keys, and so are ours. But a script of ours tells the same keys on our own channel first, in the
//! same step, and the server sends what one step published without anything in between. So what follows such a message
//! at once, in its order, is ours.

use std::collections::VecDeque;

/// Messages of ours that come next.
#[derive(Debug, Default)]
pub(super) struct Echo {
    expected: VecDeque<Box<[u8]>>,
}

impl Echo {
    /// A message of ours came: these keys follow on the other channel, none unless it says so.
    pub fn expect<'a>(&mut self, keys: impl Iterator<Item = &'a [u8]>) {
        self.expected = keys.map(Box::from).collect();
    }

    /// Whether this message of the other channel is ours.
    pub fn is_ours(&mut self, key: &[u8]) -> bool {
        let is_ours = self.expected.front().is_some_and(|expected| **expected == *key);
        if is_ours {
            self.expected.pop_front();
        } else {
            self.expected.clear();
        }
        is_ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_message_of_ours_is_ours_once() {
        let mut echo = Echo::default();
        assert!(!echo.is_ours(b"a"), "nobody told it");
        echo.expect([&b"a"[..], b"b"].into_iter());
        assert!(echo.is_ours(b"a") && echo.is_ours(b"b"));
        assert!(!echo.is_ours(b"b"), "another program told it as well");
        echo.expect([&b"a"[..]].into_iter());
        assert!(!echo.is_ours(b"b"));
        assert!(!echo.is_ours(b"a"), "it does not come later");
    }
}
