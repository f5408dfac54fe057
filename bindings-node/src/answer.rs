//! What the core answers, as JavaScript sees it.
//!
//! The answers that matter for speed are bare values: a string is a hit in JSON, a `Buffer` a hit in bytes, `undefined` a
//! miss, `null` says that the token will be completed. Everything else is an array with a status first.

use scrubjay_core::Codec;
use scrubjay_core::host::{Answer, Copy, Lease, Payload, Receipt, Step};

use crate::exchange::Exchange;
use crate::failure::{failure, failure_in};
use crate::js::{Js, Value};
use crate::writes;

/// `[LEAD, lease]`
pub const LEAD: i32 = 1;
/// `[REFRESH, value, lease]`: a value to be used, which its reader is to refresh.
pub const REFRESH: i32 = 2;
/// `[BYPASS]`
pub const BYPASS: i32 = 3;
/// `[WAITING]`
pub const WAITING: i32 = 4;
/// `[DONE, pending, token]`
pub const DONE: i32 = 5;
/// `[MANY, answers, grants]`
pub const MANY: i32 = 6;
/// `[FAILED, number, name, operation, message, retryable, error_ref]`
pub const FAILED: i32 = 7;
/// `[EXACT, text]`: JSON with whole numbers that `JSON.parse` would round.
pub const EXACT: i32 = 8;
/// `[UNDECODABLE]`: a value that does not fit into this runtime.
pub const UNDECODABLE: i32 = 9;
/// `[WRITES, writes]`: see `writes`.
pub const WRITES: i32 = 10;
/// `[COUNT, count]`
pub const COUNT: i32 = 11;
/// `[DRAINED, [written, left, dead]]`
pub const DRAINED: i32 = 12;

/// The statuses by the names under which they are exported.
pub const STATUSES: &[(&str, i32)] = &[
    ("LEAD", LEAD),
    ("REFRESH", REFRESH),
    ("BYPASS", BYPASS),
    ("WAITING", WAITING),
    ("DONE", DONE),
    ("MANY", MANY),
    ("FAILED", FAILED),
    ("EXACT", EXACT),
    ("UNDECODABLE", UNDECODABLE),
    ("WRITES", WRITES),
    ("COUNT", COUNT),
    ("DRAINED", DRAINED),
];

/// The answer of a call of the seam. What the core checks in several operations it calls by one of them: the error gets the
/// name of ours.
pub fn step(js: Js, operation: &str, step: scrubjay_core::Result<Step>) -> Value {
    match step {
        Ok(Step::Ready(ready)) => answer(js, ready),
        Ok(Step::Pending) => js.null(),
        Err(error) => failure_in(js, operation, &error),
    }
}

/// The same for a read: what may be kept of its answer is left in the exchange.
pub fn read(js: Js, exchange: &Exchange, operation: &str, step: scrubjay_core::Result<Step>) -> Value {
    exchange.grant(match &step {
        Ok(Step::Ready(Answer::Hit { copy, .. })) => *copy,
        _ => None,
    });
    self::step(js, operation, step)
}

/// One answer.
pub fn answer(js: Js, answer: Answer) -> Value {
    match answer {
        Answer::Hit { value, lease, .. } | Answer::Stale { value, lease } => hit(js, value, lease),
        Answer::Miss => js.undefined(),
        Answer::Lead(lease) => js.array(&[js.int(LEAD), lease_number(js, lease)]),
        Answer::Bypass => js.array(&[js.int(BYPASS)]),
        Answer::Waiting => js.array(&[js.int(WAITING)]),
        Answer::Done(receipt) => done(js, receipt),
        Answer::Many(answers) => {
            let grants = grants(js, &answers);
            let answers: Vec<Value> = answers.into_iter().map(|item| self::answer(js, item)).collect();
            js.array(&[js.int(MANY), js.array(&answers), grants])
        }
        Answer::Writes(writes) => js.array(&[js.int(WRITES), writes::list(js, writes)]),
        Answer::Count(count) => js.array(&[js.int(COUNT), writes::number(js, count)]),
        Answer::Drained(report) => js.array(&[js.int(DRAINED), writes::report(js, report)]),
        Answer::Failed(error) => failure(js, &error),
    }
}

/// The bytes of JSON in an answer.
pub fn size_of_text(answer: &Answer) -> usize {
    match answer {
        Answer::Hit { value, .. } | Answer::Stale { value, .. } if value.codec != Codec::Raw => value.bytes.len(),
        Answer::Many(answers) => answers.iter().map(size_of_text).sum(),
        _ => 0,
    }
}

/// Which of many answers may be kept: index, slot, generation and end of each, as words in an `ArrayBuffer`; undefined for
/// none.
fn grants(js: Js, answers: &[Answer]) -> Value {
    let mut words = Vec::new();
    for (index, answer) in (0_u32..).zip(answers) {
        if let Answer::Hit { copy: Some(Copy { at, until }), .. } = answer {
            words.extend([index, at.slot, at.generation, *until]);
        }
    }
    if words.is_empty() { js.undefined() } else { js.words(&words) }
}

fn hit(js: Js, value: Payload, lease: Option<Lease>) -> Value {
    let value = payload(js, value);
    match lease {
        None => value,
        Some(lease) => js.array(&[js.int(REFRESH), value, lease_number(js, lease)]),
    }
}

/// A stored value: a string, a `Buffer`, or an array with a status.
pub fn payload(js: Js, value: Payload) -> Value {
    let made = match value.codec {
        Codec::Raw => js.buffer(value.bytes),
        _ if has_long_integer(&value.bytes) => js.json(value.bytes).map(|text| js.array(&[js.int(EXACT), text])),
        _ => js.json(value.bytes),
    };
    made.unwrap_or_else(|| js.array(&[js.int(UNDECODABLE)]))
}

#[expect(clippy::cast_precision_loss, reason = "lease numbers are below 2^53")]
fn lease_number(js: Js, lease: Lease) -> Value {
    js.number(lease.into_id() as f64)
}

fn done(js: Js, receipt: Receipt) -> Value {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut token = [0; 32];
    for (pair, byte) in token.chunks_exact_mut(2).zip(receipt.token.0) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    let token = js.text(&token).unwrap_or(crate::js::UNDEFINED);
    js.array(&[js.int(DONE), js.boolean(receipt.pending), token])
}

/// Whether JSON text has a whole number of 16 digits or more: a number of JavaScript may not hold it.
fn has_long_integer(text: &[u8]) -> bool {
    // Sixteen digits in a row fill at least one aligned word of eight: most texts are done after this look.
    let words = text.chunks_exact(8);
    words.into_iter().any(all_digits) && find_long_integer(text)
}

fn all_digits(word: &[u8]) -> bool {
    word.iter().fold(true, |all, byte| all & byte.is_ascii_digit())
}

/// The exact look: digits inside strings, and those of fractions and exponents, do not count.
fn find_long_integer(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => {
                while let Some(byte) = text.get(at) {
                    at += 1;
                    match byte {
                        b'"' => break,
                        b'\\' => at += 1,
                        _ => {}
                    }
                }
            }
            b'0'..=b'9' => {
                let start = at - 1;
                let mut whole = true;
                while let Some(byte @ (b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) = text.get(at) {
                    whole &= byte.is_ascii_digit();
                    at += 1;
                }
                if whole && at - start >= 16 {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}
