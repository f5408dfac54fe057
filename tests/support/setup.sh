#!/usr/bin/env bash
# Checks the toolchains, and installs the Debian packages that builds and tests need.
#
#   setup.sh [--demo]     --demo: go on without packages that cannot be installed here; the demo can do without them
set -euo pipefail

missing=0
need() { # program, why, command that installs it
	if ! command -v "$1" >/dev/null; then
		echo "missing: $1 ($2). Install it with: $3" >&2
		missing=1
	fi
}
need cargo "Rust 1.90 or later" "curl https://sh.rustup.rs -sSf | sh"
need go "Go 1.24 or later" "apt-get install golang-go, or https://go.dev/dl"
need node "Node.js 20 or later" "apt-get install nodejs, or https://nodejs.org"
need npm "comes with Node.js" "apt-get install npm"
need python3 "Python 3.11 or later" "apt-get install python3 python3-venv"
need gcc "a C compiler" "apt-get install build-essential"
[ "$missing" = 0 ] || exit 1

packages=()
want() { # program, package
	command -v "$1" >/dev/null || packages+=("$2")
}
want redis-server redis-server
want openssl openssl
want faketime faketime
want pkg-config pkg-config
want cmake cmake
want g++ g++
want psql postgresql-client
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || packages+=(postgresql)
[ ${#packages[@]} = 0 ] && exit 0

root=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "missing Debian packages. As root: apt-get install ${packages[*]}" >&2
		[ "${1:-}" = --demo ] && exit 0
		exit 1
	}
	root=(sudo)
fi
echo "installing ${packages[*]}"
install() {
	"${root[@]}" apt-get update -qq &&
		"${root[@]}" env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}
install || [ "${1:-}" = --demo ]
# The packages start servers of their own, which nothing here needs.
"${root[@]}" service redis-server stop >/dev/null 2>&1 || true
"${root[@]}" service postgresql stop >/dev/null 2>&1 || true
