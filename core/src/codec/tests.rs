use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn refused<T: Serialize + ?Sized>(value: &T) -> String {
    encode("set", value).expect_err("refused").message()
}

#[test]
fn what_json_cannot_say_is_refused_with_its_path() {
    #[derive(Serialize)]
    struct Row {
        list: Vec<BTreeMap<&'static str, f64>>,
    }
    let row = Row { list: vec![BTreeMap::new(), BTreeMap::from([("b", f64::NAN)])] };
    assert_eq!(refused(&row), "$.list[1].b: NaN is not a JSON number");
    assert!(refused(&f32::INFINITY).starts_with("$: inf"));
    assert_eq!(refused(&BTreeMap::from([(1, 2)])), "$: a key of a map must be text");
    assert!(refused(&vec![Raw::from(vec![1])]).starts_with("$[0]: bytes"));
}

#[test]
fn bytes_go_by_the_raw_codec_and_come_back_as_bytes_only() {
    let raw = Raw::from(vec![0, 255]);
    let (codec, bytes) = encode("set", &raw).expect("bytes");
    assert_eq!((codec, &bytes[..]), (Codec::Raw, &[0, 255][..]));
    assert_eq!(decode::<Raw>(codec, &bytes).expect("bytes"), raw);
    assert!(decode::<String>(codec, &bytes).is_err());
    assert!(decode::<Value>(codec, &bytes).is_err());
    assert!(decode::<Raw>(Codec::Json, b"\"text\"").is_err());
    assert!(decode::<Raw>(Codec::Json, b"[1,2]").is_err());
}

#[test]
fn integers_stay_exact() {
    for value in [i128::from(u64::MAX), i128::from(i64::MIN), i128::MAX] {
        let (codec, bytes) = encode("set", &value).expect("an integer");
        assert_eq!(decode::<i128>(codec, &bytes).expect("an integer"), value);
    }
}

#[test]
fn json_is_checked_to_the_last_byte() {
    for good in [
        "null",
        " [1, 2.5e3, -0, \"\\ud83d\\ude00\", {}] ",
        "{\"a\": {\"b\": []}}",
        "\"\u{0}\"".trim_matches('\u{0}'),
    ] {
        if good.contains('\u{0}') {
            continue;
        }
        check_json(good.as_bytes(), 64).expect(good);
    }
    for bad in [
        "",
        "nul",
        "[1,]",
        "{\"a\"}",
        "{1: 2}",
        "[1 2]",
        "01",
        "1.",
        ".5",
        "1e",
        "+1",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\ude00\"",
        "\"\\ud800\\u0041\"",
        "\"a",
        "1 2",
        "[",
        "{\"a\":1",
        "]",
        "1e999",
        "-1e999",
        "NaN",
        "\"\u{1}\"",
        "[1}",
        "{\"a\":1]",
        "\"\\u12\"",
        "\"\\u12g4\"",
    ] {
        assert!(check_json(bad.as_bytes(), 64).is_err(), "{bad:?}");
    }
    assert!(check_json(b"\"\xff\"", 64).is_err());
    assert!(check_json("9".repeat(1025).as_bytes(), 64).is_err());
}

#[test]
fn depth_is_bounded_without_recursion() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    check_json(nested(64).as_bytes(), 64).expect("64 levels");
    assert!(check_json(nested(65).as_bytes(), 64).is_err());
    assert!(check_json("[".repeat(1 << 20).as_bytes(), 64).is_err());
    assert!(msgpack_to_json(&[0x91].repeat(1 << 16), 64).is_err());
}

#[test]
fn msgpack_says_what_json_says() {
    let text = br#"{"a":[null,true,false,0,-1,128,65536,18446744073709551615,-9223372036854775808,1.5,1.0],"b":"\u00e9"}"#;
    let packed = json_to_msgpack(text).expect("packed");
    let back = msgpack_to_json(&packed, 64).expect("unpacked");
    let expected = serde_json::from_slice::<Value>(text).expect("json");
    assert_eq!(serde_json::from_slice::<Value>(&back).expect("json"), expected);
    assert!(String::from_utf8(back).expect("text").contains("1.0"), "a float stays a float");
    assert!(json_to_msgpack(b"18446744073709551616").is_err(), "beyond 64 bits");
}

#[test]
fn hostile_msgpack_is_refused_before_anything_is_allocated() {
    for bad in [
        &[][..],
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0xdb, 0xff, 0xff, 0xff, 0xff, b'a'],
        &[0xc4, 1, 0],
        &[0xd4, 0, 0],
        &[0x81, 0x01, 0x02],
        &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
        &[0xa1, 0xff],
        &[0xc0, 0xc0],
    ] {
        assert!(msgpack_to_json(bad, 64).is_err(), "{bad:x?}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_survives_both_codecs(value in any_json()) {
        let (codec, json) = encode("set", &value).expect("a JSON value");
        prop_assert_eq!(codec, Codec::Json);
        check_json(&json, 64).expect("what serde_json writes");
        let packed = json_to_msgpack(&json).expect("64-bit integers");
        let back = msgpack_to_json(&packed, 64).expect("what was packed");
        prop_assert_eq!(decode::<Value>(Codec::Json, &back).expect("json"), value);
    }

    #[test]
    fn the_check_agrees_with_serde_json(text in "[\\[\\]{}:,\"a0-9.eE+\\- \\\\untrf]{0,12}") {
        let ours = check_json(text.as_bytes(), 64).is_ok();
        let theirs = serde_json::from_str::<Value>(&text).is_ok();
        prop_assert_eq!(ours, theirs, "{}", text);
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = check_json(&bytes, 64);
        let _ = msgpack_to_json(&bytes, 64);
    }
}

#[test]
fn wrong_json_is_refused_with_its_place() {
    for (text, path) in [("NaN", "$ "), (r#"{"a":[1,{"b":NaN}]}"#, "$.a[1].b "), (r#"["]",}"#, "$[1] ")] {
        let message = check_json(text.as_bytes(), 64).expect_err(text).message();
        assert!(message.starts_with(path), "{message}");
    }
}
