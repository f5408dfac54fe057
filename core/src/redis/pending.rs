//! Invalidations that the server has not got yet.
//!
//! A key stays here until a deletion of it, or a newer value, is known to have reached the server; until then what
//! stands there is not believed. Positions count the entries as they come: an acknowledgement settles what was
//! queued before its command was sent, and nothing later.
//!
//! **A newer value settles an older invalidation**: `set` overwrites whatever was to be deleted. While such a write
//! is on its way the key is not deleted, so the deletion cannot overtake it. Where the order cannot be told (the
//! connection before was given up with commands unread, and its server would not say that it is gone, so one of
//! them may still be carried out), the key is deleted all the same: a value may be lost, never a deletion.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::holding::{Hold, TagHold};
use crate::tags::Tag;

/// More keys than this become one invalidation of the whole namespace.
const MAX_KEYS: usize = 100_000;

/// The invalidations of one tier that have not landed.
#[derive(Default)]
pub(super) struct Pending {
    inner: Mutex<Inner>,
    /// How many there are, for a look without the lock.
    count: AtomicUsize,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    keys: HashMap<Vec<u8>, Entry>,
    /// The holds that are to be given back with the invalidation. Where a key has several, the older ones end by
    /// themselves.
    holds: HashMap<Vec<u8>, Hold>,
    /// Tags, and their positions.
    tags: HashMap<Tag, u64>,
    /// As `holds`.
    tag_holds: HashMap<Tag, TagHold>,
    /// The position of the invalidation of the whole namespace, if that is pending.
    clear: Option<u64>,
    position: u64,
}

struct Entry {
    position: u64,
    /// Writes of the key that are on their way.
    covers: u32,
}

/// A key to delete, and its position.
pub(super) type Due = (Vec<u8>, u64);

impl Pending {
    /// Queues the invalidation of a key.
    pub fn add(&self, key: Vec<u8>) {
        let mut inner = self.lock();
        inner.position += 1;
        let position = inner.position;
        if inner.keys.len() >= MAX_KEYS && !inner.keys.contains_key(&key) {
            inner.keys = HashMap::new();
            inner.holds = HashMap::new();
            inner.clear = Some(position);
        } else {
            inner.keys.entry(key).or_insert(Entry { position, covers: 0 }).position = position;
        }
        self.note(inner);
    }

    /// Queues the invalidation of a key, with which a hold ends.
    pub fn add_held(&self, key: Vec<u8>, hold: Hold) {
        self.lock().holds.insert(key.clone(), hold);
        self.add(key);
    }

    /// The hold that ends with the invalidation of `key`.
    pub fn hold_of(&self, key: &[u8]) -> Option<Hold> {
        self.lock().holds.get(key).cloned()
    }

    /// Queues the invalidation of the whole namespace.
    pub fn add_clear(&self) {
        let mut inner = self.lock();
        inner.position += 1;
        inner.clear = Some(inner.position);
        self.note(inner);
    }

    /// Queues the invalidation of a tag.
    pub fn add_tag(&self, tag: Tag) {
        let mut inner = self.lock();
        inner.position += 1;
        let position = inner.position;
        if inner.tags.len() >= MAX_KEYS && !inner.tags.contains_key(&tag) {
            inner.tags = HashMap::new();
            inner.tag_holds = HashMap::new();
            inner.clear = Some(position);
        } else {
            inner.tags.insert(tag, position);
        }
        self.note(inner);
    }

    /// Queues the invalidation of a tag, with which a hold ends.
    pub fn add_held_tag(&self, tag: Tag, hold: TagHold) {
        self.lock().tag_holds.insert(tag.clone(), hold);
        self.add_tag(tag);
    }

    /// The hold that ends with the invalidation of a tag.
    pub fn hold_of_tag(&self, tag: &[u8]) -> Option<TagHold> {
        self.lock().tag_holds.get(tag).copied()
    }

    /// Whether entries with this tag are not to be believed.
    pub fn contains_tag(&self, tag: &[u8]) -> bool {
        !self.is_empty() && self.lock().tags.contains_key(tag)
    }

    /// Some tags to invalidate, and their positions.
    pub fn due_tags(&self) -> Vec<(Tag, u64)> {
        const STEP: usize = 1_000;
        self.lock().tags.iter().take(STEP).map(|(tag, position)| (tag.clone(), *position)).collect()
    }

