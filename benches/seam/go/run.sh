#!/usr/bin/env bash
# Times reads and writes of Redis through Scrubjay for Go and its peers, into target/bench/seam-go.json.
#
# REDIS is the server's address (seam/run.sh starts one), SCALE how long it runs (1 = the full figure).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)

"$root/go/tools/lib.sh" "${PROFILE:-release}"
cd "$here"
export GOMODCACHE=$root/target/bench/go-modules GOFLAGS=-modcacherw
mkdir -p "$root/target/bench"
# go build does not see that the library changed.
rm -f "$root/target/bench/seam-go"
go build -o "$root/target/bench/seam-go" .
exec "$root/target/bench/seam-go" "${OUT:-$root/target/bench/seam-go.json}"
