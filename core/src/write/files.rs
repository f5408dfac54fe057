//! The file of a journal: locked for its life, and written by a disk that tests can have fail.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use redb::StorageBackend;

/// What a disk does. The real one asks the kernel; those of tests fail.
pub(crate) trait Disk: Send + Sync + std::fmt::Debug {
    /// Writes at a place.
    fn write(&self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        file.write_all_at(data, offset)
    }

    /// Makes a file longer or shorter.
    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    /// Sees to it that what was written outlives the machine.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// The disk of the machine.
#[derive(Debug)]
pub(super) struct Machine;

impl Disk for Machine {}

/// A file that nobody else has, by a lock that ends with the process.
#[derive(Debug)]
pub(super) struct Locked {
    file: File,
    disk: Arc<dyn Disk>,
    inherited: Option<usize>,
}

impl Locked {
    /// Makes the file, which must not be there. None where somebody took it in between.
    pub fn create(path: &Path, disk: &Arc<dyn Disk>) -> io::Result<Option<Locked>> {
        Self::lock(OpenOptions::new().read(true).write(true).create_new(true).open(path)?, path, disk)
    }

    /// Opens the file. None where somebody has it, or it is gone.
    pub fn open(path: &Path, disk: &Arc<dyn Disk>) -> io::Result<Option<Locked>> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Self::lock(file, path, disk),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lock(file: File, path: &Path, disk: &Arc<dyn Disk>) -> io::Result<Option<Locked>> {
        let inherited = note(file.as_raw_fd());
        let locked = Locked { file, disk: disk.clone(), inherited };
        match locked.file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had it before may have removed it: then it is no name of a file of ours any more.
        let named = match std::fs::metadata(path) {
            Ok(named) => named,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mine = locked.file.metadata()?;
        Ok(((named.dev(), named.ino()) == (mine.dev(), mine.ino())).then_some(locked))
    }

    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() == 0)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if let Some(place) = self.inherited {
            OPEN[place].store(NONE, Ordering::Release);
        }
    }
}

impl StorageBackend for Locked {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(&self.file, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync(&self.file)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(&self.file, offset, data)
    }
}

/// What a directory lists outlives the machine.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Descriptors of this process's journals. A forked child that kept them would keep the locks of a parent that has died, so
/// that nobody could take its journals over.
static OPEN: [AtomicI32; 256] = [const { AtomicI32::new(NONE) }; 256];
const NONE: i32 = -1;

fn note(fd: i32) -> Option<usize> {
    let free = |place: &AtomicI32| place.compare_exchange(NONE, fd, Ordering::AcqRel, Ordering::Acquire).is_ok();
    OPEN.iter().position(free)
}

/// Closes what a child has inherited of its parent's journals. The lock is the parent's, and stays.
pub(crate) fn close_in_child() {
    for place in &OPEN {
        let fd = place.swap(NONE, Ordering::AcqRel);
        if fd != NONE {
            // SAFETY: a plain system call that may be made after a fork. The descriptor is one of the parent's journals;
            // the objects that hold it are leaked in the child and never used there.
            unsafe { libc::close(fd) };
        }
    }
}
