//! What is tried with any bytes: see [`crate::fuzzing`].

use super::address::{Address, Target, TlsAndAuth};
use super::commands;
use super::handshake;
use super::scripts;
use super::server_time::ServerTime;
use super::trouble::Trouble;
use crate::error::ErrorKind;
use crate::wire::fuzzing::read_in_steps;
use crate::wire::{Replies, Reply};

/// Whatever a server answers to a command is a value, or a trouble that is told in a few words of ours.
pub(crate) fn any_replies(bytes: &[u8]) {
    let (replies, _) = read_in_steps(bytes, &[64]);
    let all = || -> Replies { replies.iter().cloned().collect() };
    let values = replies.iter().map(|reply| if let Reply::List(items) = reply { items.len() } else { 1 }).sum();
    if let Some(values) = told(commands::values(all(), values)) {
        assert_eq!(values.len(), replies.iter().filter_map(items).sum::<usize>());
    }
    told(commands::value(all()));
    told(scripts::all_counted(&all()));
    told(commands::all_deleted(&all()));
    told(commands::scanned(all()));
    told(handshake::known_format(all()));
    for needed in 0..3 {
        told(handshake::logged_in(all(), needed));
    }
    scripts::Names::of(&replies);
    for reply in &replies {
        told(scripts::acquired(reply.clone()));
        told(scripts::revalidated(reply.clone()));
        told(scripts::was_held(reply));
        told(scripts::versions(reply.clone(), items(reply).unwrap_or_default()));
        if let Some(time) = told(ServerTime::new(reply, 1_000, 2_000)) {
            assert!(time.early() <= time.late());
        }
    }
}

fn items(reply: &Reply) -> Option<usize> {
    if let Reply::List(items) = reply { Some(items.len()) } else { None }
}

fn told<T>(outcome: Result<T, Trouble>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(trouble) => {
            let text = trouble.clone().into_error("get").to_string();
            assert!(text.len() < 200, "what a server says is not told: {text}");
            assert!(!trouble.counts() || !trouble.is_answer());
            None
        }
    }
}

/// Any text is an address or refused, and no password is told.
pub(crate) fn any_address(bytes: &[u8]) {
    const SECRET: &str = "Secret7Word";
    let text = String::from_utf8_lossy(bytes);
    // Where the text has this mark a password stands.
    let url = text.replace('\u{1}', SECRET);
    let (username, password) = match url.split_once('\u{2}') {
        Some((_, rest)) => (Some(rest.to_owned()), Some(SECRET.to_owned())),
        None => (None, None),
    };
    let url = url.split('\u{2}').next().unwrap_or_default();
    match Address::parse(url, TlsAndAuth { username, password, ..TlsAndAuth::default() }) {
        Ok(address) => {
            match &address.target {
                Target::Tcp(host, port) => assert!(!host.is_empty() && host.len() <= 253 && *port > 0),
                Target::Unix(path) => assert!(path.is_absolute() && path.as_os_str().len() <= 107),
            }
            assert!(address.password.is_some() || address.username.is_none(), "a user without a password");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidOption);
            assert!(!error.to_string().contains(SECRET), "{error}");
        }
    }
}
