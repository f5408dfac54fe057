//! Tags in the flights: which entries end together, and whether what was read or loaded is still good.
//!
//! The order of an invalidation: first nothing that was known of the tags is believed any more, then the flights that
//! carry them are voided, then memory lets go of its entries; each store into memory asks, under the lock of its shard,
//! whether a tag of it was invalidated since it was read or its load began. So no store is late.

use std::sync::Arc;

use super::judging::Found;
use super::shared::Loaded;
use super::sink::Reply;
use super::tiers::Tiers;
use super::write::{done, receipt_of_tags};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Answer, PutOptions, Step};
use crate::key::Format;
use crate::tags::{self, Looked, Tag, TagSet};

impl Tiers {
    /// Invalidates every entry that has one of these tags: `Done`.
    pub fn invalidate_tags(&self, tags: &[impl AsRef<[u8]>], reply: &dyn Reply) -> Result<Step> {
        const OPERATION: &str = "invalidate_tags";
        self.check_open(OPERATION)?;
        let set = TagSet::of(OPERATION, tags, usize::MAX)?;
        self.refuse_tags(OPERATION, &set)?;
        let Some(shared) = self.shared.as_ref().filter(|_| !set.is_empty()) else {
            self.counters.invalidations.add(set.iter().count() as u64);
            self.forget_tags(&set);
            return Ok(done(false));
        };
        let slot = shared.admit(OPERATION, set.iter().map(|tag| tag.len()).sum())?;
        let sink = reply.sink(OPERATION, None)?;
        self.counters.invalidations.add(set.iter().count() as u64);
        self.forget_tags(&set);
        let me = self.handle();
        let named: Vec<Tag> = set.iter().cloned().collect();
        let kick = shared.invalidate_tags(slot, named, move |sequence| {
            // What was read meanwhile may have been that of before.
            me.expect_message(sequence, || me.forget_tags(&set));
            drop(sink.finish(Answer::Done(receipt_of_tags(sequence))));
        });
        reply.go(kick);
        Ok(Step::Pending)
    }

    pub(super) fn forget_tags(&self, tags: &TagSet) {
        tags.iter().for_each(|tag| self.forget_tag(tag));
    }

    /// A tag was invalidated: entries with it leave memory, and what is being loaded with it is not stored.
    pub fn forget_tag(&self, tag: &[u8]) {
        self.known.drop_tag(tag);
        self.table.void_tagged(|put| put.tags.contains(tag));
        let Some(memory) = &self.memory else { return };
        for key in self.index.keys(tag) {
            self.table.under_lock(&key, || {
                // Another one may lie there by now.
                if memory.get_with(&key[..], |record| record.tags.contains(tag)) == Some(true) {
                    memory.remove(&key[..]);
                }
            });
        }
    }

    /// The tags that a call names.
    pub(super) fn tags_of(&self, operation: &'static str, o: &PutOptions) -> Result<TagSet> {
        if o.tags.is_empty() {
            return Ok(TagSet::default());
        }
        let tags = TagSet::of(operation, &o.tags, self.options.max_tags)?;
        self.refuse_tags(operation, &tags)?;
        Ok(tags)
    }

    /// Plain entries have no room for tags.
    fn refuse_tags(&self, operation: &'static str, tags: &TagSet) -> Result<()> {
        if self.options.format == Format::Plain && !tags.is_empty() {
            let message = "tags must be none where format is plain: such entries have no room for them";
            return Err(Error::new(ErrorKind::InvalidOption, operation, message));
        }
        Ok(())
    }

    /// What finds come to, once the versions of all their tags are known: at once, or after one more round trip for all
    /// of them, which ends at `until`. `done` is called once, with no lock held.
    pub(super) fn settle(
        self: &Arc<Self>,
        found: Vec<Found>,
        until: u64,
        done: impl FnOnce(&Arc<Tiers>, Vec<Loaded>) + Send + 'static,
    ) {
        let mut unknown: Vec<Tag> = Vec::new();
        for tag in found.iter().flat_map(Found::unknown) {
            if !unknown.contains(tag) {
                unknown.push(tag.clone());
            }
        }
        let Some(shared) = self.shared.as_ref().filter(|_| !unknown.is_empty()) else {
            let loaded = found.into_iter().map(|found| self.judged(found, &Looked::default())).collect();
            return done(self, loaded);
        };
        let me = self.clone();
        let finish = move |looked: Result<Looked>| {
            let looked = looked.unwrap_or_else(|_| {
                me.counters.l2_errors.add(1);
                Looked::default()
            });
            let loaded = found.into_iter().map(|found| me.judged(found, &looked)).collect();
            done(&me, loaded);
        };
        // The empty one comes with every look.
        unknown.retain(|tag| !tag.is_empty());
        match shared.admit("get", unknown.iter().map(|tag| tag.len()).sum()) {
            Ok(slot) => shared.look_at(slot.until(Some(until)), unknown, finish).go_behind(),
            Err(error) => finish(Err(error)),
        }
    }

    /// As [`Tiers::settle`], for one.
    pub(super) fn settle_one(
        self: &Arc<Self>,
        found: Found,
        until: u64,
        done: impl FnOnce(&Arc<Tiers>, Loaded) + Send + 'static,
    ) {
        match found {
            Found::Known(loaded) => done(self, loaded),
            open @ Found::Open(_) => self.settle(vec![open], until, |tiers, loaded| {
                done(tiers, loaded.into_iter().next().unwrap_or(Loaded::Unreachable));
            }),
        }
    }

    fn judged(&self, found: Found, looked: &Looked) -> Loaded {
        match (found, &self.shared) {
            (Found::Known(loaded), _) => loaded,
            (Found::Open(candidate), Some(shared)) => match shared.judge(*candidate, looked) {
                Found::Known(loaded) => loaded,
                // The server would not say.
                Found::Open(_) => Loaded::Unreachable,
            },
            (Found::Open(_), None) => Loaded::Unreachable,
        }
    }
}

/// How much longer than an entry its tags are kept at least: what is being loaded now is stored later.
pub(super) const TAGS_OUTLIVE: std::time::Duration = std::time::Duration::from_secs(120);
/// How long a value lives that got a tag during its load whose version of before nobody knows.
pub(super) const UNSURE: std::time::Duration = std::time::Duration::from_secs(2);

const _: () = assert!(tags::DEFAULT_MAX_TAGS <= tags::MAX_TAGS);
