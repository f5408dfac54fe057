//! Keys made from arguments: `"user:{user_id}"`.
//!
//! The same template and arguments give the same bytes in every language. Literals stand as they are; of a
//! value, every byte outside `[A-Za-z0-9_.-]` is percent-escaped, so that a separator inside a value cannot
//! imitate one of the template. Two placeholders must therefore be parted by at least one character that is
//! always escaped in values.

use crate::error::{Error, ErrorKind, Result};

/// One argument of a template.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg<'a> {
    /// Text, as it is.
    Str(&'a str),
    /// An integer in decimal digits, of any size.
    Int(&'a str),
    /// A float, as JSON writes it.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    /// What it makes, for errors: `key` or `tags`.
    what: &'static str,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Placeholder(String),
}

impl Template {
    /// Parses a template: text with `{name}` placeholders; `{{` and `}}` are braces.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming `key` and what is wrong.
    pub fn parse(template: &str) -> Result<Self> {
        Self::parse_as("key", template)
    }

    /// Parses a template of a tag.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming `tags` and what is wrong.
    pub fn parse_tag(template: &str) -> Result<Self> {
        Self::parse_as("tags", template)
    }

    fn parse_as(what: &'static str, template: &str) -> Result<Self> {
        let invalid = |message: &str| invalid(what, message);
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut characters = template.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '{' | '}' if characters.peek() == Some(&character) => {
                    characters.next();
                    literal.push(character);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match characters.next() {
                            Some('}') => break,
                            Some('{') | None => return Err(invalid("has a '{' without its '}'")),
                            Some(character) => name.push(character),
                        }
                    }
                    if name.is_empty() {
                        return Err(invalid("has an empty placeholder"));
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Placeholder(name));
                }
                '}' => return Err(invalid("has a '}' without its '{'")),
                character => literal.push(character),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        let template = Template { what, parts };
        template.check_separators()?;
        Ok(template)
    }

    fn check_separators(&self) -> Result<()> {
        let placeholders: Vec<usize> =
            (0..self.parts.len()).filter(|index| matches!(self.parts[*index], Part::Placeholder(_))).collect();
        for pair in placeholders.windows(2) {
            let between = self.parts[pair[0] + 1..pair[1]].first();
            let parted = matches!(between, Some(Part::Literal(text)) if text.bytes().any(is_separator));
            if !parted {
                return Err(invalid(
                    self.what,
                    "needs a separator, such as ':', between two placeholders, or different arguments could meet",
                ));
            }
        }
        Ok(())
    }

    /// The names of the placeholders, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The key for these arguments, each asked for by name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming the placeholder that has no argument, or one that cannot stand in a
    /// key.
    pub fn render<'a>(&self, mut arg: impl FnMut(&str) -> Option<Arg<'a>>) -> Result<String> {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => key.push_str(text),
                Part::Placeholder(name) => match arg(name) {
                    Some(arg) => arg.render(self.what, name, &mut key)?,
                    None => {
                        let message = format!("has a placeholder {{{name}}} without a usable argument");
                        return Err(invalid(self.what, &message));
                    }
                },
            }
        }
        Ok(key)
    }
}

impl Arg<'_> {
    fn render(self, what: &'static str, name: &str, key: &mut String) -> Result<()> {
        match self {
            Arg::Str(text) | Arg::Int(text) => escape(text, key),
            Arg::Bool(value) => key.push_str(if value { "true" } else { "false" }),
            Arg::Null => key.push_str("null"),
            Arg::Float(value) if value.is_finite() => escape(&json_float(value), key),
            Arg::Float(_) => {
                let message = format!("cannot hold NaN or an infinity, the argument {{{name}}}");
                return Err(invalid(what, &message));
            }
        }
        Ok(())
    }
}

/// A float as JavaScript writes it, which every language can do: whole numbers without a fraction.
fn json_float(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e21 {
        return format!("{:.0}", if value == 0.0 { 0.0 } else { value });
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-7..21).contains(&exponent) {
        return format!("{value}");
    }
    format!("{digits}e{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// A key from a name and the canonical JSON of its arguments: each behind its length, so that no two different
/// pairs meet.
pub fn default_key(name: &str, arguments: &str) -> String {
    format!("{}:{name}:{}:{arguments}", name.len(), arguments.len())
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// Whether no escaped value can hold this byte.
fn is_separator(byte: u8) -> bool {
    !is_plain(byte) && byte != b'%'
}

fn escape(text: &str, key: &mut String) {
    for byte in text.bytes() {
        if is_plain(byte) {
            key.push(char::from(byte));
        } else {
            key.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn invalid(what: &str, message: &str) -> Error {
    Error::new(ErrorKind::InvalidOption, "cached", format!("{what} {message}"))
}
