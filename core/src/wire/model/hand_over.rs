//! Whoever waits on the socket, and whenever it is handed over: every request is answered, under every schedule tried.
//! What is not waited for is a deadlock, which the scheduler tells.
//!
//! The clock moves only for what the core looks at by the clock: a host that stays away, and an idle connection.
//! Whatever else is left to a look of the clock is found as a deadlock, though it would only be late.

use std::convert::Infallible;

use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

use crate::wire::exclusive::Exclusive;
use crate::wire::outbound::Outbound;
use crate::wire::pipe::{Due, Pipe, Taken};
use crate::wire::reply::Reply;
use crate::wire::watch::{AWAY, Bell, Mutant, Watch};

const SCHEDULES: usize = 300;

/// Everything that somebody sleeps for: who has changed some of it says so.
#[derive(Default)]
struct Net {
    gate: Mutex<()>,
    changed: Condvar,
    /// Commands that the server has not answered, and replies that nobody has read.
    asked: AtomicUsize,
    replies: AtomicUsize,
    /// Whether the task of the core watches the socket, and has something to look at since it last did.
    watched: AtomicBool,
    edge: AtomicBool,
    /// What wakes it besides.
    told: AtomicBool,
    struck: AtomicBool,
    /// How often the clock has struck.
    strokes: AtomicUsize,
    over: AtomicBool,
    /// A host has gone for good without a word.
    gone: AtomicBool,
}

impl Net {
    fn say(&self) {
        drop(self.gate.lock().expect("no panic"));
        self.changed.notify_all();
    }

    fn sleep_until(&self, woken: impl Fn() -> bool) {
        let mut gate = self.gate.lock().expect("no panic");
        while !woken() {
            gate = self.changed.wait(gate).expect("no panic");
        }
    }

    fn set(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::SeqCst);
        self.say();
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn is_readable(&self) -> bool {
        self.replies.load(Ordering::SeqCst) > 0
    }

    fn now(&self) -> u64 {
        self.strokes.load(Ordering::SeqCst) as u64 * 2 * AWAY
    }
}

/// The core watches the socket as long as it has this.
struct Watching(Arc<Net>);

impl Watching {
    fn begin(net: &Arc<Net>) -> Watching {
        net.watched.store(true, Ordering::SeqCst);
        // What is there already is to be looked at.
        net.edge.store(net.is_readable(), Ordering::SeqCst);
        Watching(net.clone())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watched.store(false, Ordering::SeqCst);
    }
}

/// Lets others come in between, half of the time: more than chance would give them.
fn take_time(turns: usize) {
    if shuttle::rand::thread_rng().gen_bool(0.5) {
        (0..turns).for_each(|_| thread::yield_now());
    }
}

/// What wakes a host.
struct Host {
    net: Arc<Net>,
    rung: AtomicBool,
    /// Answers that it has got.
    got: AtomicUsize,
}

impl Bell for Host {
    fn ring(&self) {
        self.net.set(&self.rung);
    }
}

/// A connection, as `line.rs` has it.
struct Wire {
    pipe: Pipe,
    io: Exclusive<Outbound>,
    watch: Watch<Watching>,
    net: Arc<Net>,
    left: AtomicUsize,
}

impl Wire {
    fn new(mutant: Option<Mutant>, calls: usize) -> Arc<Wire> {
        let mut watch = Watch::new();
        watch.mutant = mutant;
        Arc::new(Wire {
            pipe: Pipe::default(),
            io: Exclusive::new(Outbound::default()),
            watch,
            net: Arc::default(),
            left: AtomicUsize::new(calls),
        })
    }

    fn host(&self) -> Arc<Host> {
        Arc::new(Host { net: self.net.clone(), rung: AtomicBool::new(false), got: AtomicUsize::new(0) })
    }

    fn tell_core_if(&self, is_to: bool) {
        if is_to {
            self.net.set(&self.net.told);
        }
    }

