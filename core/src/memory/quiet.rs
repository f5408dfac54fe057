//! Types whose `clone` runs no code of the user's: those may be cloned under a lock.

use std::any::{TypeId, type_name};
use std::sync::Arc;

use bytes::Bytes;

/// Whether cloning a `V` is known to run no code of the user's. A "no" for one that would be quiet costs a few
/// nanoseconds a hit.
#[inline]
pub(super) fn clones_quietly<V: 'static>() -> bool {
    let quiet = [
        TypeId::of::<String>(),
        TypeId::of::<Vec<u8>>(),
        TypeId::of::<Bytes>(),
        TypeId::of::<Arc<str>>(),
        TypeId::of::<Arc<[u8]>>(),
        TypeId::of::<()>(),
        TypeId::of::<bool>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<i32>(),
        TypeId::of::<i64>(),
        TypeId::of::<usize>(),
        TypeId::of::<f64>(),
    ];
    // Of an `Arc<T>` no type id says that it is one; its clone counts, and that is all. Nothing but the standard
    // library can be named so, and were the name spelled otherwise one day, this would only be slower.
    quiet.contains(&TypeId::of::<V>()) || type_name::<V>().starts_with("alloc::sync::Arc<")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_and_plain_values_are_quiet() {
        struct Own;
        assert!(clones_quietly::<Arc<Own>>() && clones_quietly::<Arc<[u8; 100]>>() && clones_quietly::<u64>());
        assert!(
            !clones_quietly::<Own>() && !clones_quietly::<Vec<Own>>() && !clones_quietly::<Option<Arc<Own>>>()
        );
    }
}
