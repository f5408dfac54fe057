#!/usr/bin/env bash
# Measures Rust's MemoryCache and its peers into target/bench/memory-rust.json.
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../../peers.sh"
rust_bench memory
exec "$target/release/scrubjay-bench-memory" "$(result memory-rust)"
