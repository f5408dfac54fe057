//! Callers through the seam: some operations at a time over one queue of completions, by whatever drives it.

use std::os::fd::RawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scrubjay::host::{Answer, Cache, Completion, PutOptions, Queue, Step, Value};
use scrubjay::{Codec, ErrorKind};

use crate::keys::{Ask, Keys, Own, Question};
use crate::world::{Began, Driver, Outcome, Side, World};

/// How long a wait for answers is where none is due.
const LOOK: Duration = Duration::from_millis(5);
/// How long it is where some are: longer than any operation may take, so that a wake that is lost is not made up for.
const WAIT: Duration = Duration::from_secs(60);
/// The token of an answer that only says that there is something to look at.
const LOOK_UP: u64 = u64::MAX;
/// A caller that was not answered twice in a row rests so long, in milliseconds.
const REST: u64 = 5;
/// One operation in so many is cancelled.
const CANCELLED: f64 = 0.01;
/// Tokens say by their lowest bits which place they are of.
const PLACES: u64 = 1 << 16;

/// So many operations at a time over one queue.
pub struct Window<'a> {
    world: &'a World,
    side: &'a Side,
    keys: &'a Keys,
    driver: Driver,
    queue: Arc<Queue>,
    places: &'a [Place],
}

/// One operation at a time.
pub struct Place {
    state: Mutex<State>,
    pub began: Began,
    own: Option<Own>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.lock().expect("no panic under it");
        f.debug_struct("Place").field("asked", &state.asked).field("calling", &state.calling).finish()
    }
}

struct State {
    random: StdRng,
    /// Operations so far.
    number: u64,
    /// What is on its way, and by which token.
    asked: Option<(u64, Question)>,
    began: u64,
    /// Whether the call that takes it has not returned.
    calling: bool,
    /// How often in a row there was no answer.
    unanswered: u32,
}

impl Place {
    pub fn new(seed: u64, own: Option<Own>) -> Place {
        let random = StdRng::seed_from_u64(seed);
        let state = State { random, number: 0, asked: None, began: 0, calling: false, unanswered: 0 };
        Place { state: Mutex::new(state), began: Began::default(), own }
    }
}

/// What a place does next.
#[derive(PartialEq)]
enum Next {
    Ask,
    Rest,
}

impl<'a> Window<'a> {
    pub fn new(world: &'a World, side: &'a Side, keys: &'a Keys, driver: Driver, places: &'a [Place]) -> Self {
        let queue = match driver {
            Driver::Callers => Queue::for_caller(),
            Driver::Waiter => Queue::driving(),
            Driver::Loop => Queue::with_fd().expect("a descriptor"),
            Driver::Tasks => Queue::new(),
        };
        Window { world, side, keys, driver, queue, places }
    }

    /// Asks until the world stops, on this thread and, where `helped`, on another one beside it; then waits for what is
    /// on its way.
    pub fn run(&self, helped: bool, seed: u64) {
        thread::scope(|scope| {
            let (sender, receiver) = channel();
            let helper = helped.then(|| (sender, scope.spawn(move || self.help(&receiver))));
            let mut random = StdRng::seed_from_u64(seed);
            let mut resting: Vec<(u64, usize)> = (0..self.places.len()).map(|place| (0, place)).collect();
            let mut taken = Vec::new();
            loop {
                if self.world.is_stopping() {
                    break;
                }
                let now = self.world.now();
                for (_, place) in resting.extract_if(.., |(until, _)| *until <= now).collect::<Vec<_>>() {
                    self.ask(place, &mut resting, false);
                }
                self.take(resting.iter().map(|(until, _)| *until).min(), &mut taken);
                for done in taken.drain(..).filter(|done| done.token != LOOK_UP) {
                    let place = (done.token % PLACES) as usize;
                    match self.end(place, done.token, &done.answer) {
                        Next::Rest => resting.push((self.world.now() + REST, place)),
                        Next::Ask => match &helper {
                            Some((sender, _)) if random.random_bool(0.3) => hand_on(sender, place),
                            _ => self.ask(place, &mut resting, false),
                        },
                    }
                    if random.random_bool(CANCELLED) {
                        let victim = random.random_range(0..self.places.len());
                        if self.cancel(victim) {
                            resting.push((0, victim));
                        }
                    }
                }
            }
            // Whoever helps has its last call out when it has ended.
            if let Some((sender, helper)) = helper {
                drop(sender);
                while !helper.is_finished() {
                    self.settle(&mut taken);
                }
            }
            while !self.places.iter().all(|place| place.began.is_idle()) && self.world.failure().is_none() {
                self.settle(&mut taken);
            }
            // What only said that there is something to look at.
            self.queue.drain(usize::MAX, &mut taken);
            if let Some(done) = taken.iter().find(|done| done.token != LOOK_UP) {
                self.world
                    .fail(format!("{:?}: an answer for {}, which nobody waits for", self.driver, done.token));
            }
        });
        if self.world.failure().is_none() && self.queue.outstanding() != 0 {
            self.world.fail(format!("{:?}: {} answers for nobody", self.driver, self.queue.outstanding()));
        }
    }

