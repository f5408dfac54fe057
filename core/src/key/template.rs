//! Keys made from arguments: `"user:{user_id}"`.
//!
//! The same template and arguments give the same bytes in every language. Literals stand as they are; of a
//! value, every byte outside `[A-Za-z0-9_.-]` is percent-escaped, so that a separator inside a value cannot
//! imitate one of the template. Two placeholders must therefore be parted by at least one character that is
//! always escaped in values.

pub use super::arg::Arg;
pub use super::call::{MAX_ARGUMENTS, MAX_NAME, Named};
pub use super::path::{First, Part, Path};

use super::arg::{escape, is_plain};
use super::number::shortest;
use crate::error::{Error, ErrorKind, Result};

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    /// What it makes, for errors: `key` or `tags`.
    what: &'static str,
    parts: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Placeholder(Path),
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
                    let mut text = String::new();
                    loop {
                        match characters.next() {
                            Some('}') => break,
                            Some('{') | None => return Err(invalid("has a '{' without its '}'")),
                            Some(character) => text.push(character),
                        }
                    }
                    let path = Path::parse(&text).map_err(|wrong| invalid(&format!("{wrong}: {{{text}}}")))?;
                    if !literal.is_empty() {
                        parts.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Piece::Placeholder(path));
                }
                '}' => return Err(invalid("has a '}' without its '{'")),
                character => literal.push(character),
            }
        }
        if !literal.is_empty() {
            parts.push(Piece::Literal(literal));
        }
        let template = Template { what, parts };
        template.check_separators()?;
        Ok(template)
    }

    fn check_separators(&self) -> Result<()> {
        let placeholders: Vec<usize> =
            (0..self.parts.len()).filter(|index| matches!(self.parts[*index], Piece::Placeholder(_))).collect();
        for pair in placeholders.windows(2) {
            let between = self.parts[pair[0] + 1..pair[1]].first();
            let parted = matches!(between, Some(Piece::Literal(text)) if text.bytes().any(is_separator));
            if !parted {
                return Err(invalid(
                    self.what,
                    "needs a separator, such as ':', between two placeholders, or different arguments could meet",
                ));
            }
        }
        Ok(())
    }

    /// What its placeholders name, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().filter_map(|part| match part {
            Piece::Placeholder(path) => Some(path),
            Piece::Literal(_) => None,
        })
    }

    /// The key for the arguments that `find` gives for the placeholders, which are asked for in their order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming the placeholder that has no argument, or one that cannot stand in a
    /// key.
    pub fn render(&self, mut find: impl FnMut(&Path) -> Option<Arg>) -> Result<String> {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Piece::Literal(text) => key.push_str(text),
                Piece::Placeholder(path) => match find(path) {
                    Some(argument) => self.put(&argument, path, &mut key)?,
                    None => {
                        let message = format!("has a placeholder {{{}}} without a usable argument", path.text);
                        return Err(invalid(self.what, &message));
                    }
                },
            }
        }
        Ok(key)
    }

    fn put(&self, argument: &Arg, path: &Path, key: &mut String) -> Result<()> {
        match argument {
            Arg::Str(text) | Arg::Digits(text) => escape(text.as_bytes(), key),
            Arg::Int(value) => key.push_str(&value.to_string()),
            Arg::Bytes(bytes) => escape(bytes, key),
            Arg::Bool(value) => key.push_str(if *value { "true" } else { "false" }),
            Arg::Null => key.push_str("null"),
            Arg::Float(value) if value.is_finite() => escape(shortest(*value).as_bytes(), key),
            Arg::Float(_) => return Err(self.unusable("NaN or an infinity", path)),
            Arg::List(_) | Arg::Tuple(_) | Arg::Set(_) => return Err(self.unusable("a list or a set", path)),
            Arg::Map(_) => return Err(self.unusable("an object or a map", path)),
            Arg::Typed(name, _) => return Err(self.unusable(&format!("a {name}"), path)),
        }
        Ok(())
    }

    fn unusable(&self, what: &str, path: &Path) -> Error {
        invalid(self.what, &format!("cannot hold {what}, the argument {{{}}}", path.text))
    }
}

/// Whether no escaped value can hold this byte.
fn is_separator(byte: u8) -> bool {
    !is_plain(byte) && byte != b'%'
}

fn invalid(what: &str, message: &str) -> Error {
    Error::new(ErrorKind::InvalidOption, "cached", format!("{what} {message}"))
}
