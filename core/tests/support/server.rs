//! A Redis server of the test's own, on a free port.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::DEADLINE;

/// Names another server program than the `redis-server` of the path.
const PROGRAM: &str = "REDIS_SERVER";

/// A server that ends with its owner, or with the thread that started it.
pub struct Server {
    child: Option<Child>,
    pub port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    /// A plain server.
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// A server with more arguments.
    pub fn start_with(arguments: &[&str]) -> Server {
        Server::start_in(temporary_directory(), |_| arguments.iter().map(|text| (*text).to_owned()).collect())
    }

    /// A server whose arguments depend on its port, in a directory that is removed at the end.
    pub fn start_in(directory: PathBuf, arguments: impl Fn(u16) -> Vec<String>) -> Server {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let port = free_port();
            let arguments = arguments(port);
            let mut server = Server { child: None, port, directory: directory.clone(), arguments };
            // Another process may have taken the port in between.
            if server.launch() {
                return server;
            }
            assert!(Instant::now() < deadline, "a server on a free port");
            std::mem::forget(server);
        }
    }

    /// A server that is not running yet: `restart` starts it on its port.
    pub fn prepare() -> Server {
        Server { child: None, port: free_port(), directory: temporary_directory(), arguments: Vec::new() }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kills it; what it held is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
        }
    }

    /// Starts it again on the same port, empty.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + DEADLINE;
        while !self.launch() {
            assert!(Instant::now() < deadline, "the port of before");
        }
    }

    /// Freezes it: its kernel still accepts connections and bytes.
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Has it take what is sent, and carry out no write, nor what comes behind one on its connection. A frozen server
    /// does not read either, which ends a connection with much to send.
    pub fn pause(&self) {
        let () = self.command(&[b"CLIENT", b"PAUSE", b"60000", b"WRITE"]);
    }

    pub fn unpause(&self) {
        let () = self.command(&[b"CLIENT", b"UNPAUSE"]);
    }

    fn signal(&self, signal: i32) {
        let pid = self.child.as_ref().expect("a running server").id();
        // SAFETY: a plain system call; the process is our child and has not been waited for.
        let sent = unsafe { libc::kill(pid.cast_signed(), signal) };
        assert_eq!(sent, 0, "the signal was sent");
    }

    /// Runs one command over a connection of its own, as the default user.
    pub fn command<T: redis::FromRedisValue>(&self, parts: &[&[u8]]) -> T {
        self.query(&self.url(), parts)
    }

    /// The same with a URL that says more.
    pub fn query<T: redis::FromRedisValue>(&self, url: &str, parts: &[&[u8]]) -> T {
        let client = redis::Client::open(url).expect("an address");
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(5)).expect("a connection");
        let mut command = redis::Cmd::new();
        for part in parts {
            command.arg(*part);
        }
        command.query(&mut connection).expect("an answer")
    }

    /// The numbers of the connections that carry reads and writes of caches.
    pub fn hot_connections(&self) -> Vec<String> {
        self.named("name=scrubjay ")
    }

    /// The same of those on which the server tells of writes.
    pub fn push_connections(&self) -> Vec<String> {
        self.named("name=scrubjay-push ")
    }

    fn named(&self, name: &str) -> Vec<String> {
        let list: String = self.command(&[b"CLIENT", b"LIST"]);
        let id = |line: &str| line.strip_prefix("id=")?.split(' ').next().map(str::to_owned);
        list.lines().filter(|line| line.contains(name)).filter_map(id).collect()
    }

    /// The bytes of an entry.
    pub fn entry(&self, prefix: &str, key: &str) -> Option<Vec<u8>> {
        self.command(&[b"GET", entry_name(prefix, key).as_bytes()])
    }

    /// Puts bytes where the entry of a key stands.
    pub fn plant(&self, prefix: &str, key: &str, bytes: &[u8]) {
        let () = self.command(&[b"SET", entry_name(prefix, key).as_bytes(), bytes]);
    }

    fn launch(&mut self) -> bool {
        let program = std::env::var_os(PROGRAM).unwrap_or_else(|| "redis-server".into());
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"]);
        if !self.arguments.iter().any(|argument| argument == "--port") {
            command.args(["--port", &self.port.to_string()]);
        }
        command.arg("--dir").arg(&self.directory).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: the closure makes one system call and touches no memory of ours.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().expect("redis-server is installed");
        let deadline = Instant::now() + DEADLINE;
        loop {
            if child.try_wait().expect("a child of ours").is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                // Whoever has the port now, it is ours if ours still runs a moment later.
                std::thread::sleep(Duration::from_millis(20));
                if child.try_wait().expect("a child of ours").is_none() {
                    self.child = Some(child);
                    return true;
                }
                return false;
            }
            assert!(Instant::now() < deadline, "the server accepts connections");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; there is nobody to tell.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// How the entry of a key is called in Redis.
pub fn entry_name(prefix: &str, key: &str) -> String {
    format!("sj:{{{prefix}.0}}:e:{key}")
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A directory of the test's own.
pub fn temporary_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("scrubjay-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}
