#!/usr/bin/env bash
# Measures Rust's MemoryCache and its peers into target/bench/memory-rust.json.
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../../peers.sh"
rust_bench memory
"$target/release/scrubjay-bench-memory" "$(result memory-rust)"
# Single calls by divan, one cache after the other: the ratios are those above, where they take turns.
exec cargo bench --quiet --locked --manifest-path benches/Cargo.toml --target-dir "$target" -p scrubjay-bench-memory \
	--bench calls -- --max-time 0.5
