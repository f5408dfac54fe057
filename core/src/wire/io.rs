//! The I/O of a connection, by whoever may do it just now: never a wait, never a call of those that wait.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::sync::atomic::{AtomicU64, Ordering};

use super::outbound::Outbound;
use super::parser::{MAX_LINE, Parser};
use super::pipe::{Due, Failure, Pipe};
use super::reply::Reply;
use super::transport::Transport;

/// So much is read at once, beside what goes straight into a value.
const BUFFER: usize = 64 << 10;
const _: () = assert!(BUFFER > 2 * MAX_LINE, "a line that has not come whole leaves room for more");
/// Reads in a row, before others of the same thread have their turn.
const READS: usize = 8;
/// So much goes straight into a value at once, on a thread that has other things to do: some tens of microseconds.
const SHORT: usize = 256 << 10;
/// Pieces of one write.
const PIECES: usize = 64;

/// A socket, and what is on its way in and out.
pub(super) struct Io {
    transport: Transport,
    parser: Parser,
    buffer: Box<[u8]>,
    /// So much of the buffer is the beginning of a line.
    held: usize,
    sending: Outbound,
    replies: Vec<Reply>,
}

impl Io {
    /// Over a socket; values have at most `limit` bytes.
    pub fn new(transport: Transport, limit: usize) -> Self {
        Io {
            transport,
            parser: Parser::new(limit),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            held: 0,
            sending: Outbound::default(),
            replies: Vec::new(),
        }
    }

    /// Sends what is queued. Returns whether all of it has left.
    pub fn send(&mut self, pipe: &Pipe) -> Result<bool, Failure> {
        let mut taken = false;
        loop {
            // Not before the rest has left: the pipe knows how much waits there, and takes no more than it should. And
            // once only: callers that never stop must not keep us from reading.
            if self.sending.is_empty() && !std::mem::replace(&mut taken, true) {
                pipe.take_outbound(&mut self.sending);
            }
            if self.sending.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = self.sending.slices(&mut slices);
            match self.transport.write(&slices[..count]) {
                Ok(0) => return Err(lost(&ErrorKind::WriteZero.into())),
                Ok(sent) => self.sending.advance(sent),
                Err(error) => return waits(&error).map(|()| false),
            }
        }
        match self.transport.flush() {
            Ok(()) => Ok(true),
            Err(error) => waits(&error).map(|()| false),
        }
    }

    pub fn is_sending(&self) -> bool {
        !self.sending.is_empty() || self.transport.wants_write()
    }

    /// Receives what has come, one `short` piece of it or more. Returns whether there is more.
    pub fn receive(
        &mut self,
        pipe: &Pipe,
        received: &AtomicU64,
        short: bool,
        due: &mut Due,
    ) -> Result<bool, Failure> {
        let Io { transport, parser, buffer, held, replies, .. } = self;
        let (reads, most) = if short { (1, SHORT) } else { (READS, usize::MAX) };
        for _ in 0..reads {
            let mut slices = [IoSliceMut::new(&mut []), IoSliceMut::new(&mut buffer[*held..])];
            let mut room = 0;
            let mut pieces = 1..2;
            if let Some(rest) = parser.room() {
                room = rest.len().min(most);
                // What comes behind a piece of a value is more of that value.
                pieces = 0..if room < rest.len() { 1 } else { 2 };
                slices[0] = IoSliceMut::new(&mut rest[..room]);
            }
            let all = slices[pieces.clone()].iter().map(|piece| piece.len()).sum();
            let count = match transport.read(&mut slices[pieces]) {
                Ok(0) => return Err(Failure::Ended("it was closed".into())),
                Ok(count) => count,
                Err(error) => return waits(&error).map(|()| false),
            };
            received.fetch_add(count as u64, Ordering::Relaxed);
            let direct = count.min(room);
            parser.filled(direct).map_err(Failure::Fault)?;
            let end = *held + (count - direct);
            let taken = parser.feed(&buffer[..end], replies).map_err(Failure::Fault)?;
            buffer.copy_within(taken..end, 0);
            *held = end - taken;
            pipe.deliver(replies, due).map_err(Failure::Fault)?;
            if count < all && transport.short_read_is_last() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether an error only means that there is nothing to do just now.
fn waits(error: &io::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(()),
        _ => Err(lost(error)),
    }
}

fn lost(error: &io::Error) -> Failure {
    // The kind alone: what else an error says may be a path or a name.
    Failure::Ended(error.kind().to_string().into())
}
