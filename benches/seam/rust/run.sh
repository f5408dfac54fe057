#!/usr/bin/env bash
# Times reads and writes of Redis through Scrubjay for Rust and its peers, into target/bench/seam-rust.json.
#
# REDIS is the server's address (seam/run.sh starts one), SCALE how long it runs (1 = the full figure).
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../../peers.sh"
rust_bench seam
exec "$target/release/scrubjay-bench-seam" "$(result seam-rust)"
