//! The truth, at the other end of this process's pipes: see `protocol.py`.

use std::fmt::Write as _;
use std::io::Write as _;

use scrubjay::{Write, WriteKind};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};

/// A value: which one it is, and something that makes it long.
#[derive(Deserialize, Serialize)]
pub struct Value {
    pub v: u64,
    pub pad: String,
}

/// Says a line to the parent, at once and whole.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that has gone is the end.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

/// Takes one batch at a time.
#[derive(Default)]
pub struct Truth {
    turn: Mutex<()>,
    confirmed: Notify,
}

impl Truth {
    /// Writes these, and waits until the truth has them.
    pub async fn write(&self, writes: &[Write]) {
        let _turn = self.turn.lock().await;
        let mut line = "w".to_owned();
        for write in writes {
            let kind = match write.kind {
                WriteKind::Set => 's',
                WriteKind::Delta => 'd',
                WriteKind::Delete => panic!("nobody deletes"),
            };
            let key = std::str::from_utf8(&write.key).expect("a key of ours");
            let value: Value = serde_json::from_slice(&write.value.bytes).expect("a value of ours");
            write!(line, " {kind},{key},{},{},{}", value.v, write.process, write.sequence)
                .expect("a string takes it");
        }
        say(&line);
        self.confirmed.notified().await;
    }

    /// The parent has said so.
    pub fn confirmed(&self) {
        self.confirmed.notify_one();
    }
}
