//! The few calls of Node-API that the addon needs, each wrapped once.
//!
//! A [`Value`] is a handle of the call that is under way: it is never kept beyond it, and never leaves its thread.

use std::ffi::{CString, c_void};
use std::ptr;

use napi::sys;

use crate::behind::Behind;
use crate::cache::Cache;
use crate::host::HostRef;
use crate::lent::finalize;
use crate::slots::Keeper;
use crate::template::ParsedTemplate;

/// A handle to a JavaScript value; null stands for `undefined` where one is returned.
pub type Value = sys::napi_value;

/// The arguments of a call; what was not given is `undefined`.
pub type Arguments = [Value; MAX_ARGUMENTS];

/// No function of the addon takes more.
pub const MAX_ARGUMENTS: usize = 8;

/// What `return;` is in JavaScript.
pub const UNDEFINED: Value = ptr::null_mut();

/// An object of ours that JavaScript holds, and whose memory its garbage collector gives back.
pub enum Handle {
    /// The side of the core of one Node environment.
    Host(HostRef),
    /// An open cache.
    Cache(Cache),
    /// An open write-behind.
    Behind(Behind),
    /// The core's side of a memory cache.
    Slots(Keeper),
    /// A parsed template of keys.
    Template(ParsedTemplate),
}

/// The environment of the call that is under way.
#[derive(Clone, Copy)]
pub struct Js {
    env: sys::napi_env,
}

impl Js {
    /// For the environment that calls us.
    pub fn new(env: sys::napi_env) -> Self {
        Js { env }
    }

    /// The environment itself.
    pub fn raw(self) -> sys::napi_env {
        self.env
    }

    /// A number.
    pub fn number(self, number: f64) -> Value {
        let mut value = UNDEFINED;
        // SAFETY: `env` is the environment of this call, `value` is writable.
        unsafe { sys::napi_create_double(self.env, number, &mut value) };
        value
    }

    /// A small whole number.
    pub fn int(self, number: i32) -> Value {
        let mut value = UNDEFINED;
        // SAFETY: `env` is the environment of this call, `value` is writable.
        unsafe { sys::napi_create_int32(self.env, number, &mut value) };
        value
    }

    /// `true` or `false`.
    pub fn boolean(self, boolean: bool) -> Value {
        let mut value = UNDEFINED;
        // SAFETY: `env` is the environment of this call, `value` is writable.
        unsafe { sys::napi_get_boolean(self.env, boolean, &mut value) };
        value
    }

    /// `null`.
    pub fn null(self) -> Value {
        let mut value = UNDEFINED;
        // SAFETY: `env` is the environment of this call, `value` is writable.
        unsafe { sys::napi_get_null(self.env, &mut value) };
        value
    }

    /// `undefined`, as an element of an array.
    pub fn undefined(self) -> Value {
        let mut value = UNDEFINED;
        // SAFETY: `env` is the environment of this call, `value` is writable.
        unsafe { sys::napi_get_undefined(self.env, &mut value) };
        value
    }

    /// A string; none when it is longer than a string of V8 can be, or not UTF-8.
    pub fn text(self, text: &[u8]) -> Option<Value> {
        let mut value = UNDEFINED;
        let length = isize::try_from(text.len()).ok()?;
        let status = if text.is_ascii() {
            // One byte a character, copied as they are: several times faster than decoding UTF-8.
            // SAFETY: the pointer and the length are those of `text`, `value` is writable.
            unsafe { sys::napi_create_string_latin1(self.env, text.as_ptr().cast(), length, &mut value) }
        } else {
            // SAFETY: as above.
            unsafe { sys::napi_create_string_utf8(self.env, text.as_ptr().cast(), length, &mut value) }
        };
        (status == sys::Status::napi_ok).then_some(value)
    }

    /// A string of ours, which is never too long.
    pub fn string(self, text: &str) -> Value {
        self.text(text.as_bytes()).unwrap_or(UNDEFINED)
    }

