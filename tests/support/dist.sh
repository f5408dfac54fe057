#!/usr/bin/env bash
# Packs what each user installs into dist/: dist.sh [PROFILE], a cargo profile, dist by default.
set -euo pipefail
cd "$(dirname "$0")/../.."

profile=${1:-dist}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
platform=linux-x86_64-gnu
out=$PWD/dist
stage=$PWD/target/dist-stage
rm -rf "$out" "$stage"
mkdir -p "$out" "$stage"

echo "dist: the wheel"
bindings-python/tools/install.sh --tools
maturin=$(echo target/python/tools-*/bin/maturin)
"$maturin" build --quiet --profile "$profile" --manifest-path bindings-python/Cargo.toml --out "$out"

for free_threaded in python3.13t python3.14t; do
	if command -v "$free_threaded" >/dev/null; then
		echo "dist: the wheel of $free_threaded"
		"$maturin" build --quiet --profile "$profile" --manifest-path bindings-python/Cargo.toml --out "$out" \
			--interpreter "$free_threaded"
	else
		echo "dist: the wheel of $free_threaded is not built: there is no such interpreter here"
	fi
done

echo "dist: the C library"
cargo build --quiet --locked -p scrubjay-c --profile "$profile"
name=scrubjay-c-$version-$platform
bindings-c/tools/install.sh "$stage/$name" "$profile"
cp bindings-c/README.md LICENSE "$stage/$name/"
tar -C "$stage" -czf "$out/$name.tar.gz" "$name"

echo "dist: the Go module"
name=scrubjay-go-$version
mkdir -p "$stage/$name"
git ls-files go | grep -v -e '/tools/' -e '_test.go$' | while read -r file; do
	install -D -m 644 "$file" "$stage/$name/${file#go/}"
done
cp "$stage/scrubjay-c-$version-$platform/lib/libscrubjay.a" "$stage/$name/lib/linux_amd64/libscrubjay.a"
cp LICENSE "$stage/$name/"
tar -C "$stage" -czf "$out/$name.tar.gz" "$name"

echo "dist: the npm package"
cp LICENSE bindings-node/LICENSE
(cd bindings-node && SCRUBJAY_PROFILE=$profile npm run --silent build && npm pack --silent --pack-destination "$out" >/dev/null)

echo "dist: the crate"
cargo package --quiet --locked --allow-dirty --no-verify -p scrubjay
cp "target/package/scrubjay-$version.crate" "$out/"

ls -l "$out" | awk 'NR > 1 { printf "  %-60s %8.1f MiB\n", $9, $5 / 1048576 }'
