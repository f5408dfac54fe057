//! Where an answer goes.

use crate::error::Result;
use crate::host::{Answer, Opened, Queue};
use crate::sync::{Arc, Mutex, lock};
use crate::wire::Kick;

/// A caller that waits. Called with no lock held.
pub(crate) trait Sink: Send + Sync {
    /// Delivers the answer, or gives it back when the caller has left: a lead must then go to the next one.
    fn finish(&self, answer: Answer) -> std::result::Result<(), Answer>;

    /// Whether the caller still waits.
    fn is_live(&self) -> bool;

    /// The caller was answered directly: nothing will come here.
    fn withdraw(&self) {}
}

/// Makes the sinks of one call: `None` for the call itself, `Some(i)` for the i-th key of a call on many.
pub(crate) trait Reply {
    fn sink(&self, operation: &'static str, index: Option<usize>) -> Result<Arc<dyn Sink>>;

    /// Does what is owed for the request that brings the answer.
    fn go(&self, kick: Kick) {
        kick.go();
    }
}

/// Answers through a completion queue: the call by its token, its i-th key by the token + 1 + i.
pub(crate) struct QueueReply<'a> {
    pub queue: &'a Arc<Queue>,
    pub token: u64,
}

impl Reply for QueueReply<'_> {
    fn sink(&self, operation: &'static str, index: Option<usize>) -> Result<Arc<dyn Sink>> {
        let token = self.token.wrapping_add(index.map_or(0, |index| index as u64 + 1));
        let opened = self.queue.open(operation, token)?;
        Ok(Arc::new(QueueSink { queue: self.queue.clone(), opened }))
    }

    fn go(&self, kick: Kick) {
        self.queue.go(kick);
    }
}

/// A caller that gets its answer through a completion queue.
struct QueueSink {
    queue: Arc<Queue>,
    opened: Opened,
}

impl Sink for QueueSink {
    fn finish(&self, answer: Answer) -> std::result::Result<(), Answer> {
        self.queue.complete(self.opened, answer)
    }

    fn is_live(&self) -> bool {
        self.queue.is_open(self.opened)
    }

    fn withdraw(&self) {
        self.queue.withdraw(self.opened);
    }
}

/// The answers of a call on many keys, collected until the last one is there.
///
/// The whole batch is one token: when its caller has left, every answer is given back.
pub(crate) struct Batch {
    to: Arc<dyn Sink>,
    state: Mutex<BatchState>,
}

struct BatchState {
    answers: Vec<Option<Answer>>,
    missing: usize,
}

impl Batch {
    /// A batch for `to`; `answers` holds what is known already, None for what will come. The caller of `new`
    /// counts as one more answer until it calls [`Batch::entered`]: so the batch is not complete before every key
    /// has been entered.
    pub fn new(to: Arc<dyn Sink>, answers: Vec<Option<Answer>>) -> Arc<Batch> {
        let missing = answers.iter().filter(|answer| answer.is_none()).count() + 1;
        Arc::new(Batch { to, state: Mutex::new(BatchState { answers, missing }) })
    }

    /// Every key has been entered. The answers, if all are there by now: then nothing comes through the sink.
    pub fn entered(&self) -> Option<Vec<Answer>> {
        lock(&self.state).arrived()
    }

    fn put(&self, index: usize, answer: Answer) -> std::result::Result<(), Answer> {
        if !self.to.is_live() {
            return Err(answer);
        }
        let complete = {
            let mut state = lock(&self.state);
            state.answers[index] = Some(answer);
            state.arrived()
        };
        if let Some(answers) = complete {
            // A caller that left just now: dropping the answers abandons the leads among them.
            drop(self.to.finish(Answer::Many(answers)));
        }
        Ok(())
    }
}

impl BatchState {
    fn arrived(&mut self) -> Option<Vec<Answer>> {
        self.missing -= 1;
        (self.missing == 0).then(|| {
            let answers = std::mem::take(&mut self.answers);
            answers.into_iter().map(|answer| answer.unwrap_or(Answer::Miss)).collect()
        })
    }
}

/// One key of a [`Batch`].
pub(crate) struct BatchSink {
    pub batch: Arc<Batch>,
    pub index: usize,
}

impl Sink for BatchSink {
    fn finish(&self, answer: Answer) -> std::result::Result<(), Answer> {
        self.batch.put(self.index, answer)
    }

    fn is_live(&self) -> bool {
        self.batch.to.is_live()
    }
}
