#!/usr/bin/env bash
# The benchmark programs at a tiny scale: what they write is there and in range. Speed is never judged here.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
out=target/bench-test
rm -rf "$out"
mkdir -p "$out"

cargo fmt --manifest-path benches/Cargo.toml --all --check
cargo clippy --quiet --locked --release --manifest-path benches/Cargo.toml --target-dir "$target" --all-targets -- -D warnings
cargo test --quiet --locked --release --manifest-path benches/Cargo.toml --target-dir "$target"
cargo build --quiet --locked --release --manifest-path benches/Cargo.toml --target-dir "$target"

# A trace of each kind of reader: a popular half and a long tail.
python3 - "$out" <<'PYTHON'
import gzip, lzma, pathlib, random, struct, sys
out = pathlib.Path(sys.argv[1])
draw = random.Random(1)
keys = [int(draw.paretovariate(0.8)) % 5000 for _ in range(20000)]
(out / "plain.trace.xz").write_bytes(lzma.compress(b"".join(struct.pack(">I", key) for key in keys)))
(out / "decimal.trace.gz").write_bytes(gzip.compress("".join(f"{key}\n" for key in keys).encode()))
(out / "sized.trace").write_text("".join(f"{at} {key} {1 + key % 9000}\n" for at, key in enumerate(keys)))
PYTHON
for trace in plain.trace.xz decimal.trace.gz sized.trace; do
	SCALE=1 "$target/release/scrubjay-bench-hitratio" --out "$out" "$out/$trace" >"$out/hitratio.log"
done
SCALE=0.002 "$target/release/scrubjay-bench-hitratio" --out "$out" >"$out/hitratio.log"
SCALE=0.005 OUT="$out/memory-rust.json" benches/memory/rust/run.sh >"$out/memory.log"
python3 benches/report.py memory "$out" >"$out/report.log"

python3 - "$out" <<'PYTHON'
import json, pathlib, sys
import xml.etree.ElementTree as xml

out = pathlib.Path(sys.argv[1])
read = lambda name: json.loads((out / name).read_text())
policies = "scrubjay quick_cache moka foyer-lru foyer-w-tinylfu foyer-s3fifo foyer-sieve lru belady".split()
checks = 0
for trace, cases in ("plain", 3), ("decimal", 3), ("sized", 3), ("synthetic", 30):
    ratios = {(r["case"], r["subject"]): r["value"] for r in read(f"hitratio-{trace}.json")}
    assert len(ratios) == cases * len(policies), f"{trace}: {len(ratios)} figures"
    assert {subject for _, subject in ratios} == set(policies), trace
    for (case, subject), ratio in ratios.items():
        assert 0 <= ratio <= 1, (case, subject, ratio)
        # With sizes the optimum is an approximation.
        assert trace == "sized" or ratio <= ratios[case, "belady"], (case, subject, ratio)
    assert xml.parse(out / f"hitratio-{trace}.svg").getroot().tag.endswith("svg"), trace
    checks += 1
plain, decimal = read("hitratio-plain.json"), read("hitratio-decimal.json")
exact = lambda records: [r["value"] for r in records if r["subject"] in ("lru", "belady")]
assert exact(plain) == exact(decimal), "one sequence in two formats"
memory = {(r["case"], r["metric"], r["subject"]): r["value"] for r in read("memory.json")}
subjects = {subject for _, _, subject in memory}
assert subjects == set("scrubjay quick_cache+ttl quick_cache moka+ttl dashmap foyer-s3fifo foyer-s3fifo+ttl mutex-lru"
    " scrubjay-alive clock-only".split())
cases = "get-zipf-1t get-zipf-2t get-uniform-1t get-uniform-2t get-miss-1t insert-evict-1t mix-1t".split()
for case in cases:
    assert memory[f"rust/{case}", "ns", "scrubjay"] > 0, case
assert memory["rust/get-zipf-1t", "p99_ns", "scrubjay"] > 0
assert memory["rust/expiry-10M", "longest_us", "scrubjay"] > 0
assert 100 < memory["rust/bytes-per-entry", "bytes", "scrubjay"] < 5000
assert all(value >= 0 for value in memory.values())
assert " not run; figures" in (out / "report.log").read_text()
print(f"{checks + 2} passed, 0 failed: benchmarks at a tiny scale")
PYTHON
