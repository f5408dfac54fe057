//! An event loop of a host drives the connections that bring its answers.
//!
//! The loop watches one descriptor: an epoll set of the bell and of the sockets that are driven here. When that is readable
//! it makes a [turn](Looping::turn), which never waits and takes about a millisecond at most: what is left then keeps
//! the descriptor readable, and the loop gets on with other things before.
//!
//! **One write a turn.** Those who got an answer in a turn most often ask again, one after the other. The first of them
//! is not sent at once: all leave together, when as many have asked as were answered ([`Hold::Until`]) or when the host
//! says that its turn is over ([`Hold::Turn`]). A descriptor of this thread alone, in the same set, sees to it that none
//! is held longer than to the loop's next turn.
//!
//! Whoever else uses a connection would have to wait for whatever the loop does meanwhile, so the loop gives way: see
//! [`Line::claim_for_loop`].

use std::cell::Cell;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::answer::Answer;
use super::loop_bell::LoopBell;
use super::poll_set::PollSet;
use super::process;
use super::wake::{EventFd, Wake};
use crate::codec::Codec;
use crate::wire::{Bell, Driver, Due, Kick, Line, Round};

/// More connections than this are left to the core.
const MAX_LINES: usize = 64;
/// So long a turn goes on receiving before the loop gets on with other things.
const TURN: Duration = Duration::from_millis(1);
/// So many bytes a turn receives on one connection, about.
const BYTES: u64 = 1 << 20;
/// Replies with more bytes than this are looked at by a thread of the core: a checksum, and the syntax of JSON.
const LARGE: usize = 64 << 10;

thread_local! {
    /// Whether this thread looks at large replies, so that no event loop has to.
    static LOOKS_AT_LARGE: Cell<bool> = const { Cell::new(false) };
}

/// What a queue has where an event loop drives. All is called on the thread of the loop, but for the bell.
pub(super) struct Looping {
    bell: Arc<dyn Bell>,
    heard: Arc<LoopBell>,
    set: PollSet,
    /// Readable while requests are held back.
    held: EventFd,
    state: Mutex<State>,
    /// Whether a turn hands out answers: the loop looks at the queue by itself afterwards.
    handing_out: AtomicBool,
    /// Whether the host takes large values over without a copy, where they are nobody else's.
    takes_over: bool,
}

#[derive(Default)]
struct State {
    /// Connections that are driven here, or were.
    lines: Vec<Watched>,
    hold: Hold,
    /// Whether `held` is readable.
    holds: bool,
}

struct Watched {
    line: Arc<Line>,
    /// Whether room to write is waited for.
    write: bool,
}

/// How long what is asked for waits for more of it.
#[derive(Clone, Copy, Default, PartialEq)]
enum Hold {
    /// Not at all, if nothing else is on its way.
    #[default]
    No,
    /// Until so many have asked.
    Until(usize),
    /// Until the turn is over.
    Turn,
}

impl Looping {
    /// The bell of a queue, and what is driven beside it.
    pub fn new(takes_over: bool) -> std::io::Result<(Wake, Looping)> {
        let bell = Arc::new(LoopBell::new(EventFd::new()?));
        let (set, held) = (PollSet::new()?, EventFd::new()?);
        set.add(&bell.signal)?;
        set.add(&held)?;
        let looping = Looping {
            bell: bell.clone(),
            heard: bell.clone(),
            set,
            held,
            state: Mutex::default(),
            handing_out: AtomicBool::new(false),
            takes_over,
        };
        Ok((Wake::Loop(bell), looping))
    }

    /// The descriptor for the loop to watch.
    pub fn fd(&self) -> RawFd {
        self.set.fd()
    }

    /// Makes an answer the loop's own, where there is time for that: a value that memory holds as well is copied.
    pub fn own(&self, answer: &mut Answer) {
        if self.takes_over && LOOKS_AT_LARGE.get() {
            own(answer);
        }
    }

    /// Whether this answer is seen by the turn that hands it out.
    pub fn is_handing_out(&self) -> bool {
        self.handing_out.load(Ordering::Relaxed)
    }

    /// A request was queued whose answer comes to this loop.
    pub fn go(&self, kick: Kick) {
        let driven = kick.line().is_some_and(|line| self.drives(line));
        if !driven {
            kick.go();
            return self.asked(None);
        }
        let first = kick.is_first();
        if let Some(line) = kick.hold() {
            line.note_host();
            self.asked(Some((&line, first)));
        }
    }

    /// One has asked: sends what is queued, or has it wait for more. `driven` tells the connection, if it is one of this
    /// loop, and whether nothing else is on its way there.
    fn asked(&self, driven: Option<(&Line, bool)>) {
        let mut state = self.state();
        let all = match state.hold {
            Hold::Turn => return,
            Hold::Until(more) if more > 1 => {
                state.hold = Hold::Until(more - 1);
                false
            }
            Hold::Until(_) => {
                state.hold = Hold::No;
                true
            }
            Hold::No => driven.is_some_and(|(_, first)| first),
        };
        if all {
            drop(state);
            self.send();
        } else if driven.is_some() && !std::mem::replace(&mut state.holds, true) {
            self.held.signal();
        }
    }

