#!/usr/bin/env bash
# Times reads and writes of Redis through Scrubjay for Node.js and its peers, into target/bench/seam-node.json.
#
# REDIS is the server's address (seam/run.sh starts one), NODE the runtime, SCALE how long it runs (1 = the full figure).
# The peers are installed under target/, and nowhere else.
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../../peers.sh"
node_peers benches/seam/node seam-node
exec "${NODE:-node}" benches/seam/node/seam.mjs "$(result seam-node)"
