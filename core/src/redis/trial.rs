//! Tries behind everybody's back whether a server that was cut off answers again, so that no caller waits for the outcome.

use std::time::Duration;

use super::commands;
use super::tier::{Tier, soon};
use super::trouble::Trouble;
use crate::host::process;
use crate::resilience::{CutOff, Permit};

impl Tier {
    /// Whether reads need not be tried: the breaker has cut the server off. When it is time to try again, that is done behind.
    pub fn is_cut_off(&self) -> bool {
        match self.breaker.look() {
            CutOff::No => false,
            CutOff::Yes => true,
            CutOff::Probe(permit) => {
                if let Some(tier) = self.handle().upgrade() {
                    process().runtime().spawn(async move { tier.attempt(permit).await });
                }
                true
            }
        }
    }

    async fn attempt(&self, permit: Permit) {
        let deadline = self.budget();
        let outcome = async {
            let connection = self.link.up(deadline).await?;
            // A read like any other: a server that answers only a PING is not back.
            let reply = soon(self.l2_timeout, connection.exchange(|to| commands::get(&self.sequence, to))).await;
            // One that says that it is loading, say, is not back either.
            let value = reply.and_then(commands::value);
            self.judge(&connection, &value);
            value
        };
        let outcome = tokio::time::timeout(self.l2_timeout + Duration::from_millis(50), outcome).await;
        match outcome.unwrap_or(Err(Trouble::Timeout)) {
            Ok(_) => permit.success(),
            Err(trouble) if trouble.is_answer() => permit.success(),
            Err(trouble) if trouble.counts() => permit.failure(),
            // It says nothing of the server.
            Err(_) => {}
        }
    }
}
