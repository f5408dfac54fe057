//! The server's clock as this process knows it: an offset to the time since boot. The wall clock of this machine
//! is never read, so an hour more or less there changes nothing.

use std::sync::atomic::{AtomicI64, Ordering};

use super::trouble::Trouble;
use crate::clock::boottime_ms;
use crate::wire::Reply;

/// Later than any honest clock, in seconds: sums of such times and of lives do not overflow.
const MAX_SECONDS: i64 = 1 << 40;

/// Two offsets that the true one lies between, at most one round trip apart.
pub(super) struct ServerTime {
    early: AtomicI64,
    late: AtomicI64,
}

impl ServerTime {
    /// From a `TIME` that was asked at `sent` and answered at `received`, in ms since boot.
    ///
    /// The server read its clock somewhere between the two. Had it been in the middle, each side would be half a
    /// round trip off; the sides themselves are what is safe.
    pub fn new(reply: &Reply, sent: u64, received: u64) -> Result<Self, Trouble> {
        let time = ServerTime { early: AtomicI64::new(0), late: AtomicI64::new(0) };
        time.observe(reply, sent, received)?;
        Ok(time)
    }

    /// Takes a newer `TIME`.
    pub fn observe(&self, reply: &Reply, sent: u64, received: u64) -> Result<(), Trouble> {
        let (seconds, micros) = parse(reply)?;
        let millis = seconds * 1000 + micros / 1000;
        // Readings are cut to whole milliseconds: each side allows for what was cut off where it would not do.
        self.early.store(millis - 1 - signed(received), Ordering::Relaxed);
        self.late.store(millis + 2 - signed(sent), Ordering::Relaxed);
        Ok(())
    }

    /// The server's time now or a little before it, in ms since 1970: what expires so long after it never lives
    /// longer than it should.
    pub fn early(&self) -> u64 {
        self.now(&self.early)
    }

    /// The server's time now or a little after it: what it says is alive has at least the life that is left then.
    pub fn late(&self) -> u64 {
        self.now(&self.late)
    }

    fn now(&self, offset: &AtomicI64) -> u64 {
        (offset.load(Ordering::Relaxed) + signed(boottime_ms())).unsigned_abs()
    }
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX / 4)
}

/// The seconds and microseconds of a reply to `TIME`.
fn parse(reply: &Reply) -> Result<(i64, i64), Trouble> {
    let Reply::List(parts) = reply else { return Err(reply.into()) };
    let number = |part: &Reply| match part {
        Reply::Value(digits) => std::str::from_utf8(digits).ok()?.parse::<i64>().ok(),
        Reply::Number(number) => Some(*number),
        _ => None,
    };
    match parts.as_slice() {
        [seconds, micros] => match (number(seconds), number(micros)) {
            (Some(seconds @ 0..MAX_SECONDS), Some(micros @ 0..1_000_000)) => Ok((seconds, micros)),
            _ => Err(Trouble::Unexpected),
        },
        _ => Err(Trouble::Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(seconds: &str, micros: &str) -> Reply {
        let part = |digits: &str| Reply::Value(digits.as_bytes().to_vec().into());
        Reply::List(vec![part(seconds), part(micros)])
    }

    #[test]
    fn the_true_time_lies_between_the_two_estimates() {
        // The server read 1000.500 s somewhere in a round trip of 40 ms that ended now.
        let received = boottime_ms();
        let time = ServerTime::new(&reply("1000", "500000"), received - 40, received).expect("a time");
        let passed = boottime_ms() - received;
        assert!((1_000_499..=1_000_500 + passed).contains(&time.early()));
        let passed = boottime_ms() - received;
        assert!((1_000_540..=1_000_542 + passed + 5).contains(&time.late()));
        assert!(time.early() <= time.late());
    }

    #[test]
    fn a_server_whose_clock_was_set_is_believed_at_the_next_look() {
        let now = boottime_ms();
        let time = ServerTime::new(&reply("5000", "0"), now, now).expect("a time");
        time.observe(&reply("1400", "0"), now, now).expect("a time");
        assert!((1_399_999..1_410_000).contains(&time.early()));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in [
            Reply::Nothing,
            Reply::List(vec![]),
            reply("-1", "0"),
            reply("99999999999999", "0"),
            reply("1", "1000000"),
            reply("x", "0"),
        ] {
            assert_eq!(ServerTime::new(&wrong, 1, 1).err(), Some(Trouble::Unexpected), "{wrong:?}");
        }
    }
}