    /// What is asked for from now on is held until [`Looping::send`].
    pub fn hold(&self) {
        self.state().hold = Hold::Turn;
    }

    /// Answers were handed out: as many requests are expected, and leave together.
    pub fn expect(&self, answers: usize) {
        let mut state = self.state();
        if state.hold != Hold::Turn {
            state.hold = if answers > 0 { Hold::Until(answers) } else { Hold::No };
        }
    }

    /// Sends what was held.
    pub fn send(&self) {
        let mut state = self.state();
        state.hold = Hold::No;
        if std::mem::take(&mut state.holds) {
            self.held.clear();
        }
        let lines: Vec<Arc<Line>> = state.lines.iter().map(|watched| watched.line.clone()).collect();
        drop(state);
        lines.iter().for_each(|line| line.send_queued());
    }

    /// Sends and receives what can be without a wait. Whatever is left then keeps the descriptor readable.
    pub fn turn(&self) {
        let begun = Instant::now();
        self.heard.listen();
        let lines: Vec<Arc<Line>> = {
            let mut state = self.state();
            if std::mem::take(&mut state.holds) {
                self.held.clear();
            }
            state.lines.iter().map(|watched| watched.line.clone()).collect()
        };
        // With one connection there is no need to ask which is ready.
        let ready = if lines.len() > 1 { self.set.ready() } else { lines.iter().map(|line| line.fd()).collect() };
        for line in &lines {
            if !ready.contains(&line.fd()) && !line.has_outbound() {
                continue;
            }
            if !line.is_driven_by(&self.bell) {
                self.leave(line);
                continue;
            }
            line.note_host();
            self.rounds(line, begun);
        }
    }

    fn rounds(&self, line: &Arc<Line>, begun: Instant) {
        let before = line.received();
        loop {
            return match self.round(line) {
                Round::Again if line.received() - before < BYTES && begun.elapsed() < TURN => continue,
                // What TLS has taken in already makes no descriptor readable.
                Round::Again => self.bell.ring(),
                Round::Wait { write } => self.watch_for_room(line, write),
                Round::Ended => self.leave(line),
            };
        }
    }

    fn round(&self, line: &Line) -> Round {
        let mut due = Due::default();
        let round = line.round(Driver::Loop, &mut due);
        let mut large = due.take_large(LARGE);
        if !large.is_empty() {
            process().runtime().spawn(async move {
                LOOKS_AT_LARGE.set(true);
                large.settle();
                LOOKS_AT_LARGE.set(false);
            });
        }
        // Answers to this queue ring no bell, whoever gives them meanwhile: the loop looks at the queue next.
        self.handing_out.store(true, Ordering::Relaxed);
        due.settle();
        self.handing_out.store(false, Ordering::Relaxed);
        round
    }

    /// Whether a connection is driven here, from now on if not before.
    fn drives(&self, line: &Arc<Line>) -> bool {
        if line.is_driven_by(&self.bell) {
            return true;
        }
        let mut state = self.state();
        let watched = state.lines.iter().any(|watched| Arc::ptr_eq(&watched.line, line));
        if state.lines.len() >= MAX_LINES && !watched || !line.claim_for_loop(&self.bell) {
            return false;
        }
        // It may be here from before, when another one has driven it in between.
        if !watched {
            if self.set.add_line(line).is_err() {
                line.release(&self.bell);
                return false;
            }
            state.lines.push(Watched { line: line.clone(), write: false });
        }
        true
    }

    /// Watches a connection no more.
    fn leave(&self, line: &Arc<Line>) {
        let mut state = self.state();
        let Some(at) = state.lines.iter().position(|watched| Arc::ptr_eq(&watched.line, line)) else { return };
        self.set.remove(line);
        let left = state.lines.swap_remove(at);
        drop(state);
        drop(left);
    }

    fn watch_for_room(&self, line: &Arc<Line>, write: bool) {
        let mut state = self.state();
        let watched = state.lines.iter_mut().find(|watched| Arc::ptr_eq(&watched.line, line));
        if let Some(watched) = watched.filter(|watched| watched.write != write) {
            watched.write = write;
            self.set.change(line, write);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn own(answer: &mut Answer) {
    match answer {
        Answer::Hit { value, .. } | Answer::Stale { value, .. }
            if value.codec == Codec::Raw && value.bytes.len() > LARGE && !value.bytes.is_unique() =>
        {
            value.bytes = Bytes::copy_from_slice(&value.bytes);
        }
        Answer::Many(answers) => answers.iter_mut().for_each(own),
        _ => {}
    }
}

impl Drop for Looping {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.lines.drain(..).for_each(|watched| watched.line.release(&self.bell));
    }
}
