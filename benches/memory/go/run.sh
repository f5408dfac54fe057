#!/usr/bin/env bash
# The memory tier in Go beside its peers: writes target/bench/memory-go.json. SCALE=1 is the full figure.
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../../peers.sh"
go_bench benches/memory/go memory-go
exec "$target/bench/memory-go" -out "$(result memory-go)" "$@"
