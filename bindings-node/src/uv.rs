//! The event loop of an environment, which watches the descriptor of its queue itself: so a reply of the server wakes
//! this thread, and no thread of the core before it.
//!
//! The calls of libuv are looked up when they are first needed. Where the program that loaded us does not export them,
//! the environment is woken by a thread-safe function instead (`host.rs`).

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use napi::sys;

use crate::host::HostRef;
use crate::js::{Js, Value};
use crate::lent::find;

/// `UV_POLL` of `uv_handle_type`.
const POLL: c_int = 8;
/// `UV_READABLE` of `uv_poll_event`.
const READABLE: c_int = 1;

type Handle = *mut c_void;

/// What is used of libuv, as it is since 1.19 and through all of 1.x.
struct Uv {
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    set_data: unsafe extern "C" fn(Handle, *mut c_void),
    get_data: unsafe extern "C" fn(Handle) -> *mut c_void,
    poll_init: unsafe extern "C" fn(*mut c_void, Handle, c_int) -> c_int,
    poll_start: unsafe extern "C" fn(Handle, c_int, unsafe extern "C" fn(Handle, c_int, c_int)) -> c_int,
    close: unsafe extern "C" fn(Handle, unsafe extern "C" fn(Handle)),
    keep: unsafe extern "C" fn(Handle),
    let_go: unsafe extern "C" fn(Handle),
}

/// libuv, where the program has it.
fn uv() -> Option<&'static Uv> {
    static UV: OnceLock<Option<Uv>> = OnceLock::new();
    UV.get_or_init(|| {
        // SAFETY: each name is that of a function of libuv with this signature, which its version 1 keeps.
        unsafe {
            Some(Uv {
                handle_size: find(c"uv_handle_size")?,
                set_data: find(c"uv_handle_set_data")?,
                get_data: find(c"uv_handle_get_data")?,
                poll_init: find(c"uv_poll_init")?,
                poll_start: find(c"uv_poll_start")?,
                close: find(c"uv_close")?,
                keep: find(c"uv_ref")?,
                let_go: find(c"uv_unref")?,
            })
        }
    })
    .as_ref()
}

/// The watch of an environment's loop over its queue: it begins unreferenced, and ends with the environment.
#[derive(Clone, Copy)]
pub struct Watch(Handle);

// SAFETY: the handle is a number elsewhere than on the thread of its environment: who uses it says so.
unsafe impl Send for Watch {}

/// What the loop calls back with.
struct Watched {
    env: sys::napi_env,
    drain: sys::napi_ref,
    host: HostRef,
    /// Told when libuv has let go of the handle.
    ended: sys::napi_async_cleanup_hook_handle,
}

impl Watch {
    /// Has the loop of this environment run `drain` when the descriptor of the host's queue is readable. None where that
    /// cannot be: then nothing was begun.
    pub fn begin(js: Js, drain: Value, host: &HostRef) -> Option<Watch> {
        let (uv, fd) = (uv()?, host.queue().fd()?);
        let mut uv_loop = ptr::null_mut();
        // SAFETY: `env` is the environment of this call, the result is writable.
        if unsafe { sys::napi_get_uv_event_loop(js.raw(), &mut uv_loop) } != sys::Status::napi_ok {
            return None;
        }
        // SAFETY: libuv says how large its handle is; malloc aligns it for everything.
        let handle: Handle = unsafe { libc::calloc(1, (uv.handle_size)(POLL)) };
        if handle.is_null() {
            return None;
        }
        // SAFETY: the handle is ours and as large as it must be, the loop that of this thread, the descriptor open.
        if unsafe { (uv.poll_init)(uv_loop.cast(), handle, fd) } != 0 {
            // SAFETY: libuv has not taken the handle.
            unsafe { libc::free(handle) };
            return None;
        }
        let mut reference = ptr::null_mut();
        // SAFETY: `drain` is a function of our JavaScript, the result is writable.
        unsafe { sys::napi_create_reference(js.raw(), drain, 1, &mut reference) };
        let watched = Watched { env: js.raw(), drain: reference, host: host.clone(), ended: ptr::null_mut() };
        let watched = Box::into_raw(Box::new(watched));
        // SAFETY: the handle is live; `watched` stays until it is closed; the hook takes exactly this handle, once.
        unsafe {
            (uv.set_data)(handle, watched.cast());
            (uv.let_go)(handle);
            // A hook that nobody takes back runs when the environment ends: it comes last.
            let begun = (uv.poll_start)(handle, READABLE, readable) == 0;
            let mut hook = ptr::null_mut();
            let hooked = begun.then(|| sys::napi_add_async_cleanup_hook(js.raw(), Some(end), handle, &mut hook));
            if hooked != Some(sys::Status::napi_ok) {
                close(handle);
                return None;
            }
            (*watched).ended = hook;
        }
        Some(Watch(handle))
    }

    /// From now on the process stays.
    ///
    /// # Safety
    /// This is the thread of the environment, and its end has not begun.
    pub unsafe fn keep_alive(self) {
        // SAFETY: the handle is live until the end, and this is its thread.
        uv().into_iter().for_each(|uv| unsafe { (uv.keep)(self.0) });
    }

    /// The process may end.
    ///
    /// # Safety
    /// As for [`Watch::keep_alive`].
    pub unsafe fn let_go(self) {
        // SAFETY: as there.
        uv().into_iter().for_each(|uv| unsafe { (uv.let_go)(self.0) });
    }
}

/// Answers are there, or can be received: runs `drain`, and what its callers go on to. What they ask meanwhile leaves
/// together.
unsafe extern "C" fn readable(handle: Handle, _status: c_int, _events: c_int) {
    let Some(uv) = uv() else { return };
    // SAFETY: the data is what `begin` put there, which stays until the handle is closed. It is not borrowed while
    // JavaScript runs: that may end the environment.
    let (env, drain, host) = unsafe {
        let watched = (uv.get_data)(handle).cast::<Watched>();
        ((*watched).env, (*watched).drain, (*watched).host.clone())
    };
    let js = Js::new(env);
    host.queue().hold();
    js.call_back(drain);
    host.queue().send();
}

/// The environment ends.
unsafe extern "C" fn end(_hook: sys::napi_async_cleanup_hook_handle, handle: *mut c_void) {
    let Some(uv) = uv() else { return };
    // SAFETY: the handle is that of `begin`, whose data stays until it is closed.
    unsafe {
        let watched = (uv.get_data)(handle).cast::<Watched>();
        (*watched).host.end();
        close(handle);
    }
}

/// Has libuv let go of a handle, and then frees it.
///
/// # Safety
/// The handle is one of `begin` and not closed yet; this is the thread of its environment.
unsafe fn close(handle: Handle) {
    let Some(uv) = uv() else { return };
    // SAFETY: as the caller says; a reference may go while the environment ends.
    unsafe {
        let watched = (uv.get_data)(handle).cast::<Watched>();
        sys::napi_delete_reference((*watched).env, (*watched).drain);
        (uv.close)(handle, closed);
    }
}

unsafe extern "C" fn closed(handle: Handle) {
    let Some(uv) = uv() else { return };
    // SAFETY: libuv has let go of the handle, and calls this once. The data is the box of `begin`.
    unsafe {
        let watched = Box::from_raw((uv.get_data)(handle).cast::<Watched>());
        libc::free(handle);
        // The descriptor may be closed from here on.
        let ended = watched.ended;
        drop(watched);
        if !ended.is_null() {
            sys::napi_remove_async_cleanup_hook(ended);
        }
    }
}
