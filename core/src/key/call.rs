//! Default keys: the name of a function, and what it was called with.

use std::fmt::Write;

use ring::digest::{SHA256, digest};

use super::arg::{Arg, escape};
use crate::error::{Error, ErrorKind, Result};

/// Arguments whose text is longer stand in a key as its SHA-256.
pub const MAX_ARGUMENTS: usize = 256;
/// The longest name of a function, escaped.
pub const MAX_NAME: usize = 512;

/// The name of a function, as its default keys begin.
#[derive(Clone, Debug)]
pub struct Named(String);

impl Named {
    /// What is not `A-Z a-z 0-9 _ . -` in a name is escaped, so that it ends where the arguments begin.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] where it is empty, or longer than [`MAX_NAME`].
    pub fn new(name: &str) -> Result<Self> {
        let mut escaped = String::with_capacity(name.len());
        escape(name.as_bytes(), &mut escaped);
        if (1..=MAX_NAME).contains(&escaped.len()) {
            return Ok(Named(escaped));
        }
        let message = format!("name must be 1 to {MAX_NAME} bytes, escaped, has {}", escaped.len());
        Err(Error::new(ErrorKind::InvalidOption, "cached", message))
    }

    /// The key of a call: `name(1,"a",size=10)`, the named arguments in the order of their names. Where the text of the
    /// arguments is longer than [`MAX_ARGUMENTS`], its SHA-256 stands for it: `name#…`.
    pub fn key(&self, arguments: &[Arg], named: &[(String, Arg)]) -> String {
        let mut key = self.0.clone();
        let start = key.len();
        key.push('(');
        let mut separator = "";
        for argument in arguments {
            key.push_str(separator);
            argument.write(&mut key);
            separator = ",";
        }
        let mut named: Vec<&(String, Arg)> = named.iter().collect();
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, argument) in named {
            key.push_str(separator);
            escape(name.as_bytes(), &mut key);
            key.push('=');
            argument.write(&mut key);
            separator = ",";
        }
        key.push(')');
        if key.len() - start <= MAX_ARGUMENTS {
            return key;
        }
        let hash = digest(&SHA256, key[start..].as_bytes());
        key.truncate(start);
        key.push('#');
        for byte in hash.as_ref() {
            // Writing into a String cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        key
    }
}
