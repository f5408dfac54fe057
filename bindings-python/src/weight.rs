//! Whether a decoded value is as light as a copy has to be that is kept.
//!
//! The core charges a copy with what values weigh on the average (`Language::Python`): several times their encoded
//! length. Some weigh a multiple of that, like a list of small dicts, and a cache of such would take more memory than
//! it was given. They are told by their text, without making an object.

use scrubjay_core::Codec;
use scrubjay_core::host::Payload;

/// A copy is kept if it weighs so many times its encoded length at most, and so many bytes beside that.
const HEAVIEST: usize = 7;
const SPARE: usize = 400;

/// Whether the copy of a value may be kept.
pub(crate) fn is_light(payload: &Payload) -> bool {
    payload.codec != Codec::Json || weight(&payload.bytes) <= payload.bytes.len() * HEAVIEST + SPARE
}

/// What a decoded value weighs, as CPython allocates it; names of fields are shared. An estimate: bytes that are no
/// JSON weigh something too.
fn weight(json: &[u8]) -> usize {
    let (mut dicts, mut lists, mut fields, mut parts, mut strings, mut text, mut numbers) = (0, 0, 0, 1, 0, 0, 0);
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' => dicts += 1,
            b'[' => lists += 1,
            b':' => fields += 1,
            b',' => parts += 1,
            b'"' => {
                let from = at;
                while json.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
                strings += 1;
                text += at - from;
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let from = at;
                while matches!(json.get(at), Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
                    at += 1;
                }
                // Small integers are there anyhow.
                numbers += usize::from(at - from >= 2);
            }
            _ => {}
        }
    }
    184 * dicts
        + 40 * fields_saturating(fields, dicts)
        + 80 * lists
        + 8 * parts
        + 56 * usize::saturating_sub(strings, fields)
        + text
        + 32 * numbers
}

/// Fields beyond those for which the smallest dict has room.
fn fields_saturating(fields: usize, dicts: usize) -> usize {
    fields.saturating_sub(5 * dicts)
}
