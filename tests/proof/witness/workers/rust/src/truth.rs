//! The truth, as `truth.py` serves it.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

pub struct Truth(Mutex<BufReader<UnixStream>>);

impl Truth {
    pub async fn connect(path: &str) -> Self {
        Truth(Mutex::new(BufReader::new(UnixStream::connect(path).await.expect("the truth is there"))))
    }

    /// The committed versions of these keys.
    pub async fn read(&self, keys: &[u32]) -> Vec<i64> {
        let mut line = "r".to_owned();
        for key in keys {
            line.push(' ');
            line.push_str(&key.to_string());
        }
        self.ask(line).await
    }

    /// Commits the next version of a key.
    pub async fn write(&self, key: u32) -> i64 {
        self.ask(format!("w {key}")).await[0]
    }

    async fn ask(&self, mut line: String) -> Vec<i64> {
        // Not given up in the middle, though the fetch that asks may be: the answer would be the next one's.
        line.push('\n');
        let mut stream = self.0.lock().await;
        stream.write_all(line.as_bytes()).await.expect("the truth listens");
        let mut answer = String::new();
        stream.read_line(&mut answer).await.expect("the truth answers");
        answer.split_whitespace().map(|ver| ver.parse().expect("a version")).collect()
    }
}
