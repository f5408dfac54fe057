//! Reads trace files: compressed by xz, gzip or zstd or not at all, in any of four formats.

mod format;
#[cfg(test)]
mod tests;
mod zstd;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

pub use format::Format;

use self::zstd::Frames;
use crate::trace::{Builder, TooMany, Trace};

/// What is read at most, so that no file can fill the memory.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Bytes after decompression.
    pub bytes: u64,
    /// Requests.
    pub requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 4 << 30, requests: 200_000_000 }
    }
}

/// The longest line of text that is looked at.
const LINE: usize = 1 << 10;
/// By so much from the beginning the format is told.
const HEAD: usize = 1 << 16;
/// What the tables of an xz or zstd stream may take.
const DICTIONARY_KIB: u32 = 256 << 10;

/// What was read, and how many lines were not requests.
pub struct ReadTrace {
    pub trace: Trace,
    pub format: Format,
    pub skipped: u64,
}

/// Reads the file at `path`.
///
/// # Errors
/// A text for the user, beginning with the path.
pub fn read(path: &Path, format: Option<Format>, limits: Limits) -> Result<ReadTrace, String> {
    let told = |what: String| format!("{}: {what}", path.display());
    let file = File::open(path).map_err(|error| told(error.to_string()))?;
    if file.metadata().is_ok_and(|data| data.is_dir()) {
        return Err(told("is a folder, a trace file is expected".into()));
    }
    read_from(&name_of(path), file, format, limits).map_err(told)
}

/// The file's name up to the first dot.
pub fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name.find('.') {
        Some(dot) if dot > 0 => name[..dot].to_owned(),
        _ => name,
    }
}

fn read_from(
    name: &str,
    source: impl Read + 'static,
    format: Option<Format>,
    limits: Limits,
) -> Result<ReadTrace, String> {
    let plain = decompressed(BufReader::new(source))?;
    // One byte more than the limit, to tell a file that is too long from one that just fits.
    let mut input = BufReader::with_capacity(HEAD, plain.take(limits.bytes + 1));
    let (head, input) = head_of(&mut input).map_err(|error| format!("cannot be read: {error}"))?;
    if head.is_empty() {
        return Err("is empty".into());
    }
    let format = match format {
        Some(format) => format,
        None => Format::of(&head).ok_or(
            "is in none of the known formats: int32 (big endian), or lines `key`, `time key size` or \
             `start count ignored n`",
        )?,
    };
    let mut reader = Parser { builder: Builder::new(limits.requests), limits, bytes: 0, skipped: 0 };
    let input = io::Cursor::new(head).chain(input);
    match format {
        Format::Int32 => reader.int32(input)?,
        Format::Keys | Format::Sized | Format::Blocks => reader.lines(format, input)?,
    }
    if reader.builder.len() == 0 {
        return Err(format!("holds no request in the format `{format}`"));
    }
    let trace = reader.builder.finish(name, format == Format::Sized);
    Ok(ReadTrace { trace, format, skipped: reader.skipped })
}

/// The first bytes of `input`, and the rest.
fn head_of<R: Read>(input: &mut R) -> io::Result<(Vec<u8>, &mut R)> {
    let mut head = Vec::new();
    input.take(HEAD as u64).read_to_end(&mut head)?;
    Ok((head, input))
}

/// What `input` holds once decompressed; which compression it is, its first bytes tell.
fn decompressed(mut input: impl BufRead + 'static) -> Result<Box<dyn Read>, String> {
    let magic = input.fill_buf().map_err(|error| format!("cannot be read: {error}"))?;
    if magic.starts_with(b"\xfd7zXZ\0") {
        return Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, DICTIONARY_KIB)));
    }
    if magic.starts_with(b"\x1f\x8b") {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(input)));
    }
    if Frames::<BufReader<File>>::begin_with(magic) {
        return Ok(Box::new(Frames::new(input, u64::from(DICTIONARY_KIB) << 10)));
    }
    Ok(Box::new(input))
}

struct Parser {
    builder: Builder,
    limits: Limits,
    bytes: u64,
    skipped: u64,
}

impl Parser {
    fn int32(&mut self, mut input: impl Read) -> Result<(), String> {
        let mut block = Vec::with_capacity(HEAD);
        loop {
            block.clear();
            input.by_ref().take(HEAD as u64).read_to_end(&mut block).map_err(|error| self.broken(&error))?;
            self.count(block.len())?;
            let (numbers, rest) = block.as_chunks::<4>();
            for number in numbers {
                self.push(u64::from(u32::from_be_bytes(*number)), 1)?;
            }
            if !rest.is_empty() {
                return Err(format!(
                    "has {} bytes, no multiple of 4: it is cut short or no int32 trace",
                    self.bytes
                ));
            }
            if block.is_empty() {
                return Ok(());
            }
        }
    }

    fn lines(&mut self, format: Format, input: impl Read) -> Result<(), String> {
        let mut input = BufReader::with_capacity(HEAD, input);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = input.by_ref().take(LINE as u64).read_until(b'\n', &mut line);
            let read = read.map_err(|error| self.broken(&error))?;
            if read == 0 {
                return Ok(());
            }
            self.count(read)?;
            if read == LINE && line.last() != Some(&b'\n') {
                return Err(format!("has a line of more than {LINE} bytes after {} requests", self.builder.len()));
            }
            match format.fields(&line) {
                Some(fields) => self.line(format, fields)?,
                None => self.skipped += 1,
            }
        }
    }

    fn line(&mut self, format: Format, fields: [u64; 4]) -> Result<(), String> {
        match format {
            Format::Blocks => {
                let [start, count, ..] = fields;
                self.builder.room_for(count).map_err(|limit| too_many(&limit))?;
                for block in 0..count {
                    self.push(start.wrapping_add(block), 1)?;
                }
                Ok(())
            }
            Format::Sized => {
                let [_, key, size, _] = fields;
                // An object of no bytes takes up a place all the same.
                let size = u32::try_from(size)
                    .map_err(|_| format!("has an object of {size} bytes: 4 GiB is the most"))?;
                self.push(key, size.max(1))
            }
            Format::Int32 | Format::Keys => self.push(fields[0], 1),
        }
    }

    fn push(&mut self, key: u64, size: u32) -> Result<(), String> {
        self.builder.push(key, size).map_err(|limit| too_many(&limit))
    }

    fn count(&mut self, read: usize) -> Result<(), String> {
        self.bytes += read as u64;
        if self.bytes > self.limits.bytes {
            return Err(format!("has more than {} bytes once decompressed: too many", self.limits.bytes));
        }
        Ok(())
    }

    fn broken(&self, error: &io::Error) -> String {
        format!("cannot be read on after {} requests: {error}", self.builder.len())
    }
}

fn too_many(limit: &TooMany) -> String {
    format!("has more than {} requests: too many", limit.limit)
}
