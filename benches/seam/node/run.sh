#!/usr/bin/env bash
# Times reads and writes of Redis through Scrubjay for Node.js and its peers, into target/bench/seam-node.json.
#
# REDIS is the server's address (seam/run.sh starts one), NODE the runtime, SCALE how long it runs (1 = the full figure).
# The peers are installed under target/, and nowhere else.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
peers=$root/target/seam-node

mkdir -p "$peers" "$root/target/bench"
if ! cmp -s "$here/package.json" "$peers/package.json"; then
	rm -rf "$peers/node_modules" "$peers/package-lock.json"
	cp "$here/package.json" "$peers/package.json"
	(cd "$peers" && npm install --no-audit --no-fund --silent)
fi
(cd "$root/bindings-node" && npm run --silent build)

PEERS=$peers PACKAGE=$root/bindings-node exec "${NODE:-node}" "$here/seam.mjs" "${OUT:-$root/target/bench/seam-node.json}"
