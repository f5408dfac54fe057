//! What can be chosen of a write-behind: one list, its limits, its JSON form.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckLevel {
    /// It is in a file of this process, and that has been synced to the disk.
    #[default]
    Journal,
    /// It is in a stream of the cache's Redis, which all processes share.
    Redis,
    /// It is in the memory of this process, and goes with it.
    Memory,
}

/// What becomes of a write when too much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFull {
    /// It waits, `block_for` at most, then it is `Overloaded`.
    #[default]
    Block,
    /// Its caller is to write it to the source by itself, when its turn has come: after the earlier writes of its key.
    WriteThrough,
    /// It is `Overloaded`.
    Reject,
}

/// How a write-behind works. Made by [`WriteBehindOptions::new`], or from JSON with the names of these fields, durations
/// in seconds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WriteBehindOptions {
    /// Its name, 1 to 64 of `[A-Za-z0-9_.-]`: processes with the same name and directory, or the same name, prefix and
    /// Redis, work together.
    pub name: String,
    /// When a write is acknowledged: `"journal"` (default), `"redis"` or `"memory"`.
    pub ack: AckLevel,
    /// The directory of the journals; it is made if it is not there. On a local disk. Required by `journal`.
    pub directory: Option<PathBuf>,
    /// How many bytes may wait in this process (with `redis`: in all streams together), overhead counted; 4 KiB to 64 GiB,
    /// 64 MiB if it is not given.
    pub max_bytes: u64,
    /// How old the oldest write may be, 1 ms to 365 days; no bound if it is not given.
    pub max_age: Option<Duration>,
    /// What becomes of a write beyond these bounds: `"block"` (default), `"write_through"` or `"reject"`.
    pub on_full: OnFull,
    /// How long a write waits at most, 0 to 1 h; 5 s if it is not given.
    pub block_for: Duration,
    /// After so many failures of a write alone it is a dead letter; 0 for never, up to 1,000,000. Default 20.
    pub max_attempts: u32,
    /// The pause after the first failure, 1 ms to 1 h; each further one is twice as long, half of it by chance. Default 100 ms.
    pub retry_base: Duration,
    /// The longest pause, 1 ms to 24 h. Default 30 s.
    pub retry_max: Duration,
    /// A write that was handed out and not answered for is due again after so long, 100 ms to 24 h: longer than the slowest
    /// writer. Default 60 s.
    pub visibility: Duration,
    /// With `redis`: over so many partitions keys are spread, 1 to 256. The first process decides. Default 16.
    pub partitions: u32,
}

impl WriteBehindOptions {
    /// The defaults, under a name.
    pub fn new(name: impl Into<String>) -> Self {
        WriteBehindOptions {
            name: name.into(),
            ack: AckLevel::Journal,
            directory: None,
            max_bytes: 64 << 20,
            max_age: None,
            on_full: OnFull::Block,
            block_for: Duration::from_secs(5),
            max_attempts: 20,
            retry_base: Duration::from_millis(100),
            retry_max: Duration::from_secs(30),
            visibility: Duration::from_secs(60),
            partitions: 16,
        }
    }

    /// The directory of the journals.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// When a write is acknowledged.
    #[must_use]
    pub fn ack(mut self, ack: AckLevel) -> Self {
        self.ack = ack;
        self
    }

    /// How many bytes may wait.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// How old the oldest write may be.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// What becomes of a write beyond the bounds.
    #[must_use]
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// How long a write waits at most.
    #[must_use]
    pub fn block_for(mut self, block_for: Duration) -> Self {
        self.block_for = block_for;
        self
    }

    /// After how many failures a write is a dead letter; 0 for never.
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// The pause after the first failure, and the longest one.
    #[must_use]
    pub fn retry(mut self, base: Duration, max: Duration) -> Self {
        (self.retry_base, self.retry_max) = (base, max);
        self
    }

    /// When a write that was handed out is due again.
    #[must_use]
    pub fn visibility(mut self, visibility: Duration) -> Self {
        self.visibility = visibility;
        self
    }

