#!/usr/bin/env bash
# Times the memory tier in Python against its peers, and writes target/bench/memory-python.json.
#
# PYTHON is the interpreter (default python3), SCALE how long it runs (1 = the full figure). The wheel is built as for
# the tests; the peers are installed into an environment under target/, and nowhere else.
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../../peers.sh"
python_peers benches/memory/python peers
exec "$environment/bin/python" benches/memory/python/bench.py "$(result memory-python)"
