//! Reading: under the shard's lock, shared with other readers, or past it with the record pinned.

use std::borrow::Borrow;
use std::hash::Hash;

use super::departed::{EvictReason, Gone, Place};
use super::quiet::clones_quietly;
use super::record::Record;
use super::shard::State;
use super::store::{Store, low};
use crate::sync::read;

/// A record that was live when we pinned it.
pub(super) struct Found<'a, V, K> {
    pub store: &'a Store<V, K>,
    pub record: &'a Record<V, K>,
    pub place: Place,
}

impl<V, K> Found<'_, V, K> {
    pub fn value(&self) -> &V {
        // SAFETY: we hold a pin.
        &unsafe { self.record.content() }.value
    }

    pub fn key(&self) -> &K {
        // SAFETY: we hold a pin.
        &unsafe { self.record.content() }.key
    }
}

impl<V, K> Drop for Found<'_, V, K> {
    #[inline]
    fn drop(&mut self) {
        if self.store.upkeep(self.place).pins.unpin() {
            self.store.reclaim(self.place);
        }
    }
}

impl<V, K> Store<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Looks an entry up, notes the use and counts. `take` runs under the shard's lock, shared with other readers.
    #[inline]
    pub(super) fn find<Q, R>(&self, key: &Q, take: impl FnOnce(Place, &Record<V, K>) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.shard_of(hash);
        let its = &self.shards[shard as usize];
        its.whereabouts.prefetch(low(hash));
        let state = read(&its.state);
        let found = self.find_in(&state, shard, low(hash), key);
        let Some(place) = found.map(|slot| Place { shard, slot }) else {
            drop(state);
            self.reads.miss();
            return None;
        };
        let record = self.record(place);
        if self.clock.has_come(record.deadline()) {
            drop(state);
            self.reads.miss();
            self.collect(place, self.clock.now_ms());
            return None;
        }
        record.touch();
        let taken = take(place, record);
        // Its weight lies elsewhere: few hits look at it.
        let sampled = self.tuning.is_sampled(hash).then(|| self.upkeep(place).weight());
        drop(state);
        self.reads.hit();
        if let Some(weight) = sampled {
            self.tuning.record(hash, weight);
        }
        Some(taken)
    }

    /// A clone of the live value under a key, noted as used and counted.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        if clones_quietly::<V>() {
            // SAFETY: the record is in the index, and the lock is held.
            return self.find(key, |_, record| unsafe { record.content() }.value.clone());
        }
        self.pinned(key).map(|found| found.value().clone())
    }

    /// The live entry under a key, noted as used and counted, and kept from being taken away.
    pub fn pinned<Q>(&self, key: &Q) -> Option<Found<'_, V, K>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let place = self.find(key, |place, _| {
            self.upkeep(place).pins.pin();
            place
        })?;
        Some(Found { store: self, record: self.record(place), place })
    }

    /// Whether there is a live entry under a key; neither noted nor counted.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.shard_of(hash);
        let state = read(&self.shards[shard as usize].state);
        let found = self.find_in(&state, shard, low(hash), key);
        found.is_some_and(|slot| !self.clock.has_come(self.record(Place { shard, slot }).deadline()))
    }

    /// Looks at the live value under a key, with its shard's lock held; neither noted nor counted.
    pub fn look<Q, T>(&self, key: &Q, look: impl FnOnce(&V) -> T) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.shard_of(hash);
        let state = read(&self.shards[shard as usize].state);
        let slot = self.find_in(&state, shard, low(hash), key)?;
        let record = self.record(Place { shard, slot });
        // SAFETY: the record is in the index, and the lock is held.
        (!self.clock.has_come(record.deadline())).then(|| look(unsafe { &record.content().value }))
    }

    /// The slot of a key.
    #[inline]
    pub(super) fn find_in<Q>(&self, state: &State, shard: u32, hash: u32, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        state.index.find(hash, |slot| {
            // SAFETY: the record is in the index, and the caller holds the lock, as it has the state.
            let content = unsafe { self.record(Place { shard, slot }).content() };
            (content.key.borrow() == key).then_some(slot)
        })
    }

    /// Takes out an entry that a reader found dead, if nobody else has. Whatever dead entry lies there may go.
    #[cold]
    fn collect(&self, place: Place, now: u64) {
        let mut gone = Gone::default();
        let mut state = self.lock(place.shard);
        let record = self.record(place);
        if record.is_live() && record.deadline() <= now {
            self.detach(&mut state, place, EvictReason::Expired, now, &mut gone);
        }
        self.publish(place.shard, state);
        self.release(gone);
    }
}
