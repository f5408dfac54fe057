//! The connection on which a server tells of writes: subscriptions and beats, and nothing else.
//!
//! ```text
//! connect ─▶ HELLO 3, SUBSCRIBE ─▶ beat ─answered─▶ session ─▶ beat, beat, … ─late, lost─▶ pause ─▶ connect
//! ```
//!
//! A beat is a script that only a server runs which takes writes. Its answer proves that all writes before it were told,
//! since one connection brings both in their order. So what was read in a session is current as of when its last
//! answered beat was sent, unless a message took it away: `docs/coherence.md` has the argument.

mod echo;
mod ledger;
mod message;
mod receiver;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use self::ledger::Ledgers;
use self::receiver::Receiver;
use super::address::Address;
use super::connection::Wire;
use super::handshake;
use super::net;
use super::scripts::{self, Call, Names, Script};
use super::trouble::Trouble;
use crate::clock::coarse_ms;
use crate::host::process;
use crate::mutant::{Mutant, is_broken};
use crate::resilience::Backoff;
use crate::wire::{Line, Outbound, Replies, Reply, drive};

pub(crate) use message::{Kind, Message};

/// The time for one attempt, to the answer of the first beat.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The pause after a server that cannot do this.
const UNABLE_PAUSE: Duration = Duration::from_secs(30);
/// A beat without an answer for so long ends the connection, unless that is less than two beats.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest message: a call on many names 100 keys.
const MAX_MESSAGE: usize = 256 << 10;

/// Who listens. Its methods are called one after the other, on a thread of the core, with no lock held.
pub(crate) trait Listener: Send + Sync {
    /// Something was told.
    fn told(&self, message: &Message<'_>);

    /// Another program told that it has changed what this key stands for.
    fn told_plainly(&self, key: &[u8]);

    /// A beat was answered that was sent at `sent` (ms of [`coarse_ms`]): all that was told before it is all there was.
    /// The first one of a connection begins a session; `whole` is false where messages of the present one were missed.
    /// `last` are the numbers of the last writes, one for each partition.
    fn beat(&self, sent: u64, whole: bool, last: &[u64]);

    /// The connection has ended, and the session with it.
    fn lost(&self);
}

/// What a push connection is told of its namespace.
pub(super) struct Subject {
    pub address: Arc<Address>,
    /// Where the format of the namespace is recorded; nowhere for plain entries.
    pub meta_key: Option<Vec<u8>>,
    /// The sequences and channels of the partitions.
    pub partitions: Vec<Partition>,
    /// A channel on which other programs tell keys that they have changed.
    pub subscribed: Option<Bytes>,
    /// What the names of keys begin with whose writes the server is to tell of, by whomever.
    pub tracked: Option<Bytes>,
    /// From one beat to the next.
    pub interval: Duration,
}

impl Subject {
    /// Whether all writes are told: what other programs tell is not that.
    fn follows(&self) -> bool {
        self.tracked.is_some() || self.meta_key.is_some()
    }
}

/// Where writes of one partition are counted, and told.
#[derive(Clone)]
pub(super) struct Partition {
    pub sequence: Bytes,
    /// None where the server tells of them otherwise.
    pub channel: Option<Bytes>,
    /// Whether a beat begins the sequence where it is not there: else its first write would look like one that was
    /// missed.
    pub begins: bool,
}

/// Listens until the listener, or what `subject` needs, has gone.
pub(super) async fn listen(subject: Subject, listener: Weak<dyn Listener>) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    while listener.strong_count() > 0 {
        let ended = attend(&subject, &listener, &mut backoff).await;
        let Some(told) = listener.upgrade() else { return };
        told.lost();
        drop(told);
        let pause = match ended {
            // A replica is a primary soon, or another one is: that is worth looking.
            Err(trouble @ (Trouble::Server(_) | Trouble::Refused(_))) if !trouble.counts() => UNABLE_PAUSE,
            _ => backoff.pause(),
        };
        sleep(pause).await;
    }
}

/// One connection, from the attempt to its end.
async fn attend(subject: &Subject, listener: &Weak<dyn Listener>, backoff: &mut Backoff) -> Result<(), Trouble> {
    let late = || Trouble::lost("the server did not answer within 5 s of connecting");
    let mut pulse = timeout(CONNECT_TIMEOUT, Pulse::begin(subject, listener)).await.map_err(|_| late())??;
    backoff.reset();
    let patience = PATIENCE.max(2 * subject.interval);
    loop {
        if listener.strong_count() == 0 {
            return Ok(());
        }
        sleep(subject.interval).await;
        timeout(patience, pulse.beat()).await.map_err(|_| Trouble::Timeout)??;
    }
}

/// A connection that is subscribed.
struct Pulse<'a> {
    subject: &'a Subject,
    wire: Wire,
    listener: &'a Weak<dyn Listener>,
    ledgers: Arc<Mutex<Ledgers>>,
    names: Names,
    nonce: u64,
}

impl<'a> Pulse<'a> {
    async fn begin(subject: &'a Subject, listener: &'a Weak<dyn Listener>) -> Result<Self, Trouble> {
        let ledgers = Arc::new(Mutex::new(Ledgers::new(subject.partitions.len())));
        let receiver = Receiver::new(subject, listener.clone(), ledgers.clone());
        let pushed = move |items: Vec<Reply>| receiver.receive(&items);
        let transport = net::connect(&subject.address).await?;
        let line = Line::with_pushes(transport, MAX_MESSAGE, Arc::new(pushed));
        process().runtime().spawn(drive(line.clone()));
        let wire = Wire::new(line);
        greet(&wire, &subject.address).await?;
        if let Some(meta_key) = &subject.meta_key {
            handshake::check_format(&wire, meta_key).await?;
        }
        let names = load(&wire).await?;
        subscribe(&wire, subject).await?;
        let mut pulse = Pulse { subject, wire, listener, ledgers, names, nonce: rand::random() };
        pulse.beat().await?;
        Ok(pulse)
    }

