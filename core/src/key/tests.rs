use super::template::{Arg, Named};
use super::*;

#[derive(serde::Deserialize)]
struct KeyVector {
    name: String,
    prefix: String,
    key_hex: String,
    redis_key_hex: Option<String>,
    hash: Option<String>,
    error: Option<String>,
}

#[derive(serde::Deserialize)]
struct Vectors<T> {
    vectors: Vec<T>,
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn the_key_vectors() {
    let text = include_str!("../../../tests/vectors/keys.json");
    let file: Vectors<KeyVector> = serde_json::from_str(text).expect("vectors");
    for vector in file.vectors {
        let key = hex(&vector.key_hex);
        let valid = check_prefix(&vector.prefix).and_then(|()| check(&key, "get"));
        match (valid, vector.error) {
            (Ok(()), None) => {
                let layout = Layout::new(&vector.prefix, Format::Scrubjay);
                assert_eq!(Some(layout.entry(&key)), vector.redis_key_hex.as_deref().map(hex), "{}", vector.name);
                let hash = format!("{:016x}", hash(vector.prefix.as_bytes(), &key));
                assert_eq!(Some(hash), vector.hash, "{}", vector.name);
            }
            (Err(error), Some(kind)) => assert_eq!(error.kind().name(), kind, "{}", vector.name),
            (valid, error) => panic!("{}: {valid:?} against {error:?}", vector.name),
        }
    }
}

#[test]
fn default_keys_of_different_calls_never_meet() {
    let (list, text) = (Arg::List(vec![Arg::Int(1)]), |text: &str| Arg::Str(text.to_owned()));
    let key = |name: &str, arguments: &[Arg], named: &[(&str, Arg)]| {
        let named: Vec<(String, Arg)> =
            named.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Named::new(name).expect("a name").key(arguments, &named)
    };
    let keys = [
        key("f", &[], &[]),
        key("f", std::slice::from_ref(&list), &[]),
        key("f", &[text("[1]")], &[]),
        key("f", &[Arg::Tuple(vec![Arg::Int(1)])], &[]),
        key("f", &[Arg::Set(vec![Arg::Int(1)])], &[]),
        key("f", &[Arg::Int(1), Arg::Int(2)], &[]),
        key("f", &[Arg::Int(1)], &[("b", Arg::Int(2))]),
        key("f", &[Arg::Map(vec![(text("b"), Arg::Int(2))])], &[]),
        key("f", &[], &[("b", Arg::Int(2))]),
        key("f", &[], &[("b=2,c", Arg::Int(2))]),
        key("f", &[], &[("b", Arg::Int(2)), ("c", Arg::Int(2))]),
        key("f(1)", &[], &[]),
        key("f", &[Arg::Typed("Colour".to_owned(), Box::new(Arg::Int(3)))], &[]),
        key("f", &[Arg::Typed("Colour(3".to_owned(), Box::new(Arg::Int(3)))], &[]),
        key("f", &[Arg::Digits("1".repeat(40))], &[]),
    ];
    let distinct: std::collections::HashSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "{keys:?}");
    assert_eq!(keys[10], key("f", &[], &[("c", Arg::Int(2)), ("b", Arg::Int(2))]));
    assert_eq!(keys[6], "f(1,b=2)");
}

#[test]
fn what_has_no_order_has_one_key() {
    let items = [Arg::Int(10), Arg::Int(9), Arg::Str("a".to_owned()), Arg::Float(-0.5)];
    let reversed: Vec<Arg> = items.iter().rev().cloned().collect();
    assert_eq!(Arg::Set(items.to_vec()).canonical(), Arg::Set(reversed.clone()).canonical());
    let pairs = |items: &[Arg]| Arg::Map(items.iter().map(|item| (item.clone(), item.clone())).collect());
    assert_eq!(pairs(&items).canonical(), pairs(&reversed).canonical());
    assert_ne!(Arg::List(items.to_vec()).canonical(), Arg::List(reversed).canonical());
}

#[test]
fn integers_have_one_form() {
    assert_eq!(Arg::integer("-170141183460469231731687303715884105728".to_owned()), Arg::Int(i128::MIN));
    let beyond = "170141183460469231731687303715884105728".to_owned();
    assert_eq!(Arg::integer(beyond.clone()), Arg::Digits(beyond));
}

#[test]
fn an_entry_pattern_matches_no_other_prefix() {
    assert_eq!(Layout::new("a", Format::Scrubjay).entry_pattern(), b"sj:{a.0}:e:*");
    assert!(!Layout::new("a.0", Format::Scrubjay).entry(b"k").starts_with(b"sj:{a.0}:e:"));
}
