//! Slots and copies: what a host sees in the table, and what it is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use proptest::prelude::*;

use super::super::slots::Slots;
use super::super::table::{Copy, SlotRef, TABLE_HEADER, TABLE_STRIDE, Table};
use super::*;
use crate::error::ErrorKind;

const HOUR: u64 = 3_600_000;

/// The number at an offset of a table, as a host reads it.
fn cell(table: Table, offset: usize) -> &'static AtomicU32 {
    assert!(offset.is_multiple_of(4) && offset + 4 <= table.bytes);
    // SAFETY: within the table, aligned, and the tests keep its owner alive.
    unsafe { &*table.base.add(offset).cast::<AtomicU32>() }
}

fn generation(table: Table, slot: u32) -> u32 {
    cell(table, TABLE_HEADER + TABLE_STRIDE * slot as usize).load(Ordering::Acquire)
}

fn is_good(table: Table, copy: Copy, now: u32) -> bool {
    generation(table, copy.at.slot) == copy.at.generation && (now.wrapping_sub(copy.until).cast_signed()) < 0
}

fn slots(max_entries: u64) -> (Arc<Slots>, ManualClock) {
    let (clock, hand) = Clock::manual();
    (Slots::with_clock(Some(max_entries), None, clock).unwrap(), hand)
}

#[test]
fn an_entry_is_good_until_its_time_or_its_end() {
    let (slots, hand) = slots(100);
    let (table, mut gone) = (slots.table(), Vec::new());
    let first = slots.insert(1, 1, 1000, None, &mut gone).unwrap();
    let second = slots.insert(2, 1, HOUR, None, &mut gone).unwrap();
    assert!(is_good(table, first, slots.now()) && is_good(table, second, slots.now()));
    assert_ne!(first.at.slot, second.at.slot);
    hand.advance(Duration::from_millis(999));
    assert!(is_good(table, first, slots.now()));
    hand.advance(Duration::from_millis(1));
    assert!(!is_good(table, first, slots.now()) && is_good(table, second, slots.now()));
    assert!(slots.remove(second.at));
    assert!(!is_good(table, second, slots.now()));
    assert!(!slots.remove(second.at), "it has gone already");
    assert!(gone.is_empty());
}

#[test]
fn replacing_kills_the_old_copy_and_reports_no_one() {
    let (slots, _hand) = slots(100);
    let (table, mut gone) = (slots.table(), Vec::new());
    let old = slots.insert(1, 1, HOUR, None, &mut gone).unwrap();
    let new = slots.insert(1, 1, HOUR, Some(old.at), &mut gone).unwrap();
    assert!(!is_good(table, old, slots.now()) && is_good(table, new, slots.now()));
    assert_eq!((gone.len(), slots.stats().entries), (0, 1));
    // One that has gone meanwhile replaces nothing, and nothing else is harmed.
    assert!(slots.remove(new.at));
    let other = slots.insert(7, 1, HOUR, None, &mut gone).unwrap();
    let again = slots.insert(1, 1, HOUR, Some(new.at), &mut gone).unwrap();
    assert!(is_good(table, other, slots.now()) && is_good(table, again, slots.now()));
    assert_eq!((gone.len(), slots.stats().entries), (0, 2));
}

#[test]
fn evicted_slots_come_with_the_insert_and_expired_ones_by_the_wake() {
    let slots = Slots::open(Some(10), None).unwrap();
    let wakes = Arc::new(AtomicUsize::new(0));
    let ours = wakes.clone();
    slots.on_gone(move || {
        ours.fetch_add(1, Ordering::SeqCst);
    });
    let mut gone = Vec::new();
    let copies: Vec<Copy> = (0..15).map(|n| slots.insert(n, 1, 50, None, &mut gone).unwrap()).collect();
    assert!(gone.len() >= 5, "five had to go for others");
    let evicted = gone.len();
    wait_until("the rest has expired and is reported", || {
        if cell(slots.table(), 4).load(Ordering::Acquire) != 0 {
            while slots.drain(2, &mut gone) == 2 {}
        }
        gone.len() == copies.len()
    });
    assert!(wakes.load(Ordering::SeqCst) >= 1);
    let mut reported: Vec<u32> = gone.iter().map(|at| at.generation ^ at.slot.rotate_left(16)).collect();
    reported.sort_unstable();
    reported.dedup();
    assert_eq!(reported.len(), copies.len(), "each is told of once");
    assert_eq!((slots.stats().entries, slots.stats().bytes), (0, 0));
    assert_eq!((slots.stats().evictions, slots.stats().expired), (evicted as u64, 15 - evicted as u64));
    assert_eq!(cell(slots.table(), 4).load(Ordering::Acquire), 0);
}

