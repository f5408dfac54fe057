#!/usr/bin/env bash
# Times reads and writes of Redis through Scrubjay for Rust and its peers, into target/bench/seam-rust.json.
#
# REDIS is the server's address (seam/run.sh starts one), SCALE how long it runs (1 = the full figure).
set -euo pipefail
cd "$(dirname "$0")/../../.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --locked --release --manifest-path benches/Cargo.toml --target-dir "$target" -p scrubjay-bench-seam
mkdir -p target/bench
exec "$target/release/scrubjay-bench-seam" "${OUT:-target/bench/seam-rust.json}"
