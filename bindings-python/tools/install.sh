#!/usr/bin/env bash
# Builds the wheel and installs it into a clean environment under target/python.
#
#   bindings-python/tools/install.sh [--tools]     --tools: only maturin and ruff
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=environment.sh
. tools/environment.sh
make_tools
[ "${1:-}" = --tools ] || install_wheel
