//! What goes wrong with a server, and what follows from it.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::wire::{Failure, Reply};

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server did not answer within the time of the operation.
    Timeout,
    /// There is no connection, or it was lost; why.
    Lost(Arc<str>),
    /// The server answered with this error.
    Server(Code),
    /// The server answered with what is no answer to the question: replies may be out of step.
    Unexpected,
    /// The namespace is of a kind that this release must not touch; why.
    Refused(Arc<str>),
    /// Too much was left to do for the time of one operation.
    Unfinished,
    /// The breaker is open.
    CutOff,
    /// Too many operations, or bytes of them, are in flight.
    Overloaded,
    /// What was asked for is too many bytes.
    TooMuch,
    /// The tier was closed.
    Closed,
}

/// The first word of a server's error. The rest may tell user names or keys, so it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Code(Arc<str>);

impl Trouble {
    pub fn lost(why: &str) -> Trouble {
        Trouble::Lost(why.into())
    }

    /// Whether the breaker counts it: the server cannot do its work, whatever the operation was.
    pub fn counts(&self) -> bool {
        match self {
            Trouble::Timeout | Trouble::Lost(_) | Trouble::Unexpected => true,
            Trouble::Server(code) => code.means_down(),
            Trouble::Refused(_)
            | Trouble::Unfinished
            | Trouble::CutOff
            | Trouble::Overloaded
            | Trouble::TooMuch
            | Trouble::Closed => false,
        }
    }

    /// Whether the server has shown that it works, though it would not do this.
    pub fn is_answer(&self) -> bool {
        match self {
            Trouble::Server(code) => !code.means_down(),
            Trouble::Unfinished | Trouble::TooMuch => true,
            _ => false,
        }
    }

    /// Whether the connection is not to be used any more.
    pub fn ends_connection(&self) -> bool {
        match self {
            Trouble::Unexpected => true,
            Trouble::Server(code) => {
                // What refuses writes or logins now may be another server behind the same name next time.
                ["READONLY", "NOAUTH", "WRONGPASS", "UNBLOCKED"].contains(&&*code.0)
            }
            _ => false,
        }
    }

    /// The error of `operation`.
    pub fn into_error(self, operation: &'static str) -> Error {
        let kind = match &self {
            Trouble::Overloaded | Trouble::TooMuch => ErrorKind::Overloaded,
            Trouble::Closed => ErrorKind::Closed,
            Trouble::Refused(_) => ErrorKind::Unsupported,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, operation, self.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Timeout => f.write_str("the server did not answer within l2_timeout"),
            Trouble::Lost(why) => write!(f, "no connection: {why}"),
            Trouble::Server(code) => write!(f, "the server answered with the error {code:?}"),
            Trouble::Unexpected => f.write_str("the server answered something else than was asked"),
            Trouble::Refused(why) => f.write_str(why),
            Trouble::Unfinished => f.write_str("there was more to do than fits into l2_timeout"),
            Trouble::CutOff => f.write_str("the server is cut off for a while after repeated failures"),
            Trouble::Overloaded => f.write_str("too many operations or bytes are in flight to the server"),
            Trouble::TooMuch => {
                f.write_str("the values of these keys are more than 64 MiB together: ask for fewer at once")
            }
            Trouble::Closed => f.write_str("the cache is closed"),
        }
    }
}

impl Code {
    pub fn is(&self, code: &str) -> bool {
        &*self.0 == code
    }

    /// The server, not the operation, is the cause: starting, stuck, a replica, not ours, or no longer the owner.
    fn means_down(&self) -> bool {
        const DOWN: [&str; 12] = [
            "LOADING",
            "BUSY",
            "READONLY",
            "MASTERDOWN",
            "NOREPLICAS",
            "NOAUTH",
            "WRONGPASS",
            "UNBLOCKED",
            "MOVED",
            "ASK",
            "TRYAGAIN",
            "CLUSTERDOWN",
        ];
        DOWN.contains(&&*self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Reply> for Trouble {
    /// What a reply says that is no answer to the question.
    fn from(reply: &Reply) -> Self {
        let Some(code) = reply.code() else { return Trouble::Unexpected };
        let honest = !code.is_empty() && code.len() <= 32 && code.bytes().all(|b| b.is_ascii_uppercase());
        Trouble::Server(Code(if honest { code } else { "ERR" }.into()))
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Late => Trouble::Timeout,
            Failure::Full => Trouble::Overloaded,
            Failure::Ended(why) => Trouble::Lost(why),
            Failure::Fault(_) => Trouble::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(code: &str) -> Trouble {
        Trouble::Server(Code(code.into()))
    }

    #[test]
    fn what_a_server_refuses_is_told_from_a_server_that_is_down() {
        for down in ["LOADING", "READONLY", "NOAUTH", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN", "BUSY"] {
            assert!(code(down).counts() && !code(down).is_answer(), "{down}");
        }
        for refusal in ["WRONGTYPE", "NOPERM", "OOM", "ERR", "CROSSSLOT"] {
            assert!(!code(refusal).counts() && code(refusal).is_answer(), "{refusal}");
            assert!(!code(refusal).ends_connection(), "{refusal}");
        }
        assert!(code("READONLY").ends_connection() && code("NOAUTH").ends_connection());
        assert!(!code("LOADING").ends_connection());
    }

    #[test]
    fn neither_overload_nor_the_format_is_a_failure_of_the_server() {
        for trouble in [Trouble::Overloaded, Trouble::CutOff, Trouble::Closed, Trouble::Refused("x".into())] {
            assert!(!trouble.counts() && !trouble.is_answer(), "{trouble}");
        }
        assert_eq!(Trouble::Overloaded.into_error("set").kind(), ErrorKind::Overloaded);
        assert_eq!(Trouble::TooMuch.into_error("get_many").kind(), ErrorKind::Overloaded);
        assert!(!Trouble::TooMuch.counts() && Trouble::TooMuch.is_answer() && !Trouble::TooMuch.ends_connection());
        assert_eq!(Trouble::Refused("x".into()).into_error("set").kind(), ErrorKind::Unsupported);
        assert_eq!(Trouble::Timeout.into_error("set").kind(), ErrorKind::Unavailable);
    }
}
