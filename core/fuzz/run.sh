#!/usr/bin/env bash
# Fuzzes what reads bytes of others: run.sh SECONDS [TARGET…], all targets without any. What it finds worth keeping goes
# to target/fuzz; the seeds are in corpus/, and tests run them too (core/src/fuzzing/tests.rs).
set -euo pipefail
cd "$(dirname "$0")"

VERSION=0.13.1
seconds=$1
shift
out=$(cd ../.. && pwd)/target/fuzz

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzzing needs the nightly toolchain: rustup toolchain install nightly" >&2
    exit 1
fi
if ! command -v c++ >/dev/null; then
    echo "fuzzing needs a C++ compiler: apt-get install g++" >&2
    exit 1
fi
export PATH="$out/tools/bin:$PATH"
if [ "$(cargo fuzz --version 2>/dev/null)" != "cargo-fuzz $VERSION" ]; then
    cargo install --quiet --locked --root "$out/tools" --version "$VERSION" cargo-fuzz
fi

if [ $# -eq 0 ]; then
    set -- $(cd fuzz_targets && ls | sed 's/\.rs$//')
fi
cd ..
for target in "$@"; do
    mkdir -p "$out/corpus/$target" "$out/artifacts/$target"
    echo "=== $target"
    # No input may make it take more memory than a few values of the largest size.
    cargo +nightly fuzz run --target-dir "$out/build" "$target" "$out/corpus/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -malloc_limit_mb=16 -rss_limit_mb=1024 \
        -artifact_prefix="$out/artifacts/$target/" -print_final_stats=1
done
echo "$# targets, nothing found"