    /// An `ArrayBuffer` with a copy of these words.
    pub fn words(self, words: &[u32]) -> Value {
        let (mut value, mut data) = (UNDEFINED, ptr::null_mut());
        // SAFETY: the results are writable.
        let status = unsafe { sys::napi_create_arraybuffer(self.env, size_of_val(words), &mut data, &mut value) };
        if status != sys::Status::napi_ok {
            return self.undefined();
        }
        // SAFETY: the buffer was just made with room for the words, and nobody else has seen it.
        unsafe { ptr::copy_nonoverlapping(words.as_ptr().cast::<u8>(), data.cast::<u8>(), size_of_val(words)) };
        value
    }

    /// An array of these values.
    pub fn array(self, values: &[Value]) -> Value {
        let mut array = UNDEFINED;
        // SAFETY: `env` is the environment of this call, `array` is writable.
        unsafe { sys::napi_create_array_with_length(self.env, values.len(), &mut array) };
        for (index, value) in (0..).zip(values) {
            // SAFETY: `array` is an array and `value` a live handle of this call.
            unsafe { sys::napi_set_element(self.env, array, index, *value) };
        }
        array
    }

    /// The number that `value` is.
    pub fn as_number(self, value: Value) -> Option<f64> {
        let mut number = 0.0;
        // SAFETY: `value` is a handle of this call, `number` is writable.
        let status = unsafe { sys::napi_get_value_double(self.env, value, &mut number) };
        (status == sys::Status::napi_ok).then_some(number)
    }

    /// The number that our JavaScript gave as a token, a lease or a limit: whole, and within 2^53.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "only ours come here")]
    pub fn as_id(self, value: Value) -> u64 {
        self.as_number(value).map_or(0, |number| number as u64)
    }

    /// Whether `value` is `true`.
    pub fn is_true(self, value: Value) -> bool {
        let mut boolean = false;
        // SAFETY: `value` is a handle of this call, `boolean` is writable.
        let status = unsafe { sys::napi_get_value_bool(self.env, value, &mut boolean) };
        status == sys::Status::napi_ok && boolean
    }

