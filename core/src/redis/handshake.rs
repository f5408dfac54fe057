//! What a new connection says before anybody uses it: who we are, what time it is there, and whether the
//! namespace is of a kind that we know.

use std::time::Duration;

use super::address::Address;
use super::connection::Wire;
use super::scripts;
use super::server_time::ServerTime;
use super::tags::TagSpace;
use super::trouble::Trouble;
use crate::clock::boottime_ms;
use crate::wire::{Replies, Reply};

/// The format of entries and the number of partitions that this release knows.
const FORMAT: &str = "format=1 partitions=1";

/// A connection as its server names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    id: Vec<u8>,
    address: Vec<u8>,
}

/// The connection of this tier before the one that is made.
#[derive(Clone, Debug)]
pub(super) enum Predecessor {
    /// There was none.
    None,
    /// This one.
    Known(Identity),
    /// One whose server did not tell how it calls it.
    Unknown,
}

/// What the handshake came to.
pub(super) struct Greeting {
    pub time: ServerTime,
    /// None where the server does not tell.
    pub identity: Option<Identity>,
    /// Another one for each start of each server; none where the server does not tell.
    pub run: Option<Vec<u8>>,
    /// None where the server has no scripts, or not for this user.
    pub scripts: Option<scripts::Names>,
    /// Whether nothing that was sent on the connection before this one can still be carried out.
    pub predecessor_ended: bool,
}

/// Runs the handshake. Without a `meta_key` the namespace is one of plain entries.
pub(super) async fn greet(
    wire: &Wire,
    address: &Address,
    meta_key: Option<&[u8]>,
    tags: &TagSpace,
    predecessor: &Predecessor,
) -> Result<Greeting, Trouble> {
    let identity = log_in(wire, address).await?;
    let sent = boottime_ms();
    let time = wire.one(&[b"TIME"]).await?;
    let time = ServerTime::new(&time, sent, boottime_ms())?;
    if let Some(meta_key) = meta_key {
        check_format(wire, meta_key).await?;
    }
    let run = match wire.one(&[b"INFO", b"server"]).await? {
        Reply::Value(info) => run_of(&info),
        // Not everybody may ask.
        _ => None,
    };
    let scripts = match meta_key {
        Some(_) => load_scripts(wire).await?,
        // Scripts know entries of ours alone.
        None => None,
    };
    if let Some(names) = &scripts {
        learn_clear(wire, tags, names).await?;
    }
    let predecessor_ended = match predecessor {
        Predecessor::None => true,
        Predecessor::Known(identity) => end(wire, identity).await?,
        Predecessor::Unknown => false,
    };
    Ok(Greeting { time, identity, run, scripts, predecessor_ended })
}

/// Asks the server's time anew.
pub(super) async fn refresh(wire: &Wire, time: &ServerTime) -> Result<(), Trouble> {
    let sent = boottime_ms();
    let reply = wire.one(&[b"TIME"]).await?;
    time.observe(&reply, sent, boottime_ms())
}

async fn log_in(wire: &Wire, address: &Address) -> Result<Option<Identity>, Trouble> {
    let mut needed = 0;
    let replies = wire.many(|commands| {
        if let Some(password) = &address.password {
            match &address.username {
                Some(username) => commands.command(&[b"AUTH", username.as_bytes(), password.as_bytes()]),
                None => commands.command(&[b"AUTH", password.as_bytes()]),
            }
            needed += 1;
        }
        if address.database != 0 {
            commands.command(&[b"SELECT", address.database.to_string().as_bytes()]);
            needed += 1;
        }
        // For whoever looks at the server. Neither is needed, and not everybody may do it.
        commands.command(&[b"CLIENT", b"SETNAME", b"scrubjay"]);
        commands.command(&[b"CLIENT", b"INFO"]);
    });
    logged_in(replies.await?, needed)
}

/// Who we are there, by the replies to a login whose first `needed` commands must have been carried out.
pub(super) fn logged_in(replies: Replies, needed: usize) -> Result<Option<Identity>, Trouble> {
    let replies: Vec<Reply> = replies.into_iter().collect();
    for reply in replies.iter().take(needed) {
        match reply {
            Reply::Okay => {}
            // "ERR …" would tell nothing: the login, or the database, was refused.
            reply => {
                return Err(match Trouble::from(reply) {
                    Trouble::Server(code) if code.is("ERR") => Trouble::lost("login or database was refused"),
                    trouble => trouble,
                });
            }
        }
    }
    Ok(match replies.last() {
        Some(Reply::Value(info)) => Identity::parse(info),
        _ => None,
    })
}

/// Records what kind of namespace this is, or reads what another process has recorded.
pub(super) async fn check_format(wire: &Wire, meta_key: &[u8]) -> Result<(), Trouble> {
    let replies = wire.many(|commands| {
        commands.command(&[b"SET", meta_key, FORMAT.as_bytes(), b"NX"]);
        commands.command(&[b"GET", meta_key]);
    });
    known_format(replies.await?)
}

