"""How fast rows get into a real Postgres: behind, and by a statement for each row that its caller waits for.

All rows count when Postgres has them. Ten rows go to each key. Postgres syncs its commits (`fsync` and
`synchronous_commit` are on), and so does the journal. What the table has at the end is checked; speed is only
told.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import postgres_server

SCENARIOS = {"postgres": None}
ROWS, LEAST_ROWS = 200_000, 2_000
# The callers without a write-behind get so much less to do, and their speed is counted by the row.
SHARE = 10
ROWS_A_KEY = 10
CALLERS = 128
LIMIT_SECONDS = 600
# Who writes each row: one caller alone, as many as have connections in a pool, and as many as write behind.
SYNCHRONOUS = {"synchronous, 1 caller": 1, "synchronous, 16 callers": 16, "synchronous, 128 callers": 128}


def run(_name: str, scale: float, seed: int, folder: Path, commands: dict[str, list[str]]) -> dict[str, object]:
    """Measure all of them, on one server."""
    begun = time.monotonic()
    rows = max(round(ROWS * scale), LEAST_ROWS)
    measured, wrong = {}, []
    with postgres_server.required("fsync=on", "synchronous_commit=on") as url:
        for subject, callers in {"behind": CALLERS, **SYNCHRONOUS}.items():
            behind = subject == "behind"
            count = rows if behind else max(rows // SHARE, LEAST_ROWS)
            config = {
                "postgres": url,
                "directory": str(folder / "journals"),
                "rows": count,
                "keys": count // ROWS_A_KEY,
                "callers": callers,
                "behind": behind,
            }
            command = [*commands["rust"], "postgres", json.dumps(config)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_SECONDS)
            result = json.loads(done.stdout)
            measured[subject] = {
                "rows": count,
                "callers": callers,
                "seconds": round(result["seconds"], 3),
                "acknowledged_seconds": round(result["acknowledged_seconds"], 3),
                "rows_per_second": round(count / result["seconds"]),
            }
            if (result["rows"], result["sum"]) != (result["expected_rows"], result["expected_sum"]):
                wrong.append(f"{subject}: the table has {result['rows']} rows with the sum {result['sum']}")
    speed = measured["behind"]["rows_per_second"]
    return {
        "runs": len(measured),
        "reads": sum(result["rows"] for result in measured.values()),
        "violations": len(wrong),
        "seed": seed,
        "worst_staleness_ms": None,
        "measured": measured,
        "times_faster": {
            subject: round(speed / measured[subject]["rows_per_second"], 1) for subject in SYNCHRONOUS
        },
        "seconds": round(time.monotonic() - begun, 1),
        "first": wrong,
    }


def trouble(name: str, result: dict) -> str | None:
    """Why it has failed, if it has: not for its speed."""
    return f"{name}: rows are missing" if result["violations"] else None
