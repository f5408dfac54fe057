use std::os::fd::AsRawFd;

use super::*;

fn is_rung(queue: &Queue) -> bool {
    let Wake::Bell(bell) = &queue.wake else { return false };
    let mut polled = libc::pollfd { fd: bell.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is ours.
    unsafe { libc::poll(&raw mut polled, 1, 0) == 1 }
}

#[test]
fn an_answer_after_one_that_was_cancelled_is_announced() {
    for queue in [Queue::driving(), Queue::for_caller()] {
        let answer = |token| {
            let opened = queue.open("get", token).expect("a token");
            queue.complete(opened, Answer::Miss).expect("it is waited for");
        };
        answer(1);
        assert!(queue.cancel(1));
        let mut taken = Vec::new();
        assert_eq!(queue.wait(1, Some(Duration::ZERO), &mut taken), 0);
        assert!(!is_rung(&queue));
        // Somebody else gives it while the thread waits for the bell.
        answer(2);
        assert!(is_rung(&queue));
        assert_eq!(queue.wait(1, Some(Duration::ZERO), &mut taken), 1);
        assert_eq!(taken[0].token, 2);
    }
}
