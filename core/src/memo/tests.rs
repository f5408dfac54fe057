use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use super::*;
use crate::codec::Raw;

/// An argument as the vectors write it.
#[derive(Clone)]
struct Written(Value);

impl Serialize for Written {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let text = |object: &Map<String, Value>, name: &str| {
            object.get(name).and_then(Value::as_str).map(ToOwned::to_owned)
        };
        match &self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().cloned().map(Written)),
            Value::Object(object) => {
                if let Some(digits) = text(object, "$int") {
                    return serializer.serialize_i128(digits.parse().expect("an integer"));
                }
                if let Some(float) = text(object, "$float") {
                    return serializer.serialize_f64(float.parse().expect("a float"));
                }
                if let Some(hex) = text(object, "$bytes") {
                    return Raw::from(bytes(&hex)).serialize(serializer);
                }
                serializer.collect_map(object.iter().map(|(name, value)| (name, Written(value.clone()))))
            }
            value => value.serialize(serializer),
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn memory() -> CacheService {
    CacheService::new("memory://", "").expect("a cache")
}

fn named(cache: &CacheService) -> Cached<()> {
    cached(cache, CachedOptions::named("f"), ())
}

/// The arguments of one call.
struct Arguments(Vec<Written>);

impl Serialize for Arguments {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|argument| tuple.serialize_element(argument))?;
        tuple.end()
    }
}

#[test]
fn keys_from_templates_are_those_of_the_vectors() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/templates.json")).expect("JSON");
    let cache = memory();
    for vector in vectors["vectors"].as_array().expect("a list") {
        let template = vector["template"].as_str().expect("text");
        let made = cached(&cache, CachedOptions::new(template), ()).get_key(&Written(vector["args"].clone()));
        match vector["key"].as_str() {
            Some(key) => assert_eq!(made.expect(template), key),
            None => assert_eq!(made.expect_err(template).kind(), ErrorKind::InvalidOption),
        }
    }
}

#[test]
fn default_keys_are_those_of_the_vectors() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/arguments.json")).expect("JSON");
    let cache = memory();
    let mut keys = HashSet::new();
    for vector in vectors["vectors"].as_array().expect("a list") {
        let arguments = vector["args"].as_array().expect("a list").iter().cloned().map(Written).collect();
        let key = named(&cache).get_key(&Arguments(arguments)).expect("a key");
        assert_eq!(key, vector["key"].as_str().expect("a key"), "{}", vector["name"]);
        assert!(keys.insert(key), "{} has the key of another", vector["name"]);
    }
    for vector in vectors["names"].as_array().expect("a list") {
        let name = vector["function"].as_str().expect("text");
        let made = cached(&cache, CachedOptions::named(name), ()).get_key(&());
        match vector["key"].as_str() {
            Some(key) => assert_eq!(made.expect(name), key),
            None => assert!(made.expect_err(name).message().starts_with("name must be 1 to 512 bytes")),
        }
    }
}

#[test]
fn parts_of_a_tuple_have_numbers() {
    let made = cached(&memory(), CachedOptions::new("{0}:{1}"), ());
    assert_eq!(made.get_key(&("a:b", 7)).expect("a key"), "a%3Ab:7");
    assert!(made.get_key(&7).is_err());
    let inside = cached(&memory(), CachedOptions::new("{0.name}:{1[0]}"), ());
    assert_eq!(inside.get_key(&(HashMap::from([("name", "ada")]), [5, 6])).expect("a key"), "ada:5");
    let alone = cached(&memory(), CachedOptions::new("{0[1]}"), ());
    assert_eq!(alone.get_key(&vec![5, 6]).expect("a key"), "6");
}

#[expect(clippy::box_collection, reason = "a set is one through a box as well")]
#[derive(Serialize, Default)]
struct Wide {
    none: Option<u8>,
    some_none: Option<Option<u8>>,
    unit: (),
    set: HashSet<u32>,
    boxed: Box<BTreeSet<String>>,
    map: BTreeMap<i8, f32>,
    kind: Kind,
    other: Option<Kind>,
    pair: (u8, String),
    raw: Raw,
    large: u128,
}

#[derive(Serialize, Default)]
enum Kind {
    #[default]
    Plain,
    Wrapped(u8),
    Pair(u8, u8),
    Named {
        a: u8,
    },
}

#[test]
fn types_of_rust_are_told_apart() {
    let cache = memory();
    let wide = Wide {
        some_none: Some(None),
        set: (0..5).collect(),
        boxed: Box::new(["b".to_owned(), "a".to_owned()].into()),
        map: BTreeMap::from([(10, 0.1), (-9, 2.0)]),
        other: Some(Kind::Named { a: 1 }),
        large: u128::MAX,
        ..Wide::default()
    };
    let texts = [
        r#"{"boxed":<"a","b">,"kind":"Plain","large":340282366920938463463374607431768211455"#,
        r#""map":{-9:2.0,10:0.10000000149011612},"none":null,"other":{"Named":{"a":1}},"pair":(0,"")"#,
        r#""raw":x"","set":<0,1,2,3,4>,"some_none":!some(null),"unit":()}"#,
    ];
    assert_eq!(read(&wide).expect("an argument").canonical(), texts.join(","));
    assert_eq!(read(&Kind::Wrapped(1)).expect("an argument").canonical(), r#"{"Wrapped":1}"#);
    assert_eq!(read(&Kind::Pair(1, 2)).expect("an argument").canonical(), r#"{"Pair":(1,2)}"#);
    let key = |value: &dyn Fn(&Cached<()>) -> Result<String>| value(&named(&cache)).expect("a key");
    assert_eq!(key(&|f| f.get_key(&())), "f()");
    assert_eq!(key(&|f| f.get_key(&None::<u8>)), "f(null)");
    assert_eq!(key(&|f| f.get_key(&(1, "a"))), r#"f(1,"a")"#);
    assert_eq!(key(&|f| f.get_key(&((1, "a"),))), r#"f((1,"a"))"#);
    assert_eq!(key(&|f| f.get_key(&[1, 2][..])), "f([1,2])");
}

#[test]
fn an_argument_without_end_is_refused() {
    let mut deep = Value::Null;
    for _ in 0..66 {
        deep = Value::Array(vec![deep]);
    }
    let refused = named(&memory()).get_key(&deep).expect_err("it is too deep");
    assert_eq!(refused.kind(), ErrorKind::InvalidOption);
    assert!(refused.message().contains("deeper than 64"), "{refused}");
}