    /// Tags have been invalidated by commands sent when these were their positions, or later.
    pub fn landed_tags(&self, landed: impl IntoIterator<Item = (Tag, u64)>) {
        if self.is_empty() {
            return;
        }
        let mut inner = self.lock();
        for (tag, position) in landed {
            if inner.tags.get(&tag).is_some_and(|queued| *queued <= position) {
                inner.tags.remove(&tag);
                inner.tag_holds.remove(&tag);
            }
        }
        self.note(inner);
    }

    /// Whether what stands under `key` is not to be believed.
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.is_empty() {
            return false;
        }
        let inner = self.lock();
        inner.clear.is_some() || inner.keys.contains_key(key)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// The position of the youngest.
    pub fn position(&self) -> u64 {
        self.lock().position
    }

    /// Up to `limit` keys that no write is about to settle.
    pub fn due(&self, limit: usize) -> Vec<Due> {
        let inner = self.lock();
        let due = inner.keys.iter().filter(|(_, entry)| entry.covers == 0);
        due.take(limit).map(|(key, entry)| (key.clone(), entry.position)).collect()
    }

    /// The position of the invalidation of the whole namespace, if that is pending.
    pub fn due_clear(&self) -> Option<u64> {
        self.lock().clear
    }

    /// `keys` have been deleted by commands sent when these were their positions.
    pub fn landed(&self, keys: &[Due]) {
        let mut inner = self.lock();
        for (key, position) in keys {
            inner.remove(key, *position);
        }
        self.note(inner);
    }

    /// The whole namespace has been deleted by work that began at `position`.
    pub fn landed_clear(&self, position: u64) {
        let mut inner = self.lock();
        if inner.clear.is_some_and(|queued| queued <= position) {
            inner.clear = None;
        }
        let Inner { keys, holds, .. } = &mut *inner;
        keys.retain(|_, entry| entry.position > position);
        holds.retain(|key, _| keys.contains_key(key));
        let Inner { tags, tag_holds, .. } = &mut *inner;
        tags.retain(|_, queued| *queued > position);
        tag_holds.retain(|tag, _| tags.contains_key(tag));
        self.note(inner);
    }

    /// `keys` were deleted by a command sent at `position`.
    pub fn deleted(&self, keys: &[Vec<u8>], position: u64) {
        if self.is_empty() {
            return;
        }
        let mut inner = self.lock();
        keys.iter().for_each(|key| inner.remove(key, position));
        self.note(inner);
    }

    /// Writes of `keys` are about to be sent: until they are settled or dropped, those keys among them that are
    /// pending since after `uncertain` are not deleted.
    pub fn cover(self: &Arc<Self>, keys: impl Iterator<Item = impl AsRef<[u8]>>, uncertain: u64) -> Cover {
        let mut cover = Cover { pending: self.clone(), position: 0, keys: Vec::new() };
        if self.is_empty() {
            return cover;
        }
        let mut inner = self.lock();
        cover.position = inner.position;
        for key in keys {
            if let Some(entry) = inner.keys.get_mut(key.as_ref())
                && entry.position > uncertain
            {
                entry.covers += 1;
                cover.keys.push(key.as_ref().to_vec());
            }
        }
        cover
    }

    /// Completes at the next change after it was called.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a change.
    fn note(&self, inner: MutexGuard<'_, Inner>) {
        self.count
            .store(inner.keys.len() + inner.tags.len() + usize::from(inner.clear.is_some()), Ordering::Release);
        drop(inner);
        self.changed.notify_waiters();
    }
}

impl Inner {
    fn remove(&mut self, key: &[u8], position: u64) {
        if self.keys.get(key).is_some_and(|entry| entry.position <= position) {
            self.keys.remove(key);
            self.holds.remove(key);
        }
    }
}

/// Pending keys that writes on their way are about to settle.
pub(super) struct Cover {
    pending: Arc<Pending>,
    position: u64,
    keys: Vec<Vec<u8>>,
}

impl Cover {
    /// The writes were acknowledged.
    pub fn settle(self) {
        if !self.keys.is_empty() {
            let mut inner = self.pending.lock();
            for key in &self.keys {
                inner.remove(key, self.position);
            }
            self.pending.note(inner);
        }
    }
}

