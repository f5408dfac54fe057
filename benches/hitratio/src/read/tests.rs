//! Readers, on fixtures made here.

use std::io::{Cursor, Write};

use super::*;

const PLENTY: Limits = Limits { bytes: 1 << 20, requests: 1 << 16 };

fn read_bytes(bytes: &[u8], format: Option<Format>, limits: Limits) -> Result<ReadTrace, String> {
    read_from("fixture", Cursor::new(bytes.to_vec()), format, limits)
}

fn requests(bytes: &[u8]) -> (Format, Vec<u32>, u64) {
    let read = read_bytes(bytes, None, PLENTY).expect("readable");
    (read.format, read.trace.requests, read.skipped)
}

fn error(bytes: &[u8], limits: Limits) -> String {
    read_bytes(bytes, None, limits).err().expect("an error")
}

fn int32(keys: &[u32]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.to_be_bytes()).collect()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn each_format_is_told_from_its_content() {
    assert_eq!(requests(&int32(&[7, 0x8800_0200, 7])), (Format::Int32, vec![0, 1, 0], 0));
    assert_eq!(requests(b"10\n20\n10\n"), (Format::Keys, vec![0, 1, 0], 0));
    assert_eq!(requests(b"1 5 100\n2 6 200\n3 5 999\n"), (Format::Sized, vec![0, 1, 0], 0));
    assert_eq!(requests(b"5 3 0 0\n6 1 0 1\n"), (Format::Blocks, vec![0, 1, 2, 1], 0));
}

#[test]
fn each_compression_is_told_from_its_content() {
    let plain = b"10\n20\n10\n";
    for packed in [gz(plain), xz(plain), zst(plain)] {
        assert_eq!(requests(&packed), (Format::Keys, vec![0, 1, 0], 0));
    }
    assert_eq!(requests(&xz(&int32(&[1, 2, 1]))).1, [0, 1, 0]);
}

#[test]
fn all_parts_of_a_concatenated_file_are_read() {
    for pack in [gz, xz, zst] {
        let both = [pack(b"10\n20\n"), pack(b"10\n30\n")].concat();
        assert_eq!(requests(&both).1, [0, 1, 0, 2]);
    }
    let skippable = [b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(), zst(b"30\n")].concat();
    assert_eq!(requests(&[zst(b"20\n"), skippable].concat()).1, [0, 1]);
}

#[test]
fn lines_that_are_not_numbers_are_skipped() {
    let (format, keys, skipped) = requests(b"# a trace\n\n10 \r\n*\n 20\n-3\nten\n1 2\n10");
    assert_eq!((format, keys), (Format::Keys, vec![0, 1, 2, 0]));
    assert_eq!(skipped, 5, "comment, empty line, star, word, two numbers");
}

#[test]
fn an_object_keeps_its_first_size_and_has_at_least_a_byte() {
    let trace = read_bytes(b"1 5 100\n2 6 0\n3 5 999\n", None, PLENTY).unwrap().trace;
    assert_eq!((trace.size(0), trace.size(1), trace.footprint()), (100, 1, 101));
}

#[test]
fn a_given_format_wins() {
    let read = read_bytes(b"1234", Some(Format::Int32), PLENTY).unwrap();
    assert_eq!((read.format, read.trace.requests.len()), (Format::Int32, 1));
    let what = read_bytes(b"1 2 3\n", Some(Format::Keys), PLENTY).err().unwrap();
    assert!(what.contains("no request in the format `keys`"), "{what}");
}

#[test]
fn what_is_too_much_is_refused_before_it_is_held() {
    let few = Limits { bytes: 1 << 20, requests: 3 };
    assert!(error(b"1\n2\n3\n4\n", few).contains("more than 3 requests"));
    assert!(error(b"0 18446744073709551615 0 0\n", PLENTY).contains("more than 65536 requests"));
    let short = Limits { bytes: 1_000, requests: 1 << 16 };
    let long = [b"1\n".to_vec(), vec![b'1'; 100_000]].concat();
    assert!(error(&gz(&long), PLENTY).contains("a line of more than"));
    assert!(error(&gz(&b"1\n".repeat(10_000)), short).contains("more than 1000 bytes"));
    assert!(error(&xz(&int32(&[1 << 30; 10_000])), short).contains("more than 1000 bytes"));
    assert_eq!(requests_within(&b"1\n".repeat(500), short), 500, "what just fits");
}

fn requests_within(bytes: &[u8], limits: Limits) -> usize {
    read_bytes(bytes, None, limits).expect("readable").trace.requests.len()
}

#[test]
fn damage_is_told() {
    assert_eq!(error(b"", PLENTY), "is empty");
    assert!(error(&[1, 2, 3, 4, 5], PLENTY).contains("5 bytes, no multiple of 4"));
    assert!(error(b"no number\nat all\n", PLENTY).contains("none of the known formats"));
    assert!(error(b"1 2\n3 4\n", PLENTY).contains("none of the known formats"));
    assert!(error(b"1 5 4294967296\n", PLENTY).contains("4 GiB is the most"));
    for pack in [gz, xz, zst] {
        let mut cut = pack(&b"1234567\n7654321\n42\n".repeat(400));
        cut.truncate(cut.len() / 2);
        assert!(error(&cut, PLENTY).contains("cannot be read"), "cut short");
    }
    let missing = read(Path::new("/nowhere/a.trace"), None, PLENTY).err().unwrap();
    assert!(missing.starts_with("/nowhere/a.trace: "), "{missing}");
}

#[test]
fn the_name_is_the_file_name_up_to_the_first_dot() {
    assert_eq!(name_of(Path::new("/a.b/lirs_loop.trace.gz")), "lirs_loop");
    assert_eq!(name_of(Path::new("OLTP")), "OLTP");
    assert_eq!(name_of(Path::new(".hidden")), ".hidden");
}
