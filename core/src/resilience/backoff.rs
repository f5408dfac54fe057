//! Pauses between attempts: they double, and are drawn at random so that many processes do not come back together.

use std::time::Duration;

/// A sequence of pauses.
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses of up to `first`, then twice that, and so on to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Backoff { first, longest, next: first }
    }

    /// The next pause: between half and all of what is due.
    pub fn pause(&mut self) -> Duration {
        let due = self.next;
        self.next = due.saturating_mul(2).min(self.longest);
        due.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }

    /// Begins anew: the last attempt was good.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_stay_within_their_half() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(300));
        for due in [50, 100, 200, 300, 300] {
            let pause = backoff.pause();
            assert!(pause <= Duration::from_millis(due) && pause >= Duration::from_millis(due / 2), "{pause:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(50));
    }
}