    fn submit(self: &Arc<Self>, host: &Arc<Host>) -> Taken {
        let (this, host) = (self.clone(), host.clone());
        let taken = self.pipe.submit(u64::MAX, |to| {
            to.expect("it is open").command(&[b"PING"]);
            Some(Box::new(move |outcome| {
                assert!(outcome.is_ok());
                host.got.fetch_add(1, Ordering::SeqCst);
                if this.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    this.net.set(&this.net.over);
                }
                host.ring();
            }))
        });
        taken.expect("it is taken")
    }

    fn send(&self, sending: &mut Outbound) {
        self.pipe.take_outbound(sending);
        let commands = sending.commands();
        sending.advance(sending.len());
        self.net.asked.fetch_add(commands, Ordering::SeqCst);
        self.net.say();
    }

    fn send_here(&self) {
        let send = |sending: &mut Outbound| {
            self.send(sending);
            self.tell_core_if(!self.watch.is_timed());
            true
        };
        self.io.work(send, || self.pipe.has_outbound());
    }

    /// What a caller owes that waits itself, or has somebody wait.
    fn go_to_drive(&self, taken: Taken) {
        match taken {
            Taken::First => self.send_here(),
            Taken::Tell => self.tell_core_if(self.watch.tell_host()),
            Taken::Known => {}
        }
    }

    /// The same of one that does not wait on the socket.
    fn go(&self, taken: Taken) {
        self.go_to_drive(taken);
        if taken == Taken::First {
            self.tell_core_if(self.watch.look_away());
        }
    }

    fn round(&self) {
        loop {
            let mut due = Due::default();
            let mut sending = self.io.lock();
            self.send(&mut sending);
            let replies = self.net.replies.swap(0, Ordering::SeqCst);
            let mut replies = (0..replies).map(|_| Reply::Okay).collect();
            self.pipe.deliver(&mut replies, &mut due).expect("each reply has its request");
            drop(sending);
            due.settle();
            if !self.pipe.has_outbound() {
                return;
            }
        }
    }

    /// Waits on the bell, and on the socket where `drives`; then reads.
    fn poll(&self, host: &Host, drives: bool) {
        if drives {
            self.watch.note_waiting();
        }
        self.net.sleep_until(|| host.rung.load(Ordering::SeqCst) || drives && self.net.is_readable());
        if drives {
            self.watch.note_host(self.net.now());
            // Who looks at the clock may have waited for this.
            self.net.say();
        }
        host.rung.store(false, Ordering::SeqCst);
        if drives && self.net.is_readable() {
            self.round();
        }
    }

    /// A blocked caller and its calls, one after the other.
    fn call_and_drive(self: &Arc<Self>, calls: usize) {
        let host = self.host();
        let bell: std::sync::Arc<dyn Bell> = host.clone();
        for call in 1..=calls {
            let taken = self.submit(&host);
            self.go_to_drive(taken);
            while host.got.load(Ordering::SeqCst) < call {
                let is_seen_to = taken != Taken::Known;
                let claims = || {
                    let is_alone = self.pipe.is_alone();
                    take_time(10);
                    is_alone && self.watch.claim(&bell, self.net.now())
                };
                let drives = is_seen_to && (self.watch.is_driven_by(&bell) || claims());
                if is_seen_to && !drives {
                    self.tell_core_if(self.watch.look_away());
                } else if drives && self.pipe.has_outbound() {
                    self.round();
                    continue;
                }
                self.poll(&host, drives);
            }
            self.tell_core_if(self.watch.release(&bell, || self.pipe.is_idle()));
        }
    }

    /// A caller that leaves the socket to the core.
    fn call_and_wait(self: &Arc<Self>, calls: usize) {
        let host = self.host();
        for call in 1..=calls {
            self.go(self.submit(&host));
            self.net.sleep_until(|| host.got.load(Ordering::SeqCst) >= call);
        }
    }

    /// A host that waits for the answers to the calls of others, and then drives no more, or is not there any more.
    fn wait_for(self: &Arc<Self>, host: &Arc<Host>, calls: usize, leaves: bool) {
        let bell: std::sync::Arc<dyn Bell> = host.clone();
        while host.got.load(Ordering::SeqCst) < calls {
            let drives = self.watch.claim(&bell, self.net.now());
            if !drives {
                self.tell_core_if(self.watch.look_away());
            } else if self.pipe.has_outbound() {
                self.round();
                continue;
            }
            self.poll(host, drives);
        }
        if leaves {
            self.tell_core_if(self.watch.release(&bell, || self.pipe.is_idle()));
        } else {
            self.net.set(&self.net.gone);
        }
    }

    /// One of those others.
    fn call_for(self: &Arc<Self>, host: &Arc<Host>, calls: usize) {
        let bell: std::sync::Arc<dyn Bell> = host.clone();
        for _ in 0..calls {
            let taken = self.submit(host);
            if self.watch.is_driven_by(&bell) {
                self.go_to_drive(taken);
            } else {
                // So that it waits on this connection too.
                bell.ring();
                self.go(taken);
            }
        }
    }

    /// The task of the core, until all was answered.
    fn drive(&self) {
        let net = &self.net;
        let mut is_timed = false;
        while !net.is_over() {
            let begin = || Ok::<_, Infallible>(Watching::begin(net));
            if self.watch.watch(net.now(), |_| self.pipe.is_idle(), begin) == Ok(true) {
                self.round();
            }
            is_timed = is_timed || self.watch_deadlines();
            let is_edge = || net.watched.load(Ordering::SeqCst) && net.edge.load(Ordering::SeqCst);
            net.sleep_until(|| {
                let other = [&net.told, &net.struck, &net.over];
                is_edge() || other.iter().any(|flag| flag.load(Ordering::SeqCst))
            });
            net.told.store(false, Ordering::SeqCst);
            net.edge.store(false, Ordering::SeqCst);
            if net.struck.swap(false, Ordering::SeqCst) {
                is_timed = self.watch_deadlines();
            }
        }
    }

    fn watch_deadlines(&self) -> bool {
        self.watch.set_timed(false);
        let is_timed = !self.pipe.is_idle() || self.watch.is_nobody();
        self.watch.set_timed(is_timed);
        self.net.say();
        is_timed
    }

    /// The clock strikes where the core waits for nothing else.
    fn strike(&self) {
        let is_due = || {
            let is_gone = || self.net.gone.load(Ordering::SeqCst) && self.watch.is_host_away();
            self.watch.is_timed() && (self.pipe.is_idle() || is_gone())
        };
        while !self.net.is_over() {
            self.net.sleep_until(|| self.net.is_over() || is_due() && !self.net.struck.load(Ordering::SeqCst));
            self.net.strokes.fetch_add(1, Ordering::SeqCst);
            self.net.set(&self.net.struck);
        }
    }

    /// The server answers what it was asked, some time, one after the other.
    fn serve(&self) {
        let net = &self.net;
        while !net.is_over() {
            net.sleep_until(|| net.is_over() || net.asked.load(Ordering::SeqCst) > 0);
            if net.is_over() {
                return;
            }
            take_time(30);
            net.asked.fetch_sub(1, Ordering::SeqCst);
            net.replies.fetch_add(1, Ordering::SeqCst);
            if net.watched.load(Ordering::SeqCst) {
                net.edge.store(true, Ordering::SeqCst);
            }
            net.say();
        }
    }

    /// Runs all of them beside core, clock and server.
    fn run(self: &Arc<Self>, callers: Vec<Box<dyn FnOnce(&Arc<Wire>) + Send>>) {
        let workers: [fn(&Wire); 3] = [Wire::drive, Wire::strike, Wire::serve];
        let workers = workers.map(|work| {
            let this = self.clone();
            thread::spawn(move || work(&this))
        });
        let callers = callers.into_iter().map(|caller| {
            let this = self.clone();
            thread::spawn(move || caller(&this))
        });
        let all: Vec<_> = callers.collect::<Vec<_>>().into_iter().chain(workers).collect();
        all.into_iter().for_each(|one| one.join().expect("no panic"));
        assert!(self.pipe.is_idle() && !self.pipe.has_outbound());
    }
}

