//! Brings pending invalidations to the server: a task that runs as long as there are any, whatever the breaker
//! says, and needs nobody to call.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::commands;
use super::connection::Connection;
use super::link::Turn;
use super::pending::Due;
use super::scripts;
use super::tier::{Tier, soon};
use super::trouble::Trouble;
use crate::clock::coarse_ms;
use crate::host::process;
use crate::resilience::Backoff;
use crate::tags::Tag;
use crate::wire::{Failure, Kick, Replies};

/// Keys that are deleted in one step.
const STEP_KEYS: usize = 10 * commands::MANY;
/// The time for one reply, at least. Nobody waits for it, so it may be longer than that of an operation.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a wait for a connection is, in milliseconds, before it begins anew.
const WAIT: u64 = 60_000;

/// Starts the task, unless it runs.
pub(super) fn start(tier: &Tier, me: &Weak<Tier>) {
    if !tier.landing.swap(true, Ordering::AcqRel) {
        process().runtime().spawn(land(me.clone()));
    }
}

async fn land(tier: Weak<Tier>) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        let Some(this) = tier.upgrade() else { return };
        if this.pending.is_empty() {
            this.landing.store(false, Ordering::Release);
            // One that was queued between the look and the store found us still running.
            if this.pending.is_empty() || this.landing.swap(true, Ordering::AcqRel) {
                return;
            }
        }
        let outcome = step(&this).await;
        drop(this);
        match outcome {
            Ok(()) => backoff.reset(),
            Err(Trouble::Closed) => return,
            Err(_) => sleep(backoff.pause()).await,
        }
    }
}

/// Lands some of what is due, once there is a connection.
async fn step(tier: &Arc<Tier>) -> Result<(), Trouble> {
    let patience = PATIENCE.max(tier.l2_timeout);
    let deadline = coarse_ms() + WAIT;
    let connection = tier.link.up(deadline).await?;
    if tier.pending.due_clear().is_some() {
        let outcome = land_clear(tier, &connection, patience).await;
        return judged(tier, &connection, outcome);
    }
    if !tier.pending.due_tags().is_empty() {
        let outcome = tier.land_tags(&connection, patience).await;
        return judged(tier, &connection, outcome);
    }
    let mut changed = std::pin::pin!(tier.pending.changed());
    changed.as_mut().enable();
    let Some(Sent { connection, due, replies }) = send_due(tier, deadline).await? else {
        // Only keys whose new values are on their way.
        changed.await;
        return Ok(());
    };
    let replies = soon(patience, async {
        replies.await.map_err(|_| Trouble::lost("it was closed"))?.map_err(Trouble::from)
    })
    .await;
    let outcome = replies.and_then(|replies| scripts::all_counted(&replies));
    if outcome.is_ok() {
        tier.pending.landed(&due);
    }
    judged(tier, &connection, outcome)
}

/// Ends all entries of the namespace, or deletes them where the server has no scripts.
async fn land_clear(tier: &Arc<Tier>, connection: &Connection, patience: Duration) -> Result<(), Trouble> {
    let position = tier.pending.position();
    if connection.scripts.is_none() {
        tier.sweep(connection, patience, None, || true).await?;
    } else {
        let calls = tier.tags.invalidations(&[Tag::from(&[][..])]);
        let sent = connection.exchange(|to| calls.iter().for_each(|call| call.encode(None, to)));
        let replies = soon(patience, sent).await?;
        let sequence = scripts::sequence(&replies.one().ok_or(Trouble::Unexpected)?)?;
        // What was read of it meanwhile was still that of before.
        tier.tags.known.drop_all();
        tier.sweep_behind(sequence);
    }
    tier.pending.landed_clear(position);
    Ok(())
}

/// Deletions on their way.
struct Sent {
    connection: Arc<Connection>,
    due: Vec<Due>,
    replies: oneshot::Receiver<Result<Replies, Failure>>,
}

/// Sends the deletions that are due; none where there are none.
async fn send_due(tier: &Arc<Tier>, deadline: u64) -> Result<Option<Sent>, Trouble> {
    let (sender, sent) = oneshot::channel();
    let this = tier.clone();
    let job = move |turn: Result<Turn<'_>, Trouble>| {
        let connection = match turn {
            Ok(turn) => turn.connection,
            Err(why) => {
                drop(sender.send(Err(why)));
                return Kick::NONE;
            }
        };
        // Looked at in our turn: a write of such a key leaves before or after this deletion, and is known here.
        let due = this.pending.due(STEP_KEYS);
        if due.is_empty() {
            drop(sender.send(Ok(None)));
            return Kick::NONE;
        }
        let names = due.iter().map(|(name, _)| name.clone()).collect();
        let scripted = connection.scripts.is_some();
        let calls = this.due_calls(names, scripted);
        let (done, replies) = oneshot::channel();
        let kick = connection.submit(u64::MAX, |to| {
            // What is refused drops the sender.
            let to = to.ok()?;
            for call in &calls {
                // With its text: whether the server knows the script is not worth another round trip here.
                if scripted { call.encode(None, to) } else { call.encode_plainly(to) }
            }
            Some(Box::new(move |outcome| drop(done.send(outcome))))
        });
        drop(sender.send(Ok(Some(Sent { connection: connection.clone(), due, replies }))));
        kick
    };
    tier.link.submit(deadline, job).go();
    sent.await.unwrap_or(Err(Trouble::Closed))
}

/// What an outcome means for connection and breaker: a failure here opens nothing, a success closes it.
fn judged(tier: &Tier, connection: &Arc<Connection>, outcome: Result<(), Trouble>) -> Result<(), Trouble> {
    tier.judge(connection, &outcome);
    if outcome.is_ok() {
        tier.breaker.success();
    }
    outcome
}