    fn help(&self, places: &Receiver<usize>) {
        let mut resting = Vec::new();
        for place in places {
            self.ask(place, &mut resting, true);
            // What was turned away is asked anew with the next.
            for (_, turned_away) in std::mem::take(&mut resting) {
                self.ask(turned_away, &mut resting, true);
            }
        }
    }

    fn settle(&self, taken: &mut Vec<Completion>) {
        self.take(None, taken);
        for done in taken.drain(..).filter(|done| done.token != LOOK_UP) {
            self.end((done.token % PLACES) as usize, done.token, &done.answer);
        }
    }

    /// Waits for answers; no longer than until `rested`, where anybody rests.
    fn take(&self, rested: Option<u64>, taken: &mut Vec<Completion>) {
        let wait = match rested {
            Some(until) => Duration::from_millis(until.saturating_sub(self.world.now())),
            None if self.places.iter().all(|place| place.began.is_idle()) => LOOK,
            None => WAIT,
        };
        match self.queue.fd() {
            None => drop(self.queue.wait(256, Some(wait), taken)),
            Some(fd) => {
                if is_readable(fd, wait) {
                    self.queue.drain(256, taken);
                }
            }
        }
    }

    /// The next operation of a place, by the thread that waits or by one that helps it.
    fn ask(&self, index: usize, resting: &mut Vec<(u64, usize)>, helps: bool) {
        let place = &self.places[index];
        if self.world.is_stopping() {
            return;
        }
        let mut state = place.state.lock().expect("no panic under it");
        let question = self.keys.draw(&mut state.random, place.own);
        let token = state.number * PLACES + index as u64;
        let at_once = self.driver == Driver::Callers && state.random.random_bool(CANCELLED);
        state.number += 1;
        state.asked = Some((token, question));
        (state.began, state.calling) = (self.world.now(), true);
        place.began.at(state.began);
        drop(state);
        let step = call(&self.side.cache, self.keys, &question.ask, &self.queue, token);
        let mut state = place.state.lock().expect("no panic under it");
        if state.asked.is_some_and(|(asked, _)| asked == token) {
            state.calling = false;
        }
        drop(state);
        match step {
            Ok(Step::Pending) => {
                if at_once && self.cancel(index) {
                    resting.push((0, index));
                }
            }
            Ok(Step::Ready(answer)) => self.world.fail(format!("{:?}: {answer:?} at once", self.driver)),
            Err(error) => {
                let mut state = place.state.lock().expect("no panic under it");
                state.asked = None;
                place.began.ended();
                drop(state);
                // The thread that waits may have seen it on its way.
                if helps {
                    self.queue.ring(LOOK_UP);
                }
                match error.kind() {
                    ErrorKind::Closed => self.world.stop(),
                    ErrorKind::Overloaded => resting.push((self.world.now() + REST, index)),
                    _ => self.world.fail(format!("{:?}: {error}", self.driver)),
                }
            }
        }
    }

