use proptest::prelude::*;

use super::*;

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    prefix: String,
    key: String,
    codec: u8,
    negative: bool,
    token: String,
    generation: u64,
    soft_expiry: u64,
    hard_expiry: u64,
    stored_at: u64,
    load_ms: u32,
    tags: Vec<(String, u64)>,
    payload: String,
    bytes: String,
}

#[derive(serde::Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const LIMIT: usize = 1 << 20;

#[test]
fn the_golden_bytes() {
    let file: Vectors =
        serde_json::from_str(include_str!("../../../tests/vectors/headers.json")).expect("vectors");
    for vector in file.vectors {
        let entry = Entry {
            codec: Codec::from_id(vector.codec).expect("known"),
            negative: vector.negative,
            token: hex(&vector.token).try_into().expect("16 bytes"),
            generation: vector.generation,
            soft_expiry: vector.soft_expiry,
            hard_expiry: vector.hard_expiry,
            stored_at: vector.stored_at,
            load_ms: vector.load_ms,
            clear: vector.tags.iter().find(|(tag, _)| tag.is_empty()).map(|(_, version)| *version),
            tags: vector.tags.iter().filter(|(tag, _)| !tag.is_empty()).map(tag).collect(),
            payload: hex(&vector.payload).into(),
            ..Entry::default()
        };
        let (prefix, key) = (vector.prefix.as_bytes(), vector.key.as_bytes());
        assert_eq!(to_hex(&encode(&entry, prefix, key)), vector.bytes, "{}", vector.name);
        let read = decode(hex(&vector.bytes).into(), prefix, key, LIMIT);
        assert_eq!(read, Ok(entry), "{}", vector.name);
    }
}

#[test]
fn the_example_in_the_documentation_is_the_first_vector() {
    let file: Vectors =
        serde_json::from_str(include_str!("../../../tests/vectors/headers.json")).expect("vectors");
    let document: String =
        include_str!("../../../docs/wire-format.md").chars().filter(|c| !c.is_whitespace()).collect();
    assert!(document.contains(&file.vectors[0].bytes), "docs/wire-format.md shows other bytes");
}

fn tag((tag, version): &(String, u64)) -> (Tag, u64) {
    (tag.as_bytes().into(), *version)
}

fn sample() -> Vec<u8> {
    let entry = Entry { payload: Bytes::from_static(b"{}"), tags: vec![(b"t"[..].into(), 7)], ..Entry::default() };
    encode(&entry, b"p", b"k")
}

/// Sets a byte and makes the checksum right again.
fn forged(at: usize, value: u8) -> Bytes {
    let mut bytes = sample();
    bytes[at] = value;
    let end = bytes.len() - CHECKSUM;
    let checksum = checksum(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&checksum);
    bytes.into()
}

#[test]
fn an_entry_of_another_key_or_prefix_is_no_hit() {
    assert_eq!(decode(sample().into(), b"p", b"other", LIMIT), Err(Unreadable::WrongKey));
    assert_eq!(decode(sample().into(), b"q", b"k", LIMIT), Err(Unreadable::WrongKey));
    assert_eq!(decode(sample().into(), b"", b"pk", LIMIT), Err(Unreadable::WrongKey));
}

#[test]
fn what_a_newer_release_wrote_is_left_alone() {
    for (at, value) in [(2, 2), (3, 9), (4, 8), (4, 32), (4, 1), (5, 200), (6, 1), (76, 1)] {
        assert_eq!(decode(forged(at, value), b"p", b"k", LIMIT), Err(Unreadable::Unknown), "byte {at} = {value}");
    }
}

#[test]
fn damage_and_bombs_are_found() {
    assert!(matches!(decode(forged(66, 255), b"p", b"k", LIMIT), Err(Unreadable::Corrupt(_))), "65,281 tags");
    assert!(matches!(decode(forged(88, 255), b"p", b"k", LIMIT), Err(Unreadable::Corrupt(_))), "a long tag");
    assert!(matches!(decode(sample().into(), b"p", b"k", 1), Err(Unreadable::Corrupt(_))), "too large");
    assert!(matches!(decode(Bytes::from_static(b"{\"a\":1}"), b"p", b"k", LIMIT), Err(Unreadable::Corrupt(_))));
}

/// Whether the scripts of the server may set this bit, and so the checksum leaves it out.
fn is_changed_by_scripts(bit: usize) -> bool {
    let byte = bit / 8;
    byte == 3 || bit == 4 * 8 + 4 || [8..40, 64..66, 72..76].iter().any(|range| range.contains(&byte))
}

#[test]
fn what_the_scripts_change_needs_no_new_checksum() {
    let mut bytes = sample();
    bytes[3] = State::FreshLeased as u8;
    bytes[4] |= WAITED;
    bytes[8..40].fill(7);
    bytes[64..66].fill(1);
    let entry = decode(bytes.into(), b"p", b"k", LIMIT).expect("an entry");
    assert_eq!((entry.state, entry.token, entry.holds), (State::FreshLeased, [7; 16], 0x0101));
    assert_eq!(entry.deadline, u64::from_le_bytes([7; 8]));
}

#[test]
fn a_hold_is_read_whatever_the_server_listed_behind_it() {
    let mut bytes = sample()[..HEADER].to_vec();
    bytes[3] = State::Hold as u8;
    bytes[64] = 2;
    bytes.extend_from_slice(&[7; 48]);
    let entry = decode(bytes.clone().into(), b"p", b"k", LIMIT).expect("a hold");
    assert_eq!((entry.state, entry.holds, entry.payload.len()), (State::Hold, 2, 0));
    assert_eq!(decode(bytes.into(), b"p", b"other", LIMIT), Err(Unreadable::WrongKey));
}

proptest! {
    #[test]
    fn decode_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(bytes.into(), b"p", b"k", LIMIT);
    }

    #[test]
    fn one_changed_bit_is_never_a_hit(bit in 0_usize..8 * 109) {
        let mut bytes = sample();
        prop_assume!(bit / 8 < bytes.len() && !is_changed_by_scripts(bit));
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode(bytes.into(), b"p", b"k", LIMIT).is_err());
    }

    #[test]
    fn what_was_written_is_read(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        times in any::<[u64; 4]>(),
        clear in any::<Option<u64>>(),
        tags in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..20), any::<u64>()), 0..5),
        negative in any::<bool>(),
    ) {
        let entry = Entry {
            negative,
            generation: times[0],
            soft_expiry: times[1],
            hard_expiry: times[2],
            stored_at: times[3],
            clear,
            tags: tags.into_iter().map(|(tag, version)| (tag.into(), version)).collect(),
            payload: payload.into(),
            ..Entry::default()
        };
        prop_assert_eq!(decode(encode(&entry, b"p", b"k").into(), b"p", b"k", LIMIT), Ok(entry));
    }
}
