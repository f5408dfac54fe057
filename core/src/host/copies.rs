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
    /// on JSON documents of 100 B to 10 KB (`docs/decisions.md`).
    pub(crate) fn copy_weight(self, encoded: usize, is_raw: bool) -> u64 {
        // What the host's entry costs, then tenths of the text for a copy of JSON and of bytes.
        let (entry, json, raw) = match self {
            Language::Python => (320, 45, 10),
            Language::Node => (240, 40, 10),
            // A struct is 2.3 times its text; the garbage collector lets the heap grow to as much again and more. Go
            // does not keep what is heavier than that: an any is 6.3 times its text.
            Language::Go => (500, 60, 30),
        };
        let tenths = if is_raw { raw } else { json };
        (encoded as u64).saturating_mul(tenths) / 10 + entry
    }
}
