//! What can go wrong. One numbered list of kinds, the same in every language.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was. The numbers are stable: they are the codes of the C interface and of
/// every binding, and a released number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum ErrorKind {
    /// An option, a URL or an argument of a call is wrong. The message names it and its limit.
    InvalidOption = 1,
    /// A key is empty, longer than 1 KiB, or not bytes or text.
    InvalidKey = 2,
    /// A value cannot be stored: too large, too deep, or outside what every language can read.
    InvalidValue = 3,
    /// The source said that what was asked for does not exist.
    NotFound = 4,
    /// The fetch of another caller failed, and its error object cannot be shared with this one.
    FetchFailed = 5,
    /// The fetch did not end within `fetch_hard_timeout`.
    FetchTimeout = 6,
    /// A lease was fulfilled after it had ended. The value was not stored.
    LeaseExpired = 7,
    /// A fetch asked, directly or through other fetches, for the key it is loading.
    RecursiveFetch = 8,
    /// A bound on queues, waiters or loads in flight was reached.
    Overloaded = 9,
    /// The cache was closed.
    Closed = 10,
    /// The caller gave up waiting.
    Cancelled = 11,
    /// The second tier could not be reached, in a call that cannot do without it.
    Unavailable = 12,
    /// Some keys of a call on many failed; the others have their result.
    Partial = 13,
    /// A pending write of this key lies in another process.
    DirtyElsewhere = 14,
    /// This platform or server cannot do what was asked for.
    Unsupported = 15,
    /// A defect of Scrubjay: please report it.
    Internal = 16,
}

impl ErrorKind {
    /// Every kind, in the order of its number.
    pub const ALL: [ErrorKind; 16] = [
        ErrorKind::InvalidOption,
        ErrorKind::InvalidKey,
        ErrorKind::InvalidValue,
        ErrorKind::NotFound,
        ErrorKind::FetchFailed,
        ErrorKind::FetchTimeout,
        ErrorKind::LeaseExpired,
        ErrorKind::RecursiveFetch,
        ErrorKind::Overloaded,
        ErrorKind::Closed,
        ErrorKind::Cancelled,
        ErrorKind::Unavailable,
        ErrorKind::Partial,
        ErrorKind::DirtyElsewhere,
        ErrorKind::Unsupported,
        ErrorKind::Internal,
    ];

    /// The stable number of this kind, 1 and up.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The name of this kind, the same in every language.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidOption => "InvalidOption",
            ErrorKind::InvalidKey => "InvalidKey",
            ErrorKind::InvalidValue => "InvalidValue",
            ErrorKind::NotFound => "NotFound",
            ErrorKind::FetchFailed => "FetchFailed",
            ErrorKind::FetchTimeout => "FetchTimeout",
            ErrorKind::LeaseExpired => "LeaseExpired",
            ErrorKind::RecursiveFetch => "RecursiveFetch",
            ErrorKind::Overloaded => "Overloaded",
            ErrorKind::Closed => "Closed",
            ErrorKind::Cancelled => "Cancelled",
            ErrorKind::Unavailable => "Unavailable",
            ErrorKind::Partial => "Partial",
            ErrorKind::DirtyElsewhere => "DirtyElsewhere",
            ErrorKind::Unsupported => "Unsupported",
            ErrorKind::Internal => "Internal",
        }
    }

    /// Whether the same call may succeed later without a change on the caller's side.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            ErrorKind::FetchFailed
                | ErrorKind::FetchTimeout
                | ErrorKind::LeaseExpired
                | ErrorKind::Overloaded
                | ErrorKind::Cancelled
                | ErrorKind::Unavailable
                | ErrorKind::DirtyElsewhere
        )
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure: its kind, the operation, and a message that never contains values, passwords or full keys.
///
/// Cloning is cheap. The error that a fetch returned is [`Error::Fetch`]: the very object, to be downcast.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// The error of the fetch, unchanged: the leader's own object, shared with its waiters.
    Fetch(Arc<dyn StdError + Send + Sync>),
    /// Everything else.
    Cache(Arc<Failure>),
}

/// The parts of an [`Error::Cache`].
pub struct Failure {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    host_ref: Option<crate::host::ErrorRef>,
}

impl Error {
    /// An error of `kind` in `operation`, with a sentence for the reader.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Error::Cache(Arc::new(Failure { kind, operation, message: message.into(), host_ref: None }))
    }

    /// The failure of another language's fetch: its message, and the host's name for its error object.
    pub(crate) fn fetch_failed(message: String, host_ref: Option<crate::host::ErrorRef>) -> Self {
        Error::Cache(Arc::new(Failure {
            kind: ErrorKind::FetchFailed,
            operation: "get_or_fetch",
            message,
            host_ref,
        }))
    }

    /// What a fetch returns to say that what was asked for does not exist: it is remembered for
    /// `negative_ttl`, and callers get [`ErrorKind::NotFound`].
    pub fn not_found() -> Self {
        Error::new(ErrorKind::NotFound, "get_or_fetch", "not found")
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Fetch(_) => ErrorKind::FetchFailed,
            Error::Cache(failure) => failure.kind,
        }
    }

    /// Whether the same call may succeed later without a change on the caller's side.
    pub fn retryable(&self) -> bool {
        self.kind().retryable()
    }

    /// The operation that failed, by its name in the API.
    pub fn operation(&self) -> &'static str {
        match self {
            Error::Fetch(_) => "get_or_fetch",
            Error::Cache(failure) => failure.operation,
        }
    }

    /// The sentence for the reader, without kind and operation.
    pub fn message(&self) -> String {
        match self {
            Error::Fetch(error) => error.to_string(),
            Error::Cache(failure) => failure.message.clone(),
        }
    }

    /// The host's name for the error object of the fetch, 0 where there is none.
    pub fn host_ref(&self) -> u64 {
        match self {
            Error::Cache(failure) => failure.host_ref.as_ref().map_or(0, crate::host::ErrorRef::id),
            Error::Fetch(_) => 0,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Fetch(error) => write!(f, "get_or_fetch: the fetch failed: {error}"),
            Error::Cache(failure) => {
                write!(f, "{}: {}: {}", failure.operation, failure.kind, failure.message)
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Fetch(error) => f.debug_tuple("Fetch").field(error).finish(),
            Error::Cache(failure) => f
                .debug_struct("Error")
                .field("kind", &failure.kind)
                .field("retryable", &failure.kind.retryable())
                .field("operation", &failure.operation)
                .field("message", &failure.message)
                .finish(),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Fetch(error) => Some(error.as_ref()),
            Error::Cache(_) => None,
        }
    }
}
