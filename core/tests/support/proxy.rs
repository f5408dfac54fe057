//! A TCP proxy that can turn into a black hole: it takes bytes and connections and says nothing.

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
    ended: AtomicBool,
    accepted: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
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
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", target))) else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let state = state.clone();
                    std::thread::spawn(move || forward(number, from, to, &state));
                }
                state.streams.lock().expect("the streams").extend([client, server]);
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

    /// New bytes come through again.
    pub fn forward(&self) {
        self.state.holding.store(0, Ordering::SeqCst);
        self.state.swallowing.store(0, Ordering::SeqCst);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        for stream in self.state.streams.lock().expect("the streams").drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn forward(number: usize, mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut bytes) {
        if count == 0 {
            break;
        }
        while number < state.holding.load(Ordering::SeqCst) && !state.ended.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if number >= state.swallowing.load(Ordering::SeqCst) && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // The other side may have gone first.
    let _ = to.shutdown(Shutdown::Both);
}
