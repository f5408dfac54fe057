//! One load of a key in the whole fleet: the lease in the shared tier that goes before the fetch.
//!
//! ```text
//! look into the shared tier ──nothing fresh──▶ claim ──won──▶ lead, fetch, fill
//!                                                ├──found──▶ the value of another process
//!                                                ├──another loads──▶ wait, claim again
//!                                                └──held, foreign, unreachable──▶ lead, and store nothing there
//! ```
//!
//! The fetch begins after the lease was won, so what it reads is as new as the lease, and a write in between voids
//! that: its fill is refused (invariants I1 to I3).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::ahead::Ahead;
use super::coherence::Before;
use super::grip::Grip;
use super::judging::At;
use super::record::Record;
use super::shared::Loaded;
use super::table::{Flight, Waiter};
use super::tagged::TAGS_OUTLIVE;
use super::tiers::Tiers;
use crate::error::Result;
use crate::host::{Answer, process};
use crate::mutant::{Mutant, is_broken};
use crate::redis::{Acquired, Read, Seen, Token};
use crate::tags::Looked;
use crate::wire::Kick;

/// Who waits for a load of another process asks again after so long at first, and in the end; half of it by chance.
const FIRST_PAUSE_MS: u64 = 4;
const LONGEST_PAUSE_MS: u64 = 64;
/// So many times as long where it is told of the end of the lease.
const TOLD: u64 = 8;

/// A flight that wants its lease.
pub(super) struct Wish {
    pub flight: Arc<Flight<Record>>,
    /// To take it though there is a fresh value.
    force: bool,
    /// To wait while another process loads.
    patient: bool,
    /// The value is fresh: this is to have it refreshed before it is not.
    ahead: bool,
    token: Token,
    /// When it was asked first, and last, in ms of the cache's clock.
    began: u64,
    asked: u64,
    /// What had been told of the key when it was asked last, and how often it had been woken.
    before: Before,
    wakes: u64,
    pause: u64,
    /// How often it may be asked anew because the lease was lost at once.
    again: u8,
}

impl Wish {
    /// To load what nobody has.
    pub fn load(flight: Arc<Flight<Record>>) -> Self {
        let token = new_token();
        Wish {
            flight,
            force: false,
            patient: true,
            ahead: false,
            token,
            began: 0,
            asked: 0,
            before: Before::default(),
            wakes: 0,
            pause: FIRST_PAUSE_MS,
            again: 3,
        }
    }

    /// To load anew, whatever there is.
    pub fn anew(flight: Arc<Flight<Record>>) -> Self {
        Wish { force: true, ..Wish::load(flight) }
    }

    /// To refresh a value that is still fresh.
    pub fn ahead(flight: Arc<Flight<Record>>) -> Self {
        Wish { ahead: true, ..Wish::anew(flight) }
    }

    /// And not to wait for another process.
    pub fn impatient(self) -> Self {
        Wish { patient: false, ..self }
    }
}

impl Tiers {
    /// Asks for the leases of flights, in one round trip, which ends at `until` where a look went before. What is returned is to be done with no lock held.
    pub(super) fn claim(&self, mut wishes: Vec<Wish>, until: Option<u64>) -> Kick {
        let Some(shared) = self.shared.as_ref().filter(|_| !wishes.is_empty()) else { return Kick::NONE };
        let now = self.clock.now_ms();
        for wish in &mut wishes {
            wish.asked = now;
            wish.before = self.before(&wish.flight.key);
            wish.wakes = self.heard.wakes(&wish.flight.key);
            if wish.began == 0 {
                wish.began = now;
            }
        }
        let keys: Vec<(&[u8], Token, bool)> =
            wishes.iter().map(|wish| (&*wish.flight.key, wish.token, wish.force)).collect();
        let bytes = keys.iter().map(|(key, _, _)| key.len()).sum();
        let names = shared.claims(keys);
        let mut open = Wishes { tiers: self.handle(), wishes };
        let Ok(slot) = shared.admit("get_or_fetch", bytes) else {
            // As where it cannot be reached; from a task, since the answers may lead into whoever called.
            process().runtime().spawn(async move { drop(open) });
            return Kick::NONE;
        };
        let lease = self.lease_time.get();
        let tags = self.tags_to_see(&open.wishes, lease);
        shared.acquire(slot.until(until), names, lease, tags, move |answers| open.answer(answers))
    }

