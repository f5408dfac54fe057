"""A source that is ten times slower than its callers: what waits for it stays within `max_bytes`.

The process may not grow beyond it either. The callers write changes, which never merge and which no cache keeps,
so that all memory that grows is what waits. How fast the callers are is measured first, with a source that
answers at once.
"""

from __future__ import annotations

import time
from pathlib import Path

from protocol import Process, Truth

SCENARIOS = {"slow-source": None}
MAX_BYTES = 2 << 20
TIMES_SLOWER = 10
MEASURE_SECONDS = 1
SLOW_SECONDS, LEAST_SLOW_SECONDS = 20, 2
CALLERS = 32
# A process may grow by what waits, as values and as rows of the journal, by the 4 MiB that a journal caches, and
# by what allocators keep.
RESIDENT_ALLOWANCE = 4 * MAX_BYTES + (16 << 20)


def run(_name: str, scale: float, seed: int, folder: Path, commands: dict[str, list[str]]) -> dict[str, object]:
    """Measure the worker of each language."""
    begun = time.monotonic()
    seconds = max(SLOW_SECONDS * scale, LEAST_SLOW_SECONDS)
    measured = {
        language: measure(language, command, folder / language, seconds) for language, command in commands.items()
    }
    return {
        "runs": len(measured),
        "reads": sum(result["written"] for result in measured.values()),
        "violations": sum(bool(result["wrong"]) for result in measured.values()),
        "seed": seed,
        "worst_staleness_ms": None,
        "max_bytes": MAX_BYTES,
        "resident_allowance": RESIDENT_ALLOWANCE,
        "languages": measured,
        "seconds": round(time.monotonic() - begun, 1),
        "first": [f"{language}: {result['wrong']}" for language, result in measured.items() if result["wrong"]],
    }


def measure(language: str, command: list[str], folder: Path, seconds: float) -> dict[str, object]:
    """How fast a worker's callers are, and what it holds when the source is slower."""
    folder.mkdir()
    config = {
        "url": "memory://",
        "prefix": "crash",
        "behind": {
            "name": "crash",
            "ack": "journal",
            "directory": str(folder / "journals"),
            "max_bytes": MAX_BYTES,
            "on_full": "block",
            "block_for": 60,
        },
        "name": "k",
        "version": 0,
        "producers": CALLERS,
        "works": True,
        "pause_ms": 0,
        "padding": 16_000,
        "changes": True,
        "ack_first": False,
        "stats_ms": 10,
    }
    truth = Truth(folder / "log")
    try:
        worker = Process(language, command, config, None)
        truth.add(worker)
        truth.until("writes are acknowledged", lambda: truth.acknowledged > CALLERS)
        first, at = truth.acknowledged, time.monotonic()
        truth.listen(MEASURE_SECONDS)
        speed = (truth.acknowledged - first) / (time.monotonic() - at)
        truth.seconds_for_write = TIMES_SLOWER / speed
        resident, most, most_resident = worker.resident(), 0, 0
        first, at = truth.acknowledged, time.monotonic()
        while time.monotonic() < at + seconds:
            truth.listen(0.01)
            most = max(most, worker.stats["bytes"])
            most_resident = max(most_resident, worker.resident())
        accepted = truth.acknowledged - first
        written = truth.written
    finally:
        truth.close()
    wrong = None
    if most > MAX_BYTES:
        wrong = f"{most} bytes waited, the bound is {MAX_BYTES}"
    elif most < MAX_BYTES / 2:
        wrong = f"only {most} bytes waited: the source was not slow"
    elif most_resident - resident > RESIDENT_ALLOWANCE:
        wrong = f"the process grew by {most_resident - resident} bytes"
    return {
        "writes_per_second": round(speed),
        "source_per_second": round(speed / TIMES_SLOWER),
        "accepted": accepted,
        "written": written,
        "most_bytes": most,
        "resident_before": resident,
        "resident_most": most_resident,
        "wrong": wrong,
    }


def trouble(name: str, result: dict) -> str | None:
    """Why it has failed, if it has."""
    return f"{name}: beyond the bound" if result["violations"] else None
