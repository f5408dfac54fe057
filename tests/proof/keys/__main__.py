"""A million argument structures at random, the same in four languages: each has one key, and no other has it.

Each worker makes the structures of a seed, and again with maps in another order, and prints a digest of the keys
of every so many. Whether two structures have one key is looked at here, by an encoding that has nothing to do with
keys; `control-joined` does so for keys as they are often made, of the texts of the arguments.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE))

import structures  # noqa: E402

RUNS = 1_000_000


def workers() -> dict[str, list[str]]:
    """Return how each language is started."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return {
        "rust": [str(target / "release" / "keys")],
        "python": [sys.executable, str(HERE / "worker.py")],
        "node": ["node", str(HERE / "worker.mjs")],
        "go": [str(target / "keys-go")],
    }


def collisions(seed: int, runs: int) -> tuple[int, int]:
    """Return how many structures have the key of another one: of ours, and of joined texts."""
    from scrubjay import CacheService, cached

    get_key = cached(CacheService(), name="f")(lambda *args: args).get_key
    ours: dict[int, int] = {}
    theirs: dict[int, int] = {}
    met = [0, 0]
    random = structures.Random(seed)
    for _ in range(runs):
        arguments = structures.arguments(random)
        meaning = digest(structures.meaning(arguments))
        for index, (seen, key) in enumerate(
            ((ours, get_key(*arguments)), (theirs, ":".join(map(str, arguments))))
        ):
            if seen.setdefault(digest(key), meaning) != meaning:
                met[index] += 1
    return met[0], met[1]


def digest(text: Any) -> int:
    """Return a short digest of a text."""
    return int.from_bytes(hashlib.blake2b(str(text).encode(), digest_size=8).digest(), "little")


def main() -> int:
    """Run the workers and compare what they print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    parser.add_argument("--scale", type=float, default=float(os.environ.get("SCALE", "1")))
    options = parser.parse_args()
    runs = max(int(RUNS * options.scale), 1000)
    begun = time.monotonic()
    started = {
        language: subprocess.Popen([*command, str(options.seed), str(runs)], stdout=subprocess.PIPE, text=True)
        for language, command in workers().items()
    }
    printed = {language: process.communicate()[0].splitlines() for language, process in started.items()}
    wrong = [
        f"{language}: ended with {process.returncode}"
        for language, process in started.items()
        if process.returncode
    ]
    results: dict[str, dict[str, int]] = {}
    for language, lines in printed.items():
        blocks, unstable = lines[:-1], int(lines[-1].partition(" ")[2] or 0) if lines else 0
        others = sum(one != other for one, other in zip(blocks, printed["rust"][:-1], strict=False))
        others += abs(len(blocks) - len(printed["rust"]) + 1)
        results[language] = {
            "runs": runs,
            "unstable": unstable,
            "violations": unstable + others,
            "seed": options.seed,
        }
        if unstable or others or not blocks:
            wrong.append(
                f"{language}: {unstable} unstable keys, {others} of {len(blocks)} blocks are not those of Rust"
            )
    met, control = collisions(options.seed, runs)
    results["collisions"] = {"runs": runs, "unstable": 0, "violations": met, "seed": options.seed}
    results["control-joined"] = {"runs": runs, "unstable": 0, "violations": control, "seed": options.seed}
    if met:
        wrong.append(f"{met} structures have the key of another one")
    if not control:
        wrong.append("control-joined: joined texts did not meet, so this proves nothing")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "proof"
    target.mkdir(parents=True, exist_ok=True)
    (target / "keys.json").write_text(json.dumps(results, indent=1) + "\n")
    took = f"seed {options.seed}, {time.monotonic() - begun:.0f} s"
    print(f"{'':<16}{'structures':>12}{'unstable':>10}{'violations':>12}   {took}")
    for name, result in results.items():
        print(f"{name:<16}{result['runs']:>12}{result['unstable']:>10}{result['violations']:>12}")
    for line in wrong:
        print(line)
    print(f"{len(results) - len(wrong)} passed, {len(wrong)} failed: keys of random arguments in four languages")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
