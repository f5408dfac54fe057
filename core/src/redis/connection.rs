//! One connection: its commands, its server's clock, and whether it still answers.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, Value};
use tokio::sync::SemaphorePermit;
use tokio::task::{AbortHandle, JoinHandle, unconstrained};

use super::address::Address;
use super::handshake::{self, Greeting, Identity, Predecessor};
use super::net;
use super::reply_guard::{ReplyGuard, Traffic};
use super::server_time::ServerTime;
use super::trouble::Trouble;

/// Room for messages on their way to the socket: more than operations are let in, so that handing one over never
/// waits, and the order in which they are handed over is the order in which they leave.
const QUEUE: usize = 1 << 16;
/// So many timeouts without a byte from the server between them end the connection.
const STRIKES: u32 = 2;

/// Leave to hand commands over before anybody else does.
pub(super) type Turn<'a> = SemaphorePermit<'a>;

/// One command, or many that are answered one by one.
pub(super) enum Batch {
    One(Cmd),
    Many(Pipeline),
}

/// The socket, and the task that drives it.
pub(super) struct Wire {
    handle: MultiplexedConnection,
    driver: AbortHandle,
}

/// A connection after its handshake.
pub(super) struct Connection {
    wire: Wire,
    pub time: ServerTime,
    identity: Option<Identity>,
    /// Invalidations up to this position in the queue may be overtaken by what was sent on an earlier
    /// connection: see `pending`.
    pub uncertain: u64,
    traffic: Traffic,
    strikes: Mutex<Strikes>,
}

#[derive(Default)]
struct Strikes {
    count: u32,
    traffic: u64,
}

impl Connection {
    /// Connects and shakes hands. The handle ends with the connection. `queued` is the position of the youngest
    /// pending invalidation.
    pub async fn open(
        address: &Address,
        meta_key: &[u8],
        max_entry: usize,
        predecessor: &Predecessor,
        queued: impl FnOnce() -> u64,
    ) -> Result<(Connection, JoinHandle<()>), Trouble> {
        let stream = net::connect(address).await?;
        let traffic = Traffic::default();
        let stream = ReplyGuard::new(stream, max_entry, traffic.clone());
        // Login, time and format are ours; the library is left nothing to say.
        let quiet = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let (handle, driver) = MultiplexedConnection::new_with_config(&quiet, stream, config).await?;
        let driver = tokio::spawn(driver);
        let wire = Wire { handle, driver: driver.abort_handle() };
        let Greeting { time, identity, predecessor_ended } =
            handshake::greet(&wire, address, meta_key, predecessor).await?;
        let uncertain = if predecessor_ended { 0 } else { queued() };
        Ok((Connection { wire, time, identity, uncertain, traffic, strikes: Mutex::default() }, driver))
    }

    /// Hands `batches` over in one go, lets the next one have its turn, and waits for the replies: one list for
    /// all commands, errors of the server among them.
    pub async fn exchange(&self, batches: Vec<Batch>, turn: Option<Turn<'_>>) -> Result<Vec<Value>, Trouble> {
        self.wire.exchange(batches, turn).await
    }

    /// Asks the server's time anew.
    pub async fn refresh_time(&self) -> Result<(), Trouble> {
        handshake::refresh(&self.wire, &self.time).await
    }

    /// Notes that an operation got no answer in time. Returns whether the connection is to be given up: it had
    /// two of those, and not a byte came in between.
    pub fn strike(&self) -> bool {
        let traffic = self.traffic.load(Ordering::Relaxed);
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        if strikes.traffic != traffic {
            *strikes = Strikes { count: 0, traffic };
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
        self.wire.driver.abort();
    }
}

impl Wire {
    /// The reply to one command, which may be an error of the server.
    pub async fn one(&self, command: Cmd) -> Result<Value, Trouble> {
        self.exchange(vec![Batch::One(command)], None).await?.pop().ok_or(Trouble::Unexpected)
    }

    /// The replies to many commands.
    pub async fn many(&self, commands: Pipeline) -> Result<Vec<Value>, Trouble> {
        self.exchange(vec![Batch::Many(commands)], None).await
    }

    async fn exchange(&self, batches: Vec<Batch>, turn: Option<Turn<'_>>) -> Result<Vec<Value>, Trouble> {
        let mut sent: Vec<Sent> = batches.into_iter().map(|batch| Sent::new(self.send(batch))).collect();
        // The first poll hands a batch over. It must not be put off by the scheduler's budget.
        unconstrained(poll_fn(|cx| {
            for sent in &mut sent {
                if let Sent::Waiting(reply) = sent
                    && let Poll::Ready(done) = reply.as_mut().poll(cx)
                {
                    *sent = Sent::Done(done);
                }
            }
            Poll::Ready(())
        }))
        .await;
        drop(turn);
        let mut replies = Vec::new();
        for sent in sent {
            let mut some = match sent {
                Sent::Done(done) => done?,
                Sent::Waiting(reply) => reply.await?,
            };
            if replies.is_empty() {
                replies = some;
            } else {
                replies.append(&mut some);
            }
        }
        Ok(replies)
    }

    fn send(&self, batch: Batch) -> impl Future<Output = Result<Vec<Value>, Trouble>> + Send + 'static {
        let mut handle = self.handle.clone();
        async move {
            match batch {
                Batch::One(command) => Ok(vec![handle.send_packed_command(&command).await?]),
                Batch::Many(commands) => {
                    let count = commands.len();
                    let replies = handle.send_packed_commands(&commands, 0, count).await?;
                    if replies.len() == count { Ok(replies) } else { Err(Trouble::Unexpected) }
                }
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

type Replies = Result<Vec<Value>, Trouble>;

enum Sent {
    Waiting(Pin<Box<dyn Future<Output = Replies> + Send>>),
    Done(Replies),
}

impl Sent {
    fn new(reply: impl Future<Output = Replies> + Send + 'static) -> Self {
        Sent::Waiting(Box::pin(reply))
    }
}