    /// What `typeof` says, but "null" for null.
    pub fn type_name(self, value: Value) -> &'static str {
        let mut kind = 0;
        // SAFETY: `value` is a handle of this call, `kind` is writable.
        unsafe { sys::napi_typeof(self.env, value, &mut kind) };
        match kind {
            sys::ValueType::napi_undefined => "undefined",
            sys::ValueType::napi_null => "null",
            sys::ValueType::napi_boolean => "a boolean",
            sys::ValueType::napi_number => "a number",
            sys::ValueType::napi_string => "a string",
            sys::ValueType::napi_symbol => "a symbol",
            sys::ValueType::napi_function => "a function",
            sys::ValueType::napi_bigint => "a bigint",
            _ => "an object",
        }
    }

    /// Writes the UTF-8 of a string into `room` and returns its length; none when `value` is no string. A
    /// text that fills all but four bytes of `room` may be longer than what was written.
    pub fn read_text(self, value: Value, room: &mut [u8]) -> Option<usize> {
        let mut length = 0;
        // SAFETY: the pointer and the length are those of `room`; `value` is a handle of this call.
        let status = unsafe {
            sys::napi_get_value_string_utf8(self.env, value, room.as_mut_ptr().cast(), room.len(), &mut length)
        };
        (status == sys::Status::napi_ok).then_some(length)
    }

    /// The UTF-8 of a string of any length; none when `value` is no string.
    pub fn as_text(self, value: Value) -> Option<Vec<u8>> {
        let mut length = 0;
        // SAFETY: without a buffer only the length is written; `value` is a handle of this call.
        let status = unsafe { sys::napi_get_value_string_utf8(self.env, value, ptr::null_mut(), 0, &mut length) };
        if status != sys::Status::napi_ok {
            return None;
        }
        // One more, for the terminator that comes with it.
        let mut text = vec![0; length + 1];
        let written = self.read_text(value, &mut text)?;
        text.truncate(written);
        Some(text)
    }

    /// How many 16-bit units a string has; none when `value` is no string.
    pub fn units(self, value: Value) -> Option<usize> {
        let mut units = 0;
        // SAFETY: without a buffer only the length is written; `value` is a handle of this call.
        let status = unsafe { sys::napi_get_value_string_utf16(self.env, value, ptr::null_mut(), 0, &mut units) };
        (status == sys::Status::napi_ok).then_some(units)
    }

    /// Whether a string has a surrogate that is not one of a pair. Its UTF-8 then says U+FFFD there.
    pub fn has_lone_surrogate(self, value: Value) -> bool {
        let Some(units) = self.units(value) else { return false };
        let mut text = vec![0_u16; units + 1];
        let mut length = 0;
        // SAFETY: the pointer and the length are those of `text`; `value` is a handle of this call.
        unsafe {
            sys::napi_get_value_string_utf16(self.env, value, text.as_mut_ptr(), text.len(), &mut length);
        }
        text.truncate(length);
        char::decode_utf16(text).any(|character| character.is_err())
    }

    /// The bytes of a `Uint8Array` or `Buffer`. They are valid until JavaScript runs again.
    pub fn as_bytes<'call>(self, value: Value) -> Option<&'call [u8]> {
        let mut is_typed_array = false;
        // SAFETY: `value` is a handle of this call, the result is writable.
        unsafe { sys::napi_is_typedarray(self.env, value, &mut is_typed_array) };
        if !is_typed_array {
            return None;
        }
        let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
        let (mut buffer, mut offset) = (UNDEFINED, 0);
        // SAFETY: `value` is a typed array, the results are writable.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                self.env,
                value,
                &mut kind,
                &mut length,
                &mut data,
                &mut buffer,
                &mut offset,
            )
        };
        if status != sys::Status::napi_ok || kind != sys::TypedarrayType::uint8_array {
            return None;
        }
        if length == 0 || data.is_null() {
            return Some(&[]);
        }
        // SAFETY: the array has `length` bytes at `data`, which stay there while this call runs: only JavaScript
        // could detach or resize them, and it does not run. Memory that other threads could write to (a
        // SharedArrayBuffer) is copied by our JavaScript before it comes here.
        Some(unsafe { std::slice::from_raw_parts(data.cast(), length) })
    }

    /// The elements of an array.
    pub fn as_array(self, value: Value) -> Vec<Value> {
        let mut length = 0;
        // SAFETY: `value` is a handle of this call; what is no array leaves the length 0.
        unsafe { sys::napi_get_array_length(self.env, value, &mut length) };
        (0..length)
            .map(|index| {
                let mut element = UNDEFINED;
                // SAFETY: `value` is an array of our JavaScript, `element` is writable.
                unsafe { sys::napi_get_element(self.env, value, index, &mut element) };
                element
            })
            .collect()
    }

    /// An `ArrayBuffer` over `length` bytes at `base`. None where Node allows no such buffer.
    ///
    /// # Safety
    /// The bytes stay where they are while `owner` lives, and consist of atomics, so that JavaScript may read and write
    /// them at any time.
    pub unsafe fn window<T: Send + 'static>(self, owner: T, base: *const u8, length: usize) -> Option<Value> {
        let owner = Box::into_raw(Box::new(owner));
        let mut value = UNDEFINED;
        // SAFETY: the memory is there until `finalize`, by the promise of the caller; `value` is writable.
        let status = unsafe {
            sys::napi_create_external_arraybuffer(
                self.env,
                base.cast_mut().cast(),
                length,
                Some(finalize::<T>),
                owner.cast(),
                &mut value,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: no buffer was made, so nobody else will free the owner.
            drop(unsafe { Box::from_raw(owner) });
            return None;
        }
        Some(value)
    }

    /// Gives `handle` to JavaScript.
    pub fn external(self, handle: Handle) -> Value {
        unsafe extern "C" fn finalize(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
            // SAFETY: `data` is the box below, and Node-API finalizes it once.
            drop(unsafe { Box::from_raw(data.cast::<Handle>()) });
        }
        let data = Box::into_raw(Box::new(handle)).cast();
        let mut value = UNDEFINED;
        // SAFETY: `data` is a box that lives until `finalize`, `value` is writable.
        unsafe { sys::napi_create_external(self.env, data, Some(finalize), ptr::null_mut(), &mut value) };
        value
    }

    /// The handle in an external of ours.
    ///
    /// # Panics
    /// When `value` is none: our JavaScript passes nothing else.
    pub fn handle<'call>(self, value: Value) -> &'call Handle {
        let mut data = ptr::null_mut();
        // SAFETY: `value` is a handle of this call, `data` is writable.
        let status = unsafe { sys::napi_get_value_external(self.env, value, &mut data) };
        assert!(status == sys::Status::napi_ok && !data.is_null(), "not a handle of this addon");
        // SAFETY: all externals of this addon hold a box of a `Handle`, which lives as long as the external, and
        // that one is an argument of the call under way. Nothing ever borrows it mutably.
        unsafe { &*data.cast::<Handle>() }
    }

    /// Sets a property of an object of ours.
    pub fn set_named(self, object: Value, name: &str, value: Value) {
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: both are live handles of this call, and the name ends with a zero.
        unsafe { sys::napi_set_named_property(self.env, object, name.as_ptr(), value) };
    }

    /// Throws an `Error`; for defects only, everything else is answered with a failure.
    pub fn throw(self, message: &str) {
        let message = CString::new(message).unwrap_or_default();
        // SAFETY: the message ends with a zero; the code may be null.
        unsafe { sys::napi_throw_error(self.env, ptr::null(), message.as_ptr()) };
    }

    /// Runs a function of our JavaScript from the event loop, and what is due after it. What it throws is uncaught.
    pub fn call_back(self, function: sys::napi_ref) {
        let mut scope = ptr::null_mut();
        let (mut callee, mut this, mut result) = (UNDEFINED, UNDEFINED, UNDEFINED);
        // SAFETY: this is the thread of `env` and no JavaScript runs on it; `function` is a reference that holds its
        // function; the results are writable, and the handles end with the scope.
        unsafe {
            if sys::napi_open_handle_scope(self.env, &mut scope) != sys::Status::napi_ok {
                return;
            }
            sys::napi_get_reference_value(self.env, function, &mut callee);
            sys::napi_get_global(self.env, &mut this);
            let status =
                sys::napi_make_callback(self.env, ptr::null_mut(), this, callee, 0, ptr::null(), &mut result);
            if status == sys::Status::napi_pending_exception {
                let mut error = UNDEFINED;
                sys::napi_get_and_clear_last_exception(self.env, &mut error);
                sys::napi_fatal_exception(self.env, error);
            }
            sys::napi_close_handle_scope(self.env, scope);
        }
    }

    /// Exports a native function.
    pub fn export_function(self, exports: Value, name: &str, function: sys::napi_callback) {
        let mut value = UNDEFINED;
        let c_name = CString::new(name).unwrap_or_default();
        // SAFETY: `function` has the signature of a callback and lives as long as the image, which is never
        // unloaded; the name ends with a zero.
        unsafe {
            sys::napi_create_function(
                self.env,
                c_name.as_ptr(),
                name.len().cast_signed(),
                function,
                ptr::null_mut(),
                &mut value,
            );
        }
        self.set_named(exports, name, value);
    }
}

