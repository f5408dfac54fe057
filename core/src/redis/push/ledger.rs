//! Whether everything that was written was told: the numbers of the messages of each partition, and those of the beats.
//!
//! A beat is answered on the connection that tells of writes, after all that were counted before it. So where its
//! number is not that of the last message, some were not told.

use super::message::Message;

/// What was heard of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// The number of the last write; none before the first beat.
    last: Option<u64>,
}

/// Whether what came follows from what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Heard {
    All,
    /// Something was missed, or the count began anew: nothing that was read before is to be believed.
    Gap,
}

impl Ledger {
    /// A write was told.
    pub fn told(&mut self, sequence: u64) -> Heard {
        let heard = match self.last {
            // Before the first beat nothing is believed that could have been missed.
            None => return Heard::All,
            Some(last) if last.checked_add(1) == Some(sequence) => Heard::All,
            Some(_) => Heard::Gap,
        };
        self.last = Some(sequence);
        heard
    }

    /// A beat was answered.
    pub fn beat(&mut self, sequence: u64) -> Heard {
        let heard = match self.last {
            Some(last) if last != sequence => Heard::Gap,
            _ => Heard::All,
        };
        self.last = Some(sequence);
        heard
    }
}

/// What was heard of the partitions, and whether that was all.
pub(super) struct Ledgers {
    of: Vec<Ledger>,
    missed: bool,
}

impl Ledgers {
    pub fn new(partitions: usize) -> Ledgers {
        Ledgers { of: vec![Ledger::default(); partitions], missed: false }
    }

    /// Something was told of a partition; none where it could not be read.
    pub fn told(&mut self, partition: usize, message: Option<&Message<'_>>) {
        let heard = match message {
            // Whatever it was about.
            None => Heard::Gap,
            Some(message) if message.kind.is_counted() => self.of[partition].told(message.sequence),
            Some(_) => Heard::All,
        };
        self.missed |= heard == Heard::Gap;
    }

    /// Something came that could not be read.
    pub fn miss(&mut self) {
        self.missed = true;
    }

    /// Whether everything was told up to this beat since the last.
    pub fn beat(&mut self, numbers: &[u64]) -> bool {
        for (ledger, number) in self.of.iter_mut().zip(numbers) {
            self.missed |= ledger.beat(*number) == Heard::Gap;
        }
        !std::mem::take(&mut self.missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_is_the_next_one_and_a_beat_counts_them_all() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.told(9), Heard::All, "nothing is known before the first beat");
        assert_eq!(ledger.beat(9), Heard::All);
        assert_eq!((ledger.told(10), ledger.told(11), ledger.beat(11)), (Heard::All, Heard::All, Heard::All));
    }

    #[test]
    fn what_was_missed_is_noticed_once() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.beat(5), Heard::All);
        assert_eq!(ledger.told(7), Heard::Gap, "6 is missing");
        assert_eq!(ledger.told(8), Heard::All);
        assert_eq!(ledger.beat(9), Heard::Gap, "9 was not told");
        assert_eq!(ledger.beat(9), Heard::All);
        assert_eq!(ledger.beat(0), Heard::Gap, "the server lost everything");
        assert_eq!(ledger.told(100), Heard::Gap, "it counts anew");
        assert_eq!(ledger.told(100), Heard::Gap, "and goes back");
    }
}
