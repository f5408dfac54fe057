//! What this process knows of the versions of tags, and for how long it may believe that.

use std::collections::HashMap;

use super::{Tag, TagSet};
use crate::clock::Clock;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// More tags than this are not remembered.
const MAX_KNOWN: usize = 10_000;
/// The version that every entry carries is asked for again when it is older than this share of what is believed: an entry
/// that is read then may live in memory for the rest.
const SHARE_OF_CLEAR: u64 = 4;
/// The same for other tags, which cost a round trip.
const SHARE_OF_TAGS: u64 = 2;

/// Versions of tags as the server had them when it was asked.
///
/// For how long they are believed is decided here and nowhere else.
pub(crate) struct Known {
    /// In ms: `max_staleness`.
    believed: u64,
    clock: Clock,
    /// Until when everything is believed that was asked since the last [`Known::doubt`], in ms of the clock: the server
    /// tells of each invalidation.
    told_until: AtomicU64,
    /// Counts the invalidations of tags that this process has heard of.
    moment: Arc<AtomicU64>,
    clear: Mutex<Clear>,
    tags: Mutex<Tags>,
}

#[derive(Clone, Copy, Default)]
struct Clear {
    known: Option<Version>,
    /// When everything was last invalidated.
    dropped: u64,
    /// What was asked before this moment is not learnt.
    since: u64,
}

#[derive(Clone, Copy)]
struct Version {
    /// None where the server had none.
    version: Option<u64>,
    /// When it was asked last, in ms of the clock.
    asked: u64,
    /// When it was first seen. No version comes twice, so it was this one all the time in between.
    first: u64,
    /// Whether its end would have been told.
    told: bool,
}

impl Version {
    fn seen(version: Option<u64>, asked: u64) -> Version {
        Version { version, asked, first: asked, told: true }
    }

    /// It may have ended unheard. It is still what the next entry carries: a dead one is found out, a wrong one cannot be.
    fn doubted(self) -> Version {
        Version { asked: 0, told: false, ..self }
    }

    /// Whether it is believed at `now`, without more, for a time from when it was asked; or as long as all is told.
    fn is_believed(self, time: u64, told_until: u64, now: u64) -> bool {
        self.asked > 0 && self.asked + time > now || self.told && told_until > now
    }

    /// What is known of a tag with what was seen of it now.
    fn merged(self, known: Version) -> Version {
        match (self.version == known.version, self.asked >= known.asked) {
            (true, _) => Version {
                version: self.version,
                asked: self.asked.max(known.asked),
                first: self.first.min(known.first),
                told: self.told || known.told,
            },
            (false, true) => self,
            (false, false) => known,
        }
    }
}

#[derive(Default)]
struct Tags {
    versions: HashMap<Tag, Version>,
    /// When tags were last invalidated.
    dropped: HashMap<Tag, u64>,
    /// All others were invalidated at this moment or before.
    floor: u64,
    /// What was asked before this moment is not learnt.
    since: u64,
}

/// A look at the server that is about to leave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// In ms of the clock.
    pub asked: u64,
    moment: u64,
}

impl Look {
    /// The count of invalidations of tags when it left.
    pub fn moment(self) -> u64 {
        self.moment
    }
}

/// What a look has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looked {
    pub look: Look,
    /// The versions of tags; none where the server has none.
    pub versions: Vec<(Tag, Option<u64>)>,
}

impl Looked {
    /// The version of a tag, if it was looked at.
    pub fn version(&self, tag: &[u8]) -> Option<Option<u64>> {
        self.versions.iter().find(|(other, _)| **other == *tag).map(|(_, version)| *version)
    }
}

/// What the versions that an entry carries say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They were those of the server at this time, in ms of the clock.
    Current(u64),
    /// One of them is another one now.
    Outdated,
    /// These tags are to be looked at.
    Unknown(Vec<Tag>),
}

