#!/bin/sh
# Lays the static library and the header where the module finds them: tools/lib.sh [PROFILE]
# PROFILE is a cargo profile, release by default. The library is built first unless SCRUBJAY_LIB names one.
set -eu

go=$(cd "$(dirname "$0")/.." && pwd)
root=$(dirname "$go")
profile=${1:-release}

if [ -z "${SCRUBJAY_LIB:-}" ]; then
	cargo build --manifest-path "$root/Cargo.toml" -p scrubjay-c --profile "$profile"
	case $profile in
	dev) folder=debug ;;
	*) folder=$profile ;;
	esac
	SCRUBJAY_LIB=${CARGO_TARGET_DIR:-$root/target}/$folder/libscrubjay.a
fi

"$root/bindings-c/tools/localize.sh" "$SCRUBJAY_LIB" "$go/lib/linux_amd64/libscrubjay.a"
cmp -s "$root/bindings-c/include/scrubjay.h" "$go/scrubjay.h" || cp "$root/bindings-c/include/scrubjay.h" "$go/scrubjay.h"
