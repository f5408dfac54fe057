"""The scenarios: what goes wrong in each, and how many reads there are."""

from __future__ import annotations

import faults

# Short enough that every copy in memory is outlived by some fault, long enough that most reads are hits in memory.
OPTIONS = {"max_staleness": 0.3, "l2_timeout": 0.25}
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

SCENARIOS: dict[str, dict] = {
    "none": {"fault": faults.none, "reads": FULL},
    "control-ttl-only": {
        "fault": faults.none,
        "reads": CONTROL,
        "least": CONTROL,
        "kind": "ttl-only",
        "languages": ["python"] * 3,
    },
    "control-old-copy": {
        "fault": faults.none,
        "reads": CONTROL,
        "least": CONTROL,
        "kind": "old-copy",
        "languages": ["python"] * 2,
    },
    "control-wrong-key": {
        "fault": faults.none,
        "reads": CONTROL,
        "least": CONTROL,
        "kind": "wrong-key",
        "languages": ["python"] * 2,
    },
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