/// Runs one exported function: reads its arguments, and lets no panic into Node.
pub fn enter(env: sys::napi_env, info: sys::napi_callback_info, function: fn(Js, Arguments) -> Value) -> Value {
    let js = Js::new(env);
    let mut arguments: Arguments = [UNDEFINED; MAX_ARGUMENTS];
    let mut count = MAX_ARGUMENTS;
    // SAFETY: `info` is that of the call under way; `count` is the length of `arguments`, which Node-API fills up with
    // undefined.
    unsafe {
        sys::napi_get_cb_info(env, info, &mut count, arguments.as_mut_ptr(), ptr::null_mut(), ptr::null_mut());
    }
    let answer = std::panic::catch_unwind(|| function(js, arguments));
    answer.unwrap_or_else(|_| {
        js.throw("scrubjay: a defect of the addon, please report it (the panic message is on standard error)");
        UNDEFINED
    })
}

/// Exports functions of a module under their own names.
macro_rules! export {
    ($js:expr, $exports:expr, $module:ident::{$($function:ident),*}) => {
        $({
            unsafe extern "C" fn callback(
                env: napi::sys::napi_env,
                info: napi::sys::napi_callback_info,
            ) -> napi::sys::napi_value {
                $crate::js::enter(env, info, $crate::$module::$function)
            }
            $js.export_function($exports, stringify!($function), Some(callback));
        })*
    };
}
pub(crate) use export;