impl Known {
    /// Knows nothing, and will believe what it learns for `believed` ms.
    pub fn new(believed: u64, clock: Clock) -> Known {
        Known {
            believed,
            clock,
            told_until: AtomicU64::new(0),
            moment: Arc::new(AtomicU64::new(1)),
            clear: Mutex::default(),
            tags: Mutex::default(),
        }
    }

    /// The count of the invalidations that this process has heard of.
    pub fn moment(&self) -> Arc<AtomicU64> {
        self.moment.clone()
    }

    /// The server tells of each invalidation since the last [`Known::doubt`], up to this moment.
    pub fn believe_until(&self, until: u64) {
        self.told_until.store(until, Ordering::SeqCst);
    }

    /// Doubts what is known, and does not learn what was asked before: it may have changed unheard. That is no
    /// invalidation: what was read or loaded with it may be stored.
    pub fn doubt(&self) {
        let mut clear = lock(&self.clear);
        let mut tags = lock(&self.tags);
        let moment = self.moment.fetch_add(1, Ordering::SeqCst) + 1;
        (clear.known, clear.since) = (clear.known.map(Version::doubted), moment);
        tags.versions.values_mut().for_each(|known| *known = known.doubted());
        tags.since = moment;
    }

    /// To be taken before a look leaves.
    pub fn look(&self) -> Look {
        let moment = self.moment.load(Ordering::SeqCst);
        Look { asked: self.clock.now_ms(), moment }
    }

    /// A look at the version that every entry carries, if it is time for one.
    pub fn look_at_clear(&self) -> Option<Look> {
        let look = self.look();
        let known = lock(&self.clear).known;
        let is_known = known.is_some_and(|known| {
            let time = self.believed.div_ceil(SHARE_OF_CLEAR);
            let told_until = self.told_until.load(Ordering::SeqCst);
            known.version.is_some() && known.is_believed(time, told_until, look.asked)
        });
        // What is believed for no time at all is looked at each time.
        (!is_known || self.believed == 0).then_some(look)
    }

    /// Remembers what a look has seen.
    pub fn learn(&self, looked: &Looked) {
        for (tag, version) in &looked.versions {
            let seen = Version::seen(*version, looked.look.asked);
            if tag.is_empty() {
                let mut clear = lock(&self.clear);
                if clear.dropped > looked.look.moment {
                    continue;
                }
                clear.known = match clear.known {
                    // Asked before all was told: better than nothing.
                    known if clear.since > looked.look.moment => known.or(Some(seen.doubted())),
                    known => Some(known.map_or(seen, |known| seen.merged(known))),
                };
                continue;
            }
            let mut tags = lock(&self.tags);
            if tags.last(tag) > looked.look.moment {
                continue;
            }
            let seen = if tags.since > looked.look.moment { seen.doubted() } else { seen };
            if tags.versions.len() >= MAX_KNOWN && !tags.versions.contains_key(tag) {
                tags.make_room(looked.look.asked.saturating_sub(self.believed));
            }
            let known = tags.versions.entry(tag.clone()).or_insert(seen);
            *known = seen.merged(*known);
        }
    }

    fn of(&self, tag: &[u8]) -> Option<Version> {
        if tag.is_empty() { lock(&self.clear).known } else { lock(&self.tags).versions.get(tag).copied() }
    }

    /// What is believed of a tag at `now`, asked not longer ago than `share` says.
    fn believed_of(&self, tag: &[u8], now: u64, share: u64) -> Option<Version> {
        let told_until = self.told_until.load(Ordering::SeqCst);
        // That it has none may be over untold: who asks next gives it one, and the hold of a writer that died ends by itself.
        let is_believed =
            |known: &Version| known.version.is_some() && known.is_believed(self.believed / share, told_until, now);
        self.of(tag).filter(is_believed)
    }

