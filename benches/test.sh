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
export BENCH_OUT=$PWD/$out
SCALE=0.005 benches/memory/rust/run.sh >"$out/memory.log"
python3 benches/report.py memory "$out" >"$out/report.log"
# Every language, with its peers, which are installed under target/ where they are not yet.
SCALE=0.002 benches/seam/run.sh rust python node go >"$out/seam.log"
SCALE=0.05 benches/coherence/run.sh rust python node go >"$out/coherence.log"

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

seam = {(r["case"], r["metric"], r["subject"]): r["value"] for r in read("seam.json")}
cases = {case for case, _, _ in seam}
for language in "rust python python-async node go".split():
    most = 8 if language == "python" else 512 if language in ("rust", "go") else 64
    for case in "get-1x100B", f"get-{most}x100B", "get-many-100", "set-1x100B":
        for metric in "ops_per_s", "p50_us", "cpu_us":
            assert seam[f"{language}/l2-{case}", metric, "scrubjay"] > 0, (language, case, metric)
    assert seam[f"{language}/cold-get-or-fetch-1x100B", "p50_us", "scrubjay"] > 0, language
targets = json.loads(pathlib.Path("benches/seam/targets.json").read_text())
for target in targets:
    for peer in target.get("at_least", target.get("at_most", {})):
        assert (target["case"], target["metric"], peer) in seam, (target["case"], peer)
assert xml.parse(out / "seam.svg").getroot().tag.endswith("svg")
assert "0 no figure, 0 not run" in (out / "seam.log").read_text()
coherence = {(r["case"], r["metric"], r["subject"]): r["value"] for r in read("coherence.json")}
for language in "rust", "python", "node", "go":
    for subject in "scrubjay", "without-redis":
        assert coherence[f"{language}/l1-hit", "ns", subject] > 0, (language, subject)
    for outage in "stopped", "killed":
        assert coherence[f"{language}/{outage}-warm", "p99_us", "scrubjay"] > 0, (language, outage)
        assert coherence[f"{language}/{outage}-cold-open", "p50_over_us", "scrubjay"] < 1e6, (language, outage)
assert " not run; figures" in (out / "coherence.log").read_text()
print(f"{checks + 4} passed, 0 failed: benchmarks at a tiny scale")
PYTHON
