//! A TCP proxy that can turn into a black hole: it takes bytes and connections and says nothing. Or it can be as a
//! server that is not there.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Connections with a smaller number than this are swallowed.
    swallowing: AtomicUsize,
    /// The same, of those whose bytes are held back.
    holding: AtomicUsize,
    /// Whether new connections are closed at once.
    refusing: AtomicBool,
    ended: AtomicBool,
    accepted: AtomicUsize,
    /// Both ends of the connections that there are.
    streams: Mutex<HashMap<usize, [TcpStream; 2]>>,
}

impl Proxy {
    /// A proxy before the server on `target`.
    pub fn start(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State::default());
        let proxy = Proxy { port, state: state.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if state.ended.load(Ordering::SeqCst) {
                    return;
                }
                let number = state.accepted.fetch_add(1, Ordering::SeqCst);
                if state.refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", target))) else {
                    continue;
                };
                let ends = [&client, &server].map(|end| end.try_clone().expect("a socket"));
                state.streams.lock().expect("the streams").insert(number, ends);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let state = state.clone();
                    std::thread::spawn(move || forward(number, from, to, &state));
                }
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on nothing comes through, either way; what is sent meanwhile is lost.
    pub fn swallow(&self) {
        self.state.swallowing.store(usize::MAX, Ordering::SeqCst);
    }

    /// The same for the connections that there are; new ones are fine.
    pub fn swallow_present(&self) {
        self.state.swallowing.store(self.accepted(), Ordering::SeqCst);
    }

    /// What is sent on the connections that there are comes through later, when `forward` is called.
    pub fn hold_present(&self) {
        self.state.holding.store(self.accepted(), Ordering::SeqCst);
    }

    /// Ends the connections that there are, and those that come, until `forward` is called.
    pub fn refuse(&self) {
        self.state.refusing.store(true, Ordering::SeqCst);
        self.state.end_all();
    }

    /// New connections and bytes come through again.
    pub fn forward(&self) {
        self.state.refusing.store(false, Ordering::SeqCst);
        self.state.holding.store(0, Ordering::SeqCst);
        self.state.swallowing.store(0, Ordering::SeqCst);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }
}

impl State {
    fn end_all(&self) {
        for end in self.streams.lock().expect("the streams").values().flatten() {
            // It may be closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.state.end_all();
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn forward(number: usize, mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut bytes = vec![0; 64 << 10];
    // A stream has no holes: where something was lost, nothing follows.
    let mut lost = false;
    while let Ok(count) = from.read(&mut bytes) {
        if count == 0 {
            break;
        }
        while number < state.holding.load(Ordering::SeqCst) && !state.ended.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        lost |= number < state.swallowing.load(Ordering::SeqCst);
        if !lost && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // The other side may have gone first.
    let _ = to.shutdown(Shutdown::Both);
    state.streams.lock().expect("the streams").remove(&number);
}
