"""Deliberately broken builds must be found out: else the proofs prove nothing.

`make test-broken` makes a debug build of the Python package (see `core/src/mutant.rs`), and this plays
the schedules of `interleave.py`, or the witness, on it: with nothing broken they pass, and with each of the bugs
they do not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What finds each bug: a program of this folder with its arguments, and the file that it writes.
INTERLEAVE = ("interleave.py", "--only", "foreground", "--scale")
FINDERS = {
    "no_fence": ((*INTERLEAVE, "0.05"), "interleave.json"),
    # Seldom: two attempts of one process have to meet.
    "token_per_client": ((*INTERLEAVE, "0.3"), "interleave.json"),
    "ping_beat": (("witness", "--scale", "0.1", "--languages", "python python python", "demote"), "witness.json"),
    "no_ticket": (("witness", "--scale", "0.1", "--languages", "python python python", "none"), "witness.json"),
}


def play(command: tuple[str, ...], written: str, broken: str) -> tuple[int, int]:
    """How it ended, and how many violations there were."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SCRUBJAY_BREAK": broken, "CARGO_TARGET_DIR": folder}
        program, *arguments = command
        ended = subprocess.run(
            [sys.executable, str(HERE / program), *arguments], env=environment, stdout=subprocess.PIPE, text=True
        )
        file = Path(folder) / "proof" / written
        if not file.exists():
            raise SystemExit(f"{' '.join(command)} did not end as it should:\n{ended.stdout}")
        results = json.loads(file.read_text())
    return ended.returncode, sum(found_in(result) for result in results.values())


def found_in(result: dict) -> int:
    """A session that lives on with a server that takes no writes is found before anything stale was read in it."""
    left: int = result.get("fault_proof", {}).get("sessions_left", 0)
    return int(result["violations"]) + left


def main() -> int:
    failures = 0
    for broken, (command, written) in FINDERS.items():
        whole, _ = play(command, written, "")
        status, violations = play(command, written, broken)
        found = whole == 0 and status != 0 and violations > 0
        failures += not found
        print(
            f"{'ok' if found else 'FAILED':<7}{broken:<18}{violations:>6} violations by {command[0]}; "
            f"without the bug it {'passes' if whole == 0 else 'FAILS'}",
            flush=True,
        )
    print(f"{len(FINDERS) - failures} passed, {failures} failed: seeded bugs are found out")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
