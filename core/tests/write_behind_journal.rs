//! Journals of processes that die, and disks that fail: what was acknowledged is written, and what cannot be kept is not
//! acknowledged. The processes are this program once more, told by its environment what to be.

mod support;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use scrubjay::{BatchOptions, CacheService, ErrorKind, WriteBehind, WriteBehindOptions};
use support::{DEADLINE, eventually, temporary_directory};

const ROLE: &str = "WRITE_BEHIND_CHILD";

fn options(directory: &Path) -> WriteBehindOptions {
    WriteBehindOptions::new("t").directory(directory)
}

fn behind(directory: &Path) -> WriteBehind {
    let cache = CacheService::new("memory://", "shop").expect("a cache");
    cache.write_behind(options(directory)).expect("a write-behind")
}

fn soon() -> BatchOptions {
    BatchOptions { wait: Some(DEADLINE), ..BatchOptions::default() }
}

/// A child that plays `role` in `directory`, and what it says.
fn child(role: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "the_child", "--nocapture"])
        .env(ROLE, role)
        .env("WRITE_BEHIND_DIRECTORY", directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child")
}

/// The lines of a child that begin with `word`, without that.
fn said<'a>(child: &'a mut Child, word: &'a str) -> impl Iterator<Item = String> + 'a {
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    lines.map_while(Result::ok).filter_map(move |line| line.strip_prefix(word).map(str::to_owned))
}

