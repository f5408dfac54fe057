#!/usr/bin/env bash
# The memory tier from Node.js beside its peers: nanoseconds an operation, as medians of interleaved rounds.
#
#   benches/memory/node/run.sh           writes target/bench/memory-node.json and prints a table
#   SCALE=0.1 benches/memory/node/run.sh  a quick look
#   NODE=path/to/node                     another Node.js
#
# The addon is built first; the peers are installed under target/, pinned by package.json here.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
peers=$root/target/bench-node

mkdir -p "$peers" "$root/target/bench"
if ! cmp -s "$here/package.json" "$peers/package.json"; then
  rm -rf "$peers/node_modules" "$peers/package-lock.json"
  cp "$here/package.json" "$peers/package.json"
  (cd "$peers" && npm install --no-audit --no-fund --silent)
fi
(cd "$root/bindings-node" && npm run --silent build)

PEERS=$peers PACKAGE=$root/bindings-node exec "${NODE:-node}" "$here/bench.mjs" "$root/target/bench/memory-node.json"