    /// The tags that the callers of these flights name.
    fn tags_to_see(&self, wishes: &[Wish], lease: Duration) -> Seen {
        let mut seen = Seen::default();
        for put in wishes.iter().filter_map(|wish| self.table.first_put(&wish.flight)) {
            for tag in put.tags.iter() {
                if !seen.tags.contains(tag) {
                    seen.tags.push(tag.clone());
                }
            }
            let life = put.ttl + self.options.stale_for(put.ttl) + lease + TAGS_OUTLIVE;
            seen.life = seen.life.max(life);
        }
        seen
    }

    fn claimed(self: &Arc<Self>, mut wish: Wish, answer: Result<Acquired>, read: &Circumstances) {
        let Some(shared) = &self.shared else { return };
        match answer {
            Ok(Acquired::Won(sequence)) => {
                let grip =
                    shared.grip(&wish.flight.key, Some(wish.token), wish.asked, sequence, read.looked.clone());
                if !wish.ahead && wish.again > 0 && !self.is_last(&wish.flight.key, wish.before, sequence) {
                    // The key was written since: so the lease is lost, and what is loaded now would be stored nowhere.
                    grip.forget();
                    wish.token = new_token();
                    wish.again -= 1;
                    return self.claim(vec![wish], None).go_behind();
                }
                self.granted(&wish, grip);
            }
            Ok(Acquired::Unfenced) => {
                let grip = shared.grip(&wish.flight.key, None, wish.asked, 0, read.looked.clone());
                self.granted(&wish, grip);
            }
            Ok(Acquired::Found(bytes)) => {
                let at = At { server_now: read.server_now, now: wish.asked, fenced: read.fenced };
                let found = shared.found(&wish.flight.key, Some(bytes), &read.looked, at);
                let mut open = Wishes { tiers: self.clone(), wishes: vec![wish] };
                self.settle_one(found, shared.budget(), move |tiers, loaded| {
                    if let Some(wish) = open.wishes.pop() {
                        tiers.found_instead(wish, loaded);
                    }
                });
            }
            Ok(Acquired::Wait(left)) if wish.patient && !wish.ahead => self.wait(wish, left),
            Ok(Acquired::Wait(_) | Acquired::Held | Acquired::Foreign) => self.lead_without(&wish),
            Err(_) => {
                if wish.ahead {
                    return self.stay(&wish.flight);
                }
                self.counters.misses.add(1);
                self.table.probed(&wish.flight, None, true);
            }
        }
    }

    /// Another process has stored something meanwhile.
    fn found_instead(&self, mut wish: Wish, loaded: Loaded) {
        match loaded {
            Loaded::Fresh(record) => self.found_shared(&wish.flight, wish.before, record),
            // What stands there is no use to anybody.
            Loaded::Damaged | Loaded::Stale(_) if !wish.force => {
                wish.force = true;
                self.claim(vec![wish], None).go_behind();
            }
            _ => self.lead_without(&wish),
        }
    }

    /// The lease is ours: the first caller that still waits leads.
    fn granted(&self, wish: &Wish, grip: Grip) {
        self.lease_time.keep(&grip);
        if !wish.ahead {
            self.counters.misses.add(1);
            return self.table.grant(&wish.flight, grip);
        }
        match self.table.lead_ahead(&wish.flight, grip) {
            Ahead::Lead { waiter, lease, fresh } => {
                // A caller that has left gives it back: dropping the answer abandons the lease.
                drop(waiter.sink.finish(self.still_fresh(&fresh, Some(lease))));
            }
            Ahead::Ended { waiters, fresh } => self.answer_fresh(waiters, fresh.as_ref()),
        }
    }

    /// Nothing that is loaded now may be stored; or, ahead of the expiry, nothing is to be loaded.
    fn lead_without(&self, wish: &Wish) {
        if wish.ahead {
            return self.stay(&wish.flight);
        }
        self.counters.misses.add(1);
        self.table.keep_out(&wish.flight);
        self.table.promote(&wish.flight);
    }

    /// The value stays as it is: another process refreshes it.
    fn stay(&self, flight: &Arc<Flight<Record>>) {
        let (waiters, fresh) = self.table.dissolve(flight);
        self.answer_fresh(waiters, fresh.as_ref());
    }