/// What a child does.
#[tokio::test]
async fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let directory = std::env::var("WRITE_BEHIND_DIRECTORY").expect("a directory");
    let behind = behind(directory.as_ref());
    let mut out = std::io::stdout();
    match role.as_str() {
        // Writes for ever, in order, and says what is acknowledged.
        "writer" => {
            for n in 0_u64.. {
                behind.delta(&format!("k{}", n % 7), &n).await.expect("an acknowledgement");
                writeln!(out, "acknowledged {n}").expect("somebody reads");
            }
        }
        // Has a journal that can grow to so many bytes.
        "full" => {
            behind.set("first", "fits", 60).await.expect("an acknowledgement");
            let limit = |bytes: u64| {
                let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
                // SAFETY: plain system calls with a valid struct; without the signal the write fails by EFBIG.
                unsafe {
                    libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                    assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
                }
            };
            limit(1 << 20);
            let mut acknowledged = 0;
            let error = loop {
                match behind.set(&format!("k{acknowledged}"), &"x".repeat(100_000), 60).await {
                    Ok(_) => acknowledged += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(behind.stats().journal_errors > 0 && behind.stats().journal_failed == 1);
            assert!(behind.set("more", "no", 60).await.is_err());
            limit(libc::RLIM_INFINITY);
            eventually("it works again", || async { behind.set("again", "fits", 60).await.is_ok() }).await;
            assert_eq!(behind.stats().journal_failed, 0);
            writeln!(out, "acknowledged {acknowledged}").expect("somebody reads");
            // SAFETY: nothing of this process is to be cleaned up: it dies as if it were killed.
            unsafe { libc::_exit(0) };
        }
        role => panic!("{role}"),
    }
}

#[tokio::test]
async fn what_a_killed_process_had_acknowledged_is_written_by_another_one() {
    let directory = temporary_directory();
    // Alive before the others die.
    let heir = behind(&directory);
    heir.set("own", "one", 60).await.unwrap();
    let mut children: Vec<Child> = (0..3).map(|_| child("writer", &directory)).collect();
    let mut acknowledged = Vec::new();
    for child in &mut children {
        let mut lines = said(child, "acknowledged ");
        let last: u64 = lines.nth(50).expect("50 of them").parse().expect("a number");
        drop(lines);
        acknowledged.push(last);
    }
    for child in &mut children {
        child.kill().expect("a child of ours");
        child.wait().expect("a child of ours");
    }
    // Each process counts by itself; its writes are told by its name.
    let mut seen: HashMap<u64, Vec<(Vec<u8>, u64, u64)>> = HashMap::new();
    let mut identities = HashSet::new();
    let wanted: u64 = acknowledged.iter().map(|last| last + 1).sum::<u64>() + 1;
    while (identities.len() as u64) < wanted || heir.stats().depth > 0 {
        let writes = heir.next_batch(soon()).await.unwrap();
        assert!(!writes.is_empty(), "{} of {wanted}", identities.len());
        for write in &writes {
            assert!(identities.insert((write.process, write.sequence)), "written twice");
            if &*write.key != b"own" {
                let n = String::from_utf8_lossy(&write.value.bytes).parse().expect("a number");
                seen.entry(write.process).or_default().push((write.key.to_vec(), n, write.sequence));
            }
        }
        heir.ack(&writes.iter().map(|write| write.number).collect::<Vec<_>>());
    }
    assert_eq!(seen.len(), 3);
    for writes in seen.values() {
        let mut last: HashMap<&[u8], (u64, u64)> = HashMap::new();
        for (key, n, sequence) in writes {
            let before = last.insert(key, (*n, *sequence));
            assert!(before.is_none_or(|(m, earlier)| m < *n && earlier < *sequence), "in order");
        }
        let count = writes.len() as u64;
        let mut all: Vec<u64> = writes.iter().map(|(_, n, _)| *n).collect();
        all.sort_unstable();
        assert_eq!(all, (0..count).collect::<Vec<_>>(), "none is missing");
        assert!(acknowledged.iter().any(|last| *last < count));
    }
    assert!(heir.stats().adopted >= wanted - 1);
    assert_eq!(heir.close(DEADLINE).await.unwrap().left, 0);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "no journal is left");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn a_disk_that_is_full_stops_the_acknowledgements_until_it_has_room() {
    let directory = temporary_directory();
    let mut full = child("full", &directory);
    let acknowledged: u64 = said(&mut full, "acknowledged ").next().expect("it ends").parse().expect("a number");
    assert!(full.wait().expect("a child of ours").success());
    let heir = behind(&directory);
    let mut keys = HashSet::new();
    while heir.stats().adopted == 0 || heir.stats().depth > 0 {
        for write in heir.next_batch(soon()).await.unwrap() {
            keys.insert(String::from_utf8_lossy(&write.key).into_owned());
            heir.ack(&[write.number]);
        }
    }
    let wanted = (0..acknowledged).map(|n| format!("k{n}")).chain(["first".to_owned(), "again".to_owned()]);
    for key in wanted {
        assert!(keys.contains(&key), "{key} of {acknowledged}");
    }
    heir.close(DEADLINE).await.unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn two_processes_share_a_directory_and_not_a_journal() {
    let directory = temporary_directory();
    let (first, second) = (behind(&directory), behind(&directory));
    first.set("a", "1", 60).await.unwrap();
    second.set("b", "2", 60).await.unwrap();
    let journals = || std::fs::read_dir(&directory).unwrap().count();
    assert_eq!(journals(), 2);
    assert_eq!((first.stats().adopted, second.stats().adopted), (0, 0));
    // Who leaves without an end leaves its journal to others.
    drop(first);
    let third = behind(&directory);
    eventually("it is taken over", || async { third.stats().adopted + second.stats().adopted == 1 }).await;
    assert_eq!(third.stats().depth + second.stats().depth, 2);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn what_is_no_journal_is_set_aside_and_reported() {
    let directory = temporary_directory();
    std::fs::write(directory.join("t.1-2.journal"), vec![7; 8192]).unwrap();
    std::fs::write(directory.join("t.1-3.journal"), b"").unwrap();
    // Whose process died while it made it, as `make crash` finds them.
    std::fs::write(directory.join("t.1-4.new"), vec![7; 4096]).unwrap();
    std::fs::write(directory.join("other.1-2.journal"), b"").unwrap();
    let behind = behind(&directory);
    behind.set("a", "1", 60).await.unwrap();
    assert_eq!((behind.stats().journal_errors, behind.stats().journal_failed), (1, 0));
    let names: HashSet<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.contains("t.1-4.new") && !names.contains("t.1-4.corrupt"));
    assert!(
        names.contains("t.1-2.corrupt") && names.contains("other.1-2.journal") && !names.contains("t.1-3.journal")
    );
    std::fs::remove_dir_all(&directory).unwrap();
}
