//! Templates of keys and tags.

use scrubjay_core::template::{self, Arg, Template};

use crate::failure::failure;
use crate::js::{Arguments, Handle, Js, Value};

/// A template that was parsed.
pub struct ParsedTemplate(Template);

/// One argument, read.
enum Given {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
    Unusable,
}

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

/// `template_names(template)` → the names of its placeholders, in order.
pub fn template_names(js: Js, [template, ..]: Arguments) -> Value {
    let names: Vec<Value> = parsed(js, template).names().map(|name| js.string(name)).collect();
    js.array(&names)
}

/// `render_template(template, arguments)` → the key, or a failure. One argument for each placeholder, in order; a big
/// integer comes as the string of its digits.
pub fn render_template(js: Js, [template, arguments, ..]: Arguments) -> Value {
    let given: Vec<Given> = js.as_array(arguments).into_iter().map(|argument| read(js, argument)).collect();
    let mut next = given.iter();
    // Placeholders are asked for in their order, each time they stand there.
    let rendered = parsed(js, template).render(|_| match next.next()? {
        Given::Text(text) => Some(Arg::Str(text)),
        Given::Number(number) => Some(Arg::Float(*number)),
        Given::Bool(boolean) => Some(Arg::Bool(*boolean)),
        Given::Null => Some(Arg::Null),
        Given::Unusable => None,
    });
    match rendered {
        Ok(key) => js.string(&key),
        Err(error) => failure(js, &error),
    }
}

fn read(js: Js, argument: Value) -> Given {
    match js.type_name(argument) {
        "a string" if !js.has_lone_surrogate(argument) => {
            Given::Text(String::from_utf8(js.as_text(argument).unwrap_or_default()).unwrap_or_default())
        }
        "a number" => js.as_number(argument).map_or(Given::Unusable, Given::Number),
        "a boolean" => Given::Bool(js.is_true(argument)),
        "null" => Given::Null,
        _ => Given::Unusable,
    }
}

/// `default_key(name, arguments)` → a key that no other name and arguments have. `arguments` are JSON text.
pub fn default_key(js: Js, [name, arguments, ..]: Arguments) -> Value {
    let text = |value| String::from_utf8(js.as_text(value).unwrap_or_default()).unwrap_or_default();
    js.string(&template::default_key(&text(name), &text(arguments)))
}