    /// An answer has come.
    fn end(&self, index: usize, token: u64, answer: &Answer) -> Next {
        let place = &self.places[index];
        let mut state = place.state.lock().expect("no panic under it");
        let Some((_, question)) = state.asked.take_if(|(asked, _)| *asked == token) else {
            let waits = state.asked.map(|(asked, _)| asked);
            drop(state);
            self.world.fail(format!("{:?}: an answer for {token}, which {waits:?} waits for", self.driver));
            return Next::Rest;
        };
        let took = self.world.now() - state.began;
        let outcome = match judge(self.keys, &question, answer) {
            Ok(outcome) => outcome,
            Err(wrong) => {
                drop(state);
                self.world.fail(format!("{:?}: {wrong}", self.driver));
                return Next::Rest;
            }
        };
        state.unanswered = if outcome.is_answer() { 0 } else { state.unanswered + 1 };
        let next = if state.unanswered > 1 { Next::Rest } else { Next::Ask };
        place.began.ended();
        drop(state);
        self.world.count(self.driver, outcome, took, self.side.timeout);
        next
    }

    /// Takes back what is on its way for a place. Returns whether it did: then no answer may come.
    fn cancel(&self, index: usize) -> bool {
        let place = &self.places[index];
        let mut state = place.state.lock().expect("no panic under it");
        let Some((token, question)) = state.asked else { return false };
        // A write that another thread has not handed over yet could be overtaken by the next one of its key.
        if state.calling && question.is_write() || !self.queue.cancel(token) {
            return false;
        }
        state.asked = None;
        let took = self.world.now() - state.began;
        place.began.ended();
        drop(state);
        self.world.count(self.driver, Outcome::Cancelled, took, self.side.timeout);
        true
    }
}

fn hand_on(helper: &Sender<usize>, place: usize) {
    helper.send(place).expect("it ends after us");
}

/// Writes every key once, as far as the server can be reached.
pub fn fill(side: &Side) {
    let (queue, keys) = (Queue::for_caller(), &side.cache_keys);
    let mut taken = Vec::new();
    for key in 0..keys.len() {
        let question = keys.write(key);
        call(&side.cache, keys, &question.ask, &queue, key as u64).expect("a call");
        assert_eq!(queue.wait(1, Some(WAIT), &mut taken), 1, "the answer to a write of {}", keys.name(key));
        for done in taken.drain(..) {
            assert!(judge(keys, &question, &done.answer).is_ok());
        }
    }
}

/// Makes a call.
pub fn call(cache: &Cache, keys: &Keys, ask: &Ask, queue: &Arc<Queue>, token: u64) -> scrubjay::Result<Step> {
    match *ask {
        Ask::Get(key) => cache.get(keys.name(key).as_bytes(), queue, token),
        Ask::GetMany(many) => cache.get_many(&many.map(|key| keys.name(key).as_bytes()), queue, token),
        Ask::Set(key, version) => {
            let value = Value { codec: Codec::Raw, bytes: keys.value(key, version) };
            cache.set(keys.name(key).as_bytes(), value, &PutOptions::default(), queue, token)
        }
        Ask::Delete(key, _) => cache.delete(keys.name(key).as_bytes(), queue, token),
    }
}

/// What an answer says, if it may say that.
pub fn judge(keys: &Keys, question: &Question, answer: &Answer) -> Result<Outcome, String> {
    match (answer, question.is_write()) {
        (Answer::Done(receipt), true) => {
            keys.written(question, receipt.pending);
            Ok(Outcome::of_write(receipt.pending))
        }
        (Answer::Miss, false) => Ok(Outcome::Miss),
        (Answer::Hit { value, .. }, false) => keys.check(question, 0, &value.bytes).map(|()| Outcome::Hit),
        (Answer::Many(answers), false) => {
            let mut hits = 0;
            for (index, answer) in answers.iter().enumerate() {
                match answer {
                    Answer::Hit { value, .. } => keys.check(question, index, &value.bytes)?,
                    Answer::Miss => continue,
                    other => return Err(format!("{other:?} within {question:?}")),
                }
                hits += 1;
            }
            Ok(if hits > 0 { Outcome::Hit } else { Outcome::Miss })
        }
        // The cache was closed meanwhile.
        (Answer::Failed(error), _) if error.kind() == ErrorKind::Closed => Ok(Outcome::Miss),
        (answer, _) => Err(format!("{answer:?} for {question:?}")),
    }
}

fn is_readable(fd: RawFd, wait: Duration) -> bool {
    let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is ours.
    unsafe { libc::poll(&raw mut polled, 1, wait.as_millis() as i32) > 0 }
}