    fn answer_fresh(&self, waiters: VecDeque<Waiter>, fresh: Option<&Record>) {
        for waiter in waiters {
            let answer = fresh.map_or(Answer::Bypass, |fresh| self.still_fresh(fresh, None));
            drop(waiter.sink.finish(answer));
        }
    }

    fn still_fresh(&self, record: &Record, lease: Option<super::lease::Lease>) -> Answer {
        match self.value_of(record) {
            Some(value) => Answer::Hit { value, lease, copy: None },
            None => Answer::Bypass,
        }
    }

    /// Another process loads: the callers here wait for it, as long as they would for a fetch of their own.
    fn wait(&self, mut wish: Wish, left: u64) {
        let waited = self.clock.now_ms().saturating_sub(wish.began);
        let (soft, hard) = (self.options.fetch_soft_timeout, self.options.fetch_hard_timeout);
        let is_over = |limit: Duration| u128::from(waited) >= limit.as_millis();
        if soft.is_some_and(is_over) || is_over(hard) {
            if let Some(stale) = self.table.stale_of(&wish.flight).filter(|stale| self.may_serve(stale)) {
                let (waiters, _) = self.table.dissolve(&wish.flight);
                return self.serve_stale(waiters, &stale);
            }
            if is_over(hard) {
                return self.lead_without(&wish);
            }
        }
        if !self.table.is_wanted(&wish.flight) {
            return;
        }
        // Where the server tells of the end of the lease, looking is what is left for when it does not.
        let slower = if self.session.is_begun() { TOLD } else { 1 };
        let end = soft.filter(|soft| !is_over(*soft)).unwrap_or(hard);
        let pause = (wish.pause * slower).min(left).min(super::record::millis(end).saturating_sub(waited)).max(1);
        wish.pause = (wish.pause * 2).min(LONGEST_PAUSE_MS);
        // What comes then is another value than the one that was not good enough.
        wish.force = false;
        // Half of it by chance, so that a fleet does not ask in step.
        let pause = Duration::from_micros(pause * 500 + rand::random_range(0..=pause * 500));
        let (key, wakes) = (wish.flight.key.clone(), wish.wakes);
        let open = Wishes { tiers: self.handle(), wishes: vec![wish] };
        process().runtime().spawn(async move {
            open.tiers.heard.sleep(&key, wakes, pause).await;
            let (tiers, wishes) = open.into_parts();
            tiers.claim(wishes, None).go_behind();
        });
    }
}

/// What came with the answers to claims.
#[derive(Default)]
struct Circumstances {
    server_now: u64,
    looked: Arc<Looked>,
    fenced: bool,
}

/// One for each attempt.
fn new_token() -> Token {
    if is_broken(Mutant::TokenPerClient) {
        let mut token = [1; 16];
        token[..4].copy_from_slice(&std::process::id().to_le_bytes());
        return token;
    }
    rand::random()
}

/// Wishes that are still open; what is left of them is answered as unreachable: no flight is left without an end.
struct Wishes {
    tiers: Arc<Tiers>,
    wishes: Vec<Wish>,
}

impl Wishes {
    fn answer(&mut self, answers: Result<Read<Vec<Result<Acquired>>>>) {
        let Ok(Read { found, server_now, looked, fenced }) = answers else {
            self.tiers.counters.l2_errors.add(1);
            return;
        };
        let read = Circumstances { server_now, looked: Arc::new(looked), fenced };
        if found.len() == self.wishes.len() {
            let wishes = std::mem::take(&mut self.wishes);
            for (wish, answer) in wishes.into_iter().zip(found) {
                self.tiers.claimed(wish, answer, &read);
            }
        }
    }

    fn into_parts(mut self) -> (Arc<Tiers>, Vec<Wish>) {
        (self.tiers.clone(), std::mem::take(&mut self.wishes))
    }
}

impl Drop for Wishes {
    fn drop(&mut self) {
        for wish in std::mem::take(&mut self.wishes) {
            let unreachable = crate::error::Error::new(crate::error::ErrorKind::Unavailable, "get_or_fetch", "");
            let read = Circumstances::default();
            self.tiers.claimed(wish, Err(unreachable), &read);
        }
    }
}
