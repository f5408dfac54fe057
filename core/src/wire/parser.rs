//! Bytes to replies, as they come: RESP2 and RESP3.
//!
//! A value that has not come whole is read straight into the memory that is handed on ([`Parser::room`]); one that has
//! is copied once, out of the buffer of the socket. No length that a server names reserves room beyond the limits here.

use bytes::Bytes;

use super::reply::{MAX_BYTES, Reply};

/// More elements than any reply to our commands has.
const MAX_ELEMENTS: usize = 1 << 20;
/// Deeper than any reply to our commands.
const MAX_DEPTH: usize = 16;
/// More than any status line or error has.
pub(super) const MAX_LINE: usize = 16 << 10;
/// The longest line with a number in it, without its end.
const MAX_NUMBER: usize = 24;
/// So many elements an array has room for at first; more as they come.
const FIRST_ROOM: usize = 1024;

/// What no server sends that speaks the protocol: its connection is of no more use.
pub(crate) type Fault = &'static str;

/// Where in the stream of replies it is.
pub(crate) struct Parser {
    /// The longest value that is let in.
    limit: usize,
    state: State,
    /// Lists that are not complete, the innermost last.
    open: Vec<Open>,
    /// The bytes of the values in these.
    held: usize,
}

enum State {
    /// At the first byte of a line.
    Line,
    /// In a value, with so much of it there.
    Body { value: Vec<u8>, filled: usize, kind: Kind },
    /// In a value that is not let in; so much of it, with its end, is to come.
    Skip { left: usize, reply: Reply },
    /// Before the last so many bytes of the end of a value.
    End { reply: Reply, left: usize },
}

#[derive(Clone, Copy)]
enum Kind {
    Value,
    Error,
    /// Three letters and a colon stand before it.
    Verbatim,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    List,
    Map,
    Push,
    /// What is said beside the reply that follows: it is dropped.
    Attribute,
}

struct Open {
    shape: Shape,
    left: usize,
    items: Vec<Reply>,
}

impl Parser {
    /// A parser that passes over values of more than `limit` bytes, and over what makes a list too long.
    pub fn new(limit: usize) -> Self {
        Parser { limit, state: State::Line, open: Vec::new(), held: 0 }
    }

