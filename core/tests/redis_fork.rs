//! A child of a fork uses connections of its own. The one test of this file: a fork takes the whole process along.

mod support;

use support::{Server, open};

#[test]
fn parent_and_child_each_have_a_connection() {
    let server = Server::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cache = open(&server.url(), "fork");
    runtime().block_on(async {
        cache.set("from parent", "v", 60).await.expect("a write");
    });
    // SAFETY: the child uses nothing that another thread may have locked, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a child");
    if child == 0 {
        let worked = runtime().block_on(async {
            let found = cache.get::<String>("from parent").await.is_ok_and(|value| value.as_deref() == Some("v"));
            let written = cache.set("from child", "v", 60).await.is_ok_and(|receipt| !receipt.pending);
            let deleted = cache.delete("from parent").await.is_ok_and(|receipt| !receipt.pending);
            let closed = cache.close().await.is_ok_and(|receipt| !receipt.pending);
            [found && cache.stats().hits_l1 == 0, written, deleted, closed]
        });
        let failed = worked.iter().position(|worked| !worked).map_or(0, |at| i32::try_from(at).unwrap_or(0) + 1);
        // SAFETY: nothing of this process is to be cleaned up.
        unsafe { libc::_exit(failed) };
    }
    let mut status = 0;
    // SAFETY: our own child, waited for once.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "step {}", libc::WEXITSTATUS(status));
    runtime().block_on(async {
        assert_eq!(cache.get::<String>("from child").await.expect("a read").as_deref(), Some("v"));
        assert_eq!(cache.stats().l2_errors, 0, "the parent's connection is as it was");
    });
    assert_eq!(server.hot_connections().len(), 1);
}
