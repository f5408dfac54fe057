//! What a write-behind has done and has to do: the same names in every language.

/// A snapshot of one write-behind in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteBehindStats {
    /// Writes that wait for the source, those handed out included; dead letters are not.
    pub depth: u64,
    /// What they and the dead letters weigh, overhead counted.
    pub bytes: u64,
    /// How long the oldest of them has waited, in milliseconds.
    pub oldest_age_ms: u64,
    /// Writes that are handed out and not answered for.
    pub in_flight: u64,
    /// Writes acknowledged to callers.
    pub accepted: u64,
    /// Writes that the source has.
    pub written: u64,
    /// Writes that a newer one of their key took the place of.
    pub coalesced: u64,
    /// Failures of writes that were, or will be, tried again.
    pub retried: u64,
    /// Dead letters.
    pub dead: u64,
    /// Writes taken over from dead processes.
    pub adopted: u64,
    /// Writes refused, or that waited in vain, because too much waited.
    pub rejected: u64,
    /// Commits, or attempts to open a journal anew, that failed.
    pub journal_errors: u64,
    /// 1 while writes are not acknowledged because the journal, or the stream, cannot be written.
    pub journal_failed: u64,
}

impl WriteBehindStats {
    /// The counters by name, in the order of their documentation.
    pub fn counters(&self) -> [(&'static str, u64); 13] {
        [
            ("depth", self.depth),
            ("bytes", self.bytes),
            ("oldest_age_ms", self.oldest_age_ms),
            ("in_flight", self.in_flight),
            ("accepted", self.accepted),
            ("written", self.written),
            ("coalesced", self.coalesced),
            ("retried", self.retried),
            ("dead", self.dead),
            ("adopted", self.adopted),
            ("rejected", self.rejected),
            ("journal_errors", self.journal_errors),
            ("journal_failed", self.journal_failed),
        ]
    }

    /// The snapshot as a JSON object.
    pub fn to_json(&self) -> String {
        let fields: Vec<String> =
            self.counters().iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }
}
