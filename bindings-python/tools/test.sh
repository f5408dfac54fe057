#!/usr/bin/env bash
# Builds the wheel, installs it into a clean environment, and runs every check and test of the Python package.
#
#   bindings-python/tools/test.sh [arguments of pytest]
#
# PYTHON is the interpreter (default python3), SCALE how long the longest tests run (default small).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=environment.sh
. tools/environment.sh
make_tools

"$tools/bin/ruff" check --quiet . ../tests/conformance/runners/python ../tests/proof ../benches/memory/python ../benches/coherence
"$tools/bin/ruff" format --quiet --check . ../tests/conformance/runners/python ../tests/proof ../benches/memory/python ../benches/coherence

install_wheel
"$clean/bin/mypy" --no-error-summary --cache-dir "$home/mypy" -p scrubjay
"$clean/bin/mypy" --no-error-summary --cache-dir "$home/mypy" tests ../tests/conformance/runners/python
"$clean/bin/python" -m mypy.stubtest --concise scrubjay
exec "$clean/bin/pytest" -p no:cacheprovider "$@"
