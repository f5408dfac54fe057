//! Templates of keys and tags.

use scrubjay_core::template::{Arg, First, Part, Template};

use crate::failure::failure;
use crate::js::{Arguments, Handle, Js, Value};

/// A template that was parsed.
pub struct ParsedTemplate(Template);

fn parsed<'call>(js: Js, value: Value) -> &'call Template {
    match js.handle(value) {
        Handle::Template(template) => &template.0,
        _ => unreachable!("the first argument is a template"),
    }
}

/// `parse_template(text, is_tag)` → a template, or a failure.
pub fn parse_template(js: Js, [text, is_tag, ..]: Arguments) -> Value {
    let text = String::from_utf8(js.as_text(text).unwrap_or_default()).unwrap_or_default();
    let parsed = if js.is_true(is_tag) { Template::parse_tag(&text) } else { Template::parse(&text) };
    match parsed {
        Ok(template) => js.external(Handle::Template(ParsedTemplate(template))),
        Err(error) => failure(js, &error),
    }
}

/// `template_paths(template)` → for each placeholder, in order, the way to its value: an argument by its position or by its
/// name, then fields by their names and elements by their positions.
pub fn template_paths(js: Js, [template, ..]: Arguments) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "an index has nine digits at most")]
    let index = |index: usize| js.number(index as f64);
    let paths: Vec<Value> = parsed(js, template)
        .paths()
        .map(|path| {
            let first = match &path.first {
                First::Position(position) => index(*position),
                First::Name(name) => js.string(name),
            };
            let rest = path.rest.iter().map(|part| match part {
                Part::Index(at) => index(*at),
                Part::Field(name) => js.string(name),
            });
            js.array(&std::iter::once(first).chain(rest).collect::<Vec<Value>>())
        })
        .collect();
    js.array(&paths)
}

/// `render_template(template, arguments)` → the key, or a failure. One argument for each placeholder, in order; a big
/// integer comes as the string of its digits.
pub fn render_template(js: Js, [template, arguments, ..]: Arguments) -> Value {
    let mut given = js.as_array(arguments).into_iter();
    // Placeholders are asked for in their order, each time they stand there.
    let rendered = parsed(js, template).render(|_| given.next().and_then(|argument| read(js, argument)));
    match rendered {
        Ok(key) => js.string(&key),
        Err(error) => failure(js, &error),
    }
}

fn read(js: Js, argument: Value) -> Option<Arg> {
    if let Some(bytes) = js.as_bytes(argument) {
        return Some(Arg::Bytes(bytes.to_vec()));
    }
    match js.type_name(argument) {
        "a string" if !js.has_lone_surrogate(argument) => {
            Some(Arg::Str(String::from_utf8(js.as_text(argument).unwrap_or_default()).unwrap_or_default()))
        }
        "a number" => js.as_number(argument).map(Arg::Float),
        "a boolean" => Some(Arg::Bool(js.is_true(argument))),
        "null" => Some(Arg::Null),
        _ => None,
    }
}
