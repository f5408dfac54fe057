"""Merges what the languages measured into target/bench/memory.json and sets it against the targets."""

import json
import pathlib
import sys

LANGUAGES = ("rust", "python", "node", "go")

# Per case: the metric, and how many times the figure of each peer ours may be.
TARGETS = [
    ("rust/get-zipf-1t", "ns", {"quick_cache+ttl": 0.5, "moka+ttl": 0.15, "dashmap": 1.0}),
    ("rust/get-zipf-2t", "ns", {"quick_cache+ttl": 0.5, "moka+ttl": 0.15, "dashmap": 1.0}),
    ("rust/insert-evict-1t", "ns", {"quick_cache+ttl": 1.0, "moka+ttl": 0.25}),
    ("rust/mix-1t", "ns", {"quick_cache+ttl": 0.5}),
    ("rust/bytes-per-entry", "bytes", {"quick_cache+ttl": 0.9, "moka+ttl": 0.5}),
    ("python/get", "ns", {"cachebox.TTLCache": 0.65, "dict.get": 2.0, "cachetools.TTLCache": 0.05}),
    ("python/memoised", "ns", {"functools.lru_cache": 1.2}),
    ("python/await-get", "ns", {"aiocache": 0.1, "cashews": 0.1}),
    ("python/service-get", "ns", {"cachebox.TTLCache": 1.0}),
    ("node/get", "ns", {"lru-cache+ttl": 0.5, "tiny-lru+ttl": 0.8}),
    ("node/get-sync", "ns", {"lru-cache+ttl": 0.5, "tiny-lru+ttl": 0.8}),
    ("node/await-get", "ns", {"cache-manager": 0.25, "bentocache": 0.05}),
    ("go/get-hot", "ns", {"otter+expiry": 0.4}),
    ("go/get-zipf", "ns", {"otter+expiry": 0.65}),
    ("go/service-get", "ns", {"otter+expiry": 1.0}),
    ("go/set-evict", "ns", {"otter+expiry": 0.6}),
]

# Where ours may not exceed a figure of its own.
LIMITS = [
    ("go/get-hot", "allocs", 0),
    ("go/get-zipf", "allocs", 0),
    ("go/service-get", "allocs", 0),
]


def read_parts(folder: pathlib.Path) -> list[dict]:
    records = []
    for language in LANGUAGES:
        part = folder / f"memory-{language}.json"
        if part.exists():
            records += json.loads(part.read_text())
    return records


def verdict(ratio: float, target: float) -> str:
    return "met" if ratio <= target else "not met"


def report(records: list[dict]) -> list[tuple[str, ...]]:
    figures = {(r["case"], r["metric"], r["subject"]): r["value"] for r in records}
    measured = {case.split("/")[0] for case, _, _ in figures}
    lines = []
    for case, metric, peers in TARGETS:
        ours = figures.get((case, metric, "scrubjay"))
        for peer, target in peers.items():
            theirs = figures.get((case, metric, peer))
            if ours is not None and theirs:
                ratio = ours / theirs
                row = (f"{ours:,.1f}", f"{theirs:,.1f}", f"{ratio:.3f}", f"{target:g}", verdict(ratio, target))
            elif case.split("/")[0] in measured:
                row = ("–", "–", "–", f"{target:g}", "no figure")
            else:
                row = ("–", "–", "–", f"{target:g}", "not run")
            lines.append((f"{case}, {metric}", peer, *row))
    for case, metric, target in LIMITS:
        ours = figures.get((case, metric, "scrubjay"))
        if ours is not None:
            row = (f"{ours:g}", "–", "–", f"{target:g}", verdict(ours, target))
            lines.append((f"{case}, {metric}", "(ours alone)", *row))
    return lines


def main() -> int:
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/bench")
    records = read_parts(folder)
    if not records:
        print(f"report: no memory-*.json in {folder}", file=sys.stderr)
        return 1
    (folder / "memory.json").write_text(json.dumps(records, indent=1) + "\n")
    lines = [("case, metric", "peer", "scrubjay", "peer's", "ratio", "target", "")] + report(records)
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        left = "  ".join(text.ljust(width) for text, width in zip(line[:2], widths))
        right = "  ".join(text.rjust(width) for text, width in zip(line[2:6], widths[2:]))
        print(f"{left}  {right}  {line[6]}".rstrip())
    counts = {what: sum(line[6] == what for line in lines) for what in ("met", "not met", "no figure", "not run")}
    print(", ".join(f"{count} {what}" for what, count in counts.items()) + f"; figures: {folder}/memory.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
