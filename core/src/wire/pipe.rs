//! What is to be sent on one connection, and who waits for which reply.
//!
//! Requests are sent in the order of [`Pipe::submit`], and a server answers in the order in which it was asked: the
//! next reply belongs to the oldest request that has not got all of its own. A request whose time is over keeps its
//! place, for its reply may still come; a reply that nobody asked for ends the connection.
//!
//! Who waits is called once, with the replies or with the reason why there are none, on the thread of whoever drives
//! the connection, and never under the lock.

use std::collections::VecDeque;

use super::outbound::Outbound;
use super::parser::Fault;
use super::reply::{self, Reply};
use crate::batch;
use crate::sync::{Mutex, MutexGuard, lock};

/// More bytes than this are not queued behind others: a server that does not read must not make this process hold
/// everything that is written.
const MAX_BYTES: usize = 64 << 20;

/// So much is sent by the thread of a caller itself; more would hold it up.
const DIRECT: usize = 16 << 10;

/// Why a request gets no replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// They did not come in time.
    Late,
    /// Too many bytes wait to be sent.
    Full,
    /// The connection has ended: why.
    Ended(std::sync::Arc<str>),
    /// What came is not what a server sends.
    Fault(Fault),
}

/// The replies to one request, at least one.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Replies {
    first: Option<Reply>,
    others: Vec<Reply>,
    /// The bytes of the values in them.
    bytes: usize,
}

impl Replies {
    /// The reply to a request of one command.
    pub fn one(self) -> Option<Reply> {
        self.first.filter(|_| self.others.is_empty())
    }

    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Reply> {
        self.first.iter().chain(&self.others)
    }

    /// Adds a reply. One on top of too many bytes is not kept.
    fn push(&mut self, reply: Reply) {
        if self.first.is_none() {
            self.bytes = reply.bytes();
            self.first = Some(reply);
            return;
        }
        self.bytes += reply.bytes();
        self.others.push(if self.bytes > reply::MAX_BYTES { Reply::TooMuch } else { reply });
    }
}

impl IntoIterator for Replies {
    type Item = Reply;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Reply>, std::vec::IntoIter<Reply>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}

impl FromIterator<Reply> for Replies {
    fn from_iter<I: IntoIterator<Item = Reply>>(replies: I) -> Self {
        let mut all = Replies::default();
        replies.into_iter().for_each(|reply| all.push(reply));
        all
    }
}

/// Who waits for a request.
pub(crate) type Done = Box<dyn FnOnce(Result<Replies, Failure>) + Send>;

/// Calls that are due, to be made with no lock held.
#[derive(Default)]
pub(crate) struct Due(Vec<(Done, Result<Replies, Failure>)>);

impl Due {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out those with more than `limit` bytes: to look at them takes time.
    pub fn take_large(&mut self, limit: usize) -> Due {
        let is_large = |outcome: &Result<Replies, Failure>| {
            outcome.as_ref().is_ok_and(|replies| replies.iter().map(Reply::bytes).sum::<usize>() > limit)
        };
        Due(self.0.extract_if(.., |(_, outcome)| is_large(outcome)).collect())
    }

    /// Makes the calls. A panic in one is its own: the others are made.
    pub fn settle(&mut self) {
        if self.0.is_empty() {
            return;
        }
        batch::together(|| {
            for (done, outcome) in self.0.drain(..) {
                // What a caller's end does is not for the connection to suffer from.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| done(outcome)));
            }
        });
    }
}

/// What a request that was taken asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// To send it now: nothing is on its way that would bring the driver to it.
    First,
    /// To tell the driver, which does not know that there is something to send.
    Tell,
    /// Nothing: the driver knows.
    Known,
}

/// Who is told what a server says unasked.
pub(crate) type Pushed = std::sync::Arc<dyn Fn(Vec<Reply>) + Send + Sync>;

/// The two queues of a connection.
#[derive(Default)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    /// None where nothing is subscribed to.
    pushed: Option<Pushed>,
}

