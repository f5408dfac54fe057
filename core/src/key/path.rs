//! What a placeholder names: `{id}`, `{0}`, `{user.address.city}`, `{ids[0]}`, `{by_name[ada]}`.

/// Which argument, by its name or its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// `{0}` is the first.
    Position(usize),
    /// The argument of this name.
    Name(String),
}

/// A way further into an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `.name` or `[name]`: an attribute, a property, a field of a struct, or the value of a map under that text.
    Field(String),
    /// `[0]`: an element of a list, counted from 0; of a map the value under that text.
    Index(usize),
}

/// The text of a placeholder, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// As it stands between the braces.
    pub text: String,
    /// The argument.
    pub first: First,
    /// The way into it.
    pub rest: Vec<Part>,
}

impl Path {
    /// Reads a placeholder; what is wrong with it otherwise.
    pub(super) fn parse(text: &str) -> Result<Path, &'static str> {
        let (first, mut rest) = text.split_at(text.find(['.', '[']).unwrap_or(text.len()));
        check(first)?;
        let first = match number(first) {
            Some(position) => First::Position(position),
            None => First::Name(first.to_owned()),
        };
        let mut parts = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let (name, after) = after.split_at(after.find(['.', '[']).unwrap_or(after.len()));
                check(name)?;
                parts.push(Part::Field(name.to_owned()));
                rest = after;
            } else {
                let inside =
                    rest.strip_prefix('[').ok_or("has something behind a ']' that is no '.' and no '['")?;
                let (name, after) = inside.split_once(']').ok_or("has a '[' without its ']'")?;
                if name.is_empty() || name.contains('[') {
                    return Err("has an index that is empty, or has a '[' in it");
                }
                parts.push(number(name).map_or_else(|| Part::Field(name.to_owned()), Part::Index));
                rest = after;
            }
        }
        Ok(Path { text: text.to_owned(), first, rest: parts })
    }
}

/// Digits, few enough to be an index.
fn number(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// A name has nothing in it that means something in the templates of some language, so that none is taken for what it is not.
fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("has an empty placeholder, or an empty name in one");
    }
    if name.contains(|c: char| "]!:?$()'\"".contains(c) || c.is_whitespace() || c.is_control()) {
        return Err("has a placeholder that is no name: conversions, formats and expressions are not known");
    }
    Ok(())
}
