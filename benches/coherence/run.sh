#!/usr/bin/env bash
# Builds a worker of each language on what its users install, and has them measured: see run.py.
#
# run.sh LANGUAGE...      SCALE: 1 = the full figure
set -euo pipefail
# shellcheck source=benches/peers.sh
. "$(dirname "$0")/../peers.sh"

command -v redis-server >/dev/null || {
	echo "redis-server is missing: apt-get install redis-server" >&2
	exit 1
}
for language in "$@"; do
	case $language in
	rust)
		rust_bench coherence
		export WORKER_RUST=$target/release/scrubjay-bench-coherence
		;;
	python)
		bindings-python/tools/install.sh
		export WORKER_PYTHON="$(echo "$target"/python/clean-*/bin/python) benches/coherence/python/worker.py"
		;;
	node)
		(cd bindings-node && npm run --silent build)
		export PACKAGE=$PWD/bindings-node WORKER_NODE="${NODE:-node} benches/coherence/node/worker.mjs"
		;;
	go)
		go_bench benches/coherence/go coherence-go
		export WORKER_GO=$target/bench/coherence-go
		;;
	*)
		echo "bench-coherence: no such language: $language" >&2
		exit 1
		;;
	esac
done
python3 benches/coherence/run.py "$figures" "$@"
python3 benches/report.py coherence "$figures"
