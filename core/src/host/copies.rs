//! Decoded copies in the memory of a host, and what they weigh there.

/// The runtime that keeps decoded copies of what lies in the memory tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// CPython: dicts, lists and boxed numbers.
    Python,
    /// Node.js: objects of V8.
    Node,
    /// Go: values of the reader's own types.
    Go,
}

impl Language {
    /// What a decoded copy of `encoded` bytes weighs, the host's own entry for it included. The factors were measured
    /// on JSON documents of 100 B to 10 KB (`docs/performance.md`); bytes count once.
    pub(crate) fn copy_weight(self, encoded: usize, is_raw: bool) -> u64 {
        let (entry, tenths) = match self {
            Language::Python => (280, 45),
            Language::Node => (240, 40),
            // With the room that the garbage collector takes: it lets the heap grow to twice what lives. Twice a
            // struct is 4.5 times the text, twice an any 12.6 times, of which the bound of 1.5 leaves 8.
            Language::Go => (500, 80),
        };
        let tenths = if is_raw { 10 } else { tenths };
        (encoded as u64).saturating_mul(tenths) / 10 + entry
    }
}
