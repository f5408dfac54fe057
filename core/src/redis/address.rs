//! Where the server is, from a URL. What is refused is told without the URL: it may hold a password.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::tls::Tls;
use crate::error::{Error, ErrorKind, Result};

const DEFAULT_PORT: u16 = 6379;
/// The room for a path in a Unix socket address.
const MAX_SOCKET_PATH: usize = 107;

/// What options say beside the URL.
#[derive(Default)]
pub(crate) struct TlsAndAuth {
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
}

/// A server, and how to log in there.
pub(crate) struct Address {
    pub(super) target: Target,
    pub(super) tls: Option<Tls>,
    pub(super) database: u32,
    /// None: the user that the server calls `default`.
    pub(super) username: Option<String>,
    /// None: no login.
    pub(super) password: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Target {
    /// A host name, or an IP address without brackets.
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Address {
    /// Reads `redis://[user[:password]@]host[:port][/database]`, the same with `rediss://` for TLS,
    /// `unix:///path[?db=…&user=…&pass=…]`, and plain `host:port`. What is not a letter, a digit or one of
    /// `-._~` in user, password and path may be percent-encoded, and `/ ? #` must be.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming `url`, or the option beside it.
    pub fn parse(url: &str, options: TlsAndAuth) -> Result<Address> {
        let mut parts = match url.split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "redis" => Parts::of_tcp(rest, false)?,
                "rediss" => Parts::of_tcp(rest, true)?,
                "unix" => Parts::of_unix(rest)?,
                _ => return Err(refused("has another scheme")),
            },
            None => Parts::of_bare(url)?,
        };
        let filled = |value: Option<String>| value.filter(|value| !value.is_empty());
        parts.username = parts.username.or(filled(options.username));
        parts.password = parts.password.or(filled(options.password));
        if parts.username.is_some() && parts.password.is_none() {
            return Err(invalid("password must be given with a user name (\"user:@\" in the URL for none)"));
        }
        let files = [("tls_ca", &options.ca), ("tls_cert", &options.cert), ("tls_key", &options.key)];
        let tls = if parts.tls {
            Some(Tls::new(options.ca.as_deref(), options.cert.as_deref(), options.key.as_deref())?)
        } else if let Some((name, _)) = files.iter().find(|(_, file)| file.is_some()) {
            return Err(invalid(&format!("{name} is for rediss:// only: the url asks for no TLS")));
        } else {
            None
        };
        let Parts { target, database, username, password, .. } = parts;
        Ok(Address { target, tls, database, username, password })
    }
}

impl Address {
    /// The number of the database.
    pub fn database(&self) -> u32 {
        self.database
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("target", &self.target).finish_non_exhaustive()
    }
}

/// A URL taken apart.
struct Parts {
    target: Target,
    tls: bool,
    database: u32,
    username: Option<String>,
    password: Option<String>,
}

impl Parts {
    /// `[user[:password]@]host[:port][/database]`.
    fn of_tcp(rest: &str, tls: bool) -> Result<Parts> {
        if let Some((_, fragment)) = rest.split_once('#') {
            return Err(refused(match fragment {
                "insecure" => "has #insecure: the check of certificates cannot be switched off",
                _ => "has a fragment (write # as %23)",
            }));
        }
        if rest.contains('?') {
            return Err(refused("has parameters, which only unix:// takes (write ? as %3F)"));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        let (username, password) = match login {
            Some(login) => credentials(login)?,
            None => (None, None),
        };
        let target = Target::Tcp(host, port.unwrap_or(DEFAULT_PORT));
        Ok(Parts { target, tls, database: database(path)?, username, password })
    }

    /// `/path[?db=…&user=…&pass=…]`.
    fn of_unix(rest: &str) -> Result<Parts> {
        if rest.contains('#') {
            return Err(refused("has a fragment (write # as %23)"));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !path.starts_with('/') {
            return Err(refused("has no absolute path after unix:// (user and password go into ?user=&pass=)"));
        }
        let path = decoded(path, "the path")?;
        if path.len() > MAX_SOCKET_PATH || path.contains('\0') {
            return Err(refused("has a path that no socket can have (at most 107 bytes)"));
        }
        let target = Target::Unix(path.into());
        let mut parts = Parts { target, tls: false, database: 0, username: None, password: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "db" => parts.database = database(value)?,
                "user" => parts.username = Some(decoded(value, "user")?).filter(|user| !user.is_empty()),
                "pass" => parts.password = Some(decoded(value, "pass")?),
                _ => return Err(refused("has a parameter other than db, user and pass")),
            }
        }
        // As in the other form: an empty password counts where there is a user name.
        if parts.username.is_none() && parts.password.as_deref() == Some("") {
            parts.password = None;
        }
        Ok(parts)
    }

    /// `host:port`, as Go's packages write it; without a host it is this machine.
    fn of_bare(text: &str) -> Result<Parts> {
        let (host, port) = match text.strip_prefix(':') {
            Some(port) => ("localhost".to_owned(), Some(number(port)?)),
            None => host_and_port(text)?,
        };
        let Some(port) = port else { return Err(refused("is neither of them")) };
        Ok(Parts { target: Target::Tcp(host, port), tls: false, database: 0, username: None, password: None })
    }
}

/// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
fn host_and_port(text: &str) -> Result<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(|| refused("has an IPv6 address without its ]"))?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(refused("has something else than an IPv6 address in [ ]"));
        }
        let port = match port.strip_prefix(':') {
            Some(port) => Some(number(port)?),
            None if port.is_empty() => None,
            None => return Err(refused("has something else than a port after ]")),
        };
        return Ok((host.to_owned(), port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(number(port)?)),
        None => (text, None),
    };
    let named = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() || host.len() > 253 || !host.chars().all(named) {
        return Err(refused("has no valid host name"));
    }
    Ok((host.to_owned(), port))
}

fn number(port: &str) -> Result<u16> {
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(refused("has a port that is not 1 to 65535 (an IPv6 address goes into [ ])")),
    }
}

fn database(text: &str) -> Result<u32> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && number <= i32::MAX.unsigned_abs() => Ok(number),
        _ => Err(refused("has a database that is not a number of 0 or more")),
    }
}

/// `user`, `user:password` or `:password`.
fn credentials(text: &str) -> Result<(Option<String>, Option<String>)> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(decoded(password, "the password")?)),
        None => (text, None),
    };
    let user = Some(decoded(user, "the user name")?).filter(|user| !user.is_empty());
    // An empty password counts only where there is a user name: that user may need none.
    let password = password.filter(|password| user.is_some() || !password.is_empty());
    Ok((user, password))
}

/// Undoes percent-encoding.
fn decoded(text: &str, what: &str) -> Result<String> {
    let wrong = || refused(&format!("has a % in {what} that begins no encoded UTF-8 (write % as %25)"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(wrong);
        let code = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(code).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn refused(why: &str) -> Error {
    invalid(&format!(
        "url must be memory://, redis://[user[:password]@]host[:port][/database], rediss:// with the same (TLS), \
         unix:///path[?db=&user=&pass=] or host:port; it {why}"
    ))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOption, "open", message)
}

#[cfg(test)]
mod tests;
