#!/usr/bin/env bash
# Times reads and writes of Redis through Scrubjay for Node.js and its peers, into target/bench/seam-node.json.
#
# REDIS is the server's address (seam/run.sh starts one), NODE the runtime, SCALE how long it runs (1 = the full figure).
# The peers are installed under target/, and nowhere else.
set -euo pipefail
cd "$(dirname "$0")/../../.."

# shellcheck source=benches/peers.sh
. benches/peers.sh
node_peers benches/seam/node seam-node
exec "${NODE:-node}" benches/seam/node/seam.mjs "${OUT:-$target/bench/seam-node.json}"
