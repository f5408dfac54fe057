#!/usr/bin/env bash
# Times reads and writes of Redis through Scrubjay for Python and its peers, into target/bench/seam-python.json.
#
# REDIS is the server's address (seam/run.sh starts one), PYTHON the interpreter, SCALE how long it runs (1 = the full
# figure). The wheel is built as for the tests; the peers are installed into an environment under target/.
set -euo pipefail
cd "$(dirname "$0")/../../.."

target=${CARGO_TARGET_DIR:-$PWD/target}
python=${PYTHON:-python3}
here=benches/seam/python
tag=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
environment=$target/python/seam-$tag

bindings-python/tools/install.sh
if ! cmp --silent "$here/requirements.txt" "$environment/.installed"; then
	rm -rf "$environment"
	"$python" -m venv "$environment"
	"$environment/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
	cp "$here/requirements.txt" "$environment/.installed"
fi
"$environment/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall \
	"$target"/python/wheels/scrubjay-*.whl
mkdir -p "$target/bench"
exec "$environment/bin/python" "$here/seam.py" "${OUT:-$target/bench/seam-python.json}"