#[test]
fn what_hosts_use_stays() {
    let (slots, _hand) = slots(100);
    let (table, mut gone) = (slots.table(), Vec::new());
    let hot: Vec<Copy> = (0..50).map(|n| slots.insert(n, 1, HOUR, None, &mut gone).unwrap()).collect();
    for n in 0..5_000 {
        for copy in &hot {
            // As a host does: the visited byte counts up to 3.
            let visited = cell(table, TABLE_HEADER + TABLE_STRIDE * copy.at.slot as usize + 4);
            if visited.load(Ordering::Relaxed) < 3 && is_good(table, *copy, slots.now()) {
                visited.store(visited.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
        }
        slots.insert(1000 + n, 1, HOUR, None, &mut gone).unwrap();
    }
    let kept = hot.iter().filter(|copy| is_good(table, **copy, slots.now())).count();
    assert!(kept >= 48, "{kept} of 50 that are used all the time are kept");
}

#[test]
fn clear_kills_all_and_reports_none() {
    let (slots, _hand) = slots(1000);
    let mut gone = Vec::new();
    let copies: Vec<Copy> = (0..500).map(|n| slots.insert(n, 1, HOUR, None, &mut gone).unwrap()).collect();
    slots.clear();
    assert!(copies.iter().all(|copy| !is_good(slots.table(), *copy, slots.now())));
    assert_eq!((slots.drain(1000, &mut gone), slots.stats().entries), (0, 0));
}

#[test]
fn long_lives_are_told_in_steps() {
    let (slots, hand) = slots(10);
    let mut gone = Vec::new();
    let copy = slots.insert(1, 1, Slots::MAX_TTL_MS, None, &mut gone).unwrap();
    assert!(is_good(slots.table(), copy, slots.now()));
    let day = 24 * 3600;
    hand.advance(Duration::from_secs(11 * day));
    assert!(is_good(slots.table(), copy, slots.now()));
    hand.advance(Duration::from_secs(90 * day));
    let copy = slots.renew(copy.at).expect("it lives for a year");
    assert!(is_good(slots.table(), copy, slots.now()));
    hand.advance(Duration::from_secs(264 * day));
    assert_eq!(slots.renew(copy.at), None);
}

#[test]
fn bounds_outside_their_limits_are_refused() {
    for (entries, bytes, name) in
        [(Some(0), None, "max_entries"), (Some((1 << 32) + 1), None, "max_entries"), (None, Some(0), "max_bytes")]
    {
        let error = Slots::open(entries, bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(error.message().contains(name), "{error}");
    }
    let small = Slots::open(None, Some(100)).unwrap();
    assert_eq!(small.insert(1, 101, HOUR, None, &mut Vec::new()), None);
}

/// A host of the simplest kind: what it holds must be what the core says is alive.
#[derive(Default)]
struct Host {
    held: HashMap<u8, Copy>,
    gone: Vec<SlotRef>,
}

impl Host {
    fn forget_the_dead(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        self.held.retain(|_, copy| !gone.contains(&copy.at));
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert { key: u8, weight: u64, ttl: u64 },
    Remove(u8),
    Advance(u64),
    Drain(usize),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (0..40_u8, 1..200_u64, 1..5_000_u64).prop_map(|(key, weight, ttl)| Op::Insert { key, weight, ttl }),
        5 => (0..40_u8).prop_map(Op::Remove),
        4 => (1..3_000_u64).prop_map(Op::Advance),
        4 => (1..20_usize).prop_map(Op::Drain),
        1 => Just(Op::Clear),
    ]
}

proptest! {
    #[test]
    fn a_host_holds_what_is_alive(ops in prop::collection::vec(op(), 1..300), max_bytes in 50..3000_u64) {
        let (clock, hand) = Clock::manual();
        let slots = Slots::with_clock(Some(20), Some(max_bytes), clock).unwrap();
        let mut host = Host::default();
        for op in ops {
            match op {
                Op::Insert { key, weight, ttl } => {
                    let old = host.held.remove(&key).map(|copy| copy.at);
                    let new = slots.insert(u64::from(key), weight, ttl, old, &mut host.gone);
                    prop_assert_eq!(new.is_some(), weight <= max_bytes);
                    if let Some(new) = new {
                        prop_assert!(is_good(slots.table(), new, slots.now()));
                        // A slot that is given away again was ours no more.
                        host.forget_the_dead();
                        let reused = host.held.values().any(|copy| {
                            copy.at.slot == new.at.slot && is_good(slots.table(), *copy, slots.now())
                        });
                        prop_assert!(!reused);
                        host.held.insert(key, new);
                    }
                }
                Op::Remove(key) => {
                    if let Some(copy) = host.held.remove(&key) {
                        let was_good = is_good(slots.table(), copy, slots.now());
                        prop_assert!(slots.remove(copy.at) || !was_good);
                        prop_assert!(!is_good(slots.table(), copy, slots.now()));
                    }
                }
                Op::Advance(by) => hand.advance(Duration::from_millis(by)),
                Op::Drain(max) => drop(slots.drain(max, &mut host.gone)),
                Op::Clear => {
                    slots.clear();
                    host.held.clear();
                }
            }
            host.forget_the_dead();
            let stats = slots.stats();
            prop_assert!(stats.bytes <= max_bytes && stats.entries <= 20);
            // What the host still believes in and the core does not is dead by its generation or its time.
            let good = host.held.values().filter(|copy| is_good(slots.table(), **copy, slots.now())).count() as u64;
            prop_assert!(good <= stats.entries);
        }
        hand.advance(Duration::from_secs(10));
        wait_until("all have expired", || slots.stats().entries == 0);
        prop_assert!(host.held.values().all(|copy| !is_good(slots.table(), *copy, slots.now())));
    }
}

/// A cache of texts that a host copies: what it holds, and until when.
fn copied(cache: &MemoryCache<Arc<str>>, key: &str) -> Option<Copy> {
    cache.get_to_copy(key, |_| Some((u64::MAX / 2, 2_000))).and_then(|(_, copy)| copy)
}

#[test]
fn copies_are_charged_and_go_with_their_entries() {
    let (setup, _hand) = Setup::new();
    let cache = Setup { max_bytes: 40_000, weigher: Box::new(|_, _| 500), ..setup }.build();
    assert!(cache.attach_host());
    let table = cache.host_table().unwrap().view();
    let text: Arc<str> = "text".into();
    for n in 0..10 {
        cache.set(format!("{n}").as_str(), text.clone(), MINUTE).unwrap();
    }
    let plain = cache.weight();
    let copies: Vec<Copy> = (0..10).map(|n| copied(&cache, &format!("{n}")).expect("there is room")).collect();
    assert_eq!(cache.weight(), plain + 10 * 2_000);
    assert_eq!(copied(&cache, "3").map(|copy| copy.at), Some(copies[3].at), "charged once");
    assert_eq!(cache.weight(), plain + 10 * 2_000);
    for n in 10..60 {
        cache.set(format!("{n}").as_str(), text.clone(), MINUTE).unwrap();
    }
    assert!(cache.weight() <= 40_000 && cache.stats().evictions > 0);
    let alive = |n: usize| generation(table, copies[n].at.slot) == copies[n].at.generation;
    for n in 0..10 {
        assert_eq!(alive(n), cache.contains(format!("{n}").as_str()), "a copy lives as long as its entry");
    }
    let mut gone = Vec::new();
    let dead = (0..10).filter(|n| !alive(*n)).count();
    assert_eq!(cache.host_table().unwrap().drain(100, &mut gone), dead, "the host is told of those");
    let cached = cache.clone();
    cached.set("0", text.clone(), MINUTE).unwrap();
    let copies = [copied(&cache, "0").expect("there is room")];
    // Written, removed, replaced: the copies that are left die at once.
    cache.set("0", text, MINUTE).unwrap();
    assert_ne!(generation(table, copies[0].at.slot), copies[0].at.generation);
    cache.clear();
    assert_eq!((cache.len(), cache.weight()), (0, 0));
}
