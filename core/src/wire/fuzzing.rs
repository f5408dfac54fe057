//! What is tried with any bytes: see [`crate::fuzzing`].

use std::io::IoSlice;

use bytes::Bytes;

use super::outbound::Outbound;
use super::parser::{Fault, Parser};
use super::reply::Reply;

/// Values are short here, so that longer ones are tried.
pub(crate) const LIMIT: usize = 1000;
/// Replies nest no deeper than the parser lets in.
const DEPTH: usize = 6;

/// Any bytes are replies or a fault, the same ones however they come.
pub(crate) fn any_stream(bytes: &[u8]) {
    let (steps, stream) = bytes.split_at(bytes.len().min(4));
    let steps: Vec<usize> = steps.iter().map(|step| 1 + usize::from(*step)).collect();
    let (in_steps, ended) = read_in_steps(stream, &steps);
    let mut at_once = Vec::new();
    let fault = Parser::new(LIMIT).feed(stream, &mut at_once).is_err();
    // Where two things are wrong, either is told.
    assert_eq!(ended.is_err(), fault, "the same end");
    assert_eq!(in_steps, at_once, "the same replies");
}

/// What is written is read, be it replies or commands.
pub(crate) fn what_is_written(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let steps: Vec<usize> = (0..4).map(|_| 1 + usize::from(choices.next())).collect();
    let mut replies = Vec::new();
    let mut written = Vec::new();
    while !choices.0.is_empty() {
        let reply = choices.reply(DEPTH);
        write(&reply, &mut written);
        replies.push(reply);
    }
    assert_eq!(read_in_steps(&written, &steps), (replies, Ok(())));
    commands_are_lists_of_values(bytes);
}

fn commands_are_lists_of_values(bytes: &[u8]) {
    let parts: Vec<&[u8]> = bytes.chunks(1 + bytes.first().map_or(0, |first| usize::from(*first))).collect();
    let mut outbound = Outbound::default();
    outbound.command(&parts);
    outbound.begin(parts.len());
    parts.iter().for_each(|part| outbound.shared(&Bytes::copy_from_slice(part)));
    let mut sent = Vec::new();
    while !outbound.is_empty() {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = outbound.slices(&mut slices);
        let some: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        slices[..count].iter().for_each(|slice| sent.extend_from_slice(slice));
        outbound.advance(some);
    }
    let list = Reply::List(parts.iter().map(|part| Reply::Value(Bytes::copy_from_slice(part))).collect());
    assert_eq!(read_in_steps(&sent, &[7, 300]), (vec![list.clone(), list], Ok(())));
}

/// As a connection does: into the room where there is one, into a buffer where there is none.
pub(crate) fn read_in_steps(bytes: &[u8], steps: &[usize]) -> (Vec<Reply>, Result<(), Fault>) {
    let mut replies = Vec::new();
    let ended = feed_in_steps(bytes, steps, &mut replies);
    (replies, ended)
}

fn feed_in_steps(mut bytes: &[u8], steps: &[usize], out: &mut Vec<Reply>) -> Result<(), Fault> {
    let mut parser = Parser::new(LIMIT);
    let mut held = Vec::new();
    for step in steps.iter().cycle() {
        let (mut next, rest) = bytes.split_at((*step).min(bytes.len()));
        bytes = rest;
        if next.is_empty() {
            break;
        }
        if let Some(room) = parser.room() {
            assert!(held.is_empty(), "bytes of a value are held back");
            assert!(room.len() <= LIMIT, "room for more than is let in");
            let direct = room.len().min(next.len());
            room[..direct].copy_from_slice(&next[..direct]);
            parser.filled(direct)?;
            next = &next[direct..];
        }
        held.extend_from_slice(next);
        let taken = parser.feed(&held, out)?;
        held.drain(..taken);
    }
    Ok(())
}

/// A reply as a server writes it.
pub(crate) fn write(reply: &Reply, to: &mut Vec<u8>) {
    let head = |kind: u8, number: usize, to: &mut Vec<u8>| {
        to.push(kind);
        to.extend_from_slice(number.to_string().as_bytes());
        to.extend_from_slice(b"\r\n");
    };
    match reply {
        Reply::Nothing => to.extend_from_slice(b"_\r\n"),
        Reply::Okay => to.extend_from_slice(b"+OK\r\n"),
        Reply::Number(number) => to.extend_from_slice(format!(":{number}\r\n").as_bytes()),
        Reply::Status(text) => to.extend_from_slice(&[b"+", &text[..], b"\r\n"].concat()),
        Reply::Error(text) => to.extend_from_slice(&[b"-", &text[..], b"\r\n"].concat()),
        Reply::TooMuch => unreachable!("no list here is that long"),
        Reply::TooLarge => {
            head(b'$', LIMIT + 5, to);
            to.resize(to.len() + LIMIT + 5, b'\n');
            to.extend_from_slice(b"\r\n");
        }
        Reply::Value(value) => {
            head(b'$', value.len(), to);
            to.extend_from_slice(value);
            to.extend_from_slice(b"\r\n");
        }
        Reply::List(items) | Reply::Push(items) | Reply::Map(items) => {
            let (kind, count) = match reply {
                Reply::Map(_) => (b'%', items.len() / 2),
                Reply::Push(_) => (b'>', items.len()),
                _ => (b'*', items.len()),
            };
            head(kind, count, to);
            items.iter().for_each(|item| write(item, to));
        }
    }
}

/// Bytes that say what to make.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self) -> Vec<u8> {
        let (some, rest) = self.0.split_at(usize::from(self.0.first().copied().unwrap_or(0)).min(self.0.len()));
        self.0 = rest;
        some.to_vec()
    }

    /// Text of one line.
    fn text(&mut self) -> Box<[u8]> {
        // "OK" is another reply.
        let mut text = b"text ".to_vec();
        text.extend(self.bytes().into_iter().filter(|byte| !b"\r\n".contains(byte)));
        text.into()
    }

    fn reply(&mut self, depth: usize) -> Reply {
        match self.0.first().map_or(0, |kind| kind % 11) {
            _ if depth == 0 => {
                self.next();
                Reply::Nothing
            }
            kind @ 8..11 => {
                let count = usize::from(self.next() / 11 % 6);
                let mut items = |some: usize| (0..some).map(|_| self.reply(depth - 1)).collect();
                match kind {
                    8 => Reply::List(items(count)),
                    9 => Reply::Push(items(count)),
                    _ => Reply::Map(items(2 * count)),
                }
            }
            kind => {
                self.next();
                match kind {
                    0 => Reply::Nothing,
                    1 => Reply::Okay,
                    2 => Reply::TooLarge,
                    3 => Reply::Status(self.text()),
                    4 => Reply::Error(self.text()),
                    5 => Reply::Number(i64::from_le_bytes(std::array::from_fn(|_| self.next()))),
                    _ => Reply::Value(self.bytes().into()),
                }
            }
        }
    }
}
