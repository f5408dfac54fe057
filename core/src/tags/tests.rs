use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, ManualClock};

fn tag(name: &str) -> Tag {
    name.as_bytes().into()
}

fn set(names: &[&str]) -> TagSet {
    TagSet::new(names.iter().map(|name| tag(name)).collect())
}

fn known() -> (Known, ManualClock) {
    let (clock, hand) = Clock::manual();
    (Known::new(1000, clock), hand)
}

fn saw(known: &Known, versions: &[(&str, Option<u64>)]) -> Looked {
    Looked { look: known.look(), versions: versions.iter().map(|(name, seen)| (tag(name), *seen)).collect() }
}

fn nothing() -> Looked {
    Looked::default()
}

#[test]
fn a_call_names_each_tag_once_and_few_enough() {
    let of = |tags: &[&str]| TagSet::of("set", tags, 2);
    assert_eq!(of(&["a", "b", "a"]).expect("two"), set(&["a", "b"]));
    assert!(of(&[]).expect("none").is_empty());
    for wrong in [&["a", "b", "c"][..], &[""], &[&"x".repeat(MAX_TAG + 1)]] {
        let error = of(wrong).expect_err("wrong");
        assert_eq!((error.kind(), error.message().contains("tags")), (ErrorKind::InvalidOption, true), "{error}");
    }
    assert!(of(&[&"x".repeat(MAX_TAG)]).is_ok());
    assert!(TagSet::of("set", &[&b"\xff"[..]], 2).is_err());
    assert_eq!(set(&["a"]).with("set", &set(&["a", "b"]), 2).expect("two"), set(&["a", "b"]));
    assert!(set(&["a", "c"]).with("set", &set(&["b"]), 2).is_err());
}

#[test]
fn versions_are_believed_for_a_while_and_equal_or_not() {
    let (known, hand) = known();
    let entry = [(tag("a"), 7), (tag("b"), 8)];
    assert_eq!(known.judge(Some(1), &entry, &nothing()), Verdict::Unknown(vec![tag(""), tag("a"), tag("b")]));
    let first = known.look().asked;
    known.learn(&saw(&known, &[("", Some(1)), ("a", Some(7))]));
    hand.advance(Duration::from_millis(100));
    assert_eq!(known.judge(Some(1), &entry, &nothing()), Verdict::Unknown(vec![tag("b")]));
    let looked = saw(&known, &[("b", Some(8))]);
    assert_eq!(known.judge(Some(1), &entry, &looked), Verdict::Current(first), "as old as the oldest look");
    assert_eq!(known.judge(Some(1), &entry, &saw(&known, &[("b", Some(9))])), Verdict::Outdated);
    assert_eq!(known.judge(Some(1), &entry, &saw(&known, &[("b", None)])), Verdict::Outdated, "lost is not equal");
    assert_eq!(known.judge(Some(2), &entry, &looked), Verdict::Outdated);
    assert_eq!(known.judge(None, &entry, &looked), Verdict::Outdated);
    known.learn(&looked);
    hand.advance(Duration::from_millis(500));
    assert_eq!(known.judge(Some(1), &entry, &nothing()), Verdict::Unknown(vec![tag("a"), tag("b")]));
    hand.advance(Duration::from_millis(500));
    assert_eq!(known.judge(Some(1), &[], &nothing()), Verdict::Unknown(vec![tag("")]));
    assert_eq!(known.last_seen(b"a"), Some(7), "old ones are as good for a new entry");
    assert_eq!(known.seen_before(b"a", first), Some((7, first)));
    assert_eq!(known.seen_before(b"b", first), None);
}

#[test]
fn a_version_that_is_seen_again_was_there_in_between() {
    let (known, hand) = known();
    known.learn(&saw(&known, &[("", Some(1)), ("a", Some(7))]));
    hand.advance(Duration::from_millis(100));
    let load = known.look().asked;
    hand.advance(Duration::from_millis(300));
    known.learn(&saw(&known, &[("", Some(1)), ("a", Some(7)), ("b", Some(8))]));
    assert_eq!(known.seen_before(b"", load), Some((1, load)));
    assert_eq!(known.seen_before(b"a", load), Some((7, load)));
    assert_eq!(known.seen_before(b"b", load), None, "nobody knows what it was then");
    known.learn(&saw(&known, &[("", Some(2)), ("a", Some(9))]));
    assert_eq!((known.seen_before(b"", load), known.seen_before(b"a", load)), (None, None));
}

