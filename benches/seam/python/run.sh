#!/usr/bin/env bash
# Times reads and writes of Redis through Scrubjay for Python and its peers, into target/bench/seam-python.json.
#
# REDIS is the server's address (seam/run.sh starts one), PYTHON the interpreter, SCALE how long it runs (1 = the full
# figure). The wheel is built as for the tests; the peers are installed into an environment under target/.
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../../peers.sh"
python_peers benches/seam/python seam
exec "$environment/bin/python" benches/seam/python/seam.py "$(result seam-python)"
