#!/usr/bin/env bash
# The memory tier in Go beside its peers: writes target/bench/memory-go.json. SCALE=1 is the full figure.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)

"$root/go/tools/lib.sh" "${PROFILE:-release}"
cd "$here"
export GOMODCACHE=$root/target/bench/go-modules GOFLAGS=-modcacherw
# go build does not see that the library changed.
rm -f "$root/target/bench/memory-go"
go build -o "$root/target/bench/memory-go" .
exec "$root/target/bench/memory-go" -out "$root/target/bench/memory-go.json" "$@"
