//! Code of the user that calls back into the cache, from everywhere it is called: nothing may block.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::{OnceLock, mpsc};
use std::thread;

use super::*;

type Handle = Arc<OnceLock<MemoryCache<Nosy>>>;

/// A value that uses the cache whenever it is cloned or dropped.
struct Nosy {
    cache: Handle,
    depth: u32,
}

fn meddle(cache: &Handle, depth: u32) {
    if let Some(handle) = cache.get()
        && depth < 2
    {
        for key in ["a", "b", "c"] {
            let value = Nosy { cache: cache.clone(), depth: depth + 1 };
            handle.set(key, value, MINUTE).unwrap();
            handle.get_with("a", |value| value.depth);
            drop(handle.remove(key));
        }
    }
}

impl Clone for Nosy {
    fn clone(&self) -> Self {
        meddle(&self.cache, self.depth);
        Nosy { cache: self.cache.clone(), depth: self.depth }
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        meddle(&self.cache, self.depth);
    }
}

#[test]
fn clone_drop_weigher_listener_and_reader_may_use_the_cache() {
    let (done, finished) = mpsc::channel();
    let worker = thread::spawn(move || {
        let shared = Handle::default();
        let (for_weigher, for_listener) = (shared.clone(), shared.clone());
        let (setup, hand) = Setup::new();
        let cache = Setup {
            max_entries: 2,
            weigher: Box::new(move |_, value: &Nosy| {
                meddle(&for_weigher, value.depth);
                0
            }),
            listener: Some(Box::new(move |_, value: &Nosy, _| meddle(&for_listener, value.depth))),
            ..setup
        }
        .build();
        assert!(shared.set(cache.clone()).is_ok());
        let value = || Nosy { cache: shared.clone(), depth: 0 };
        for key in ["a", "b", "c", "a"] {
            cache.set(key, value(), MINUTE).unwrap();
            drop(cache.get(key));
            cache.get_with(key, |value| meddle(&value.cache, 0));
        }
        cache.set("a", value(), MINUTE).unwrap();
        drop(cache.remove("a"));
        cache.set("b", value(), Duration::from_millis(5)).unwrap();
        hand.advance(Duration::from_secs(1));
        cache.store.remove_expired(usize::MAX);
        cache.set("b", value(), MINUTE).unwrap();
        cache.clear();
        done.send(()).unwrap();
    });
    finished.recv_timeout(Duration::from_secs(60)).expect("no call blocks for ever");
    worker.join().unwrap();
}

/// What a key is looked up by here: its comparison panics.
#[derive(Clone)]
struct Touchy(u32);

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Touchy {
    fn eq(&self, _: &Self) -> bool {
        panic!("the key's own panic");
    }
}

impl Eq for Touchy {}

#[derive(Clone)]
struct Key(Touchy);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0
    }
}

impl Eq for Key {}

impl Borrow<Touchy> for Key {
    fn borrow(&self) -> &Touchy {
        &self.0
    }
}

#[test]
fn a_panic_of_eq_leaves_the_cache_whole() {
    let cache: MemoryCache<u32, Key> = MemoryCache::builder().max_entries(4).build();
    let key = Key(Touchy(1));
    cache.set(&key, 1, MINUTE).unwrap();
    for _ in 0..3 {
        let read = std::panic::AssertUnwindSafe(|| cache.get(&Touchy(1)));
        assert!(std::panic::catch_unwind(read).is_err());
        let remove = std::panic::AssertUnwindSafe(|| cache.remove(&Touchy(1)));
        assert!(std::panic::catch_unwind(remove).is_err());
    }
    assert_eq!(cache.get(&key), Some(1));
    cache.set(&key, 2, MINUTE).unwrap();
    assert_eq!(cache.remove(&key), Some(2));
    assert_eq!((cache.len(), cache.weight()), (0, 0));
}
