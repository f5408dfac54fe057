//! The journal of one process: a file of redb, locked as long as it is open.
//!
//! Many writes share one commit, and each commit is synced. **A commit that fails is the end of its file**: what a kernel
//! does with pages whose sync has failed nobody knows, so it is never tried again there. The writes are in memory all the
//! same, so a new file gets all of them, and takes the place of the old one when it has been synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::files::{Disk, Locked, sync_directory};
use super::item::Item;

const WRITES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("writes");
const DEAD: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("dead");

/// What redb may keep of its file in memory.
const CACHE: usize = 4 << 20;

/// How the name of a journal ends while it is made.
pub(super) const UNREADY: &str = "new";

/// What one commit does. Rows go by the numbers of their writes.
#[derive(Default)]
pub(super) struct Rows {
    pub put: Vec<(u64, Vec<u8>)>,
    pub bury: Vec<(u64, Vec<u8>)>,
    pub remove: Vec<u64>,
}

impl Rows {
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.bury.is_empty() && self.remove.is_empty()
    }
}

/// The journal of this process.
pub(super) struct Journal {
    directory: PathBuf,
    name: String,
    disk: Arc<dyn Disk>,
    /// After a failed commit too, so that nobody takes it for that of a dead process.
    open: Option<Open>,
    failed: bool,
}

struct Open {
    path: PathBuf,
    database: Database,
}

/// What a file holds: writes, and why they are dead letters where they are.
pub(super) type Found = Vec<(Item, Option<String>)>;

impl Journal {
    /// A journal that has no file.
    pub fn new(directory: PathBuf, name: String, disk: Arc<dyn Disk>) -> Self {
        Journal { directory, name, disk, open: None, failed: false }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the names of the journals of this write-behind begin with.
    pub fn prefix(&self) -> String {
        format!("{}.", self.name)
    }

    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The path of its file.
    pub fn path(&self) -> Option<&Path> {
        self.open.as_ref().map(|open| open.path.as_path())
    }

    /// Whether it takes rows.
    pub fn is_good(&self) -> bool {
        self.open.is_some() && !self.failed
    }

    /// Makes a new file that holds this, and removes the one of before.
    ///
    /// # Errors
    /// What the system says. Then the file of before stays as it is, and ours.
    pub fn renew(&mut self, all: Rows) -> io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        let (unready, locked) = self.create()?;
        let path = unready.with_extension("journal");
        let made = make(locked).and_then(|database| {
            commit(&database, all)?;
            // Only a whole one is called a journal: whoever finds the half of a process that died does not take it for a
            // damaged one. The lock is the file's, not the name's.
            std::fs::rename(&unready, &path)?;
            sync_directory(&self.directory)?;
            Ok(database)
        });
        let database = made.inspect_err(|_| {
            // Half of it is of no use. Where it cannot be removed it is found some day, and has nothing of its own.
            let _ = std::fs::remove_file(&unready);
            let _ = std::fs::remove_file(&path);
        })?;
        if let Some(before) = self.open.replace(Open { path, database }) {
            // While it is locked. What is found of it after all is written twice, by the same names.
            let _ = std::fs::remove_file(&before.path);
        }
        self.failed = false;
        Ok(())
    }

    fn create(&self) -> io::Result<(PathBuf, Locked)> {
        loop {
            let name = format!("{}{}-{:016x}.{UNREADY}", self.prefix(), std::process::id(), rand::random::<u64>());
            let path = self.directory.join(name);
            if let Some(locked) = Locked::create(&path, &self.disk)? {
                return Ok((path, locked));
            }
        }
    }

    /// Makes rows durable.
    ///
    /// # Errors
    /// What the system says: then the file takes no more, and nobody knows whether the rows are in it.
    pub fn commit(&mut self, rows: Rows) -> io::Result<()> {
        let Some(open) = self.open.as_ref().filter(|_| !self.failed) else {
            return Err(io::Error::other("the journal has failed"));
        };
        commit(&open.database, rows).inspect_err(|_| self.failed = true)
    }

    /// Ends it. `empty`: nothing in it is needed any more, so the file goes.
    pub fn close(&mut self, empty: bool) {
        if let Some(open) = self.open.take()
            && empty
        {
            // While it is locked. Where it stays it is found and read once more.
            let _ = std::fs::remove_file(&open.path);
        }
    }
}

/// A database in a file.
fn make(locked: Locked) -> io::Result<Database> {
    Builder::new()
        .set_cache_size(CACHE)
        .create_with_backend(locked)
        .map_err(|error| said(redb::Error::from(error)))
}

fn commit(database: &Database, rows: Rows) -> io::Result<()> {
    let work = || -> Result<(), redb::Error> {
        // Immediate durability is the default: commit returns when the file has been synced.
        let transaction = database.begin_write()?;
        {
            let mut writes = transaction.open_table(WRITES)?;
            let mut dead = transaction.open_table(DEAD)?;
            for (number, row) in &rows.put {
                writes.insert(number, row.as_slice())?;
                dead.remove(number)?;
            }
            for (number, row) in &rows.bury {
                dead.insert(number, row.as_slice())?;
                writes.remove(number)?;
            }
            for number in &rows.remove {
                writes.remove(number)?;
                dead.remove(number)?;
            }
        }
        transaction.commit()?;
        Ok(())
    };
    work().map_err(said)
}

/// Reads a file of a dead process. `number` makes the numbers of its writes. Rows of another version are an error: a
/// newer release has written them, and is to read them.
pub(super) fn read(locked: Locked, mut number: impl FnMut() -> u64) -> io::Result<(Database, Found)> {
    let database = make(locked)?;
    let mut found = Vec::new();
    let mut work = || -> Result<bool, redb::Error> {
        let transaction = database.begin_read()?;
        for (table, is_dead) in [(WRITES, false), (DEAD, true)] {
            let table = match transaction.open_table(table) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            for row in table.iter()? {
                let (_, row) = row?;
                let Some((item, reason)) = Item::decode(0, row.value()) else { return Ok(false) };
                found.push((item, is_dead.then_some(reason)));
            }
        }
        Ok(true)
    };
    match work() {
        Ok(true) => {
            found.sort_by_key(|(item, _)| (item.sequence, item.process));
            // Numbers are in the order in which writes are due.
            found.iter_mut().for_each(|(item, _)| item.number = number());
            Ok((database, found))
        }
        Ok(false) => Err(io::Error::new(io::ErrorKind::Unsupported, "rows of another version")),
        Err(error) => Err(said(error)),
    }
}

/// What the system said, where it was the system.
fn said(error: redb::Error) -> io::Error {
    match error {
        redb::Error::Io(error) => error,
        redb::Error::Corrupted(what) => io::Error::new(io::ErrorKind::InvalidData, what),
        error => io::Error::other(error.to_string()),
    }
}