/// Callers that drive while they wait, and one that does not.
fn blocked_callers(mutant: Option<Mutant>) {
    let wire = Wire::new(mutant, 7);
    let drives =
        |calls| -> Box<dyn FnOnce(&Arc<Wire>) + Send> { Box::new(move |wire| wire.call_and_drive(calls)) };
    wire.run(vec![drives(2), drives(2), drives(2), Box::new(|wire| wire.call_and_wait(1))]);
}

/// The least that hands over: so many callers with one call each, the first so many of which drive while they wait.
fn few(mutant: Option<Mutant>, callers: usize, drive: usize) {
    let wire = Wire::new(mutant, callers);
    let one = |number| -> Box<dyn FnOnce(&Arc<Wire>) + Send> {
        if number < drive {
            Box::new(|wire| wire.call_and_drive(1))
        } else {
            Box::new(|wire| wire.call_and_wait(1))
        }
    };
    wire.run((0..callers).map(one).collect());
}

/// A waiter, which goes away in the end or only leaves, beside a caller of its own, one that drives and one that does
/// not.
fn waiter(mutant: Option<Mutant>, leaves: bool) {
    let wire = Wire::new(mutant, 6);
    let host = wire.host();
    let other = host.clone();
    wire.run(vec![
        Box::new(move |wire| wire.wait_for(&host, 2, leaves)),
        Box::new(move |wire| wire.call_for(&other, 2)),
        Box::new(|wire| wire.call_and_drive(2)),
        Box::new(|wire| wire.call_and_wait(2)),
    ]);
}

#[test]
fn model_somebody_always_watches_beside_callers() {
    shuttle::check_random(|| few(None, 2, 2), 3 * SCHEDULES);
    shuttle::check_random(|| few(None, 3, 2), SCHEDULES);
    shuttle::check_random(|| blocked_callers(None), SCHEDULES);
}

#[test]
fn model_somebody_always_watches_beside_a_waiter() {
    shuttle::check_random(|| waiter(None, true), SCHEDULES);
    shuttle::check_random(|| waiter(None, false), SCHEDULES);
}

/// Whether a seeded bug is found.
fn is_found(mutant: Mutant) -> bool {
    let run = move || shuttle::check_random(move || blocked_callers(Some(mutant)), 20 * SCHEDULES);
    std::panic::catch_unwind(run).is_err()
}

#[test]
fn model_seeded_bugs_of_the_hand_over_are_found() {
    for mutant in [Mutant::LeavesInSilence, Mutant::LooksAway] {
        assert!(is_found(mutant), "{mutant:?}");
    }
}
