//! `explain`: what the tiers know of one key. It changes nothing, and counts as no read.

use super::record::Record;
use super::shared::There;
use super::sink::Reply;
use super::tiers::Tiers;
use crate::codec::Codec;
use crate::envelope::{Entry, State};
use crate::error::Result;
use crate::explain::{Explanation, HoldSeen, LeaseSeen, Reason};
use crate::host::{Answer, Step, Value};
use crate::key;

impl Tiers {
    /// What is known of a key: a `Hit` with an [`Explanation`] as JSON.
    pub fn explain(&self, key: &[u8], reply: &dyn Reply) -> Result<Step> {
        self.check_open("explain")?;
        key::check(key, "explain")?;
        let Some(shared) = &self.shared else {
            let mut seen = self.seen_here(key);
            seen.reachable = true;
            return Ok(Step::Ready(told(&seen)));
        };
        let slot = shared.admit("explain", key.len())?;
        let sink = reply.sink("explain", None)?;
        let me = self.handle();
        reply.go(shared.load(slot, key, None, move |named, read| {
            let Some(shared) = &me.shared else { return };
            let mut seen = me.seen_here(named.key());
            add(&mut seen, shared.seen(named.key(), read));
            drop(sink.finish(told(&seen)));
        }));
        Ok(Step::Pending)
    }

    /// What this process knows by itself.
    fn seen_here(&self, key: &[u8]) -> Explanation {
        let now = self.clock.now_ms();
        let mut seen = Explanation::default();
        let lease = self.table.leading(key);
        let hold = self.holds.of(key, now);
        seen.lease = lease.map(|left| LeaseSeen { here: true, left: seconds(left) });
        seen.hold = hold.map(|(writers, left)| HoldSeen { writers: writers as u64, left: seconds(left) });
        let may_be_stale = |record: &Record| record.stale_until > now;
        if let Some(record) = self.remembered(key).filter(may_be_stale) {
            let fresh = self.is_fresh(&record);
            seen.tier = fresh.then(|| "l1".to_owned());
            seen.version = Some(record.stamp.generation()).filter(|version| *version > 0);
            seen.reason = if fresh { Reason::Fresh } else { Reason::Expired };
            seen.stale = !fresh && !record.negative;
            seen.age = Some(difference(now, record.stored));
            seen.ttl = Some(difference(record.expires, now));
            seen.stale_ttl = Some(difference(record.stale_until, now));
            seen.load_ms = Some(record.load_ms).filter(|took| *took > 0);
            seen.codec = Some(name_of(record.codec).to_owned());
            seen.bytes = Some(record.bytes.len() as u64);
            seen.negative = record.negative;
        } else if seen.hold.is_some() {
            seen.reason = Reason::Held;
        } else if seen.lease.is_some() {
            seen.reason = Reason::Loading;
        }
        seen
    }
}

/// Adds what the shared tier says.
fn add(seen: &mut Explanation, there: There) {
    let answered_here = seen.tier.is_some();
    let not_here = seen.reason == Reason::Absent;
    // What memory has is within its ttl, but too old to be answered with while the shared tier may know better.
    let unsure = not_here || !answered_here && seen.ttl.is_some_and(|ttl| ttl > 0.0);
    seen.reachable = !matches!(there, There::Unreachable);
    let (entry, now) = match there {
        There::Entry(entry, now) => (entry, now),
        There::Absent => return instead(seen, unsure, Reason::Absent),
        There::Unreachable => return instead(seen, unsure, Reason::Unreachable),
        There::Pending => return instead(seen, !answered_here, Reason::Pending),
        There::Damaged => return instead(seen, !answered_here, Reason::Damaged),
        There::Foreign => return instead(seen, !answered_here, Reason::Foreign),
    };
    let left = entry.deadline.saturating_sub(now);
    let leased = matches!(entry.state, State::Leased | State::StaleLeased | State::FreshLeased) && left > 0;
    if leased {
        let here = seen.lease.as_ref().is_some_and(|lease| lease.here);
        seen.lease = Some(LeaseSeen { here, left: seconds(left) });
    }
    match entry.state {
        State::Leased => instead(seen, not_here && leased, Reason::Loading),
        State::Hold if left > 0 => {
            seen.hold = Some(HoldSeen { writers: u64::from(entry.holds), left: seconds(left) });
            instead(seen, !answered_here, Reason::Held);
        }
        State::Hold => {}
        _ => add_value(seen, &entry, now),
    }
}

fn add_value(seen: &mut Explanation, entry: &Entry, now: u64) {
    seen.version = Some(entry.generation);
    seen.tags = entry.tags.iter().map(|(tag, _)| String::from_utf8_lossy(tag).into_owned()).collect();
    if seen.tier.is_some() {
        return;
    }
    let invalidated = matches!(entry.state, State::Stale | State::StaleLeased);
    let fresh = !invalidated && entry.soft_expiry > now;
    seen.tier = fresh.then(|| "l2".to_owned());
    seen.reason = match (fresh, invalidated) {
        (true, _) => Reason::Fresh,
        (false, true) => Reason::Invalidated,
        (false, false) => Reason::Expired,
    };
    seen.stale = !fresh && !entry.negative && entry.hard_expiry > now;
    seen.age = Some(difference(now, entry.stored_at).max(0.0));
    seen.ttl = Some(difference(entry.soft_expiry, now));
    seen.stale_ttl = Some(difference(entry.hard_expiry, now));
    seen.load_ms = Some(entry.load_ms).filter(|took| *took > 0);
    seen.codec = Some(name_of(entry.codec).to_owned());
    seen.bytes = Some(entry.payload.len() as u64);
    seen.negative = entry.negative;
}

fn instead(seen: &mut Explanation, really: bool, reason: Reason) {
    if really {
        seen.reason = reason;
    }
}

fn told(seen: &Explanation) -> Answer {
    let value = Value { codec: Codec::Json, bytes: seen.to_json().into() };
    Answer::Hit { value, lease: None, copy: None }
}

fn name_of(codec: Codec) -> &'static str {
    match codec {
        Codec::Raw => "raw",
        Codec::Json => "json",
        Codec::MsgPack => "msgpack",
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time to be read by people")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// `later - earlier` in seconds, whichever is the later one.
fn difference(later: u64, earlier: u64) -> f64 {
    if later >= earlier { seconds(later - earlier) } else { -seconds(earlier - later) }
}
