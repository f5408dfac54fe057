//! Everything that is queued is sent, once and in order, whoever sends it and whenever: under every schedule tried.

mod hand_over;

use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

use super::exclusive::Exclusive;
use super::outbound::Outbound;
use super::pipe::{Due, Pipe, Taken};
use super::reply::Reply;

const CALLERS: usize = 3;
const CALLS: usize = 2;
const SCHEDULES: usize = 3_000;

/// What goes wrong on purpose, for the check to find.
#[derive(Clone, Copy, PartialEq)]
enum Mutant {
    None,
    /// The driver looks for what is left before it lets go.
    LooksTooEarly,
    /// Who is told reads, and does not send.
    ForgetsToSend,
}

/// A connection, its server, and the driver that is woken by both.
struct Wire {
    pipe: Pipe,
    io: Exclusive<Outbound>,
    /// Whether there is something to send or to read.
    told: Mutex<bool>,
    changed: Condvar,
    /// Commands that the server has, and has not answered.
    at_server: AtomicUsize,
    sent: AtomicUsize,
    answered: AtomicUsize,
    mutant: Mutant,
}

impl Wire {
    /// Sends what is queued. The server's answers make the socket readable.
    fn send(&self, sending: &mut Outbound) {
        self.pipe.take_outbound(sending);
        let commands = sending.commands();
        sending.advance(sending.len());
        self.sent.fetch_add(commands, Ordering::Relaxed);
        self.at_server.fetch_add(commands, Ordering::Relaxed);
        if commands > 0 {
            self.tell();
        }
    }

    fn receive(&self, due: &mut Due) {
        let commands = self.at_server.swap(0, Ordering::Relaxed);
        let mut replies = (0..commands).map(|_| Reply::Okay).collect();
        self.pipe.deliver(&mut replies, due).expect("each reply has its request");
    }

    fn tell(&self) {
        *self.told.lock().expect("no panic") = true;
        self.changed.notify_one();
    }

    fn call(self: &Arc<Self>) {
        let this = self.clone();
        let taken = self.pipe.submit(u64::MAX, |to| {
            to.expect("it is open").command(&[b"PING"]);
            Some(Box::new(move |outcome| {
                assert!(outcome.is_ok());
                this.answered.fetch_add(1, Ordering::Relaxed);
            }))
        });
        match taken.expect("it is taken") {
            Taken::First => self.io.work(
                |sending| {
                    self.send(sending);
                    true
                },
                || self.pipe.has_outbound(),
            ),
            Taken::Tell => self.tell(),
            Taken::Known => {}
        }
    }

    /// The driver: sleeps until it is told, and ends when all was answered.
    fn drive(&self) {
        while self.answered.load(Ordering::Relaxed) < CALLERS * CALLS {
            let mut told = self.told.lock().expect("no panic");
            while !*told {
                told = self.changed.wait(told).expect("no panic");
            }
            *told = false;
            drop(told);
            loop {
                let mut due = Due::default();
                let mut sending = self.io.lock();
                if self.mutant != Mutant::ForgetsToSend {
                    self.send(&mut sending);
                }
                self.receive(&mut due);
                let early = self.pipe.has_outbound();
                drop(sending);
                due.settle();
                let left = match self.mutant {
                    Mutant::None => self.pipe.has_outbound(),
                    Mutant::LooksTooEarly => early,
                    Mutant::ForgetsToSend => false,
                };
                if !left {
                    break;
                }
            }
        }
    }
}

fn everything_is_sent(mutant: Mutant) {
    let wire = Arc::new(Wire {
        pipe: Pipe::default(),
        io: Exclusive::new(Outbound::default()),
        told: Mutex::new(false),
        changed: Condvar::new(),
        at_server: AtomicUsize::new(0),
        sent: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
        mutant,
    });
    let driver = thread::spawn({
        let wire = wire.clone();
        move || wire.drive()
    });
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let wire = wire.clone();
            thread::spawn(move || (0..CALLS).for_each(|_| wire.call()))
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
    driver.join().expect("no panic");
    assert_eq!(wire.sent.load(Ordering::Relaxed), CALLERS * CALLS);
    assert!(wire.pipe.is_idle() && !wire.pipe.has_outbound());
}

#[test]
fn model_what_is_queued_is_sent() {
    shuttle::check_random(|| everything_is_sent(Mutant::None), SCHEDULES);
}

fn is_found(mutant: Mutant) -> bool {
    std::panic::catch_unwind(|| shuttle::check_random(move || everything_is_sent(mutant), SCHEDULES)).is_err()
}

#[test]
fn model_a_look_that_comes_too_early_is_found() {
    assert!(is_found(Mutant::LooksTooEarly));
}

#[test]
fn model_a_driver_that_forgets_is_found() {
    assert!(is_found(Mutant::ForgetsToSend));
}