#[derive(Default)]
struct State {
    outbound: Outbound,
    waiting: VecDeque<Waiting>,
    /// Somebody was told that there is something to send, and has not come for it.
    told: bool,
    ended: Option<Failure>,
}

struct Waiting {
    expects: usize,
    replies: Replies,
    /// In ms of the clock of whoever drives.
    deadline: u64,
    /// None once its time was over.
    done: Option<Done>,
}

impl Pipe {
    /// A pipe on which `pushed` is called with all that the server says unasked: in its turn between the replies, on the
    /// thread of whoever drives.
    pub fn with_pushes(pushed: Pushed) -> Self {
        Pipe { pushed: Some(pushed), ..Pipe::default() }
    }

    /// Queues a request until `deadline`: `make` adds its commands and says who waits for their replies. Where nothing
    /// can be sent any more, or too much waits to be, `make` is told why instead, and nothing is queued.
    ///
    /// It is called under the lock.
    pub fn submit(
        &self,
        deadline: u64,
        make: impl FnOnce(Result<&mut Outbound, Failure>) -> Option<Done>,
    ) -> Option<Taken> {
        let mut state = self.lock();
        let refusal = match &state.ended {
            Some(failure) => Some(failure.clone()),
            None => (state.outbound.len() > MAX_BYTES).then_some(Failure::Full),
        };
        if let Some(refusal) = refusal {
            drop(state);
            make(Err(refusal));
            return None;
        }
        let before = state.outbound.commands();
        let done = make(Ok(&mut state.outbound))?;
        let expects = state.outbound.commands() - before;
        debug_assert!(expects > 0, "a request has a command");
        let first = state.waiting.is_empty() && !state.told && state.outbound.len() <= DIRECT;
        let replies = Replies { others: Vec::with_capacity(expects - 1), ..Replies::default() };
        state.waiting.push_back(Waiting { expects, replies, deadline, done: Some(done) });
        if state.told {
            return Some(Taken::Known);
        }
        state.told = true;
        Some(if first { Taken::First } else { Taken::Tell })
    }

    /// Moves what is to be sent to the end of `to`. Whoever is told from now on has something new to send.
    pub fn take_outbound(&self, to: &mut Outbound) {
        let mut state = self.lock();
        state.told = false;
        state.outbound.append_to(to);
    }

    /// Whether there is something to send.
    pub fn has_outbound(&self) -> bool {
        !self.lock().outbound.is_empty()
    }

    /// Hands replies to those that wait for them.
    ///
    /// # Errors
    /// A reply that nobody waits for: the connection is to be ended.
    pub fn deliver(&self, replies: &mut Vec<Reply>, due: &mut Due) -> Result<(), Fault> {
        if replies.is_empty() {
            return Ok(());
        }
        let mut state = self.lock();
        for reply in replies.drain(..) {
            let reply = match reply {
                Reply::Push(items) => match &self.pushed {
                    // The answer to a subscription comes as a push.
                    Some(_) if is_subscription(&items) => Reply::Push(items),
                    Some(pushed) => {
                        let pushed = pushed.clone();
                        due.0.push((Box::new(move |_| pushed(items)), Ok(Replies::default())));
                        continue;
                    }
                    // Nothing is subscribed to here.
                    None => continue,
                },
                reply => reply,
            };
            let Some(oldest) = state.waiting.front_mut() else { return Err("a reply that nobody asked for") };
            oldest.replies.push(reply);
            if oldest.replies.len() == oldest.expects
                && let Some(Waiting { replies, done, .. }) = state.waiting.pop_front()
                && let Some(done) = done
            {
                due.0.push((done, Ok(replies)));
            }
        }
        Ok(())
    }

    /// Gives up waiting where the time is over. Returns the next moment at which it is for one that waits.
    pub fn expire(&self, now: u64, due: &mut Due) -> Option<u64> {
        let mut state = self.lock();
        let mut next = None;
        for waiting in state.waiting.iter_mut().filter(|waiting| waiting.done.is_some()) {
            if waiting.deadline > now {
                next = Some(next.unwrap_or(u64::MAX).min(waiting.deadline));
            } else if let Some(done) = waiting.done.take() {
                due.0.push((done, Err(Failure::Late)));
            }
        }
        next
    }

