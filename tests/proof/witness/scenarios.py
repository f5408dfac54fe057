"""The scenarios: what goes wrong in each, and how many reads there are."""

from __future__ import annotations

import os
from pathlib import Path

import clients
import faults

# Short enough that every copy in memory is outlived by some fault, long enough that most reads are hits in memory.
# What is served because a fetch failed may be older than any bound, by intent: so nothing is.
OPTIONS = {"max_staleness": 0.3, "l2_timeout": 0.25, "stale_for": 0}
SETTINGS = {
    "keys": 64,
    # Tasks (and threads) that read in each worker, reads a second of a worker, writes a second of a worker.
    "readers": 8,
    "pace": 6_000,
    "writes": 40,
    "padding": 60,
    # How many fetches of the truth fail.
    "fail": 0.005,
}
FULL, WITH_FAULT, CONTROL = 1_000_000, 100_000, 20_000

ROOT = Path(__file__).resolve().parents[3]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
CLOCK_SHIFT = TARGET / "witness" / "clock_shift.so"


def control(kind: str, processes: int) -> dict:
    """A scenario that must be found out."""
    return {
        "fault": faults.none,
        "reads": CONTROL,
        "least": CONTROL,
        "kind": kind,
        "languages": ["python"] * processes,
    }


SCENARIOS: dict[str, dict] = {
    "none": {"fault": faults.none, "reads": FULL},
    "kill": {"fault": faults.KILL},
    "freeze-1s": {"fault": faults.FREEZE_1S},
    "freeze-5s": {"fault": faults.FREEZE_5S},
    "hole-both": {"fault": faults.HOLE_BOTH, "proxy": True},
    "hole-up": {"fault": faults.HOLE_UP, "proxy": True},
    "hole-down": {"fault": faults.HOLE_DOWN, "proxy": True},
    "kill-pubsub": {"fault": faults.KILL_PUBSUB},
    "overflow": {"fault": faults.OVERFLOW},
    "flushall": {"fault": faults.FLUSHALL},
    "script-flush": {"fault": faults.SCRIPT_FLUSH},
    "eviction": {"fault": faults.EVICTION},
    "freeze-client": {"fault": faults.FREEZE_CLIENT},
    "clock": {"fault": faults.CLOCK, "environment": lambda stage: clients.shifted(stage, CLOCK_SHIFT)},
    "demote": {"fault": faults.DEMOTE},
    "rough": {"fault": faults.ROUGH, "proxy": True},
    "control-ttl-only": control("ttl-only", 3),
    "control-old-copy": control("old-copy", 2),
    "control-wrong-key": control("wrong-key", 2),
}
NAMES = list(SCENARIOS)


def get(name: str, seed: int) -> dict:
    """A scenario with everything that it needs."""
    if name not in SCENARIOS:
        raise SystemExit(f"no such scenario: {name}; there are: {' '.join(NAMES)}")
    scenario = SCENARIOS[name]
    return {
        "reads": WITH_FAULT,
        "least": 2_000,
        **scenario,
        "seed": seed,
        "options": {**OPTIONS, **scenario.get("options", {})},
        "settings": {**SETTINGS, **scenario.get("settings", {})},
    }
