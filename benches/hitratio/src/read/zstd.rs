//! All frames of a zstd stream, one after the other.

use std::io::{self, BufRead, Chain, Cursor, Read};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Decompresses frame after frame, and passes over skippable ones.
pub struct Frames<R: BufRead> {
    state: State<R>,
    window: u64,
}

/// A frame's magic number, which was read already, and the rest.
type Source<R> = Chain<Cursor<[u8; 4]>, R>;

enum State<R: BufRead> {
    Between(R),
    Within(Box<StreamingDecoder<Source<R>, FrameDecoder>>),
    /// After the end or a failure.
    Over,
}

impl<R: BufRead> Frames<R> {
    /// Whether a stream that begins with `magic` is one of zstd.
    pub fn begin_with(magic: &[u8]) -> bool {
        magic.starts_with(&FRAME)
    }

    /// The frames of `source`, whose windows are at most `window` bytes.
    pub fn new(source: R, window: u64) -> Self {
        Frames { state: State::Between(source), window }
    }

    fn next(&self, mut source: R) -> io::Result<State<R>> {
        if source.fill_buf()?.is_empty() {
            return Ok(State::Over);
        }
        let mut magic = [0; 4];
        source.read_exact(&mut magic)?;
        if magic[0] & 0xf0 == 0x50 && magic[1..] == [0x2a, 0x4d, 0x18] {
            let mut length = [0; 4];
            source.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            io::copy(&mut source.by_ref().take(length), &mut io::sink())?;
            return Ok(State::Between(source));
        }
        let source = Cursor::new(magic).chain(source);
        let decoder = StreamingDecoder::new_with_max_window_size(source, self.window).map_err(io::Error::other)?;
        Ok(State::Within(Box::new(decoder)))
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Ok(0),
                State::Between(source) => self.state = self.next(source)?,
                State::Within(mut decoder) => match decoder.read(into)? {
                    0 if !into.is_empty() => self.state = State::Between(decoder.into_inner().into_inner().1),
                    read => {
                        self.state = State::Within(decoder);
                        return Ok(read);
                    }
                },
            }
        }
    }
}
