use super::template::{Arg, Template, default_key};
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
struct TemplateVector {
    template: String,
    args: serde_json::Map<String, serde_json::Value>,
    key: Option<String>,
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
fn the_template_vectors() {
    let text = include_str!("../../../tests/vectors/templates.json");
    let file: Vectors<TemplateVector> = serde_json::from_str(text).expect("vectors");
    for TemplateVector { template, args, key, error } in file.vectors {
        let numbers: std::collections::HashMap<&str, String> =
            args.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
        let arg = |name: &str| match args.get(name)? {
            serde_json::Value::Null => Some(Arg::Null),
            serde_json::Value::Bool(value) => Some(Arg::Bool(*value)),
            serde_json::Value::String(text) => Some(Arg::Str(text)),
            serde_json::Value::Number(number) if number.is_f64() => number.as_f64().map(Arg::Float),
            serde_json::Value::Number(_) => numbers.get(name).map(|digits| Arg::Int(digits)),
            _ => None,
        };
        match (Template::parse(&template).and_then(|template| template.render(arg)), error) {
            (Ok(rendered), None) => assert_eq!(Some(rendered), key, "{template}"),
            (Err(found), Some(kind)) => assert_eq!(found.kind().name(), kind, "{template}"),
            (rendered, error) => panic!("{template}: {rendered:?} against {error:?}"),
        }
    }
}

#[test]
fn default_keys_of_different_calls_never_meet() {
    assert_ne!(default_key("a", "b:1:c"), default_key("a:1:b", "c"));
    assert_ne!(default_key("f", "[1]"), default_key("f", "[\"1\"]"));
}

#[test]
fn an_entry_pattern_matches_no_other_prefix() {
    assert_eq!(Layout::new("a", Format::Scrubjay).entry_pattern(), b"sj:{a.0}:e:*");
    assert!(!Layout::new("a.0", Format::Scrubjay).entry(b"k").starts_with(b"sj:{a.0}:e:"));
}
