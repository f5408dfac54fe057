//! One connection: its commands, its server's clock, and whether it still answers.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::address::Address;
use super::handshake::{self, Greeting, Identity, Predecessor};
use super::net;
use super::scripts;
use super::server_time::ServerTime;
use super::tags::TagSpace;
use super::trouble::Trouble;
use crate::host::process;
use crate::wire::{Done, Driven, Failure, Kick, Line, Outbound, Replies, Reply, drive};

/// So many timeouts without a byte from the server between them end the connection.
const STRIKES: u32 = 2;
/// The deadline of what is waited for otherwise.
const NEVER: u64 = u64::MAX;

/// Requests on a connection, for those that wait in a task.
pub(super) struct Wire(Arc<Line>);

/// A connection after its handshake.
pub(super) struct Connection {
    wire: Wire,
    pub time: ServerTime,
    identity: Option<Identity>,
    /// Which run of which server it is to; none where that is not told.
    pub run: Option<Vec<u8>>,
    /// Invalidations up to this position in the queue may be overtaken by what was sent on an earlier
    /// connection: see `pending`.
    pub uncertain: u64,
    /// The names of the scripts; none where the server has none.
    pub scripts: Option<scripts::Names>,
    strikes: Mutex<Strikes>,
}

#[derive(Default)]
struct Strikes {
    count: u32,
    received: u64,
}

impl Connection {
    /// Connects and shakes hands. The handle ends with the connection. `queued` is the position of the youngest
    /// pending invalidation.
    pub async fn open(
        address: &Address,
        meta_key: Option<&[u8]>,
        tags: &TagSpace,
        max_entry: usize,
        predecessor: &Predecessor,
        queued: impl FnOnce() -> u64,
        driven: Arc<Driven>,
    ) -> Result<(Connection, JoinHandle<()>), Trouble> {
        let line = Line::new(net::connect(address).await?, max_entry, driven);
        let driver = tokio::spawn(drive(line.clone()));
        let wire = Wire::new(line);
        let Greeting { time, identity, run, scripts, predecessor_ended } =
            handshake::greet(&wire, address, meta_key, tags, predecessor).await?;
        let uncertain = if predecessor_ended { 0 } else { queued() };
        Ok((Connection { wire, time, identity, run, uncertain, scripts, strikes: Mutex::default() }, driver))
    }

    /// Queues a request: see [`Line::submit`]. Who waits is called on another thread, or
    /// later on this one.
    pub fn submit(
        &self,
        deadline: u64,
        make: impl FnOnce(Result<&mut Outbound, Failure>) -> Option<Done>,
    ) -> Kick {
        self.wire.0.submit(deadline, make)
    }

    /// The replies to the commands that `encode` adds.
    pub async fn exchange(&self, encode: impl FnOnce(&mut Outbound)) -> Result<Replies, Trouble> {
        self.wire.many(encode).await
    }

    /// Asks the server's time anew.
    pub async fn refresh_time(&self) -> Result<(), Trouble> {
        handshake::refresh(&self.wire, &self.time).await
    }

    /// Notes that an operation got no answer in time. Returns whether the connection is to be given up: it had
    /// two of those, and not a byte came in between.
    pub fn strike(&self) -> bool {
        let received = self.wire.0.received();
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        if strikes.received != received {
            *strikes = Strikes { count: 0, received };
        }
        strikes.count += 1;
        strikes.count >= STRIKES
    }

    /// What the next connection of the tier must know of this one.
    pub fn as_predecessor(&self) -> Predecessor {
        self.identity.clone().map_or(Predecessor::Unknown, Predecessor::Known)
    }

    /// Ends it now; what waits for replies fails.
    pub fn cut(&self) {
        self.wire.cut();
    }
}

impl Wire {
    pub fn new(line: Arc<Line>) -> Self {
        Wire(line)
    }

    /// The reply to one command, which may be an error of the server.
    pub async fn one(&self, parts: &[&[u8]]) -> Result<Reply, Trouble> {
        self.many(|commands| commands.command(parts)).await?.one().ok_or(Trouble::Unexpected)
    }

    /// The replies to the commands that `encode` adds.
    pub async fn many(&self, encode: impl FnOnce(&mut Outbound)) -> Result<Replies, Trouble> {
        self.in_turn(encode, Ok).await
    }

    /// What `finish` makes of the replies to the commands that `encode` adds. It is called in the turn of these replies:
    /// after what came before them on the connection, and before what comes after.
    pub async fn in_turn<T: Send + 'static>(
        &self,
        encode: impl FnOnce(&mut Outbound),
        finish: impl FnOnce(Replies) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let (sender, receiver) = oneshot::channel();
        let kick = self.0.submit(NEVER, |to| {
            // What is refused drops the sender. Who asked may have gone.
            encode(to.ok()?);
            Some(Box::new(move |outcome: Result<Replies, Failure>| {
                drop(sender.send(outcome.map_err(Trouble::from).and_then(finish)));
            }))
        });
        kick.go();
        receiver.await.unwrap_or_else(|_| Err(Trouble::lost("it was closed")))
    }

    fn cut(&self) {
        self.0.end(&Failure::Ended("it was given up".into()));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Calls back from a task: the caller may hold locks.
pub(super) fn later(call: impl FnOnce() + Send + 'static) {
    process().runtime().spawn(async move { call() });
}
