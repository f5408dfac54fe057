#!/usr/bin/env bash
# Starts a Redis server, has each language measured against it, and sets the figures against the targets.
#
# run.sh LANGUAGE...      SCALE: 1 = the full figure
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../peers.sh"

command -v redis-server >/dev/null || {
	echo "redis-server is missing: apt-get install redis-server" >&2
	exit 1
}
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --daemonize no >"$figures/seam-redis.log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
	redis-cli -p "$port" ping >/dev/null 2>&1 && break
	sleep 0.05
done
redis-cli -p "$port" ping >/dev/null

export REDIS=redis://127.0.0.1:$port
for language in "$@"; do
	echo "=== $language"
	"benches/seam/$language/run.sh"
done
python3 benches/report.py seam "$figures"
python3 benches/chart.py seam "$figures" ops_per_s
