#!/usr/bin/env bash
# Measures Rust's MemoryCache and its peers into target/bench/memory-rust.json.
set -euo pipefail
cd "$(dirname "$0")/../../.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --locked --release --manifest-path benches/Cargo.toml --target-dir "$target" -p scrubjay-bench-memory
mkdir -p target/bench
exec "$target/release/scrubjay-bench-memory" "${OUT:-target/bench/memory-rust.json}"