    /// Takes what it can from `input` and adds the replies that are complete. Returns how much it took: what is left
    /// is the beginning of a line, to be shown again with more behind it.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<Reply>) -> Result<usize, Fault> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match &mut self.state {
                State::Line => {
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        return if rest.len() > MAX_LINE { Err("a line without end") } else { Ok(at) };
                    };
                    let line = rest[..end].strip_suffix(b"\r").ok_or("a line that does not end as lines do")?;
                    at += end + 1;
                    at += self.line(line, &input[at..], out)?;
                }
                State::Body { value, filled, .. } => {
                    let some = rest.len().min(value.len() - *filled);
                    value[*filled..*filled + some].copy_from_slice(&rest[..some]);
                    at += some;
                    if some == 0 || !self.grown(some)? {
                        return Ok(at);
                    }
                }
                State::Skip { left, .. } => {
                    let some = rest.len().min(*left);
                    at += some;
                    *left -= some;
                    if *left > 0 {
                        return Ok(at);
                    }
                    if let State::Skip { reply, .. } = std::mem::replace(&mut self.state, State::Line) {
                        self.complete(reply, out);
                    }
                }
                State::End { left, .. } => {
                    let Some(byte) = rest.first() else { return Ok(at) };
                    let expected = if *left == 2 { b'\r' } else { b'\n' };
                    if *byte != expected {
                        return Err("a value of another length than it says");
                    }
                    at += 1;
                    *left -= 1;
                    if *left == 0
                        && let State::End { reply, .. } = std::mem::replace(&mut self.state, State::Line)
                    {
                        self.complete(reply, out);
                    }
                }
            }
        }
    }

    /// Where the next bytes belong, if it is known: in a value that has not come whole. Tell [`Parser::filled`] how
    /// many were put there.
    pub fn room(&mut self) -> Option<&mut [u8]> {
        match &mut self.state {
            State::Body { value, filled, .. } => Some(&mut value[*filled..]),
            _ => None,
        }
    }

    /// So many bytes were put into the room.
    pub fn filled(&mut self, count: usize) -> Result<(), Fault> {
        self.grown(count).map(drop)
    }

    /// Whether the value is whole now.
    fn grown(&mut self, count: usize) -> Result<bool, Fault> {
        let State::Body { value, filled, kind } = &mut self.state else { return Ok(false) };
        *filled += count;
        if *filled < value.len() {
            return Ok(false);
        }
        let reply = whole(*kind, Bytes::from(std::mem::take(value)))?;
        self.state = State::End { reply, left: 2 };
        Ok(true)
    }

    /// A line has come, and `rest` behind it. Returns how much of the rest it took.
    fn line(&mut self, line: &[u8], rest: &[u8], out: &mut Vec<Reply>) -> Result<usize, Fault> {
        let (&kind, text) = line.split_first().ok_or("an empty line")?;
        let reply = match kind {
            b'+' if text == b"OK" => Reply::Okay,
            b'+' | b',' | b'(' => Reply::Status(text.into()),
            b'-' => Reply::Error(text.into()),
            b':' => Reply::Number(number(text)?),
            b'_' if text.is_empty() => Reply::Nothing,
            b'#' if text == b"t" => Reply::Number(1),
            b'#' if text == b"f" => Reply::Number(0),
            b'$' => return self.begin_value(Kind::Value, text, rest, out),
            b'!' => return self.begin_value(Kind::Error, text, rest, out),
            b'=' => return self.begin_value(Kind::Verbatim, text, rest, out),
            b'*' | b'~' => return self.begin_list(Shape::List, text, out).map(|()| 0),
            b'%' => return self.begin_list(Shape::Map, text, out).map(|()| 0),
            b'>' => return self.begin_list(Shape::Push, text, out).map(|()| 0),
            b'|' => return self.begin_list(Shape::Attribute, text, out).map(|()| 0),
            _ => return Err("a reply of an unknown kind"),
        };
        self.complete(reply, out);
        Ok(0)
    }

    fn begin_value(&mut self, kind: Kind, text: &[u8], rest: &[u8], out: &mut Vec<Reply>) -> Result<usize, Fault> {
        let Some(length) = length(text)? else {
            self.complete(Reply::Nothing, out);
            return Ok(0);
        };
        if length > self.limit {
            let left = length.checked_add(2).ok_or("a length that is none")?;
            self.state = State::Skip { left, reply: Reply::TooLarge };
            return Ok(0);
        }
        if !self.open.is_empty() {
            if self.held + length > MAX_BYTES.max(self.limit) {
                self.state = State::Skip { left: length + 2, reply: Reply::TooMuch };
                return Ok(0);
            }
            self.held += length;
        }
        if let Some(value) = rest.get(..length)
            && let Some(end) = rest.get(length..length + 2)
        {
            if end != b"\r\n" {
                return Err("a value of another length than it says");
            }
            let reply = whole(kind, Bytes::copy_from_slice(value))?;
            self.complete(reply, out);
            return Ok(length + 2);
        }
        self.state = State::Body { value: vec![0; length], filled: 0, kind };
        // A value of no bytes is whole before any came.
        self.grown(0)?;
        Ok(0)
    }

    fn begin_list(&mut self, shape: Shape, text: &[u8], out: &mut Vec<Reply>) -> Result<(), Fault> {
        let Some(count) = length(text)? else {
            self.complete(Reply::Nothing, out);
            return Ok(());
        };
        let pairs = matches!(shape, Shape::Map | Shape::Attribute);
        if count > MAX_ELEMENTS {
            return Err("a list without end");
        }
        if self.open.len() == MAX_DEPTH {
            return Err("lists in lists without end");
        }
        let left = if pairs { 2 * count } else { count };
        self.open.push(Open { shape, left, items: Vec::with_capacity(left.min(FIRST_ROOM)) });
        self.close_full(out);
        Ok(())
    }

    /// A reply is there: it is one by itself, or the next element of what is open.
    fn complete(&mut self, reply: Reply, out: &mut Vec<Reply>) {
        match self.open.last_mut() {
            None => {
                self.held = 0;
                out.push(reply);
            }
            Some(open) => {
                open.items.push(reply);
                open.left -= 1;
                self.close_full(out);
            }
        }
    }

    fn close_full(&mut self, out: &mut Vec<Reply>) {
        while let Some(Open { shape, items, .. }) = self.open.pop_if(|open| open.left == 0) {
            let reply = match shape {
                Shape::List => Reply::List(items),
                Shape::Map => Reply::Map(items),
                Shape::Push => Reply::Push(items),
                // The reply it belongs to is still to come.
                Shape::Attribute => return,
            };
            match self.open.last_mut() {
                None => {
                    self.held = 0;
                    return out.push(reply);
                }
                Some(outer) => {
                    outer.items.push(reply);
                    outer.left -= 1;
                }
            }
        }
    }
}

fn whole(kind: Kind, value: Bytes) -> Result<Reply, Fault> {
    match kind {
        Kind::Value => Ok(Reply::Value(value)),
        Kind::Error => Ok(Reply::Error(value[..].into())),
        Kind::Verbatim if value.get(3) == Some(&b':') => Ok(Reply::Value(value.slice(4..))),
        Kind::Verbatim => Err("a text without its kind"),
    }
}

/// A length; -1 is "nothing".
fn length(text: &[u8]) -> Result<Option<usize>, Fault> {
    match number(text)? {
        -1 => Ok(None),
        number => usize::try_from(number).map(Some).map_err(|_| "a length that is none"),
    }
}

fn number(text: &[u8]) -> Result<i64, Fault> {
    let wrong = "a number that is none";
    if text.len() > MAX_NUMBER {
        return Err(wrong);
    }
    // Up to 18 digits fit whatever they are.
    if !text.is_empty() && text.len() <= 18 && text.iter().all(u8::is_ascii_digit) {
        return Ok(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')));
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(wrong)
}

#[cfg(test)]
mod tests;
