//! Lines of writes, one for each key: what is due, what is handed out, what is dead.
//!
//! ```text
//!           add ─▶ queued ─(head of its line)─▶ due ──take──▶ taken ──done──▶ gone
//!                    ▲                           ▲ ▲            │
//!  newer state ──────┘ takes the place of        │ └─lapsed─────┤
//!  the last one, unless that is taken            └──retry at────┴──failed──▶ dead: its line waits for replay,
//!                                                                           drop or a newer state
//! ```
//!
//! Only the head of a line is ever handed out, so the writes of a key reach the source in order, and a write that waits
//! for its retry holds up its own key alone. Nothing here does I/O or reads a clock: times are ms, given by the caller.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;

use super::item::{Item, Write};
use crate::flight::{Sink, View};
use crate::host::Value;
use crate::sync::Arc;

/// When and how often failed writes are tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub max_attempts: u32,
    /// In ms.
    pub base: u64,
    pub longest: u64,
    pub visibility: u64,
}

/// All lines.
pub(super) struct Pending {
    rules: Rules,
    lines: HashMap<Bytes, Line>,
    /// The key of each write, by its number.
    keys: HashMap<u64, Bytes>,
    /// Heads that can be handed out, and from when on.
    due: BTreeSet<(u64, u64)>,
    /// Heads that are handed out, and until when.
    taken: BTreeSet<(u64, u64)>,
    /// Writes of callers that make them themselves, at the head of their line, to be told so.
    turns: Vec<u64>,
    /// For each write that is not dead, the number of the first that was merged into it.
    since: BTreeSet<u64>,
    /// When each of those was enqueued, in ms since 1970.
    ages: BTreeSet<(u64, u64)>,
    /// Dead letters, by number.
    dead: BTreeMap<u64, ()>,
    bytes: u64,
    /// Whether the source took the last batch that was answered for.
    healthy: bool,
    pub coalesced: u64,
    pub written: u64,
    pub retried: u64,
}

struct Line {
    entries: VecDeque<Entry>,
    head: Head,
}

/// Where the head of a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// From then on it can be handed out, once it is applied.
    Due(u64),
    Taken(u64),
    Dead,
}

pub(super) struct Entry {
    pub item: Item,
    /// How often it was handed out.
    attempts: u32,
    /// How often it failed alone.
    failures: u32,
    /// It failed in company: to find out whose fault it was it is handed out alone.
    alone: bool,
    since: u64,
    /// The cache has it, so it may go to the source.
    applied: bool,
    error: String,
    /// Its caller writes it.
    pub direct: Option<Arc<dyn Sink>>,
}

/// What became of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Retried,
    Dead,
    /// It is not handed out.
    Unknown,
}

impl Pending {
    pub fn new(rules: Rules) -> Self {
        Pending {
            rules,
            lines: HashMap::new(),
            keys: HashMap::new(),
            due: BTreeSet::new(),
            taken: BTreeSet::new(),
            turns: Vec::new(),
            since: BTreeSet::new(),
            ages: BTreeSet::new(),
            dead: BTreeMap::new(),
            bytes: 0,
            healthy: true,
            coalesced: 0,
            written: 0,
            retried: 0,
        }
    }

