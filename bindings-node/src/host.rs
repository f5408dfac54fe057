//! One Node environment (the main thread, or a worker) as the core sees it: a completion queue, and what runs
//! JavaScript's `drain` for a whole batch: its event loop, which watches the queue and drives the connections, or a
//! thread-safe function where there is no libuv.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use napi::sys;
use scrubjay_core::host::{Completion, Queue};

use crate::answer::{answer, size_of_text};
use crate::errors;
use crate::exchange::Exchange;
use crate::js::{Arguments, Handle, Js, UNDEFINED, Value};
use crate::uv::Watch;

/// The longest that the end of the process waits for invalidations on their way to the shared tier.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// So long answers are handed to JavaScript before its event loop gets on with other things.
const TURN: Duration = Duration::from_millis(1);
/// So much text is handed over at once: JavaScript will parse it before the loop gets on.
const TEXT: usize = 256 << 10;
/// How often the clock is looked at: once in half as many answers.
const LOOK: usize = 32;

/// An environment; shared by its caches.
pub type HostRef = Arc<Host>;

/// The core's side of one Node environment.
pub struct Host {
    queue: Arc<Queue>,
    waker: Arc<Waker>,
    watch: Mutex<Option<Watch>>,
    number: u64,
    exchange: Arc<Exchange>,
    /// The caches of which entries are gone, by the numbers that JavaScript gave them.
    gone: Mutex<Vec<u64>>,
}

/// The thread-safe function, for as long as Node has it.
///
/// Node frees it when the environment ends, even under a thread that still counts on it. So it is taken out of here
/// before, and a wake holds the lock while it uses it. That lock is a leaf: the call only appends to a list and writes
/// to a descriptor.
#[derive(Default)]
struct Waker(Mutex<Option<Function>>);

#[derive(Clone, Copy)]
struct Function(sys::napi_threadsafe_function);

// SAFETY: Node-API makes thread-safe functions to be called from any thread.
unsafe impl Send for Function {}

impl Waker {
    /// Runs `work` with the function, unless the environment has ended.
    fn with(&self, work: impl FnOnce(Function)) {
        let function = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = *function {
            work(function);
        }
    }

