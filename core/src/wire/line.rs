//! One connection and its I/O, for whoever drives it.
//!
//! Two locks, each for a moment: that of the [`Pipe`], which all callers take, and that of the I/O, which is taken by
//! who sends or receives just now and never while anybody waits. Who finds the I/O taken goes away: its holder looks
//! at the pipe again after it has let go, so what was queued before is sent. Calls of those that waited are made with
//! neither lock held.
//!
//! **Who drives** is who waits on the socket. That is a task of the core ([`drive`]), until a thread of a host that
//! waits for answers takes it over ([`Line::claim`]): then a reply wakes that thread and no other before it. The task
//! goes on to look at deadlines and at the end, and takes the socket back when its driver has not come for a while, or
//! has given it up ([`Line::release`]).
//!
//! An **event loop** is a host that cannot say whether it waits: it may as well be busy with something else. So it drives
//! where nobody else uses the connection ([`Line::claim_for_loop`]), gives way to everybody who would wait for it, and
//! leaves the connection to the task whenever nothing has been on its way for a while.

use std::future::poll_fn;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::exclusive::Exclusive;
use super::io::Io;
use super::kick::Kick;
use super::outbound::Outbound;
use super::pipe::{Done, Due, Failure, Pipe, Pushed, Taken};
use super::transport::{Transport, is_readable, shut_down};
use super::watch::{AWAY, Bell, Watch};
use crate::clock::coarse_ms;
use crate::stats::Counter;

/// One connection.
pub(crate) struct Line {
    pipe: Pipe,
    /// Before the I/O: what watches the socket goes before the socket.
    watch: Watch<AsyncFd<Watched>>,
    io: Exclusive<Io>,
    fd: RawFd,
    /// A forked child must not end what is its parent's.
    process: u32,
    /// Bytes that have come so far.
    received: AtomicU64,
    driven: Arc<Driven>,
    /// Tells the task of the core that there is something to send, or something to watch.
    told: Notify,
    /// Whether something was taken from the pipe and has not left: the socket had no room.
    blocked: AtomicBool,
    /// Which event loop used it last, by its bell; 0 for all who are none.
    user: AtomicUsize,
    /// Since when that one alone does, in ms of [`coarse_ms`].
    used_since: AtomicU64,
}

/// Who made the reads that brought something.
#[derive(Default)]
pub(crate) struct Driven([Counter; 3]);

impl Driven {
    /// Reads by the task of the core.
    pub fn by_core(&self) -> u64 {
        self.0[Driver::Core as usize].get()
    }

    /// Reads by threads of hosts.
    pub fn by_caller(&self) -> u64 {
        self.0[Driver::Host as usize].get() + self.0[Driver::Loop as usize].get()
    }
}

/// Who makes a round.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Driver {
    Core,
    Host,
    /// A host that has other things to do: its rounds are short.
    Loop,
}

/// What is next for a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// To wait until there is something to read, or room to write where that is wanted.
    Wait {
        write: bool,
    },
    /// There is more at once.
    Again,
    Ended,
}

impl Line {
    /// A connection whose values have at most `limit` bytes. It does nothing before somebody drives it.
    pub fn new(transport: Transport, limit: usize, driven: Arc<Driven>) -> Arc<Line> {
        Self::over(transport, limit, driven, Pipe::default())
    }

    /// A connection on which the server also speaks unasked: see [`Pipe::with_pushes`].
    pub fn with_pushes(transport: Transport, limit: usize, pushed: Pushed) -> Arc<Line> {
        Self::over(transport, limit, Arc::default(), Pipe::with_pushes(pushed))
    }

    fn over(transport: Transport, limit: usize, driven: Arc<Driven>, pipe: Pipe) -> Arc<Line> {
        Arc::new(Line {
            driven,
            pipe,
            fd: transport.fd(),
            process: std::process::id(),
            received: AtomicU64::new(0),
            told: Notify::new(),
            blocked: AtomicBool::new(false),
            user: AtomicUsize::new(0),
            used_since: AtomicU64::new(0),
            watch: Watch::new(),
            io: Exclusive::new(Io::new(transport, limit)),
        })
    }

    /// Queues a request: see [`Pipe::submit`]. `deadline` is in ms of [`coarse_ms`].
    pub fn submit(
        self: &Arc<Self>,
        deadline: u64,
        make: impl FnOnce(Result<&mut Outbound, Failure>) -> Option<Done>,
    ) -> Kick {
        Kick::new(self.pipe.submit(deadline, make).map(|taken| (self.clone(), taken)))
    }

