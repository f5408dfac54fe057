//! Commands on their way to a server: arrays of byte strings, which every RESP version reads.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// Longer parts are sent from where they are, shorter ones are copied: a piece of its own costs more than that.
const SHARED: usize = 8 << 10;
/// A buffer that grew beyond this is not kept for what comes next.
const KEPT: usize = 256 << 10;

/// Encoded commands, in the order in which they leave.
#[derive(Default)]
pub(crate) struct Outbound {
    /// Sent before `tail`.
    pieces: VecDeque<Piece>,
    tail: Vec<u8>,
    /// So much of the first piece was sent.
    sent: usize,
    bytes: usize,
    commands: usize,
}

enum Piece {
    Copied(Vec<u8>),
    Shared(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Copied(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

impl Outbound {
    /// Adds a command.
    pub fn command(&mut self, parts: &[&[u8]]) {
        self.begin(parts.len());
        parts.iter().for_each(|part| self.part(part));
    }

    /// Begins a command of so many parts, its name among them.
    pub fn begin(&mut self, parts: usize) {
        self.commands += 1;
        self.head(b'*', parts);
    }

    /// Adds a part to the command that was begun.
    pub fn part(&mut self, part: &[u8]) {
        self.head(b'$', part.len());
        self.raw(part);
        self.raw(b"\r\n");
    }

    /// Adds a part that is not copied where it is long.
    pub fn shared(&mut self, part: &Bytes) {
        if part.len() < SHARED {
            return self.part(part);
        }
        self.head(b'$', part.len());
        self.close_tail();
        self.bytes += part.len();
        self.pieces.push_back(Piece::Shared(part.clone()));
        self.raw(b"\r\n");
    }

    /// Adds a number as a part.
    pub fn number(&mut self, number: u64) {
        let mut digits = Digits::new(number);
        self.part(digits.text());
    }

    /// How many commands were added.
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// How many bytes are left to send.
    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Moves everything to the end of `to`.
    pub fn append_to(&mut self, to: &mut Outbound) {
        if to.is_empty() {
            // The empty buffer comes back, so that nothing is allocated where traffic is steady.
            to.clear();
            std::mem::swap(self, to);
            return;
        }
        debug_assert_eq!(self.sent, 0, "nothing is sent from what still grows");
        to.close_tail();
        to.pieces.append(&mut self.pieces);
        std::mem::swap(&mut to.tail, &mut self.tail);
        to.bytes += self.bytes;
        to.commands += self.commands;
        self.clear();
    }

    /// The next bytes, in as many pieces as fit. Returns how many there are.
    pub fn slices<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let mut skip = self.sent;
        for bytes in self.pieces.iter().map(Piece::bytes).chain([&self.tail[..]]) {
            let rest = &bytes[skip.min(bytes.len())..];
            skip = 0;
            if !rest.is_empty() {
                let Some(place) = out.get_mut(count) else { break };
                *place = IoSlice::new(rest);
                count += 1;
            }
        }
        count
    }

    /// So many bytes were sent.
    pub fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.bytes, "more was sent than there is");
        self.bytes -= count;
        self.sent += count;
        while let Some(first) = self.pieces.front()
            && self.sent >= first.bytes().len()
        {
            self.sent -= first.bytes().len();
            self.pieces.pop_front();
        }
        if self.bytes == 0 {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.pieces.clear();
        self.tail.clear();
        if self.tail.capacity() > KEPT {
            self.tail = Vec::new();
        }
        (self.sent, self.bytes, self.commands) = (0, 0, 0);
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(Piece::Copied(std::mem::take(&mut self.tail)));
        }
    }

    fn head(&mut self, kind: u8, number: usize) {
        let mut digits = Digits::new(number as u64);
        self.raw(&[kind]);
        self.raw(digits.text());
        self.raw(b"\r\n");
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.tail.extend_from_slice(bytes);
    }
}

/// The decimal digits of a number.
struct Digits {
    number: u64,
    digits: [u8; 20],
}

impl Digits {
    fn new(number: u64) -> Self {
        Digits { number, digits: [0; 20] }
    }

    fn text(&mut self) -> &[u8] {
        let mut at = self.digits.len();
        loop {
            at -= 1;
            self.digits[at] = b'0' + (self.number % 10) as u8;
            self.number /= 10;
            if self.number == 0 {
                return &self.digits[at..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(outbound: &Outbound) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = outbound.slices(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn commands_are_arrays_of_byte_strings() {
        let mut outbound = Outbound::default();
        outbound.command(&[b"GET", b"a\r\nb"]);
        outbound.begin(2);
        outbound.part(b"");
        outbound.number(u64::MAX);
        let text = b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n*2\r\n$0\r\n\r\n$20\r\n18446744073709551615\r\n";
        assert_eq!(all(&outbound), text);
        assert_eq!((outbound.commands(), outbound.len()), (2, text.len()));
    }

    #[test]
    fn a_long_part_is_sent_from_where_it_is() {
        let long = Bytes::from(vec![7; SHARED]);
        let mut outbound = Outbound::default();
        outbound.begin(2);
        outbound.part(b"SET");
        outbound.shared(&long);
        let mut slices = [IoSlice::new(&[]); 16];
        assert_eq!(outbound.slices(&mut slices), 3);
        assert_eq!(slices[1].as_ptr(), long.as_ptr());
        assert_eq!(outbound.len(), slices.iter().map(|slice| slice.len()).sum::<usize>());
    }

    #[test]
    fn whatever_was_sent_the_rest_follows() {
        let long = Bytes::from(vec![7; SHARED]);
        let mut whole = Vec::new();
        let mut sending = Outbound::default();
        for n in 0..3_u64 {
            let mut more = Outbound::default();
            more.begin(3);
            more.number(n);
            more.shared(&long);
            more.shared(&Bytes::from_static(b"short"));
            whole.extend(all(&more));
            more.append_to(&mut sending);
            assert!(more.is_empty());
        }
        let mut sent = Vec::new();
        for step in (1..).map(|n| n * 37) {
            let rest = all(&sending);
            let some = step.min(rest.len());
            sent.extend_from_slice(&rest[..some]);
            sending.advance(some);
            assert_eq!(sending.len(), rest.len() - some);
            if sending.is_empty() {
                break;
            }
        }
        assert_eq!(sent, whole);
    }
}