    fn wake(&self) {
        self.with(|Function(function)| {
            // SAFETY: the function is live while it is in the waker. Its queue has no bound, so the call never
            // blocks; there is no data, so nothing is left if Node drops it.
            unsafe {
                sys::napi_call_threadsafe_function(
                    function,
                    ptr::null_mut(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                );
            }
        });
    }

    fn stop(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Host {
    /// Where calls of this environment are completed.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The number that this environment's errors carry.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The memory that is shared with this environment's JavaScript.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Wakes the environment, because entries of one of its caches are gone. On any thread.
    pub fn note_gone(&self, id: u64) {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.queue.rouse();
    }

    fn watch(&self) -> MutexGuard<'_, Option<Watch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the environment: nothing of it is called any more, undelivered leads go to the next waiter.
    pub fn end(&self) {
        self.waker.stop();
        self.watch().take();
        self.queue.close();
        errors::leave(self.number);
    }
}

/// Sees to the end of the process, once. Hooks of environments do not run when a program calls `process.exit`, and a
/// listener of 'exit' would run before those of the program, which may still use its caches.
fn watch_exit() {
    static ONCE: Once = Once::new();
    extern "C" fn process_ends() {
        scrubjay_core::host::shutdown(EXIT_PATIENCE);
    }
    ONCE.call_once(|| {
        // SAFETY: the function takes no arguments and lives as long as the process: the image is never unloaded.
        unsafe { libc::atexit(process_ends) };
    });
}

/// `start(drain, libuv)` → `[host, number, exchange]`: begins an environment. `drain` is called when completions are
/// there or entries are gone; `libuv` says whether its event loop may watch for that itself. It does not keep the process
/// alive: see `keep_alive`.
pub fn start(js: Js, [drain, libuv, ..]: Arguments) -> Value {
    watch_exit();
    let exchange = Exchange::new();
    let Some(window) = exchange.window(js) else {
        js.throw("scrubjay: this Node allows no buffers over memory of an addon");
        return UNDEFINED;
    };
    let looped = js.is_true(libuv).then(|| looped(js, drain, &exchange)).flatten();
    match looped.map_or_else(|| woken(js, drain, exchange), Ok) {
        Ok(host) => {
            let number = js.number(errors::first_number(host.number));
            js.array(&[js.external(Handle::Host(host)), number, window])
        }
        Err(why) => {
            js.throw(why);
            UNDEFINED
        }
    }
}

fn host_with(queue: Arc<Queue>, waker: Arc<Waker>, exchange: Arc<Exchange>) -> HostRef {
    let (watch, gone) = (Mutex::default(), Mutex::default());
    Arc::new(Host { queue, waker, watch, number: errors::enrol(), exchange, gone })
}

/// An environment whose event loop watches its queue.
fn looped(js: Js, drain: Value, exchange: &Arc<Exchange>) -> Option<HostRef> {
    let host = host_with(Queue::looping(true).ok()?, Arc::default(), exchange.clone());
    let Some(watch) = Watch::begin(js, drain, &host) else {
        host.end();
        return None;
    };
    *host.watch() = Some(watch);
    Some(host)
}

/// An environment that a thread of the core wakes.
fn woken(js: Js, drain: Value, exchange: Arc<Exchange>) -> Result<HostRef, &'static str> {
    let function = thread_safe_function(js, drain).ok_or("scrubjay: Node has no thread-safe function left")?;
    let waker = Arc::new(Waker(Mutex::new(Some(function))));
    let queue = Queue::with_waker({
        let waker = waker.clone();
        move || waker.wake()
    });
    let host = host_with(queue, waker, exchange);
    // Hooks run last in, first out: this one, added after the function was made, runs before Node frees that.
    let hook = Arc::into_raw(host.clone());
    // SAFETY: `environment_ends` takes exactly this pointer, once.
    let status =
        unsafe { sys::napi_add_env_cleanup_hook(js.raw(), Some(environment_ends), hook.cast_mut().cast()) };
    if status != sys::Status::napi_ok {
        // SAFETY: the hook was not added, so the pointer is still ours.
        unsafe { Arc::from_raw(hook) }.end();
        return Err("scrubjay: this environment is ending");
    }
    Ok(host)
}

unsafe extern "C" fn environment_ends(host: *mut c_void) {
    // SAFETY: the pointer is that of `woken`, and a hook runs once.
    let host = unsafe { Arc::from_raw(host.cast::<Host>()) };
    host.end();
}

/// A function whose call runs `drain` on the thread of this environment. Unreferenced.
fn thread_safe_function(js: Js, drain: Value) -> Option<Function> {
    let mut function = ptr::null_mut();
    // SAFETY: `drain` is a function of our JavaScript, the name a live handle; no data, callbacks or context are given,
    // so that Node calls `drain` itself.
    let status = unsafe {
        sys::napi_create_threadsafe_function(
            js.raw(),
            drain,
            UNDEFINED,
            js.string("scrubjay"),
            0,
            1,
            ptr::null_mut(),
            None,
            ptr::null_mut(),
            None,
            &mut function,
        )
    };
    if status != sys::Status::napi_ok {
        return None;
    }
    // SAFETY: the function was just made by this thread.
    unsafe { sys::napi_unref_threadsafe_function(js.raw(), function) };
    Some(Function(function))
}

fn host<'call>(js: Js, value: Value) -> &'call HostRef {
    match js.handle(value) {
        Handle::Host(host) => host,
        _ => unreachable!("the first argument is a host"),
    }
}

/// `keep_alive(host)`: from now on the process stays, because callers wait.
pub fn keep_alive(js: Js, [value, ..]: Arguments) -> Value {
    let host = host(js, value);
    if let Some(watch) = *host.watch() {
        // SAFETY: this is the thread of the environment, which takes the watch out when it ends.
        unsafe { watch.keep_alive() };
    }
    host.waker.with(|Function(function)| {
        // SAFETY: the function is live while it is in the waker, and this is the thread that made it.
        unsafe { sys::napi_ref_threadsafe_function(js.raw(), function) };
    });
    UNDEFINED
}

/// `let_go(host)`: nobody waits any more; the process may end.
pub fn let_go(js: Js, [value, ..]: Arguments) -> Value {
    let host = host(js, value);
    if let Some(watch) = *host.watch() {
        // SAFETY: as in `keep_alive`.
        unsafe { watch.let_go() };
    }
    host.waker.with(|Function(function)| {
        // SAFETY: as in `keep_alive`.
        unsafe { sys::napi_unref_threadsafe_function(js.raw(), function) };
    });
    UNDEFINED
}

/// `drain(host, max)` → `[token, answer, token, answer, …]`, at most `max` of them, and no more than the event loop has
/// time for: then `drain` is called again.
#[expect(clippy::cast_precision_loss, reason = "tokens are numbers of JavaScript")]
pub fn drain(js: Js, [value, max, ..]: Arguments) -> Value {
    let begun = Instant::now();
    let queue = &host(js, value).queue;
    let max = usize::try_from(js.as_id(max)).unwrap_or(usize::MAX);
    let mut completions: Vec<Completion> = Vec::new();
    queue.drive(max, &mut completions);
    let mut flat = Vec::with_capacity(completions.len() * 2);
    let (mut completions, mut text) = (completions.into_iter(), 0);
    while let Some(completion) = completions.next() {
        text += size_of_text(&completion.answer);
        flat.push(js.number(completion.token as f64));
        flat.push(answer(js, completion.answer));
        // A look at the clock takes longer than a short answer.
        let looks = flat.len() % LOOK == 0 || text > TEXT;
        if looks && (text > TEXT || begun.elapsed() > TURN) && completions.len() > 0 {
            queue.give_back(completions);
            break;
        }
    }
    js.array(&flat)
}

/// `gone(host)` → the numbers of the caches of which entries are gone, undefined for none.
#[expect(clippy::cast_precision_loss, reason = "they are numbers of JavaScript")]
pub fn gone(js: Js, [value, ..]: Arguments) -> Value {
    let ids = std::mem::take(&mut *host(js, value).gone.lock().unwrap_or_else(PoisonError::into_inner));
    if ids.is_empty() {
        return UNDEFINED;
    }
    let ids: Vec<Value> = ids.into_iter().map(|id| js.number(id as f64)).collect();
    js.array(&ids)
}

/// `cancel(host, token)` → whether no completion of this token will come any more.
pub fn cancel(js: Js, [value, token, ..]: Arguments) -> Value {
    js.boolean(host(js, value).queue.cancel(js.as_id(token)))
}
