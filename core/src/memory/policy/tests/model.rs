//! The structure under any calls and any setting.

use proptest::prelude::*;

use super::super::config::CONFIGS;
use super::super::engine::{Engine, MAX_STEPS};
use super::super::simulation::Miniatures;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Insert { key: u64, weight: u64, has_room: bool },
    Use { of: usize },
    Replace { of: usize, weight: u64 },
    Remove { of: usize },
    Evict { keep: Option<usize> },
    Follow { config: usize },
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..500_u64, 0..100_u64, any::<bool>())
            .prop_map(|(key, weight, has_room)| Step::Insert { key, weight, has_room }),
        8 => any::<usize>().prop_map(|of| Step::Use { of }),
        1 => (any::<usize>(), 0..100_u64).prop_map(|(of, weight)| Step::Replace { of, weight }),
        2 => any::<usize>().prop_map(|of| Step::Remove { of }),
        6 => any::<Option<usize>>().prop_map(|keep| Step::Evict { keep }),
        1 => (0..CONFIGS.len()).prop_map(|config| Step::Follow { config }),
        1 => Just(Step::Clear).boxed(),
    ]
}

proptest! {
    #[test]
    fn every_slot_is_in_one_queue_and_weights_add_up(steps in prop::collection::vec(step(), 1..300)) {
        let mut engine = Engine::new(1);
        let mut entries = Entries::default();
        let mut held: Vec<u32> = Vec::new();
        let mut config = &CONFIGS[0];
        for step in steps {
            let pick = |of: usize| (!held.is_empty()).then(|| of % held.len());
            match step {
                Step::Insert { key, weight, has_room } => {
                    entries.0.push(Entry::new(key, weight));
                    let slot = entries.0.len() as u32 - 1;
                    engine.insert(config, &entries, slot, has_room);
                    held.push(slot);
                }
                Step::Use { of } => if let Some(at) = pick(of) {
                    let uses = &entries.0[held[at] as usize].uses;
                    uses.set((uses.get() + 1).min(MAX_USES));
                },
                Step::Replace { of, weight } => if let Some(at) = pick(of) {
                    let entry = &mut entries.0[held[at] as usize];
                    let old = std::mem::replace(&mut entry.weight, weight);
                    engine.replaced(&entries, held[at], old, weight);
                },
                Step::Remove { of } => if let Some(at) = pick(of) {
                    engine.remove(&entries, held.swap_remove(at));
                },
                Step::Evict { keep } => {
                    let keep = keep.and_then(pick).map_or(NIL, |at| held[at]);
                    match engine.evict(config, &entries, keep) {
                        Some(victim) => {
                            prop_assert_ne!(victim, keep);
                            let at = held.iter().position(|slot| *slot == victim);
                            prop_assert!(at.is_some(), "only what is in is evicted");
                            held.swap_remove(at.unwrap());
                        }
                        None => prop_assert!(held.iter().all(|slot| *slot == keep)),
                    }
                }
                Step::Follow { config: number } => config = &CONFIGS[number],
                // As the store clears: one by one.
                Step::Clear => held.drain(..).for_each(|slot| engine.remove(&entries, slot)),
            }
            let mut in_queues = engine.slots(&entries);
            in_queues.sort_unstable();
            held.sort_unstable();
            prop_assert_eq!(&in_queues, &held);
            prop_assert_eq!(engine.len(), held.len() as u64);
            prop_assert_eq!(engine.weight(), held.iter().map(|slot| entries.weight(*slot)).sum::<u64>());
        }
    }

    #[test]
    fn miniatures_hold_no_more_than_they_may(
        accesses in prop::collection::vec((0..300_u32, 1..20_u64), 1..2000),
        capacity in 1..200_u64,
    ) {
        let mut miniatures = Miniatures::new(CONFIGS.len(), capacity, 1);
        for (number, (key, weight)) in accesses.into_iter().enumerate() {
            miniatures.access(key.wrapping_mul(0x9e37_79b1), weight);
            if number % 64 == 0 {
                miniatures.check();
            }
        }
        miniatures.check();
    }
}

/// Entries that readers use again as soon as the policy has looked.
struct Restless {
    looks: Cell<u32>,
    links: Vec<Cell<Link>>,
}

impl Residents for Restless {
    fn uses(&self, _slot: u32) -> u8 {
        self.looks.set(self.looks.get() + 1);
        MAX_USES
    }

    fn set_uses(&self, _slot: u32, _uses: u8) {}

    fn weight(&self, _slot: u32) -> u64 {
        1
    }

    fn hash(&self, slot: u32) -> u32 {
        slot.wrapping_mul(0x9e37_79b1)
    }

    fn link(&self, slot: u32) -> Link {
        self.links[slot as usize].get()
    }

    fn set_link(&self, slot: u32, link: Link) {
        self.links[slot as usize].set(link);
    }
}

#[test]
fn readers_cannot_keep_it_from_evicting() {
    for config in &CONFIGS {
        let mut engine = Engine::new(1);
        let restless = Restless { looks: Cell::new(0), links: vec![Cell::new(Link::LOOSE); 10_000] };
        for slot in 0..10_000 {
            engine.insert(config, &restless, slot, slot < 3000);
        }
        for _ in 0..9_000 {
            restless.looks.set(0);
            assert!(engine.evict(config, &restless, NIL).is_some());
            assert!(restless.looks.get() <= MAX_STEPS, "{} looks", restless.looks.get());
        }
    }
}

#[test]
fn a_change_of_the_setting_is_made_in_small_steps() {
    let mut engine = Engine::new(1);
    let quiet = Entries((0..20_000).map(|key| Entry::new(key, 1)).collect());
    for slot in 0..10_000 {
        engine.insert(&CONFIGS[6], &quiet, slot, false);
    }
    for slot in 10_000..20_000 {
        let config = &CONFIGS[slot as usize / 500 % CONFIGS.len()];
        engine.insert(config, &quiet, slot, false);
        assert!(engine.evict(config, &quiet, slot).is_some());
        assert_eq!(engine.len(), 10_000);
    }
}

#[test]
fn the_ghost_takes_a_few_bytes_for_each_entry() {
    let mut engine = Engine::new(1);
    let quiet = Entries((0..100_000).map(|key| Entry::new(key, 1)).collect());
    for slot in 0..100_000 {
        engine.insert(&CONFIGS[2], &quiet, slot, false);
        if slot >= 1000 {
            engine.evict(&CONFIGS[2], &quiet, slot);
        }
    }
    assert!(engine.ghost_bytes() <= 12 * 1000, "{} bytes for 1000 entries", engine.ghost_bytes());
}