    /// Sends a beat, and tells the listener of its answer.
    async fn beat(&mut self) -> Result<(), Trouble> {
        let sent = coarse_ms();
        if is_broken(Mutant::PingBeat) {
            self.wire.one(&[b"PING"]).await?;
            let numbers = vec![0; self.subject.partitions.len()];
            self.listener.upgrade().inspect(|listener| listener.beat(sent, true, &numbers));
            return Ok(());
        }
        self.nonce = self.nonce.wrapping_add(1);
        let nonce = self.nonce.to_string();
        let calls: Vec<Call> = self.subject.partitions.iter().map(|partition| call(partition, &nonce)).collect();
        let (ledgers, listener, follows) = (self.ledgers.clone(), self.listener.clone(), self.subject.follows());
        // In its turn between the messages: what is told after it is not what it counted.
        let finish = move |replies: Replies| {
            if replies.iter().any(scripts::is_unknown) {
                return Ok(false);
            }
            let numbers: Vec<u64> =
                replies.iter().map(|reply| answer(reply, nonce.as_bytes())).collect::<Result<_, _>>()?;
            let whole = ledgers.lock().unwrap_or_else(PoisonError::into_inner).beat(&numbers);
            if let Some(listener) = listener.upgrade().filter(|_| follows) {
                listener.beat(sent, whole, &numbers);
            }
            Ok(true)
        };
        let names = &self.names;
        let is_known = self.wire.in_turn(|to| calls.iter().for_each(|call| call.encode(Some(names), to)), finish);
        if !is_known.await? {
            // The server has forgotten the scripts: the next beat finds them.
            self.names = load(&self.wire).await?;
        }
        Ok(())
    }
}

fn call(partition: &Partition, nonce: &str) -> Call {
    Call {
        script: Script::Beat,
        keys: vec![partition.sequence.clone()],
        arguments: vec![
            Bytes::copy_from_slice(nonce.as_bytes()),
            Bytes::from_static(if partition.begins { b"1" } else { b"0" }),
        ],
    }
}

/// The sequence number in the answer to a beat.
pub(super) fn answer(reply: &Reply, nonce: &[u8]) -> Result<u64, Trouble> {
    let Reply::List(parts) = reply else { return Err(reply.into()) };
    match &parts[..] {
        [Reply::Value(echo), Reply::Value(sequence), _, _] if &echo[..] == nonce => {
            let digits = std::str::from_utf8(sequence).ok();
            digits.and_then(|digits| digits.parse().ok()).ok_or(Trouble::Unexpected)
        }
        _ => Err(Trouble::Unexpected),
    }
}

/// Speaks RESP3 and logs in.
async fn greet(wire: &Wire, address: &Address) -> Result<(), Trouble> {
    let (user, password) = (address.username.as_deref().unwrap_or("default"), address.password.as_deref());
    let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
    if let Some(password) = password {
        hello.extend([&b"AUTH"[..], user.as_bytes(), password.as_bytes()]);
    }
    let database = address.database.to_string();
    let replies = wire.many(|to| {
        to.command(&hello);
        to.command(&[b"SELECT", database.as_bytes()]);
        // For whoever looks at the server. Not everybody may do it.
        to.command(&[b"CLIENT", b"SETNAME", b"scrubjay-push"]);
    });
    let replies: Vec<Reply> = replies.await?.into_iter().collect();
    match &replies[..] {
        [Reply::Map(_), Reply::Okay, _] => Ok(()),
        [Reply::Map(_), refused, _] => Err(refused.into()),
        [refused, ..] => Err(refused.into()),
        [] => Err(Trouble::Unexpected),
    }
}

/// Has the server tell.
async fn subscribe(wire: &Wire, subject: &Subject) -> Result<(), Trouble> {
    let ours = subject.partitions.iter().filter_map(|partition| partition.channel.as_ref());
    let channels: Vec<&Bytes> = ours.chain(&subject.subscribed).collect();
    if !channels.is_empty() {
        let subscribe =
            |to: &mut Outbound| channels.iter().for_each(|channel| to.command(&[b"SUBSCRIBE", channel]));
        let replies = wire.many(subscribe).await?;
        if let Some(refused) = replies.iter().find(|reply| !matches!(reply, Reply::Push(_))) {
            return Err(refused.into());
        }
    }
    let Some(before) = &subject.tracked else { return Ok(()) };
    // Of all keys that begin so, whether this connection has read them or not.
    let tracking: [&[u8]; 4] = [b"CLIENT", b"TRACKING", b"ON", b"BCAST"];
    let of: &[&[u8]] = if before.is_empty() { &[] } else { &[b"PREFIX", before] };
    match wire.one(&[&tracking, of].concat()).await? {
        Reply::Okay => Ok(()),
        refused => Err((&refused).into()),
    }
}

async fn load(wire: &Wire) -> Result<Names, Trouble> {
    let replies: Vec<Reply> = wire.many(scripts::load).await?.into_iter().collect();
    Names::of(&replies).ok_or_else(|| Trouble::Refused("the server has no scripts".into()))
}
