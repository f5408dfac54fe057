//! Large values: JavaScript reads them where they lie, so that no event loop copies them.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use napi::sys;

use crate::js::{Js, UNDEFINED, Value};

/// From so many bytes on a value is not copied into the memory of JavaScript, where that can be.
const LARGE: usize = 64 << 10;

impl Js {
    /// A `Buffer` of these bytes; none when there is no room for it. A large one has the very memory, where it is nobody
    /// else's: what JavaScript writes there must not be seen elsewhere.
    pub fn buffer(self, bytes: Bytes) -> Option<Value> {
        if bytes.len() < LARGE {
            return self.buffer_copy(&bytes);
        }
        match bytes.try_into_mut() {
            Ok(own) => self.buffer_over(own),
            Err(shared) => self.buffer_copy(&shared),
        }
    }

    fn buffer_copy(self, bytes: &[u8]) -> Option<Value> {
        let (mut value, mut data) = (UNDEFINED, ptr::null_mut());
        // SAFETY: the pointer and the length are those of `bytes`, the results are writable.
        let status = unsafe {
            sys::napi_create_buffer_copy(self.raw(), bytes.len(), bytes.as_ptr().cast(), &mut data, &mut value)
        };
        (status == sys::Status::napi_ok).then_some(value)
    }

    fn buffer_over(self, own: BytesMut) -> Option<Value> {
        let owner = Box::into_raw(Box::new(own));
        let mut value = UNDEFINED;
        // SAFETY: the bytes are the owner's alone and stay where they are until `finalize` frees it; `value` is writable.
        let status = unsafe {
            let (data, length) = ((*owner).as_mut_ptr(), (*owner).len());
            sys::napi_create_external_buffer(
                self.raw(),
                length,
                data.cast(),
                Some(finalize::<BytesMut>),
                owner.cast(),
                &mut value,
            )
        };
        if status == sys::Status::napi_ok {
            return Some(value);
        }
        // SAFETY: no buffer was made, so nobody else will free the owner.
        let own = unsafe { Box::from_raw(owner) };
        self.buffer_copy(&own)
    }

    /// A string of JSON; none when it is longer than a string of V8 can be, or not UTF-8. A large one is read where it
    /// lies, where Node.js can do that.
    pub fn json(self, text: Bytes) -> Option<Value> {
        if text.len() < LARGE || !text.is_ascii() {
            return self.text(&text);
        }
        let Some(create) = external_string() else { return self.text(&text) };
        let owner = Box::into_raw(Box::new(text));
        let (mut value, mut copied) = (UNDEFINED, false);
        // SAFETY: the bytes are not written to, and stay where they are until `finalize` frees the owner; the results are
        // writable.
        let status = unsafe {
            let (data, length) = ((*owner).as_ptr(), (*owner).len());
            create(
                self.raw(),
                data.cast_mut().cast(),
                length,
                Some(finalize::<Bytes>),
                owner.cast(),
                &mut value,
                &mut copied,
            )
        };
        if status == sys::Status::napi_ok {
            // Where it was copied all the same, the owner was finalized.
            return Some(value);
        }
        // SAFETY: no string was made, so nobody else will free the owner.
        let text = unsafe { Box::from_raw(owner) };
        self.text(&text)
    }
}

/// Frees what JavaScript saw the memory of.
pub unsafe extern "C" fn finalize<T>(_env: sys::napi_env, _data: *mut c_void, owner: *mut c_void) {
    // SAFETY: `owner` is a box of a `T` that was given to Node-API with this very function, which it calls once, after what
    // was made over it is gone or detached.
    drop(unsafe { Box::from_raw(owner.cast::<T>()) });
}

/// `node_api_create_external_string_latin1`, which is there since 20.4.
type ExternalString = unsafe extern "C" fn(
    sys::napi_env,
    *mut c_char,
    usize,
    sys::napi_finalize,
    *mut c_void,
    *mut sys::napi_value,
    *mut bool,
) -> sys::napi_status;

fn external_string() -> Option<ExternalString> {
    static FOUND: OnceLock<Option<ExternalString>> = OnceLock::new();
    // SAFETY: the function of that name has that signature.
    *FOUND.get_or_init(|| unsafe { find(c"node_api_create_external_string_latin1") })
}

/// A function of the program that loaded us.
///
/// # Safety
/// `F` is a pointer to a function with the signature that the one of this name has.
pub unsafe fn find<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the name ends with a zero; the look-up is in what is loaded for all.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: both are pointers of one size, and the caller knows the signature.
    (!found.is_null()).then(|| unsafe { std::mem::transmute_copy::<*mut c_void, F>(&found) })
}