/// Whether the replies to the record say that we may use the namespace.
pub(super) fn known_format(replies: Replies) -> Result<(), Trouble> {
    let replies: Vec<Reply> = replies.into_iter().collect();
    let [set, get] = replies.as_slice() else { return Err(Trouble::Unexpected) };
    for reply in [set, get] {
        if reply.code().is_some() {
            let trouble = Trouble::from(reply);
            if trouble.counts() {
                return Err(trouble);
            }
        }
    }
    match get {
        Reply::Value(recorded) if is_known(recorded) => Ok(()),
        // Longer than anything we record, or of another kind.
        Reply::Value(_) | Reply::TooLarge => Err(unknown_format()),
        reply if reply.code() == Some("WRONGTYPE") => Err(unknown_format()),
        // A user who may not look, or a server that had no room to keep it: the entries themselves say what
        // they are.
        Reply::Error(_) | Reply::Nothing => Ok(()),
        _ => Err(Trouble::Unexpected),
    }
}

/// Has the server load the scripts; none where it has none, or not for this user.
async fn load_scripts(wire: &Wire) -> Result<Option<scripts::Names>, Trouble> {
    let replies: Vec<Reply> = wire.many(scripts::load).await?.into_iter().collect();
    for reply in replies.iter().filter(|reply| reply.code().is_some()) {
        let trouble = Trouble::from(reply);
        // It may have them another time: not to be taken for a server without.
        if trouble.counts() {
            return Err(trouble);
        }
    }
    Ok(scripts::Names::of(&replies))
}

/// Learns the version that every entry carries, so that the first write need not ask for it.
async fn learn_clear(wire: &Wire, tags: &TagSpace, names: &scripts::Names) -> Result<(), Trouble> {
    let look = tags.known.look();
    let call = tags.versions(&[], Duration::ZERO);
    let reply = wire.many(|to| call.encode(Some(names), to)).await?.one().ok_or(Trouble::Unexpected)?;
    match tags.seen(look, &[], reply) {
        Err(trouble) if trouble.counts() => Err(trouble),
        // A user who may not, or a server without room: entries are not stored there then.
        _ => Ok(()),
    }
}

fn unknown_format() -> Trouble {
    Trouble::Refused(
        "this prefix holds another format or number of partitions than this release knows (1 and 1)".into(),
    )
}

/// The id of the run in what a server says of itself.
pub(super) fn run_of(info: &[u8]) -> Option<Vec<u8>> {
    let mut lines = info.split(|byte| *byte == b'\n');
    let run = lines.find_map(|line| line.strip_prefix(b"run_id:"))?.trim_ascii();
    (!run.is_empty() && run.len() <= 64).then(|| run.to_vec())
}

/// Whether a record is one of ours. A later release may add fields; what it changes it says in these two.
fn is_known(recorded: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(recorded) else { return false };
    let has = |field: &str| text.split(' ').any(|other| other == field);
    FORMAT.split(' ').all(has)
}

/// Sees to it that the server forgets a connection that we gave up: what we sent there and it has not read yet
/// must not be carried out after what we send here. Both its number and its address must match, so that no
/// other connection is meant, after a restart of the server either.
async fn end(wire: &Wire, identity: &Identity) -> Result<bool, Trouble> {
    let kill: [&[u8]; 6] = [b"CLIENT", b"KILL", b"ID", &identity.id, b"ADDR", &identity.address];
    match wire.one(&kill).await? {
        Reply::Number(_) => Ok(true),
        // Not everybody may do it.
        _ => Ok(false),
    }
}

impl Identity {
    /// From a reply to `CLIENT INFO`: `id=7 addr=127.0.0.1:50312 laddr=… …`.
    fn parse(info: &[u8]) -> Option<Identity> {
        let field = |name: &[u8]| {
            info.split(|byte| *byte == b' ').find_map(|field| field.strip_prefix(name)).map(<[u8]>::to_vec)
        };
        Some(Identity { id: field(b"id=")?, address: field(b"addr=")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_format_and_partitions_of_this_release_are_known() {
        for known in ["format=1 partitions=1", "partitions=1 format=1", "format=1 partitions=1 beat=2"] {
            assert!(is_known(known.as_bytes()), "{known}");
        }
        for unknown in
            ["", "format=2 partitions=1", "format=1 partitions=256", "format=1", "format=1 partitions=10"]
        {
            assert!(!is_known(unknown.as_bytes()), "{unknown}");
        }
        assert!(!is_known(b"\xff"));
    }

    #[test]
    fn a_server_names_its_run() {
        let info = b"# Server\r\nredis_version:7.0.15\r\nrun_id:2b6c\r\ntcp_port:6379\r\n";
        assert_eq!(run_of(info).as_deref(), Some(&b"2b6c"[..]));
        assert_eq!(run_of(b"redis_version:7"), None);
        assert_eq!(run_of(&[b"run_id:", &[b'7'; 65][..]].concat()), None);
    }

    #[test]
    fn a_connection_is_known_by_number_and_address() {
        let info = b"id=7 addr=127.0.0.1:50312 laddr=127.0.0.1:6379 fd=8 name=scrubjay";
        let identity = Identity::parse(info).expect("both");
        assert_eq!((identity.id.as_slice(), identity.address.as_slice()), (&b"7"[..], &b"127.0.0.1:50312"[..]));
        assert_eq!(Identity::parse(b"OK"), None);
    }
}
