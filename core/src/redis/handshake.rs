//! What a new connection says before anybody uses it: who we are, what time it is there, and whether the
//! namespace is of a kind that we know.

use redis::{Cmd, Pipeline, Value, cmd};

use super::address::Address;
use super::connection::Wire;
use super::server_time::ServerTime;
use super::trouble::Trouble;
use crate::clock::boottime_ms;

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
    /// Whether nothing that was sent on the connection before this one can still be carried out.
    pub predecessor_ended: bool,
}

/// Runs the handshake.
pub(super) async fn greet(
    wire: &Wire,
    address: &Address,
    meta_key: &[u8],
    predecessor: &Predecessor,
) -> Result<Greeting, Trouble> {
    let identity = log_in(wire, address).await?;
    let sent = boottime_ms();
    let time = wire.one(cmd("TIME")).await?;
    let time = ServerTime::new(&time, sent, boottime_ms())?;
    check_format(wire, meta_key).await?;
    let predecessor_ended = match predecessor {
        Predecessor::None => true,
        Predecessor::Known(identity) => end(wire, identity).await?,
        Predecessor::Unknown => false,
    };
    Ok(Greeting { time, identity, predecessor_ended })
}

/// Asks the server's time anew.
pub(super) async fn refresh(wire: &Wire, time: &ServerTime) -> Result<(), Trouble> {
    let sent = boottime_ms();
    let reply = wire.one(cmd("TIME")).await?;
    time.observe(&reply, sent, boottime_ms())
}

async fn log_in(wire: &Wire, address: &Address) -> Result<Option<Identity>, Trouble> {
    let mut commands = Pipeline::new();
    let mut needed = 0;
    if let Some(password) = &address.password {
        let mut auth = cmd("AUTH");
        if let Some(username) = &address.username {
            auth.arg(username);
        }
        auth.arg(password);
        commands.add_command(auth);
        needed += 1;
    }
    if address.database != 0 {
        commands.cmd("SELECT").arg(address.database);
        needed += 1;
    }
    // For whoever looks at the server. Neither is needed, and not everybody may do it.
    commands.cmd("CLIENT").arg("SETNAME").arg("scrubjay");
    commands.cmd("CLIENT").arg("INFO");
    let replies = wire.many(commands).await?;
    for reply in replies.iter().take(needed) {
        match reply {
            Value::Okay => {}
            Value::ServerError(error) => {
                // "ERR …" would tell nothing: the login, or the database, was refused.
                return Err(match Trouble::from(error) {
                    Trouble::Server(code) if code.is("ERR") => Trouble::lost("login or database was refused"),
                    trouble => trouble,
                });
            }
            _ => return Err(Trouble::Unexpected),
        }
    }
    Ok(match replies.last() {
        Some(Value::BulkString(info)) => Identity::parse(info),
        _ => None,
    })
}

/// Records what kind of namespace this is, or reads what another process has recorded.
async fn check_format(wire: &Wire, meta_key: &[u8]) -> Result<(), Trouble> {
    let mut commands = Pipeline::new();
    commands.cmd("SET").arg(meta_key).arg(FORMAT).arg("NX");
    commands.cmd("GET").arg(meta_key);
    let replies = wire.many(commands).await?;
    let [set, get] = replies.as_slice() else { return Err(Trouble::Unexpected) };
    for reply in [set, get] {
        if let Value::ServerError(error) = reply {
            let trouble = Trouble::from(error);
            if trouble.counts() {
                return Err(trouble);
            }
        }
    }
    match get {
        Value::BulkString(recorded) if is_known(recorded) => Ok(()),
        Value::BulkString(_) => Err(unknown_format()),
        Value::ServerError(error) if error.code() == "WRONGTYPE" => Err(unknown_format()),
        // A user who may not look, or a server that had no room to keep it: the entries themselves say what
        // they are.
        Value::ServerError(_) | Value::Nil => Ok(()),
        _ => Err(Trouble::Unexpected),
    }
}

fn unknown_format() -> Trouble {
    Trouble::Refused(
        "this prefix holds another format or number of partitions than this release knows (1 and 1)".into(),
    )
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
    let mut kill: Cmd = cmd("CLIENT");
    kill.arg("KILL").arg("ID").arg(&identity.id).arg("ADDR").arg(&identity.address);
    match wire.one(kill).await? {
        Value::Int(_) => Ok(true),
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
    fn a_connection_is_known_by_number_and_address() {
        let info = b"id=7 addr=127.0.0.1:50312 laddr=127.0.0.1:6379 fd=8 name=scrubjay";
        let identity = Identity::parse(info).expect("both");
        assert_eq!((identity.id.as_slice(), identity.address.as_slice()), (&b"7"[..], &b"127.0.0.1:50312"[..]));
        assert_eq!(Identity::parse(b"OK"), None);
    }
}