    /// How many bytes have come so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Ends it now. Those that wait are told, with no lock of ours held.
    pub fn end(&self, failure: &Failure) {
        let mut due = Due::default();
        self.end_into(failure, &mut due);
        due.settle();
    }

    fn end_into(&self, failure: &Failure, due: &mut Due) {
        self.pipe.end(failure, due);
        if self.process == std::process::id() {
            shut_down(self.fd);
        }
        self.told.notify_one();
    }

    /// Makes a host the driver of this connection, unless another one waits on it: it is to wait on [`Line::fd`], and to
    /// make a [`Line::round`] when there is something to read, and when `bell` was rung. Returns whether it is the
    /// driver now.
    ///
    /// A host that is not there may find, when it comes back, that it drives no more; then both wait for a while, and
    /// who is woken first reads.
    pub fn claim(&self, bell: &Arc<dyn Bell>) -> bool {
        self.watch.claim(bell, coarse_ms())
    }

    /// As [`Line::claim`], where no more than one request is on its way.
    pub fn claim_if_alone(&self, bell: &Arc<dyn Bell>) -> bool {
        self.pipe.is_alone() && self.claim(bell)
    }

    /// As [`Line::claim`], for an event loop: where its request is the only one on its way, or nobody else has made one
    /// for a while. Others would wait for whatever the loop does meanwhile.
    pub fn claim_for_loop(&self, bell: &Arc<dyn Bell>) -> bool {
        let used_since = self.note_user(address(bell));
        (self.pipe.is_alone() || used_since + AWAY < coarse_ms()) && self.claim(bell)
    }

    /// Notes who uses it. Returns since when nobody else does.
    pub(super) fn note_user(&self, user: usize) -> u64 {
        if self.user.load(Ordering::Relaxed) == user {
            return self.used_since.load(Ordering::Relaxed);
        }
        let now = coarse_ms();
        self.used_since.store(now, Ordering::Relaxed);
        self.user.store(user, Ordering::Relaxed);
        now
    }

    /// The host of `bell` drives no more.
    pub fn release(&self, bell: &Arc<dyn Bell>) {
        if self.watch.release(bell, || self.pipe.is_idle()) {
            self.told.notify_one();
        }
    }

    /// Whether the host of `bell` drives.
    pub fn is_driven_by(&self, bell: &Arc<dyn Bell>) -> bool {
        self.watch.is_driven_by(bell)
    }

    /// Has the task of the core wait on the socket, if nobody does at this moment.
    pub fn have_watched(&self) {
        if self.watch.look_away() {
            self.told.notify_one();
        }
    }

    /// Whether nobody waits on the socket.
    pub(super) fn is_unwatched(&self) -> bool {
        self.watch.is_nobody()
    }

    /// The host that drives begins to wait.
    pub fn note_waiting(&self) {
        self.watch.note_waiting();
    }

    /// The host that drives is there.
    pub fn note_host(&self) {
        self.watch.note_host(coarse_ms());
    }

    /// The socket to wait on.
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// Whether there is something to send: then a [`Line::round`] tells whether to wait for room.
    pub fn has_outbound(&self) -> bool {
        self.blocked.load(Ordering::Acquire) || self.pipe.has_outbound()
    }

    /// Sees to it that the task of the core waits on the socket, where no host does. Returns whether it does.
    fn watch_here(&self) -> Result<bool, Failure> {
        // A loop leaves an idle connection to us, who notice its end; one that waits for a reply is not away.
        let stays = |is_loop: bool| match (is_loop, self.pipe.is_idle()) {
            (false, idle) => idle,
            (true, idle) => !idle && !self.has_outbound() && !is_readable(self.fd),
        };
        let begin = || {
            let interest = Interest::READABLE | Interest::WRITABLE;
            // SAFETY: the descriptor is that of our transport, and goes after what watches it.
            let core = unsafe { AsyncFd::register_with_interest(Watched(self.fd), interest) };
            core.map_err(|_| Failure::Ended("it cannot be watched".into()))
        };
        self.watch.watch(coarse_ms(), stays, begin)
    }