    /// What the versions of an entry come to, of which `looked` tells some.
    pub fn judge(&self, clear: Option<u64>, tags: &[(Tag, u64)], looked: &Looked) -> Verdict {
        let now = self.clock.now_ms();
        let mut oldest = u64::MAX;
        let mut unknown = Vec::new();
        let mut outdated = false;
        let mut judge = |tag: &[u8], version: Option<u64>, share: u64| {
            let seen = looked.version(tag).map(|version| Version::seen(version, looked.look.asked));
            match seen.or_else(|| self.believed_of(tag, now, share)) {
                Some(known) => {
                    outdated |= known.version.is_none() || known.version != version;
                    oldest = oldest.min(known.asked);
                }
                None => unknown.push(tag.into()),
            }
        };
        judge(&[], clear, 1);
        for (tag, version) in tags {
            judge(tag, Some(*version), SHARE_OF_TAGS);
        }
        match (outdated, unknown.is_empty()) {
            (true, _) => Verdict::Outdated,
            (false, true) => Verdict::Current(oldest),
            (false, false) => Verdict::Unknown(unknown),
        }
    }

    /// The version last seen of a tag, however long ago that is; none where there is none, or it was invalidated since.
    pub fn last_seen(&self, tag: &[u8]) -> Option<u64> {
        self.seen_before(tag, u64::MAX).map(|(version, _)| version)
    }

    /// The version that a tag had at `then`, and until when at least that was known of it. One seen longer ago is as good for
    /// an entry: it is dead where there is a newer one.
    pub fn seen_before(&self, tag: &[u8], then: u64) -> Option<(u64, u64)> {
        let known = self.of(tag).filter(|known| known.first <= then)?;
        Some((known.version?, known.asked.min(then)))
    }

    /// A tag is invalidated: what was known of it is not true any more, and what was asked before is not learnt.
    pub fn drop_tag(&self, tag: &[u8]) {
        let mut tags = lock(&self.tags);
        let moment = self.moment.fetch_add(1, Ordering::SeqCst) + 1;
        tags.versions.remove(tag);
        tags.dropped.insert(tag.into(), moment);
        if tags.dropped.len() > MAX_KNOWN {
            tags.dropped = HashMap::new();
            tags.floor = moment;
        }
    }

    /// Everything is invalidated, or is about to be.
    pub fn drop_all(&self) {
        let mut clear = lock(&self.clear);
        let mut tags = lock(&self.tags);
        let moment = self.moment.fetch_add(1, Ordering::SeqCst) + 1;
        *tags = Tags { floor: moment, since: tags.since, ..Tags::default() };
        *clear = Clear { known: None, dropped: moment, since: clear.since };
    }

    /// Everything is invalidated, says the server: this is the version since then, whatever was seen meanwhile.
    pub fn cleared(&self, version: u64, look: Look) {
        let mut clear = lock(&self.clear);
        let moment = self.moment.fetch_add(1, Ordering::SeqCst) + 1;
        let known = Version::seen(Some(version), look.asked);
        *clear = Clear { known: Some(known), dropped: moment, since: clear.since };
    }

    /// Whether everything, or one of these, was invalidated after `moment`.
    pub fn was_dropped(&self, tags: &TagSet, moment: u64) -> bool {
        if self.moment.load(Ordering::SeqCst) == moment {
            return false;
        }
        if lock(&self.clear).dropped > moment {
            return true;
        }
        if tags.is_empty() {
            return false;
        }
        let known = lock(&self.tags);
        tags.iter().any(|tag| known.last(tag) > moment)
    }
}

impl Tags {
    fn last(&self, tag: &[u8]) -> u64 {
        self.dropped.get(tag).copied().unwrap_or(0).max(self.floor)
    }

    /// Forgets what is not believed any more, or all, where that is not much.
    fn make_room(&mut self, since: u64) {
        self.versions.retain(|_, known| known.asked > since);
        if self.versions.len() > MAX_KNOWN / 2 {
            self.versions = HashMap::new();
        }
    }
}
