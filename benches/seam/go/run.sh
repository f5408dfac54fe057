#!/usr/bin/env bash
# Times reads and writes of Redis through Scrubjay for Go and its peers, into target/bench/seam-go.json.
#
# REDIS is the server's address (seam/run.sh starts one), SCALE how long it runs (1 = the full figure).
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../../peers.sh"
go_bench benches/seam/go seam-go
exec "$target/bench/seam-go" "$(result seam-go)"
