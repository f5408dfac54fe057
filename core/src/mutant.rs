//! Seeded bugs, for `make test-broken`: the proofs must find them. They are there in debug builds alone, which nobody installs;
//! the environment names one of them in `SCRUBJAY_BREAK`.

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// A fill is stored though its lease was lost.
    NoFence,
    /// What was read before a write is kept in memory after it.
    NoTicket,
    /// A process has one token for all its leases.
    TokenPerClient,
    /// A beat is a `PING`, which a server answers that takes no writes.
    PingBeat,
}

/// Whether this is broken.
#[cfg(debug_assertions)]
pub(crate) fn is_broken(mutant: Mutant) -> bool {
    static NAMED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let name = match mutant {
        Mutant::NoFence => "no_fence",
        Mutant::NoTicket => "no_ticket",
        Mutant::TokenPerClient => "token_per_client",
        Mutant::PingBeat => "ping_beat",
    };
    NAMED.get_or_init(|| std::env::var("SCRUBJAY_BREAK").ok()).as_deref() == Some(name)
}

/// Nothing is.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) const fn is_broken(_: Mutant) -> bool {
    false
}