    /// Over how many partitions keys are spread in Redis.
    #[must_use]
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Reads the JSON form. Unknown names are refused.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming the option and its limit.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let fields: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|error| wrong(format!("options must be a JSON object: {error}")))?;
        let mut options = WriteBehindOptions::new("");
        for (name, value) in &fields {
            options.apply(name, value)?;
        }
        options.check()?;
        Ok(options)
    }

    fn apply(&mut self, name: &str, value: &Value) -> Result<()> {
        match name {
            "name" => self.name = text(name, value)?,
            "ack" => {
                self.ack = match value.as_str() {
                    Some("journal") => AckLevel::Journal,
                    Some("redis") => AckLevel::Redis,
                    Some("memory") => AckLevel::Memory,
                    _ => return Err(wrong("ack must be \"journal\", \"redis\" or \"memory\"".to_owned())),
                }
            }
            "directory" if value.is_null() => self.directory = None,
            "directory" => self.directory = Some(text(name, value)?.into()),
            "max_bytes" => self.max_bytes = whole(name, value)?,
            "max_age" if value.is_null() => self.max_age = None,
            "max_age" => self.max_age = Some(seconds(name, value)?),
            "on_full" => {
                self.on_full = match value.as_str() {
                    Some("block") => OnFull::Block,
                    Some("write_through") => OnFull::WriteThrough,
                    Some("reject") => OnFull::Reject,
                    _ => {
                        return Err(wrong(
                            "on_full must be \"block\", \"write_through\" or \"reject\"".to_owned(),
                        ));
                    }
                }
            }
            "block_for" => self.block_for = seconds(name, value)?,
            "max_attempts" => self.max_attempts = whole(name, value)?.try_into().unwrap_or(u32::MAX),
            "retry_base" => self.retry_base = seconds(name, value)?,
            "retry_max" => self.retry_max = seconds(name, value)?,
            "visibility" => self.visibility = seconds(name, value)?,
            "partitions" => self.partitions = whole(name, value)?.try_into().unwrap_or(u32::MAX),
            _ => {
                let name: String = name.chars().take(64).collect();
                return Err(wrong(format!("{name:?} is not an option of write_behind")));
            }
        }
        Ok(())
    }

    /// Checks every limit.
    pub(super) fn check(&self) -> Result<()> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !(1..=64).contains(&self.name.len()) || !self.name.chars().all(allowed) {
            return Err(wrong("name must be 1 to 64 bytes of [A-Za-z0-9_.-]".to_owned()));
        }
        if self.ack == AckLevel::Journal && self.directory.as_ref().is_none_or(|path| path.as_os_str().is_empty())
        {
            let message = "directory is required by ack = \"journal\": a folder on a local disk for its files";
            return Err(wrong(message.to_owned()));
        }
        const MS: Duration = Duration::from_millis(1);
        const DAY: Duration = Duration::from_secs(86_400);
        range("max_bytes", self.max_bytes, 4 << 10, 64 << 30)?;
        if let Some(age) = self.max_age {
            duration("max_age", age, MS, DAY * 365)?;
        }
        duration("block_for", self.block_for, Duration::ZERO, DAY / 24)?;
        range("max_attempts", self.max_attempts.into(), 0, 1_000_000)?;
        duration("retry_base", self.retry_base, MS, DAY / 24)?;
        duration("retry_max", self.retry_max, MS, DAY)?;
        duration("visibility", self.visibility, MS * 100, DAY)?;
        range("partitions", self.partitions.into(), 1, 256)
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidOption, "write_behind", message)
}

fn text(name: &str, value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(format!("{name} must be a string")))
}

fn whole(name: &str, value: &Value) -> Result<u64> {
    let number = value.as_u64().or_else(|| {
        // JavaScript and Lua write whole numbers as floats.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked in the filter")]
        value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=9.0e15).contains(n)).map(|n| n as u64)
    });
    number.ok_or_else(|| wrong(format!("{name} must be a whole number of 0 or more")))
}

fn seconds(name: &str, value: &Value) -> Result<Duration> {
    let seconds = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| wrong(format!("{name} must be a number of seconds of 0 or more")))
}

fn range(name: &str, value: u64, min: u64, max: u64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(wrong(format!("{name} must be {min} to {max}, is {value}")))
}

fn duration(name: &str, value: Duration, min: Duration, max: Duration) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let (min, max, value) = (min.as_secs_f64(), max.as_secs_f64(), value.as_secs_f64());
    Err(wrong(format!("{name} must be {min} to {max} seconds, is {value}")))
}