impl Drop for Cover {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let mut inner = self.pending.lock();
        for key in &self.keys {
            // Settled, or replaced by a younger one in between: then there is nothing to take back, and a count
            // that is too low only makes a deletion come early.
            if let Some(entry) = inner.keys.get_mut(key) {
                entry.covers = entry.covers.saturating_sub(1);
            }
        }
        self.pending.note(inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Vec<u8> {
        name.as_bytes().to_vec()
    }

    fn cover(pending: &Arc<Pending>, names: &[&str], uncertain: u64) -> Cover {
        let keys: Vec<Vec<u8>> = names.iter().map(|name| key(name)).collect();
        pending.cover(keys.iter(), uncertain)
    }

    #[test]
    fn a_landed_key_goes_and_one_that_was_queued_again_stays() {
        let pending = Arc::new(Pending::default());
        pending.add(key("a"));
        pending.add(key("b"));
        let due = pending.due(10);
        pending.add(key("a"));
        pending.landed(&due);
        assert!(pending.contains(b"a") && !pending.contains(b"b"));
        assert_eq!(pending.len(), 1);
        pending.landed(&pending.due(10));
        assert!(pending.is_empty());
    }

    #[test]
    fn a_value_on_its_way_holds_the_deletion_back_and_settles_it() {
        let pending = Arc::new(Pending::default());
        pending.add(key("a"));
        pending.add(key("b"));
        let write = cover(&pending, &["a", "c"], 0);
        assert_eq!(pending.due(10), [(key("b"), 2)]);
        assert!(pending.contains(b"a"), "until it is acknowledged it is not believed");
        write.settle();
        assert!(!pending.contains(b"a") && pending.contains(b"b"));
    }

    #[test]
    fn a_value_that_failed_leaves_the_deletion_due() {
        let pending = Arc::new(Pending::default());
        pending.add(key("a"));
        drop(cover(&pending, &["a"], 0));
        assert_eq!(pending.due(10), [(key("a"), 1)]);
    }

    #[test]
    fn a_value_does_not_settle_what_came_after_it() {
        let pending = Arc::new(Pending::default());
        pending.add(key("a"));
        let write = cover(&pending, &["a"], 0);
        pending.add(key("a"));
        write.settle();
        assert_eq!(pending.due(10), [(key("a"), 2)]);
    }

    #[test]
    fn where_the_order_cannot_be_told_the_deletion_stays() {
        let pending = Arc::new(Pending::default());
        pending.add(key("a"));
        let uncertain = pending.position();
        pending.add(key("b"));
        cover(&pending, &["a", "b"], uncertain).settle();
        assert!(pending.contains(b"a") && !pending.contains(b"b"));
    }

    #[test]
    fn too_many_keys_become_one_clear() {
        let pending = Arc::new(Pending::default());
        for n in 0..MAX_KEYS {
            pending.add(n.to_le_bytes().to_vec());
        }
        pending.add(0_usize.to_le_bytes().to_vec());
        assert_eq!((pending.len(), pending.due_clear()), (MAX_KEYS, None));
        pending.add(key("one more"));
        assert_eq!(pending.len(), 1);
        assert!(pending.contains(b"anything"));
        let clear = pending.due_clear().expect("a clear");
        pending.add(key("later"));
        pending.landed_clear(clear);
        assert!(!pending.contains(b"anything") && pending.contains(b"later"));
    }

    #[test]
    fn a_clear_settles_the_keys_before_it() {
        let pending = Arc::new(Pending::default());
        pending.add(key("a"));
        pending.add_clear();
        let clear = pending.due_clear().expect("a clear");
        pending.add_clear();
        pending.landed_clear(clear);
        assert!(pending.due_clear().is_some() && pending.due(10).is_empty());
    }

    #[test]
    fn a_tag_stays_until_it_landed_after_it_was_queued() {
        let (pending, tag) = (Pending::default(), Tag::from(&b"users"[..]));
        pending.add_tag(tag.clone());
        let due = pending.due_tags();
        pending.add_tag(tag.clone());
        pending.landed_tags(due);
        assert!(pending.contains_tag(b"users") && !pending.contains_tag(b"other") && !pending.contains(b"users"));
        pending.landed_tags([(tag, pending.position())]);
        assert!(pending.is_empty());
    }

    #[tokio::test]
    async fn a_change_wakes_who_waits() {
        let pending = Arc::new(Pending::default());
        let mut changed = std::pin::pin!(pending.changed());
        changed.as_mut().enable();
        pending.add(key("a"));
        changed.await;
    }
}
