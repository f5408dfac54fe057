//! `get_or_fetch` of many keys: one look into each tier for all of them, one fetch for all that nobody loads.

use std::sync::Arc;

use super::load::{AtHand, Entered};
use super::sink::{Batch, BatchSink, Reply, Sink};
use super::tiers::{Tiers, waiter};
use crate::error::Result;
use crate::host::{Answer, FetchOptions, Step};

impl Tiers {
    /// Answers `Many`: for each key a value, a lead, or `Waiting` where another caller leads; the answers of
    /// those come by the key's own sink.
    pub fn begin_many(&self, keys: &[&[u8]], o: &FetchOptions<'_>, reply: &dyn Reply) -> Result<Step> {
        const OPERATION: &str = "get_or_fetch_many";
        let put = self.check_fetch(OPERATION, keys, o)?;
        let mut refreshed = Vec::new();
        let mut answers = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            answers.push(match self.at_hand(key, &put, o) {
                AtHand::Answer(answer) => Some(answer),
                AtHand::Refresh(record, answer) => {
                    refreshed.push((index, record, answer));
                    None
                }
                AtHand::Nothing => None,
            });
        }
        if answers.iter().all(Option::is_some) {
            return Ok(Step::Ready(Answer::Many(answers.into_iter().flatten().collect())));
        }
        let is_missing = |index: &usize| {
            answers[*index].is_none() && !refreshed.iter().any(|(refreshed, _, _)| refreshed == index)
        };
        let missing: Vec<usize> = (0..keys.len()).filter(is_missing).collect();
        let to = reply.sink(OPERATION, None)?;
        let batch = Batch::new(to.clone(), answers);
        let mut flights = Vec::new();
        // One fetch serves the whole batch, so it needs one permit; a second one could be waited for until this
        // very batch gives the first back.
        let mut exempt = !o.held.is_empty();
        let mut wishes = Vec::new();
        for (index, record, answer) in refreshed {
            let member: Arc<dyn Sink> = Arc::new(BatchSink { batch: batch.clone(), index });
            let mut waiter = waiter(member.clone(), &put, o);
            waiter.exempt |= exempt;
            match self.refresh(keys[index], record, waiter) {
                Some(wish) => wishes.push(wish),
                None => drop(member.finish(answer)),
            }
            exempt = true;
        }
        reply.go(self.claim(wishes, None));
        for index in missing {
            let member: Arc<dyn Sink> = Arc::new(BatchSink { batch: batch.clone(), index });
            let mut behind_another = false;
            let entered = self.enter(keys[index], o, |first| {
                behind_another = !first;
                let sink = if first { member.clone() } else { reply.sink(OPERATION, Some(index))? };
                let mut waiter = waiter(sink, &put, o);
                waiter.exempt |= exempt;
                Ok(waiter)
            });
            match entered {
                Ok(Entered::Answer(answer)) => drop(member.finish(answer)),
                Ok(Entered::Probe(flight)) => flights.push(flight),
                Ok(Entered::Waiting) if behind_another => drop(member.finish(Answer::Waiting)),
                Ok(Entered::Waiting) => {}
                Err(error) => drop(member.finish(Answer::Failed(error))),
            }
            exempt |= !behind_another;
        }
        if !flights.is_empty() {
            self.look(flights, o, reply);
        }
        match batch.entered() {
            Some(answers) => {
                to.withdraw();
                Ok(Step::Ready(Answer::Many(answers)))
            }
            None => Ok(Step::Pending),
        }
    }
}
