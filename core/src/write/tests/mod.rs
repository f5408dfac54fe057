//! The parts of a write-behind: a disk that fails, and the bytes of a row.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::behind::Behind;
use super::files::Disk;
use super::handle::Handle;
use super::item::{Item, WriteKind};
use super::options::WriteBehindOptions;
use crate::codec::Codec;
use crate::error::{ErrorKind, Result};
use crate::flight::{Generations, QueueReply};
use crate::host::{Answer, PutOptions, Queue, Step, Value};
use crate::options::Options;

/// A disk that counts, and fails when it is told to.
#[derive(Debug, Default)]
struct Failing {
    sync: AtomicBool,
    write: AtomicBool,
    synced: AtomicU64,
}

impl Disk for Failing {
    fn write(&self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        if self.write.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        file.write_all_at(data, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.synced.fetch_add(1, Ordering::SeqCst);
        if self.sync.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        file.sync_data()
    }
}

struct World {
    directory: PathBuf,
    disk: Arc<Failing>,
    handle: Handle,
    queue: Arc<Queue>,
}

impl World {
    fn new() -> World {
        let directory = std::env::temp_dir().join(format!("scrubjay-behind-{:016x}", rand::random::<u64>()));
        let (disk, queue) = (Arc::new(Failing::default()), Queue::new());
        let handle = Self::open(&directory, &disk);
        World { directory, disk, handle, queue }
    }

    fn open(directory: &std::path::Path, disk: &Arc<Failing>) -> Handle {
        let cache = Arc::new(Generations::new(Options::default()).expect("a cache"));
        Handle::open_on(cache, WriteBehindOptions::new("t").directory(directory), disk.clone()).expect("a handle")
    }

    fn behind(&self) -> &Arc<Behind> {
        self.handle.behind()
    }

    fn finished(&self, call: impl FnOnce(&Behind, &QueueReply<'_>) -> Result<Step>) -> Answer {
        match call(self.behind(), &QueueReply { queue: &self.queue, token: 1 }).expect("a call") {
            Step::Ready(answer) => answer,
            Step::Pending => {
                let mut taken = Vec::new();
                assert_eq!(self.queue.wait(1, Some(Duration::from_secs(20)), &mut taken), 1);
                taken.pop().expect("one").answer
            }
        }
    }

    fn set(&self, key: &str) -> Answer {
        let value = Value { codec: Codec::Raw, bytes: bytes::Bytes::from_static(b"v") };
        let o = PutOptions::default();
        self.finished(|behind, reply| behind.write(WriteKind::Set, key.as_bytes(), &value, &o, reply))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A temporary directory: left over, it hurts nobody.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn until(what: &str, mut ask: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ask() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_sync_that_fails_stops_the_acknowledgements_and_is_never_tried_again_on_its_file() {
    let world = World::new();
    assert!(matches!(world.set("a"), Answer::Done(_)));
    let journals = || {
        let entries = std::fs::read_dir(&world.directory).expect("the directory");
        entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
    };
    let before = journals();
    world.disk.sync.store(true, Ordering::SeqCst);
    let Answer::Failed(error) = world.set("b") else { panic!("it is not durable") };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(matches!(world.set("c"), Answer::Failed(_)));
    assert_eq!(world.behind().stats().journal_failed, 1);
    assert!(journals().contains(&before[0]), "what was acknowledged is there as long as nothing better is");
    world.disk.sync.store(false, Ordering::SeqCst);
    until("it works again", || matches!(world.set("d"), Answer::Done(_)));
    let after = journals();
    assert_eq!(after.len(), 1);
    assert_ne!(after, before, "the writes went into a new file");
    // And they are all there.
    world.behind().leave();
    let heir = World {
        directory: world.directory.clone(),
        disk: world.disk.clone(),
        handle: World::open(&world.directory, &world.disk),
        queue: Queue::new(),
    };
    until("they are taken over", || heir.behind().stats().adopted == 2);
}

#[test]
fn a_disk_without_room_is_no_end() {
    let world = World::new();
    assert!(matches!(world.set("a"), Answer::Done(_)));
    world.disk.write.store(true, Ordering::SeqCst);
    assert!(matches!(world.set("b"), Answer::Failed(_)));
    world.disk.write.store(false, Ordering::SeqCst);
    until("it works again", || matches!(world.set("b"), Answer::Done(_)));
    assert_eq!((world.behind().stats().depth, world.behind().stats().journal_failed), (2, 0));
}

#[test]
fn many_writes_share_a_sync() {
    let world = World::new();
    assert!(matches!(world.set("first"), Answer::Done(_)));
    let before = world.disk.synced.load(Ordering::SeqCst);
    let value = Value { codec: Codec::Raw, bytes: bytes::Bytes::from_static(b"v") };
    for n in 0..1000_u64 {
        let reply = QueueReply { queue: &world.queue, token: n };
        let key = n.to_be_bytes();
        let step = world.behind().write(WriteKind::Set, &key, &value, &PutOptions::default(), &reply);
        assert!(matches!(step, Ok(Step::Pending)));
    }
    let mut taken = Vec::new();
    while taken.len() < 1000 {
        assert!(world.queue.wait(1000, Some(Duration::from_secs(20)), &mut taken) > 0);
    }
    let syncs = world.disk.synced.load(Ordering::SeqCst) - before;
    assert!(syncs < 500, "{syncs}");
}

#[test]
fn rows_are_read_as_they_were_written() {
    let item = Item {
        number: 7,
        process: 1 << 50,
        sequence: 1 << 51,
        key: bytes::Bytes::from_static(b"key"),
        kind: WriteKind::Delta,
        codec: Codec::MsgPack,
        value: bytes::Bytes::from_static(b"\x01"),
        enqueued_ms: 9,
    };
    for reason in [None, Some("why")] {
        let row = item.encode(reason);
        let read = Item::decode(7, &row).expect("a row");
        assert_eq!(read, (item.clone(), reason.unwrap_or_default().to_owned()));
        for end in 0..35 + reason.map_or(0, str::len) + 3 {
            assert_eq!(Item::decode(7, &row[..end]), None, "{end}");
        }
    }
    let mut newer = item.encode(None);
    newer[0] = 2;
    assert_eq!(Item::decode(7, &newer), None);
}