    /// Writes that are not dead.
    pub fn depth(&self) -> u64 {
        self.since.len() as u64
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn in_flight(&self) -> u64 {
        self.taken.len() as u64
    }

    pub fn dead(&self) -> u64 {
        self.dead.len() as u64
    }

    /// When the oldest write that is not dead was enqueued, in ms since 1970.
    pub fn oldest(&self) -> Option<u64> {
        self.ages.first().map(|(enqueued, _)| *enqueued)
    }

    /// Whether a write with this number or a lower one, or what took its place, is not written and not dead.
    pub fn is_behind(&self, number: u64) -> bool {
        self.since.first().is_some_and(|first| *first <= number)
    }

    /// Whether this write is here.
    pub fn has(&self, process: u64, sequence: u64, key: &[u8]) -> bool {
        let same = |entry: &Entry| entry.item.process == process && entry.item.sequence == sequence;
        self.lines.get(key).is_some_and(|line| line.entries.iter().any(same))
    }

    /// Adds a write at the end of its line, or, of those of other processes, before the younger ones. It is not due
    /// before it is `applied`. Returns the numbers of those whose place it takes.
    pub fn add(&mut self, item: Item, now: u64, direct: Option<Arc<dyn Sink>>) -> Vec<u64> {
        let (number, key, is_direct) = (item.number, item.key.clone(), direct.is_some());
        let mut since = number;
        let mut enqueued = item.enqueued_ms;
        let line = self
            .lines
            .entry(key.clone())
            .or_insert_with(|| Line { entries: VecDeque::new(), head: Head::Due(now) });
        let mut replaced = Vec::new();
        let last_is_older = line.entries.back().is_none_or(|last| last.item.sequence <= item.sequence);
        if !last_is_older {
            // Taken over from a dead process. A state that is younger says all there is to say already.
            let younger = line.entries.iter().any(|e| e.item.sequence > item.sequence && e.item.kind.is_state());
            if younger && item.kind.is_state() {
                self.coalesced += 1;
                return vec![number];
            }
        }
        let head_taken = matches!(line.head, Head::Taken(_));
        if item.kind.is_state() && !is_direct && last_is_older {
            while let Some(last) = line.entries.back() {
                let is_head_out = line.entries.len() == 1 && head_taken;
                if !last.item.kind.is_state() || last.direct.is_some() || is_head_out {
                    break;
                }
                let Some(last) = line.entries.pop_back() else { break };
                let gone = last.item.number;
                self.keys.remove(&gone);
                self.bytes -= last.item.weight();
                if self.dead.remove(&gone).is_none() {
                    self.since.remove(&last.since);
                    self.ages.remove(&(last.item.enqueued_ms, last.since));
                    since = since.min(last.since);
                    enqueued = enqueued.min(last.item.enqueued_ms);
                }
                if line.entries.is_empty() {
                    // The pause stays: it is the source that needs it, not the write.
                    if let Head::Due(at) = line.head {
                        self.due.remove(&(at, gone));
                    } else {
                        line.head = Head::Due(now);
                    }
                }
                self.coalesced += 1;
                replaced.push(gone);
            }
        }
        let mut item = item;
        item.enqueued_ms = enqueued;
        self.bytes += item.weight();
        self.since.insert(since);
        self.ages.insert((enqueued, since));
        self.keys.insert(number, key);
        let sequence = item.sequence;
        let entry = Entry {
            item,
            attempts: 0,
            failures: 0,
            alone: false,
            since,
            applied: false,
            error: String::new(),
            direct,
        };
        let place = match last_is_older {
            true => line.entries.len(),
            // Not before what is handed out, or dead.
            false => {
                let first = usize::from(!matches!(line.head, Head::Due(_)));
                let place = line.entries.iter().position(|entry| entry.item.sequence > sequence);
                place.unwrap_or(line.entries.len()).max(first)
            }
        };
        if place == 0
            && let (Head::Due(at), Some(head)) = (line.head, line.entries.front())
        {
            self.due.remove(&(at, head.item.number));
        }
        line.entries.insert(place, entry);
        replaced
    }

    /// The cache has this write: it may go to the source.
    pub fn applied(&mut self, number: u64) {
        let Some(line) = self.keys.get(&number).and_then(|key| self.lines.get_mut(key)) else { return };
        if let Some(entry) = line.entries.iter_mut().find(|entry| entry.item.number == number) {
            entry.applied = true;
        }
        if line.entries.front().is_some_and(|head| head.item.number == number) {
            ready(line, &mut self.due, &mut self.turns);
        }
    }

    /// Hands out what is due: at most so many writes and bytes, one at least.
    pub fn take(&mut self, max_items: usize, max_bytes: u64, now: u64) -> Vec<Write> {
        let mut writes: Vec<Write> = Vec::new();
        let mut bytes = 0;
        while writes.len() < max_items {
            // Behind those in company, which go together.
            let Some((at, number)) = self.due.first().copied().filter(|(at, _)| *at <= now) else { break };
            let Some(line) = self.keys.get(&number).and_then(|key| self.lines.get_mut(key)) else {
                self.due.remove(&(at, number));
                continue;
            };
            let Some(head) = line.entries.front_mut() else { break };
            let weight = (head.item.key.len() + head.item.value.len()) as u64;
            if !writes.is_empty() && (bytes + weight > max_bytes || head.alone) {
                break;
            }
            let alone = head.alone;
            bytes += weight;
            head.attempts += 1;
            writes.push(head.item.written(head.attempts, ""));
            self.due.remove(&(at, number));
            let until = now + self.rules.visibility;
            line.head = Head::Taken(until);
            self.taken.insert((until, number));
            if alone {
                break;
            }
        }
        writes
    }

    /// How many writes, at most so many, are due, and their bytes.
    pub fn ready(&self, max_items: usize, now: u64) -> (usize, u64) {
        let mut bytes = 0;
        let mut count = 0;
        for (_, number) in self.due.range(..=(now, u64::MAX)).take(max_items) {
            let head = self.keys.get(number).and_then(|key| self.lines.get(key)?.entries.front());
            bytes += head.map_or(0, |head| (head.item.key.len() + head.item.value.len()) as u64);
            count += 1;
        }
        (count, bytes)
    }

    /// The write of a caller whose turn it is.
    pub fn turn(&self, number: u64) -> Option<Write> {
        let line = self.keys.get(&number).and_then(|key| self.lines.get(key))?;
        let head = line.entries.front().filter(|head| head.item.number == number && head.direct.is_some())?;
        matches!(line.head, Head::Taken(_)).then(|| head.item.written(head.attempts, ""))
    }

    /// Callers whose turn it is to write themselves: they have their writes from here on.
    pub fn turns(&mut self, now: u64) -> Vec<(u64, Arc<dyn Sink>)> {
        let mut turns = Vec::new();
        for number in std::mem::take(&mut self.turns) {
            let Some(line) = self.keys.get(&number).and_then(|key| self.lines.get_mut(key)) else { continue };
            let Some(head) = line.entries.front_mut().filter(|head| head.item.number == number) else { continue };
            let Some(sink) = head.direct.clone() else { continue };
            head.attempts += 1;
            let until = now + self.rules.visibility;
            line.head = Head::Taken(until);
            self.taken.insert((until, number));
            turns.push((number, sink));
        }
        turns
    }

    /// The source has this write. None for one that is not here, or was never handed out.
    pub fn done(&mut self, number: u64) -> Option<Entry> {
        let line = self.keys.get(&number).and_then(|key| self.lines.get(key))?;
        // One whose time was over may be due again: it is written all the same.
        let head = line.entries.front().filter(|head| head.item.number == number && head.attempts > 0)?;
        if line.head == Head::Dead {
            return None;
        }
        if head.direct.is_none() {
            self.written += 1;
        }
        self.healthy = true;
        self.remove_head(number)
    }

    /// Takes a write out that will never be made: a dead letter that is dropped, or that of a caller who gave up.
    pub fn drop_head(&mut self, number: u64) -> Option<Entry> {
        self.remove_head(number)
    }

    /// A caller no longer waits for its turn. None where it has come.
    pub fn withdraw(&mut self, number: u64) -> Option<Arc<dyn Sink>> {
        let line = self.keys.get(&number).and_then(|key| self.lines.get_mut(key))?;
        let place = line.entries.iter().position(|entry| entry.item.number == number)?;
        if place == 0 && matches!(line.head, Head::Taken(_)) {
            return None;
        }
        let entry = if place == 0 { self.remove_head(number)? } else { line.entries.remove(place)? };
        if place > 0 {
            self.forget(&entry);
        }
        entry.direct
    }

    fn remove_head(&mut self, number: u64) -> Option<Entry> {
        let key = self.keys.get(&number)?.clone();
        let line = self.lines.get_mut(&key)?;
        if line.entries.front()?.item.number != number {
            return None;
        }
        let entry = line.entries.pop_front()?;
        match line.head {
            Head::Due(at) => self.due.remove(&(at, number)),
            Head::Taken(until) => self.taken.remove(&(until, number)),
            Head::Dead => false,
        };
        line.head = Head::Due(0);
        if line.entries.is_empty() {
            self.lines.remove(&key);
        } else {
            ready(line, &mut self.due, &mut self.turns);
        }
        self.forget(&entry);
        Some(entry)
    }

    fn forget(&mut self, entry: &Entry) {
        self.keys.remove(&entry.item.number);
        self.bytes -= entry.item.weight();
        if self.dead.remove(&entry.item.number).is_none() {
            self.since.remove(&entry.since);
            self.ages.remove(&(entry.item.enqueued_ms, entry.since));
        }
    }

    /// The writer could not make this write. `in_company`: others failed with it, by one error.
    pub fn failed(&mut self, number: u64, error: &str, permanent: bool, in_company: bool, now: u64) -> Failed {
        let Some(line) = self.keys.get(&number).and_then(|key| self.lines.get_mut(key)) else {
            return Failed::Unknown;
        };
        let Head::Taken(until) = line.head else { return Failed::Unknown };
        let Some(head) = line.entries.front_mut().filter(|head| head.item.number == number) else {
            return Failed::Unknown;
        };
        self.taken.remove(&(until, number));
        head.error = shortened(error);
        if in_company {
            // One of them may be to blame, or the source is down, and has been: then they may stay together.
            head.alone = self.healthy;
        } else {
            head.failures += 1;
        }
        let spent = self.rules.max_attempts > 0 && head.failures >= self.rules.max_attempts;
        if !in_company && (permanent || spent) {
            line.head = Head::Dead;
            self.since.remove(&head.since);
            self.ages.remove(&(head.item.enqueued_ms, head.since));
            self.dead.insert(number, ());
            return Failed::Dead;
        }
        self.retried += 1;
        let doublings = head.attempts.saturating_sub(1).min(30);
        let pause = (self.rules.base << doublings).min(self.rules.longest);
        let at = if head.alone && in_company { now } else { now + drawn(pause) };
        line.head = Head::Due(at);
        ready(line, &mut self.due, &mut self.turns);
        Failed::Retried
    }

    /// The outcome of a batch that failed as a whole has been noted.
    pub fn note_failure(&mut self) {
        self.healthy = false;
    }

    /// It was handed out, and never reached a writer.
    pub fn give_back(&mut self, number: u64, now: u64) {
        let Some(line) = self.keys.get(&number).and_then(|key| self.lines.get_mut(key)) else { return };
        let Head::Taken(until) = line.head else { return };
        let Some(head) = line.entries.front_mut().filter(|head| head.item.number == number) else { return };
        head.attempts = head.attempts.saturating_sub(1);
        self.taken.remove(&(until, number));
        line.head = Head::Due(now);
        ready(line, &mut self.due, &mut self.turns);
    }

    /// What was handed out and not answered for in time is due again. Returns those that their callers were to make: they
    /// have failed.
    pub fn lapse(&mut self, now: u64) -> Vec<u64> {
        let mut callers = Vec::new();
        while let Some((until, number)) = self.taken.first().copied().filter(|(until, _)| *until <= now) {
            self.taken.remove(&(until, number));
            let Some(line) = self.keys.get(&number).and_then(|key| self.lines.get_mut(key)) else { continue };
            line.head = Head::Due(now);
            if line.entries.front().is_some_and(|head| head.direct.is_some()) {
                callers.push(number);
                continue;
            }
            self.retried += 1;
            ready(line, &mut self.due, &mut self.turns);
        }
        callers
    }

    /// The next moment at which something becomes due or lapses.
    pub fn next(&self, now: u64) -> Option<u64> {
        let due = self.due.range((now + 1, 0)..).next().map(|(at, _)| *at);
        let taken = self.taken.first().map(|(until, _)| *until);
        [due, taken].into_iter().flatten().min()
    }

    /// What reads of a key are to see: the last of its writes; none where none waits.
    pub fn view(&self, key: &[u8]) -> Option<View> {
        let entries = &self.lines.get(key)?.entries;
        let last = entries.iter().rev().find(|entry| entry.direct.is_none())?;
        Some(View::of(last.item.kind, &Value { codec: last.item.codec, bytes: last.item.value.clone() }))
    }

    /// A write that is dead is one again.
    pub fn restore_dead(&mut self, number: u64, error: String) {
        let Some(line) = self.keys.get(&number).and_then(|key| self.lines.get_mut(key)) else { return };
        let Some(head) = line.entries.front_mut().filter(|head| head.item.number == number) else { return };
        head.error = error;
        head.attempts = head.attempts.max(1);
        if let Head::Due(at) = line.head {
            self.due.remove(&(at, number));
        }
        line.head = Head::Dead;
        self.since.remove(&head.since);
        self.ages.remove(&(head.item.enqueued_ms, head.since));
        self.dead.insert(number, ());
    }

    /// Dead letters with a number above `after`, in the order of their numbers.
    pub fn letters(&self, after: u64, max: usize) -> Vec<Write> {
        let entry = |number: &u64| self.keys.get(number).and_then(|key| self.lines.get(key)?.entries.front());
        let numbers = self.dead.range(after.saturating_add(1)..).map(|(number, ())| number);
        numbers.filter_map(entry).take(max).map(|entry| entry.item.written(entry.attempts, &entry.error)).collect()
    }

    /// The numbers of all dead letters.
    pub fn dead_numbers(&self) -> Vec<u64> {
        self.dead.keys().copied().collect()
    }

    pub fn is_dead(&self, number: u64) -> bool {
        self.dead.contains_key(&number)
    }

    /// A dead letter is to be tried again. Returns the write, to be kept as such.
    pub fn replay(&mut self, number: u64, now: u64) -> Option<Item> {
        self.dead.remove(&number)?;
        let line = self.keys.get(&number).and_then(|key| self.lines.get_mut(key))?;
        let head = line.entries.front_mut()?;
        (head.attempts, head.failures, head.alone) = (0, 0, false);
        head.error = String::new();
        self.since.insert(head.since);
        self.ages.insert((head.item.enqueued_ms, head.since));
        let item = head.item.clone();
        line.head = Head::Due(now);
        ready(line, &mut self.due, &mut self.turns);
        Some(item)
    }

    /// Whether this write is handed out.
    pub fn is_taken(&self, number: u64) -> bool {
        let Some(line) = self.keys.get(&number).and_then(|key| self.lines.get(key)) else { return false };
        matches!(line.head, Head::Taken(_)) && line.entries.front().is_some_and(|head| head.item.number == number)
    }

    /// This write is another process's from now on.
    pub fn forget_number(&mut self, number: u64) {
        let Some(line) = self.keys.get(&number).and_then(|key| self.lines.get_mut(key)) else { return };
        let Some(place) = line.entries.iter().position(|entry| entry.item.number == number) else { return };
        if place == 0 {
            self.remove_head(number);
        } else if let Some(entry) = line.entries.remove(place) {
            self.forget(&entry);
        }
    }

    /// Everything that a journal has to hold, and why it is dead where it is.
    pub fn durable(&self) -> impl Iterator<Item = (&Item, Option<&str>)> {
        self.lines.values().flat_map(|line| {
            line.entries.iter().enumerate().filter(|(_, entry)| entry.direct.is_none()).map(|(place, entry)| {
                let dead = place == 0 && line.head == Head::Dead;
                (&entry.item, dead.then_some(entry.error.as_str()))
            })
        })
    }

    /// Why it failed last.
    pub fn error_of(&self, number: u64) -> Option<(&Item, &str)> {
        let entry = self.keys.get(&number).and_then(|key| self.lines.get(key)?.entries.front())?;
        Some((&entry.item, &entry.error))
    }

    /// All keys that have writes.
    pub fn all_keys(&self) -> Vec<Bytes> {
        self.lines.keys().cloned().collect()
    }

    /// Callers that wait for their turn, or have it.
    pub fn callers(&self) -> Vec<(u64, Arc<dyn Sink>)> {
        let entries = self.lines.values().flat_map(|line| line.entries.iter());
        entries.filter_map(|entry| Some((entry.item.number, entry.direct.clone()?))).collect()
    }
}

/// The head of a line can go, if nothing else holds it.
fn ready(line: &mut Line, due: &mut BTreeSet<(u64, u64)>, turns: &mut Vec<u64>) {
    let (Head::Due(at), Some(head)) = (line.head, line.entries.front()) else { return };
    if !head.applied {
        return;
    }
    match head.direct {
        Some(_) => turns.push(head.item.number),
        None => drop(due.insert((at, head.item.number))),
    }
}

/// Between half and all of a pause.
fn drawn(pause: u64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a day")]
    #[expect(clippy::cast_precision_loss, reason = "at most a day")]
    let drawn = (pause as f64 * (0.5 + rand::random::<f64>() / 2.0)) as u64;
    drawn
}

/// At most 1 KiB of an error.
fn shortened(error: &str) -> String {
    let mut end = error.len().min(1024);
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    error[..end].to_owned()
}
