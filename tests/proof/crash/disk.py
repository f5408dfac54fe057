"""A disk that is full, and one whose sync fails: both are reported, and nothing that was acknowledged is lost.

A library that is loaded before the worker (`support/disk_fault.c`) has the system calls of its journal fail
while a file says so. Meanwhile nothing may be acknowledged, and the worker must say so; then it is killed, or
the disk gets well, in turn.
"""

from __future__ import annotations

import mmap
import os
import random
import struct
import time
from pathlib import Path

import kills
from check import Checker
from protocol import Process, Truth

TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or Path(__file__).resolve().parents[3] / "target")
LIBRARY = TARGET / "crash" / "disk_fault.so"
ROUNDS, LEAST_ROUNDS = 40, 4
SCENARIOS = {"disk-full": 1, "fsync-fails": 2}


class Disk:
    """What the library reads: which fault there is, and how often it struck."""

    LAYOUT = struct.Struct("<qQ")

    def __init__(self, file: Path) -> None:
        file.write_bytes(bytes(self.LAYOUT.size))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), self.LAYOUT.size)

    def fail(self, fault: int) -> None:
        """From now on this goes wrong; 0 for nothing."""
        self._shared[:8] = struct.pack("<q", fault)

    def struck(self) -> int:
        """How many calls have failed."""
        return self.LAYOUT.unpack(self._shared[:])[1]


def run(name: str, scale: float, seed: int, folder: Path, commands: dict[str, list[str]]) -> dict[str, object]:
    """Play rounds of it, the languages in turn."""
    begun, path = time.monotonic(), folder / "log"
    rounds = max(round(ROUNDS * scale), LEAST_ROUNDS)
    truth, disk, rng = Truth(path), Disk(folder / "fault"), random.Random(f"{seed} {name}")
    unreported, early, strikes = [], 0, 0
    reported = dict.fromkeys(commands, 0)
    try:
        for number in range(rounds):
            language = list(commands)[number % len(commands)]
            worker = start(language, commands[language], folder, number)
            truth.add(worker)
            truth.until("writes are acknowledged", lambda early=early: truth.acknowledged > early)
            truth.listen(rng.random() * 0.1)
            before, refused = disk.struck(), truth.refused
            disk.fail(SCENARIOS[name])
            truth.until("the fault strikes", lambda before=before: disk.struck() > before)
            # What was synced before the fault may be told a moment later.
            truth.listen(0.1)
            calm = truth.acknowledged
            try:
                truth.until(
                    "it is reported",
                    lambda worker=worker, refused=refused: (
                        truth.refused > refused and worker.stats.get("journal_failed") == 1
                    ),
                    10,
                )
                reported[language] += 1
            except SystemExit as silence:
                unreported.append(f"{language}: {silence}, the counters are {worker.stats}")
            if truth.acknowledged > calm:
                unreported.append(f"{language}: {truth.acknowledged - calm} writes acknowledged on a broken disk")
            strikes += disk.struck() - before
            if number % 2:
                truth.kill(worker)
                disk.fail(0)
            else:
                disk.fail(0)
                calm = truth.acknowledged
                truth.until("acknowledgements go on", lambda calm=calm: truth.acknowledged > calm)
                truth.kill(worker)
            early = truth.acknowledged
        last = start(language, commands[language], folder, rounds)
        truth.add(last)
        checker = Checker(path)
        verdict = kills.settle(truth, checker, patient=True)
        checker.close()
    finally:
        truth.close()
    return {
        "runs": rounds,
        "reads": verdict.written,
        "violations": verdict.violations + len(unreported),
        "seed": seed,
        "worst_staleness_ms": None,
        "fault_proof": {"struck": strikes > 0, "failed_calls": strikes},
        "reported": reported,
        "acknowledged": verdict.acknowledged,
        "lost": verdict.lost,
        "reordered": verdict.reordered,
        "unmarked_duplicates": verdict.unmarked,
        "duplicates": verdict.duplicates,
        "refused": verdict.refused,
        "seconds": round(time.monotonic() - begun, 1),
        "first": unreported + verdict.first,
    }


def start(language: str, command: list[str], folder: Path, number: int) -> Process:
    """A worker over a journal on that disk."""
    config = {
        "url": "memory://",
        "prefix": "crash",
        "behind": {"name": "crash", "ack": "journal", "directory": str(folder / "journals"), "max_attempts": 0},
        "name": f"k{number}",
        "version": number * 1_000_000,
        "producers": 4,
        "works": True,
        "pause_ms": 2,
        "padding": 200,
        "changes": False,
        "ack_first": False,
        "stats_ms": 20,
    }
    environment = {"LD_PRELOAD": str(LIBRARY), "SCRUBJAY_DISK_FAULT": str(folder / "fault")}
    return Process(language, command, config, environment)


def trouble(name: str, result: dict) -> str | None:
    """Why a scenario has failed, if it has."""
    if not result["fault_proof"]["struck"]:
        return f"{name} did not strike"
    if result["violations"]:
        return f"{result['lost']} lost, {result['reordered']} reordered, or a fault that was not reported"
    if set(result["refused"]) - {"Unavailable"}:
        return f"writes were refused with {result['refused']}"
    return None
