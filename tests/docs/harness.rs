#![allow(unused)]
use std::time::Duration;

use scrubjay::{CacheService, Error, ErrorKind, MemoryCache, SetOptions, Source, SourceError, UpdateOptions};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct User {
    name: String,
}

struct Database;

#[allow(non_upper_case_globals)]
const db: Database = Database;

impl Database {
    async fn load_user(&self, _: u64) -> Result<User, std::io::Error> {
        Ok(User { name: "Ada".into() })
    }

    async fn rename_user(&self, _: u64, _: &str) -> Result<u64, std::io::Error> {
        Ok(1)
    }
}

SNIPPETS

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
CALLS    Ok(())
}
