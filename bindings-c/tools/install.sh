#!/bin/sh
# Lays out what a user of the C library installs: install.sh PREFIX [PROFILE]
# It takes what cargo built in PROFILE (release by default), or what is in the folder SCRUBJAY_LIB_DIR. The prefix may
# be moved afterwards: nothing in it names where it is.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
root=$(dirname "$here")
[ $# -ge 1 ] || {
	echo "usage: $0 PREFIX [PROFILE]" >&2
	exit 2
}
prefix=$(realpath -m "$1")
case ${2:-release} in
dev) folder=debug ;;
*) folder=${2:-release} ;;
esac
from=${SCRUBJAY_LIB_DIR:-${CARGO_TARGET_DIR:-$root/target}/$folder}
version=$(sed -n '/^\[workspace.package\]/,/^\[[a-z.]*dep/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
soname=libscrubjay.so.${version%%.*}

for file in libscrubjay.so libscrubjay.a; do
	[ -f "$from/$file" ] || {
		echo "there is no $from/$file: cargo build -p scrubjay-c --profile ${2:-release}" >&2
		exit 1
	}
done
readelf -d "$from/libscrubjay.so" | grep -q "SONAME.*\[$soname\]" || {
	echo "$from/libscrubjay.so is not named $soname: cargo build -p scrubjay-c --profile ${2:-release}" >&2
	exit 1
}

lib=$prefix/lib
mkdir -p "$prefix/include" "$lib/pkgconfig" "$lib/cmake/Scrubjay"
install -m 644 "$here/include/scrubjay.h" "$prefix/include/scrubjay.h"
# Under another name first: a program that runs keeps the file that it mapped.
install -m 755 "$from/libscrubjay.so" "$lib/libscrubjay.so.$version.new"
mv "$lib/libscrubjay.so.$version.new" "$lib/libscrubjay.so.$version"
ln -sfn "libscrubjay.so.$version" "$lib/$soname"
ln -sfn "$soname" "$lib/libscrubjay.so"
"$here/tools/localize.sh" "$from/libscrubjay.a" "$lib/libscrubjay.a"

fill() {
	sed -e "s/@VERSION@/$version/g" -e "s/@SONAME@/$soname/g" "$1" >"$2"
	chmod 644 "$2"
}
fill "$here/cmake/scrubjay.pc.in" "$lib/pkgconfig/scrubjay.pc"
fill "$here/cmake/scrubjay-static.pc.in" "$lib/pkgconfig/scrubjay-static.pc"
fill "$here/cmake/ScrubjayConfig.cmake.in" "$lib/cmake/Scrubjay/ScrubjayConfig.cmake"
fill "$here/cmake/ScrubjayConfigVersion.cmake.in" "$lib/cmake/Scrubjay/ScrubjayConfigVersion.cmake"
