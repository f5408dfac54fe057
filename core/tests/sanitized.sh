#!/usr/bin/env bash
# The tests of the memory tier under AddressSanitizer with its leak check, then under valgrind.
set -euo pipefail
cd "$(dirname "$0")/../.."
export SCALE=${SCALE:-0.005}
command -v valgrind >/dev/null || {
	echo "valgrind is missing: apt-get install valgrind" >&2
	exit 1
}
out=target/asan
mkdir -p "$out"

# AddressSanitizer is a compiler flag for nightly; RUSTC_BOOTSTRAP lets the stable compiler take it. With --target the flag
# stays away from build scripts and procedural macros.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" cargo test --quiet --locked -p scrubjay --lib --test memory_soak \
	--target x86_64-unknown-linux-gnu --target-dir "$out" -- memory:: under_contention | tee "$out/asan.log"

# The same tests as cargo built them without the sanitizer; valgrind runs one thread at a time, so only those with few.
cargo test --quiet --locked -p scrubjay --lib --no-run --message-format=json >"$out/built.json"
binary=$(python3 - "$out/built.json" <<'PYTHON'
import json, sys
lines = (json.loads(line) for line in open(sys.argv[1]))
built = [line["executable"] for line in lines if line.get("executable") and line["target"]["name"] == "scrubjay"]
print(built[-1])
PYTHON
)
valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite \
	"$binary" --quiet --test-threads=1 memory::tests::semantics memory::tests::policy memory::tests::user_code memory::tests::slots \
	| tee "$out/valgrind.log"
passed=$(sed -nE 's/^test result: ok\. ([0-9]+) passed.*/\1/p' "$out"/{asan,valgrind}.log | awk '{ sum += $1 } END { print sum }')
echo "$passed passed, 0 failed: the memory tier under AddressSanitizer and valgrind"
