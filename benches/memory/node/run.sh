#!/usr/bin/env bash
# The memory tier from Node.js beside its peers: nanoseconds an operation, as medians of interleaved rounds.
#
#   benches/memory/node/run.sh           writes target/bench/memory-node.json and prints a table
#   SCALE=0.1 benches/memory/node/run.sh  a quick look
#   NODE=path/to/node                     another Node.js
#
# The addon is built first; the peers are installed under target/, pinned by package.json here.
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../../peers.sh"
node_peers benches/memory/node bench-node
exec "${NODE:-node}" benches/memory/node/bench.mjs "$(result memory-node)"
