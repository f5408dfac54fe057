//! Journals of dead processes: whoever finds one unlocked takes its writes over.

use std::io;
use std::path::{Path, PathBuf};

use redb::Database;

use super::files::{Locked, sync_directory};
use super::journal::{Found, Journal, UNREADY, read};

/// A journal that was found, locked as long as this lives.
pub(super) struct Orphan {
    path: PathBuf,
    _database: Database,
    pub found: Found,
}

/// What a look into the directory came to.
#[derive(Default)]
pub(super) struct Look {
    pub orphans: Vec<Orphan>,
    /// Files that cannot be read: set aside, or left to a newer release.
    pub unreadable: u64,
}

/// Locks and reads the journals of this write-behind whose processes are dead.
pub(super) fn look(journal: &Journal, mut number: impl FnMut() -> u64) -> Look {
    let mut look = Look::default();
    let Ok(entries) = std::fs::read_dir(journal.directory()) else { return look };
    let prefix = journal.prefix();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        // A name may have dots itself: what follows the prefix has one alone, that of the ending.
        let ending = match name.strip_prefix(&prefix).and_then(|rest| rest.split_once('.')) {
            Some((_, ending)) => ending,
            None => continue,
        };
        if ending == UNREADY {
            clear_away(journal, &entry.path());
        }
        if ending != "journal" || journal.path() == Some(entry.path().as_path()) {
            continue;
        }
        match take(journal, entry.path(), &mut number) {
            Ok(orphan) => look.orphans.extend(orphan),
            Err(error) => {
                look.unreadable += 1;
                if error.kind() == io::ErrorKind::InvalidData {
                    // Nothing is thrown away: it is kept under a name that nobody looks for.
                    let _ = std::fs::rename(entry.path(), entry.path().with_extension("corrupt"));
                }
            }
        }
    }
    look
}

/// Removes a file whose process died when it made it: all that is in it is elsewhere.
fn clear_away(journal: &Journal, path: &Path) {
    if let Ok(Some(_locked)) = Locked::open(path, journal.disk()) {
        // Where it stays it is found again.
        let _ = std::fs::remove_file(path);
    }
}

fn take(journal: &Journal, path: PathBuf, number: impl FnMut() -> u64) -> io::Result<Option<Orphan>> {
    let Some(locked) = Locked::open(&path, journal.disk())? else { return Ok(None) };
    if locked.is_empty()? {
        // Its process died when it had made it.
        std::fs::remove_file(&path)?;
        return Ok(None);
    }
    let (database, found) = read(locked, number)?;
    Ok(Some(Orphan { path, _database: database, found }))
}

impl Orphan {
    /// Its writes are durable elsewhere: the file goes, while it is locked.
    pub fn bury(self, journal: &Journal) {
        // Where it stays, its writes are found once more: they have names to be known by.
        if std::fs::remove_file(&self.path).is_ok() {
            let _ = sync_directory(journal.directory());
        }
    }
}
