//! A look at the bytes of replies before they reach the parser: no server makes this process reserve room for more
//! than an entry can have.
//!
//! A bulk string beyond the bound is taken off the stream as it comes, and stands in the reply as an error with
//! the code [`OVERSIZED`]: one planted value costs its own key a hit, and no other operation its connection. What
//! no RESP2 server sends ends the connection.

use std::io::{Error, ErrorKind, Result as IoResult};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::trouble::OVERSIZED;

/// More elements than any reply to our commands has.
const MAX_ELEMENTS: usize = 1 << 20;
/// More than any status line or error has.
const MAX_LINE: usize = 64 << 10;
/// The longest line that begins a bulk string or an array, without its end.
const MAX_HEAD: usize = 24;
const CHUNK: usize = 16 << 10;

/// How many bytes have come from the server so far.
pub(super) type Traffic = Arc<AtomicU64>;

/// A stream whose replies are looked at.
pub(super) struct ReplyGuard<S> {
    stream: S,
    traffic: Traffic,
    /// The longest bulk string to let pass.
    limit: usize,
    state: State,
    /// What was read; from `at` to `end` it is not yet looked at.
    raw: Box<[u8]>,
    at: usize,
    end: usize,
    /// What is ready for the parser, before anything else.
    ready: Vec<u8>,
    given: usize,
    /// What no RESP2 server sends has come.
    fault: Option<Fault>,
}

type Fault = &'static str;

enum State {
    /// At the first byte of a line.
    Start,
    /// In the head of a bulk string or array, held back until it is whole.
    Head(Vec<u8>),
    /// In another line, this many bytes long so far.
    Line(usize),
    /// In a bulk string: this much of it, its end included, is to come.
    Body(usize),
    /// The same, of a bulk string that is not let pass.
    Skip(usize),
}

impl<S> ReplyGuard<S> {
    /// Guards `stream`; bulk strings of more than `limit` bytes do not pass.
    pub fn new(stream: S, limit: usize, traffic: Traffic) -> Self {
        ReplyGuard {
            stream,
            traffic,
            limit,
            state: State::Start,
            raw: vec![0; CHUNK].into_boxed_slice(),
            at: 0,
            end: 0,
            ready: Vec::new(),
            given: 0,
            fault: None,
        }
    }

    /// Moves as much as fits from what was read to `out`.
    fn advance(&mut self, out: &mut ReadBuf<'_>) -> Result<(), Fault> {
        while out.remaining() > 0 {
            if self.given < self.ready.len() {
                let some = (self.ready.len() - self.given).min(out.remaining());
                out.put_slice(&self.ready[self.given..self.given + some]);
                self.given += some;
                continue;
            }
            self.ready.clear();
            self.given = 0;
            let rest = &self.raw[self.at..self.end];
            let Some(&byte) = rest.first() else { return Ok(()) };
            match &mut self.state {
                State::Start => match byte {
                    b'$' | b'*' => self.state = State::Head(Vec::with_capacity(MAX_HEAD)),
                    b'+' | b'-' | b':' => self.state = State::Line(0),
                    _ => return Err("a reply of an unknown kind"),
                },
                State::Head(head) => {
                    self.at += 1;
                    head.push(byte);
                    if byte == b'\n' {
                        let head = std::mem::take(head);
                        self.begin(head)?;
                    } else if head.len() > MAX_HEAD {
                        return Err("a length that is none");
                    }
                }
                State::Line(length) => {
                    let end = rest.iter().position(|&byte| byte == b'\n').map(|end| end + 1);
                    let some = end.unwrap_or(rest.len()).min(out.remaining());
                    out.put_slice(&rest[..some]);
                    self.at += some;
                    *length += some;
                    if *length > MAX_LINE {
                        return Err("a line without end");
                    }
                    if end == Some(some) {
                        self.state = State::Start;
                    }
                }
                State::Body(left) => {
                    let some = rest.len().min(*left).min(out.remaining());
                    out.put_slice(&rest[..some]);
                    self.at += some;
                    *left -= some;
                    if *left == 0 {
                        self.state = State::Start;
                    }
                }
                State::Skip(left) => {
                    let some = rest.len().min(*left);
                    self.at += some;
                    *left -= some;
                    if *left == 0 {
                        self.state = State::Start;
                    }
                }
            }
        }
        Ok(())
    }

    /// The head of a bulk string or array is whole.
    fn begin(&mut self, head: Vec<u8>) -> Result<(), Fault> {
        let none = || "a length that is none";
        let digits = head.strip_suffix(b"\r\n").ok_or_else(none)?;
        let length: i64 = std::str::from_utf8(&digits[1..]).ok().and_then(|n| n.parse().ok()).ok_or_else(none)?;
        // -1 is "nothing".
        let length = match usize::try_from(length) {
            Ok(length) => Some(length),
            Err(_) if length == -1 => None,
            Err(_) => return Err(none()),
        };
        self.state = State::Start;
        match (head[0], length) {
            (b'*', Some(elements)) if elements > MAX_ELEMENTS => return Err("an array without end"),
            (b'$', Some(bytes)) if bytes > self.limit => {
                self.state = State::Skip(bytes.checked_add(2).ok_or_else(none)?);
                self.ready = format!("-{OVERSIZED}\r\n").into_bytes();
                return Ok(());
            }
            (b'$', Some(bytes)) => self.state = State::Body(bytes + 2),
            _ => {}
        }
        self.ready = head;
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReplyGuard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<IoResult<()>> {
        let me = self.get_mut();
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        loop {
            if me.fault.is_none() {
                me.fault = me.advance(out).err();
            }
            // What was good before the fault goes out first.
            if out.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            if let Some(fault) = me.fault {
                return Poll::Ready(Err(Error::new(ErrorKind::InvalidData, fault)));
            }
            // Everything that was read has been looked at.
            (me.at, me.end) = (0, 0);
            let mut chunk = ReadBuf::new(&mut me.raw);
            ready!(Pin::new(&mut me.stream).poll_read(cx, &mut chunk))?;
            let count = chunk.filled().len();
            me.end = count;
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            me.traffic.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReplyGuard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<IoResult<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
