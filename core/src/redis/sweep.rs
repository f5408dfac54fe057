//! The memory of entries that a clear has ended, and their deletion where the server has no scripts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::admission::Slot;
use super::commands;
use super::connection::Connection;
use super::tags::{TagSpace, version_of};
use super::tier::{Operation, Tier, soon};
use super::trouble::Trouble;
use crate::error::Error;
use crate::host::process;

impl Tier {
    /// Deletes every entry of the namespace, where the server has no scripts. Entries stored meanwhile may be deleted as
    /// well.
    ///
    /// # Errors
    /// As [`Tier::get`]; `Unavailable` also where there was more to delete than fits into `l2_timeout`.
    pub async fn delete_all(self: &Arc<Self>) -> Result<(), Error> {
        let operation = Slot::take(self, 0).and_then(Operation::begin);
        let operation = operation.map_err(|trouble| trouble.into_error("clear"))?;
        let deadline = Instant::now() + self.l2_timeout;
        let work = async {
            let connection = self.link.up(operation.deadline).await?;
            let position = self.pending.position();
            let outcome = self.sweep(&connection, self.l2_timeout, None, || Instant::now() < deadline).await;
            self.judge(&connection, &outcome);
            outcome.map(|()| self.pending.landed_clear(position))
        };
        let outcome = timeout_at(deadline, work).await.unwrap_or(Err(Trouble::Timeout));
        operation.end(&outcome);
        outcome.map_err(|trouble| trouble.into_error("clear"))
    }

    /// Frees the memory of entries that the clear with this number has ended. What is left when something fails ends by
    /// itself, at its expiry.
    pub fn sweep_behind(self: &Arc<Self>, sequence: u64) {
        /// The time for one reply. Nobody waits for it.
        const PATIENCE: Duration = Duration::from_secs(5);
        if self.swept.fetch_max(sequence, Ordering::AcqRel) != 0 {
            // Who is at it begins again.
            return;
        }
        let this = self.clone();
        process().runtime().spawn(async move {
            loop {
                let sequence = this.swept.load(Ordering::Acquire);
                if let Ok(connection) = this.link.up(this.budget()).await {
                    let version = Some(version_of(sequence));
                    let go_on =
                        || !this.closed.load(Ordering::Acquire) && this.swept.load(Ordering::Acquire) == sequence;
                    // Nothing depends on it.
                    let _ = this.sweep(&connection, PATIENCE, version, go_on).await;
                }
                if this.swept.compare_exchange(sequence, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    return;
                }
            }
        });
    }

    /// Deletes every entry over `connection`, or those alone that are older than `version` of the empty tag, as long as
    /// `go_on` says so between two steps. Each reply has `patience` to come.
    pub(super) async fn sweep(
        &self,
        connection: &Connection,
        patience: Duration,
        version: Option<u64>,
        go_on: impl Fn() -> bool,
    ) -> Result<(), Trouble> {
        // No server can make us delete what is not ours.
        let prefix = self.before_entries();
        let mut cursor = b"0".to_vec();
        loop {
            let scan = connection.exchange(|to| commands::scan(&cursor, &self.entry_pattern, to));
            let (next, mut found) = commands::scanned(soon(patience, scan).await?)?;
            found.retain(|key| key.starts_with(&prefix));
            if !found.is_empty() {
                let unlink = connection.exchange(|to| match version {
                    Some(version) => TagSpace::sweep(&found, version).encode(connection.scripts.as_ref(), to),
                    None => commands::unlink(&found, to),
                });
                commands::all_deleted(&soon(patience, unlink).await?)?;
            }
            if next == b"0" {
                return Ok(());
            }
            if !go_on() {
                return Err(Trouble::Unfinished);
            }
            cursor = next;
        }
    }
}