    /// Whether there is something to read, or room to write where that is wanted. What comes from now on makes it so
    /// anew.
    fn poll_ready(&self, write: bool, cx: &mut Context<'_>) -> bool {
        self.watch.by_core(|core| {
            let mut is_ready = false;
            if let Poll::Ready(mut ready) = core.poll_read_ready(cx) {
                ready.iter_mut().for_each(AsyncFdReadyGuard::clear_ready);
                is_ready = true;
            }
            if write && let Poll::Ready(mut ready) = core.poll_write_ready(cx) {
                ready.iter_mut().for_each(AsyncFdReadyGuard::clear_ready);
                is_ready = true;
            }
            is_ready
        })
    }

    /// What is owed for something that was queued, but for seeing to it that anybody drives.
    pub(super) fn send_or_tell(&self, taken: Taken) {
        match taken {
            Taken::First => self.send_here(),
            Taken::Tell => self.tell(),
            Taken::Known => {}
        }
    }

    /// Sends what is queued, by a caller that has held it back: see [`Kick::hold`].
    pub fn send_queued(&self) {
        if self.pipe.has_outbound() {
            self.send_here();
        }
    }

    /// Tells the driver that there is something to send.
    fn tell(&self) {
        if self.watch.tell_host() {
            self.told.notify_one();
        }
    }

    /// Sends what is queued from this thread, as far as that needs no wait.
    fn send_here(&self) {
        let send = |io: &mut Io| {
            let sent = io.send(&self.pipe);
            self.blocked.store(io.is_sending(), Ordering::Release);
            let all = matches!(sent, Ok(true));
            // What is left, and what went wrong, is for the driver: it waits where we must not.
            if !all {
                self.tell();
            } else if !self.watch.is_timed() {
                self.told.notify_one();
            }
            all
        };
        self.io.work(send, || self.pipe.has_outbound());
    }

    /// Sends and receives what can be without a wait. The calls that are due then are for the caller to make.
    pub fn round(&self, driver: Driver, due: &mut Due) -> Round {
        let mut io = self.io.lock();
        let before = self.received();
        let short = driver == Driver::Loop;
        let outcome = io.send(&self.pipe).and_then(|_| io.receive(&self.pipe, &self.received, short, due));
        if self.received() > before {
            self.driven.0[driver as usize].add(1);
        }
        let write = io.is_sending();
        self.blocked.store(write, Ordering::Release);
        drop(io);
        match outcome {
            Ok(more) if more || self.pipe.has_outbound() && !write => Round::Again,
            Ok(_) => Round::Wait { write },
            Err(failure) => {
                self.end_into(&failure, due);
                Round::Ended
            }
        }
    }
}

/// What tells one event loop from another.
fn address(bell: &Arc<dyn Bell>) -> usize {
    Arc::as_ptr(bell).cast::<()>() as usize
}

/// A descriptor that is open as long as it is watched.
struct Watched(RawFd);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// Looks after a connection until it ends, and drives it where no host does: a task of the core.
pub(crate) async fn drive(line: Arc<Line>) {
    let mut due = Due::default();
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    loop {
        if line.pipe.is_ended() {
            return;
        }
        let round = match line.watch_here() {
            Ok(true) => line.round(Driver::Core, &mut due),
            Ok(false) => Round::Wait { write: false },
            Err(failure) => return line.end(&failure),
        };
        due.settle();
        let write = match round {
            Round::Ended => return,
            Round::Again => {
                tokio::task::yield_now().await;
                continue;
            }
            Round::Wait { write } => write,
        };
        if timer.is_none() {
            timer = watch_deadlines(&line, &mut due);
        }
        let mut told = pin!(line.told.notified());
        let late = poll_fn(|cx| {
            if told.as_mut().poll(cx).is_ready() || line.poll_ready(write, cx) {
                return Poll::Ready(false);
            }
            match &mut timer {
                Some(timer) => timer.as_mut().poll(cx).map(|()| true),
                None => Poll::Pending,
            }
        });
        if late.await {
            timer = watch_deadlines(&line, &mut due);
        }
    }
}

/// Gives up what is late, and sets the clock for what is late next.
fn watch_deadlines(line: &Line, due: &mut Due) -> Option<Pin<Box<Sleep>>> {
    // A request that comes from here on tells us, or is seen.
    line.watch.set_timed(false);
    let now = coarse_ms();
    let next = line.pipe.expire(now, due);
    due.settle();
    // The end of the connection is to be noticed though nothing is on its way.
    let next = next.or_else(|| line.watch.is_doubtful().then_some(now + AWAY))?;
    line.watch.set_timed(true);
    // The driver may be a host that goes away.
    Some(Box::pin(sleep(Duration::from_millis((next - now).min(AWAY)))))
}