    /// Ends it: nobody waits any more, and nothing is taken. The first reason stays.
    pub fn end(&self, failure: &Failure, due: &mut Due) {
        let mut state = self.lock();
        let failure = state.ended.get_or_insert_with(|| failure.clone()).clone();
        let waiting = std::mem::take(&mut state.waiting);
        due.0.extend(waiting.into_iter().filter_map(|waiting| Some((waiting.done?, Err(failure.clone())))));
        state.outbound = Outbound::default();
    }

    /// Whether it was ended.
    pub fn is_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Whether nobody waits for a reply, those whose time is over included.
    pub fn is_idle(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Whether one request waits for its replies.
    pub fn is_alone(&self) -> bool {
        self.lock().waiting.len() == 1
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn is_subscription(items: &[Reply]) -> bool {
    matches!(items.first(), Some(Reply::Value(kind)) if &kind[..] == b"subscribe")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    type Outcome = Result<Replies, Failure>;

    fn submit(pipe: &Pipe, deadline: u64, commands: usize) -> (Receiver<Outcome>, Result<Taken, Failure>) {
        let (sender, receiver) = channel();
        let mut refusal = None;
        let taken = pipe.submit(deadline, |to| match to {
            Ok(to) => {
                (0..commands).for_each(|_| to.command(&[b"GET", b"k"]));
                Some(Box::new(move |outcome| sender.send(outcome).expect("the test waits")))
            }
            Err(failure) => {
                refusal = Some(failure);
                None
            }
        });
        (receiver, taken.ok_or_else(|| refusal.expect("taken or refused")))
    }

    fn queue(pipe: &Pipe, parts: &[&[u8]], done: Done) -> Option<Taken> {
        pipe.submit(5, |to| {
            to.expect("it is taken").command(parts);
            Some(done)
        })
    }

    fn deliver(pipe: &Pipe, numbers: &[i64]) -> Result<(), Fault> {
        let mut due = Due::default();
        let outcome = pipe.deliver(&mut numbers.iter().map(|n| Reply::Number(*n)).collect(), &mut due);
        due.settle();
        outcome
    }

    fn numbers(numbers: &[i64]) -> Outcome {
        Ok(numbers.iter().map(|n| Reply::Number(*n)).collect())
    }

    #[test]
    fn replies_go_to_the_oldest_request() {
        let pipe = Pipe::default();
        let (one, taken) = submit(&pipe, 9, 1);
        assert_eq!(taken, Ok(Taken::First));
        let (three, taken) = submit(&pipe, 9, 3);
        assert_eq!(taken, Ok(Taken::Known));
        let mut sending = Outbound::default();
        pipe.take_outbound(&mut sending);
        assert_eq!((sending.commands(), pipe.has_outbound()), (4, false));
        let (last, taken) = submit(&pipe, 9, 1);
        assert_eq!(taken, Ok(Taken::Tell));
        assert_eq!(deliver(&pipe, &[1, 2, 3]), Ok(()));
        assert_eq!(one.try_recv(), Ok(numbers(&[1])));
        assert!(three.try_recv().is_err());
        assert_eq!(deliver(&pipe, &[4, 5]), Ok(()));
        assert_eq!(three.try_recv(), Ok(numbers(&[2, 3, 4])));
        assert_eq!(last.try_recv(), Ok(numbers(&[5])));
        assert!(pipe.is_idle());
        assert!(deliver(&pipe, &[6]).is_err());
    }

    #[test]
    fn pushes_are_told_in_their_turn_between_replies() {
        let (sender, heard) = channel();
        let told = sender.clone();
        let pipe = Pipe::with_pushes(std::sync::Arc::new(move |items| told.send(items).expect("the test waits")));
        let word = |word: &'static str| Reply::Value(word.into());
        let subscribed = vec![word("subscribe"), word("channel"), Reply::Number(1)];
        let (answer, _) = submit(&pipe, 9, 1);
        let beat = Box::new(move |outcome: Outcome| {
            sender.send(outcome.expect("a reply").into_iter().collect()).expect("the test waits");
        });
        queue(&pipe, &[b"GET", b"k"], beat);
        let message = |n| vec![word("message"), Reply::Number(n)];
        let mut replies = vec![
            Reply::Push(subscribed.clone()),
            Reply::Push(message(1)),
            Reply::Number(7),
            Reply::Push(message(2)),
        ];
        let mut due = Due::default();
        assert_eq!(pipe.deliver(&mut replies, &mut due), Ok(()));
        due.settle();
        assert_eq!(answer.try_recv(), Ok(Ok(Replies::from_iter([Reply::Push(subscribed)]))));
        let order: Vec<Vec<Reply>> = heard.try_iter().collect();
        assert_eq!(order, [message(1), vec![Reply::Number(7)], message(2)]);
    }

    #[test]
    fn a_request_whose_time_is_over_keeps_its_place() {
        let pipe = Pipe::default();
        let (late, _) = submit(&pipe, 5, 1);
        let (patient, _) = submit(&pipe, 9, 1);
        let mut due = Due::default();
        assert_eq!(pipe.expire(4, &mut due), Some(5));
        assert_eq!(pipe.expire(5, &mut due), Some(9));
        due.settle();
        assert_eq!(late.try_recv(), Ok(Err(Failure::Late)));
        assert_eq!(deliver(&pipe, &[1, 2]), Ok(()));
        assert_eq!(patient.try_recv(), Ok(numbers(&[2])));
        assert!(late.try_recv().is_err());
        assert_eq!(pipe.expire(100, &mut due), None);
    }

    #[test]
    fn the_end_is_told_to_all_and_nothing_is_taken_after_it() {
        let pipe = Pipe::default();
        let (waits, _) = submit(&pipe, 5, 2);
        assert_eq!(deliver(&pipe, &[1]), Ok(()));
        let mut due = Due::default();
        pipe.end(&Failure::Ended("first".into()), &mut due);
        pipe.end(&Failure::Ended("second".into()), &mut due);
        due.settle();
        let ended = Failure::Ended("first".into());
        assert_eq!(waits.try_recv(), Ok(Err(ended.clone())));
        assert_eq!(submit(&pipe, 5, 1).1, Err(ended));
        assert!(!pipe.has_outbound());
    }

    #[test]
    fn more_bytes_than_a_server_takes_are_not_queued() {
        let pipe = Pipe::default();
        let (sender, _receiver) = channel();
        let value = vec![0; MAX_BYTES + 1];
        let done = Box::new(move |outcome: Outcome| sender.send(outcome).expect("the test waits"));
        let taken = queue(&pipe, &[b"SET", b"k", &value], done);
        assert_eq!(taken, Some(Taken::Tell), "a request by itself may be as long as it is");
        assert_eq!(submit(&pipe, 5, 1).1, Err(Failure::Full));
        pipe.take_outbound(&mut Outbound::default());
        assert_eq!(submit(&pipe, 5, 1).1, Ok(Taken::Tell));
    }

    #[test]
    fn replies_of_more_bytes_than_one_request_may_have_are_not_kept() {
        let half = || Reply::List(vec![Reply::Value(vec![0; reply::MAX_BYTES / 2 + 1].into())]);
        let replies: Replies = [half(), half(), Reply::Okay, half()].into_iter().collect();
        assert_eq!(replies.len(), 4);
        let kept: Vec<bool> = replies.iter().map(|reply| *reply != Reply::TooMuch).collect();
        assert_eq!(kept, [true, false, false, false]);
    }

    #[test]
    fn a_panic_of_one_does_not_keep_the_others_from_their_replies() {
        let pipe = Pipe::default();
        let panics: Done = Box::new(|_| panic!("of a caller"));
        assert!(queue(&pipe, &[b"GET", b"k"], panics).is_some());
        let (other, _) = submit(&pipe, 5, 1);
        assert_eq!(deliver(&pipe, &[1, 2]), Ok(()));
        assert_eq!(other.try_recv(), Ok(numbers(&[2])));
    }
}