#[test]
fn the_version_of_all_entries_is_asked_for_in_time() {
    let (known, hand) = known();
    assert!(known.look_at_clear().is_some());
    known.learn(&saw(&known, &[("", Some(1))]));
    assert!(known.look_at_clear().is_none());
    hand.advance(Duration::from_millis(250));
    assert!(known.look_at_clear().is_some());
    known.learn(&saw(&known, &[("", None)]));
    assert!(known.look_at_clear().is_some(), "one that is lost is to be made");
    let (clock, _hand) = Clock::manual();
    let strict = Known::new(0, clock);
    strict.learn(&saw(&strict, &[("", Some(1))]));
    assert!(strict.look_at_clear().is_some());
    assert_eq!(strict.judge(Some(1), &[], &nothing()), Verdict::Unknown(vec![tag("")]));
}

#[test]
fn what_was_asked_before_an_invalidation_is_not_learnt_after_it() {
    let (known, _hand) = known();
    let late = saw(&known, &[("", Some(1)), ("a", Some(7)), ("b", Some(8))]);
    let before = known.look().moment();
    known.drop_tag(b"a");
    known.learn(&late);
    assert_eq!((known.last_seen(b""), known.last_seen(b"a"), known.last_seen(b"b")), (Some(1), None, Some(8)));
    assert!(known.was_dropped(&set(&["x", "a"]), before) && !known.was_dropped(&set(&["b"]), before));
    assert!(!known.was_dropped(&set(&["a"]), known.look().moment()));

    let late = saw(&known, &[("", Some(1)), ("b", Some(8))]);
    known.drop_all();
    known.learn(&late);
    assert_eq!((known.last_seen(b""), known.last_seen(b"b")), (None, None));
    let late = saw(&known, &[("", Some(1))]);
    known.cleared(2, known.look());
    known.learn(&late);
    assert_eq!(known.last_seen(b""), Some(2));
}

#[test]
fn many_tags_are_forgotten_and_not_mistaken() {
    let (known, _hand) = known();
    let before = known.look().moment();
    for n in 0..25_000 {
        let name = n.to_string();
        known.learn(&saw(&known, &[(&name, Some(n))]));
        assert_eq!(known.last_seen(name.as_bytes()), Some(n));
    }
    for n in 0..10_001 {
        known.drop_tag(n.to_string().as_bytes());
    }
    assert!(known.was_dropped(&set(&["never named"]), before), "who cannot tell says yes");
    assert!(!known.was_dropped(&set(&["never named"]), known.look().moment()));
}

proptest! {
    /// Entries come and go in the order of memory: added before they are in, taken out after they left, and the one that
    /// replaces another is in before the other is out.
    #[test]
    fn the_index_has_what_memory_has(steps in prop::collection::vec((0..8_u8, prop::collection::vec(0..5_u8, 0..4)), 0..200)) {
        let index = Index::default();
        let mut memory: HashMap<u8, TagSet> = HashMap::new();
        for (key, tags) in steps {
            let named: Vec<String> = tags.iter().map(ToString::to_string).collect();
            let new = TagSet::of("set", &named, 64).expect("few").copy();
            // The last number means that the entry leaves.
            if tags.contains(&4) {
                if let Some(old) = memory.remove(&key) {
                    index.remove(&[key], &old);
                }
            } else {
                index.add(&[key], &new);
                if let Some(old) = memory.insert(key, new) {
                    index.remove(&[key], &old);
                }
            }
            let pairs: usize = memory.values().map(|tags| tags.iter().count()).sum();
            prop_assert_eq!(index.len(), pairs);
            for tag in 0..4_u8 {
                let tag = tag.to_string();
                let mut keys: Vec<u8> = index.keys(tag.as_bytes()).iter().map(|key| key[0]).collect();
                let mut expected: Vec<u8> =
                    memory.iter().filter(|(_, tags)| tags.contains(tag.as_bytes())).map(|(key, _)| *key).collect();
                keys.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(keys, expected);
            }
        }
    }
}
