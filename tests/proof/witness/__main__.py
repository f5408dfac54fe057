"""Workers in four languages share a cache; a checker that knows only the truth looks at what they were given.

The truth is a SQLite database. Each worker reads random keys in every way that a cache can be read; now and then
it commits a new version of one, and then deletes or sets it in the cache. It writes down each operation, and the
staleness that the cache claimed for it. In each scenario something else goes wrong meanwhile, and proves that it
did.

The controls must be found out, or the checker proves nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "support")]

import check  # noqa: E402
import records  # noqa: E402
import scenarios  # noqa: E402
import truth  # noqa: E402
from stage import Stage  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
WORKERS = HERE / "workers"


def commands() -> dict[str, list[str]]:
    """What starts the worker of each language."""
    return {
        "rust": [str(TARGET / "release" / "scrubjay-witness")],
        "python": [sys.executable, str(WORKERS / "python")],
        "node": ["node", str(WORKERS / "node" / "main.mjs")],
        "go": [str(TARGET / "witness" / "go")],
    }


def play(name: str, scale: float, seed: int, languages: list[str], keep: Path | None) -> dict:
    """Plays a scenario, and checks it."""
    scenario = scenarios.get(name, seed)
    wanted = max(int(scenario["reads"] * scale), scenario["least"])
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scrubjay-witness-") as folder:
        place = keep / name if keep else Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        stage = Stage(place, scenario, commands(), languages, seed)
        try:
            offset = truth.now() - time.monotonic_ns()
            stage.all("go")
            proof = scenario["fault"](stage, wanted)
            stage.wait(wanted)
            stage.rest()
            slept = abs(truth.now() - time.monotonic_ns() - offset) / 1e6
        finally:
            stage.end()
        if slept > 5:
            raise SystemExit(
                f"{name}: the machine slept for {slept:.0f} ms; the clocks of the workers do not agree"
            )
        played = time.monotonic() - begun
        logs = [records.read(worker.log) for worker in stage.workers]
        thaws = {worker.number: worker.thaws for worker in stage.workers}
        verdict = check.check(truth.history(stage.database), logs, thaws)
    return {
        "runs": proof.get("strikes", 1),
        "reads": verdict.reads,
        "violations": sum(verdict.violations.values()),
        "seed": seed,
        "worst_staleness_ms": round(verdict.worst_ns / 1e6, 1),
        "bound_ms": max((bound / 1000 for bound in verdict.bounds), default=None),
        "allowance_ms": check.ALLOWANCE_MS,
        "fault_proof": proof,
        "kinds": dict(verdict.violations),
        "writes": verdict.writes,
        "pending_writes": verdict.pending_writes,
        "loads": verdict.loads,
        "misses": verdict.misses,
        "failed_reads": verdict.failed,
        "without_bound": verdict.unclaimed,
        "excused_after_thaw": verdict.excused,
        "languages": [worker.language for worker in stage.workers],
        "seconds": round(played, 1),
        "first": verdict.first[:12],
    }


def trouble(name: str, result: dict) -> str | None:
    """Why a scenario has failed, if it has."""
    if name.startswith("control-"):
        return None if result["violations"] else "the checker found nothing"
    if not result["fault_proof"].get("struck", False):
        return "the fault did not strike"
    if result["fault_proof"].get("sessions_left", 0):
        return "sessions with a server that takes no writes have not ended"
    if result["violations"]:
        return f"{result['violations']} violations: {result['kinds']}"
    if result["reads"] <= result["failed_reads"] + result["misses"]:
        return "nothing was read"
    return None


def main() -> int:
    """Plays the scenarios that were asked for."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or "1"))
    arguments.add_argument("--scale", type=float, default=float(os.environ.get("SCALE") or "1"))
    arguments.add_argument("--keep", type=Path, help="a folder for the truth and the logs, which stay there")
    arguments.add_argument("--languages", default="rust python node go")
    arguments.add_argument("scenarios", nargs="*", help=f"these alone, of: {' '.join(scenarios.NAMES)}")
    options = arguments.parse_args()
    names = options.scenarios or os.environ.get("FAULTS", "").split() or scenarios.NAMES
    results, failures = {}, []
    for name in names:
        result = play(name, options.scale, options.seed, options.languages.split(), options.keep)
        results[name] = result
        why = trouble(name, result)
        print(
            f"{'FAILED' if why else 'ok':<7}{name}: {result['reads']} reads in {result['seconds']} s", flush=True
        )
        if why:
            failures.append(f"{name}: {why}")
            print("\n".join([f"       {why}", *(f"       {line}" for line in result["first"])]), flush=True)
    target = TARGET / "proof"
    target.mkdir(parents=True, exist_ok=True)
    (target / "witness.json").write_text(json.dumps(results, indent=1) + "\n")
    print_table(results, options.seed)
    print("\n".join(failures))
    print(
        f"{len(results) - len(failures)} passed, {len(failures)} failed: "
        "what workers in four languages were given, against the truth"
    )
    return 1 if failures else 0


COLUMNS = {
    "reads": "reads",
    "writes": "writes",
    "pending": "pending_writes",
    "loads": "loads",
    "wrong": "violations",
    "worst ms": "worst_staleness_ms",
    "bound ms": "bound_ms",
    "seconds": "seconds",
}


def print_table(results: dict[str, dict], seed: int) -> None:
    """What came out, a line a scenario."""
    print(
        f"\nseed {seed}; {check.ALLOWANCE_MS} ms more than the bound are allowed for the clocks of the processes"
    )
    print(f"{'scenario':<20}" + "".join(f"{title:>10}" for title in COLUMNS) + "  the fault")
    for name, result in results.items():
        proof = ", ".join(f"{key} {value}" for key, value in result["fault_proof"].items() if key != "struck")
        print(f"{name:<20}" + "".join(f"{result[field]!s:>10}" for field in COLUMNS.values()) + f"  {proof}")


if __name__ == "__main__":
    sys.exit(main())
