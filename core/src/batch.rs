//! Answers that come together wake their host once.
//!
//! Who drives a connection finds many replies in one read. While it hands them out on its thread, queues put their wake
//! off to the end: a host that is woken by the first answer would find only that one, and be woken again for the next.

use std::cell::RefCell;
use std::sync::Arc;

/// Something that owes a wake.
pub(crate) trait Owes: Send + Sync {
    /// Pays what is owed. Called with no lock held.
    fn pay(&self);
}

thread_local! {
    /// Those who owe, while a batch is handed out on this thread.
    static OWING: RefCell<Option<Vec<Arc<dyn Owes>>>> = const { RefCell::new(None) };
}

/// Hands out a batch; what is owed by the end of it is paid then.
pub(crate) fn together(hand_out: impl FnOnce()) {
    let outer = OWING.with(|owing| owing.replace(Some(Vec::new())));
    // A panic of `hand_out` is no reason for a host to sleep on.
    let _end = End(outer);
    hand_out();
}

/// Puts `who` off to the end of the batch of this thread. False where there is none: then it is to pay at once.
pub(crate) fn put_off(who: &Arc<impl Owes + 'static>) -> bool {
    OWING
        .try_with(|owing| {
            let mut owing = owing.borrow_mut();
            let Some(all) = owing.as_mut() else { return false };
            // A host has one queue, or few: the last one is most often the same.
            if !all.last().is_some_and(|last| std::ptr::addr_eq(Arc::as_ptr(last), Arc::as_ptr(who))) {
                all.push(who.clone());
            }
            true
        })
        .unwrap_or(false)
}

struct End(Option<Vec<Arc<dyn Owes>>>);

impl Drop for End {
    fn drop(&mut self) {
        let owing = OWING.with(|owing| owing.replace(self.0.take()));
        owing.into_iter().flatten().for_each(|who| who.pay());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Host(AtomicU32);

    impl Owes for Host {
        fn pay(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Host {
        fn paid(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn what_is_owed_is_paid_once_at_the_end() {
        let host = Arc::new(Host::default());
        assert!(!put_off(&host));
        together(|| {
            assert!(put_off(&host) && put_off(&host));
            together(|| assert!(put_off(&host)));
            assert_eq!(host.paid(), 1, "that of the inner batch");
        });
        assert_eq!(host.paid(), 2);
        assert!(!put_off(&host));
    }

    #[test]
    fn a_panic_pays_too() {
        let host = Arc::new(Host::default());
        let batch = || {
            together(|| {
                assert!(put_off(&host));
                panic!("of who hands out");
            });
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(batch)).is_err());
        assert_eq!(host.paid(), 1);
    }
}
