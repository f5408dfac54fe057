//! Making room: an entry goes in when what it needs has been reserved, and others go out until it can be.

use std::hash::Hash;

use super::budget::Scarce;
use super::departed::{Gone, Place};
use super::policy::NIL;
use super::record::{Content, Numbers};
use super::shard::State;
use super::store::Store;
use super::table::SlotRef;

/// So many entries go at most while the lock of another shard is held for a newcomer.
const BATCH: usize = 64;

/// An entry on its way in.
#[derive(Clone, Copy)]
pub(super) struct NewEntry<'a> {
    pub shard: u32,
    pub numbers: &'a Numbers,
    pub instead: Instead,
}

/// What a new entry replaces.
#[derive(Clone, Copy)]
pub(super) enum Instead {
    /// The entry of the same key, if there is one.
    SameKey,
    /// That of a slot, if it is still there.
    Slot(SlotRef),
    /// Nothing.
    None,
}

impl<V, K> Store<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Puts the entry in if there is room, or room can be made in its own shard without leaving others more than
    /// their share. Returns where it lies.
    pub(super) fn try_insert(
        &self,
        entry: &NewEntry<'_>,
        content: &mut Option<Content<V, K>>,
        now: u64,
        gone: &mut Gone<V, K>,
    ) -> Result<SlotRef, Scarce> {
        let NewEntry { shard, numbers, instead } = *entry;
        let mut state = self.lock(shard);
        state.policy.prefetch(numbers.hash);
        let old = match (instead, &content) {
            (Instead::SameKey, Some(content)) => self.find_in(&state, shard, numbers.hash, &content.key),
            (Instead::Slot(at), _) => Some(self.slot_of(at)).filter(|slot| *slot != NIL),
            _ => None,
        };
        let keep = old.unwrap_or(NIL);
        let weight = u64::from(numbers.weight);
        let freed = old.map(|slot| self.upkeep(Place { shard, slot }).weight());
        let mut has_room = gone.is_empty();
        while let Err(scarce) = self.reserve(&state, weight, freed) {
            let over = self.is_over_share(&state, weight, scarce);
            if !over || !self.evict(&mut state, Place { shard, slot: keep }, now, gone) {
                self.publish(shard, state);
                return Err(scarce);
            }
            has_room = false;
        }
        let Some(content) = content.take() else { unreachable!("an entry goes in once") };
        let slot = match old {
            Some(old) => self.replace(&mut state, Place { shard, slot: old }, numbers, content, now, gone),
            None => self.add(&mut state, shard, numbers, content, has_room, now),
        };
        let slot = self.global(Place { shard, slot });
        // Before the lock is let go: it may be evicted at once.
        let generation = self.host.get().map_or(0, |host| host.generation(slot));
        self.publish(shard, state);
        Ok(SlotRef { slot, generation })
    }

    fn reserve(&self, state: &State, weight: u64, instead: Option<u64>) -> Result<(), Scarce> {
        // In the place of one that is being read, an entry needs a slot of its own.
        if !state.has_slot(self.slots_per_shard()) {
            return Err(Scarce::Entries);
        }
        self.budget.reserve(weight, instead)
    }

    /// Whether a shard, with a new entry of `weight`, would hold more than its part of the bound. If not, some
    /// other shard holds more than its own.
    fn is_over_share(&self, state: &State, weight: u64, scarce: Scarce) -> bool {
        let parts = self.shards.len() as u64;
        match scarce {
            Scarce::Bytes => state.bytes.saturating_add(weight) > self.budget.bytes.max / parts,
            Scarce::Entries => {
                !state.has_slot(self.slots_per_shard()) || state.policy.len() + 1 > self.budget.entries.max / parts
            }
        }
    }

    /// Evicts from the fullest shard but `own`. A batch at a time: the caller tries again, and comes back.
    pub(super) fn make_room_elsewhere(
        &self,
        own: u32,
        weight: u64,
        scarce: Scarce,
        now: u64,
        gone: &mut Gone<V, K>,
    ) {
        let others = (0..self.shard_count()).filter(|shard| *shard != own);
        let Some(fullest) = others.max_by_key(|shard| self.shards[*shard as usize].holds(scarce)) else { return };
        let mut state = self.lock(fullest);
        for _ in 0..BATCH {
            if self.budget.has_room(weight)
                || !self.evict(&mut state, Place { shard: fullest, slot: NIL }, now, gone)
            {
                break;
            }
        }
        self.publish(fullest, state);
    }
}
