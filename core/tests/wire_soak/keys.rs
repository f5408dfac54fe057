//! Keys whose values tell which key and which version they are, and what may be read of them when.
//!
//! A key is written by one caller, one write after the other. Each write, a delete as well, takes the next version. So
//! what is read must be at least as new as what had been written when the read began, whatever was lost, cancelled or
//! made anew since, and at most as new as what has been begun.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use rand::Rng;

/// A value begins with salt, key and version.
const HEAD: usize = 12;
/// Keys of one `get_many`.
pub const MANY: usize = 4;

/// The keys of one cache.
pub struct Keys {
    names: Vec<String>,
    salt: u32,
    /// The version of the last write that was begun.
    begun: Box<[AtomicU32]>,
    /// That of the last write that has ended. Nothing older is to be read in this process.
    ended: Box<[AtomicU32]>,
    /// That of the last write that the server has. Nothing older is to be read anywhere.
    landed: Box<[AtomicU32]>,
}

/// What a caller asks.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Get(usize),
    GetMany([usize; MANY]),
    Set(usize, u32),
    Delete(usize, u32),
}

/// A question, and the oldest versions that answer it.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub ask: Ask,
    oldest: [u32; MANY],
}

impl Question {
    pub fn is_write(&self) -> bool {
        matches!(self.ask, Ask::Set(..) | Ask::Delete(..))
    }
}

/// Which of the keys a caller may write: those whose number is `first` and every `step`th after it.
#[derive(Clone, Copy)]
pub struct Own {
    pub first: usize,
    pub step: usize,
}

impl Keys {
    /// So many keys of a cache; `salt` tells caches from each other.
    pub fn new(count: usize, salt: u32) -> Keys {
        let zeros = || (0..count).map(|_| AtomicU32::new(0)).collect();
        let names = (0..count).map(|key| format!("{salt}:{key}")).collect();
        Keys { names, salt, begun: zeros(), ended: zeros(), landed: zeros() }
    }

    /// Keys of the same number that nobody has written.
    pub fn like(&self, salt: u32) -> Keys {
        Keys::new(self.len(), salt)
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn name(&self, key: usize) -> &str {
        &self.names[key]
    }

    /// Draws what to ask: reads of any key, writes of own ones.
    pub fn draw(&self, random: &mut impl Rng, own: Option<Own>) -> Question {
        let any = |random: &mut _| Rng::random_range(random, 0..self.len());
        match (random.random_range(0..100), own) {
            (0..10, Some(own)) => {
                let count = (self.len() - own.first).div_ceil(own.step);
                let key = own.first + own.step * random.random_range(0..count);
                let version = self.begun[key].fetch_add(1, Ordering::AcqRel) + 1;
                let ask = if random.random_bool(0.1) { Ask::Delete(key, version) } else { Ask::Set(key, version) };
                Question { ask, oldest: [0; MANY] }
            }
            (10..12, _) => {
                let keys = std::array::from_fn(|_| any(random));
                Question { ask: Ask::GetMany(keys), oldest: keys.map(|key| self.oldest(key)) }
            }
            _ => self.read(any(random)),
        }
    }

    /// A write of `key`, for who alone writes it.
    pub fn write(&self, key: usize) -> Question {
        let version = self.begun[key].fetch_add(1, Ordering::AcqRel) + 1;
        Question { ask: Ask::Set(key, version), oldest: [0; MANY] }
    }

    /// A read of `key`.
    pub fn read(&self, key: usize) -> Question {
        Question { ask: Ask::Get(key), oldest: [self.oldest(key); MANY] }
    }

    fn oldest(&self, key: usize) -> u32 {
        self.ended[key].load(Ordering::Acquire)
    }

    /// What `Set(key, version)` stores. One in 64 is longer than what is copied on its way out, one in 1024 longer than
    /// what is read at once.
    pub fn value(&self, key: usize, version: u32) -> Bytes {
        let mut value = Vec::with_capacity(self.length(key, version));
        for number in [self.salt, key as u32, version] {
            value.extend_from_slice(&number.to_le_bytes());
        }
        value.resize(self.length(key, version), filler(key, version));
        value.into()
    }

    fn length(&self, key: usize, version: u32) -> usize {
        let more = (version as usize * 7 + key) % 100;
        HEAD + match key {
            key if key % 1024 == 1023 => 100_000 + more,
            key if key % 64 == 63 => 9_000 + more,
            _ => more,
        }
    }

    /// Checks what the key at `index` of a read brought.
    pub fn check(&self, question: &Question, index: usize, value: &[u8]) -> Result<(), String> {
        let key = match question.ask {
            Ask::Get(key) => key,
            Ask::GetMany(keys) => keys[index],
            Ask::Set(..) | Ask::Delete(..) => return Err(format!("a value for the write {question:?}")),
        };
        let number =
            |at: usize| value.get(at..at + 4).map_or(0, |four| u32::from_le_bytes(four.try_into().unwrap()));
        let (salt, found, version) = (number(0), number(4), number(8));
        if (salt, found as usize) != (self.salt, key) {
            return Err(format!("key {key} of {} got the value of key {found} of {salt}", self.salt));
        }
        let (oldest, newest) = (question.oldest[index], self.begun[key].load(Ordering::Acquire));
        if !(oldest..=newest).contains(&version) {
            return Err(format!("key {key}: version {version} was read, written are {oldest} to {newest}"));
        }
        let whole = value.len() == self.length(key, version)
            && value[HEAD..].iter().all(|byte| *byte == filler(key, version));
        if whole { Ok(()) } else { Err(format!("key {key}, version {version}: the value is damaged")) }
    }

    /// A write has ended.
    pub fn written(&self, question: &Question, pending: bool) {
        if let Ask::Set(key, version) | Ask::Delete(key, version) = question.ask {
            self.ended[key].fetch_max(version, Ordering::AcqRel);
            if !pending {
                self.landed[key].fetch_max(version, Ordering::AcqRel);
            }
        }
    }

    /// From now on this is another process than the one that writes: it knows what had landed when they parted, and not
    /// what is written since.
    pub fn part(&self) {
        for key in 0..self.len() {
            self.ended[key].store(self.landed[key].load(Ordering::Acquire), Ordering::Release);
            self.begun[key].store(u32::MAX, Ordering::Release);
        }
    }
}

fn filler(key: usize, version: u32) -> u8 {
    (key as u32 ^ version.rotate_left(3)) as u8
}
