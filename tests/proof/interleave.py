"""Readers and writers of the same keys in several processes: is a stale value left when all have ended?

Each schedule has a key of its own. Two processes read it twice each, with a fetch that takes a while before and
after it looks at the truth; two others change the truth and then invalidate the key. All waits are drawn from the
seed and the number of the schedule. Where the cache writes values (`write-through`) each of them stores two
new rows at once instead, with their values. When everybody is done, what the shared tier holds must be the truth,
or nothing.

The controls do the same without leases: they must leave stale values behind, or the schedules prove nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import multiprocessing
import os
import random
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

import redis_server  # noqa: E402

from caches import CACHES, Cache  # noqa: E402

SCHEDULES = 100_000
# What a control needs to show that the schedules are hard.
CONTROL_SCHEDULES = 10_000
# Schedules at a time.
WINDOW = 100
READERS, WRITERS = 2, 2
LONGEST_WAIT_SECONDS = 0.02


class Truth:
    """What the source says of each schedule: one byte for each writer, in memory that all processes share."""

    def __init__(self, path: Path, schedules: int) -> None:
        if not path.exists():
            path.write_bytes(bytes(schedules * WRITERS))
        with path.open("r+b") as file:
            self.bytes = mmap.mmap(file.fileno(), 0)

    def change(self, schedule: int, writer: int) -> None:
        self.bytes[schedule * WRITERS + writer] += 1

    def replace(self, schedule: int, row: list[int]) -> None:
        self.bytes[schedule * WRITERS : (schedule + 1) * WRITERS] = bytes(row)

    def look(self, schedule: int) -> list[int]:
        return list(self.bytes[schedule * WRITERS : (schedule + 1) * WRITERS])


def key(schedule: int) -> str:
    return f"schedule:{schedule}"


def pause(rng: random.Random) -> float:
    return rng.random() * LONGEST_WAIT_SECONDS


async def read(cache: Cache, truth: Truth, schedule: int, rng: random.Random) -> None:
    async def once(longest: float) -> None:
        await asyncio.sleep(rng.random() * longest)

        async def load() -> list[int]:
            await asyncio.sleep(pause(rng))
            seen = truth.look(schedule)
            await asyncio.sleep(pause(rng))
            return seen

        await cache.read(key(schedule), load)

    # Each may begin while the other one loads: one process then has two attempts, if told of a write between.
    await asyncio.gather(once(LONGEST_WAIT_SECONDS), once(3 * LONGEST_WAIT_SECONDS))


async def write(cache: Cache, truth: Truth, schedule: int, writer: int, rng: random.Random) -> None:
    await asyncio.sleep(pause(rng) * 2)
    if cache.writes_values:

        async def store(row: list[int]) -> None:
            await asyncio.sleep(pause(rng) / 2)
            truth.replace(schedule, row)
            await asyncio.sleep(pause(rng) / 2)

        rows = ([writer + 1, number] for number in rng.sample(range(256), 2))
        await asyncio.gather(*(cache.store(key(schedule), row, store) for row in rows))
        return
    truth.change(schedule, writer)
    await asyncio.sleep(pause(rng) / 2)
    await cache.invalidate(key(schedule))


def work(
    name: str, url: str, path: Path, schedules: int, role: tuple[str, int], seed: int, link: Connection
) -> None:
    """A process: it plays its part in the schedules that it is told, until it is told none."""
    kind, number = role
    truth = Truth(path, schedules)

    async def play(schedule: int) -> None:
        rng = random.Random(f"{seed} {schedule} {kind} {number}")
        if kind == "reader":
            await read(cache, truth, schedule, rng)
        else:
            await write(cache, truth, schedule, number, rng)

    async def main() -> None:
        nonlocal cache
        cache = await CACHES[name].connect(url)
        while (window := link.recv()) is not None:
            await asyncio.gather(*(play(schedule) for schedule in window))
            await cache.settle()
            # What others do may reach us only later: nothing is asked for before all have settled.
            link.send([])
            link.recv()
            keys = [key(schedule) for schedule in window] if cache.reads_back else []
            found = await cache.values(keys)
            link.send([n for n, value in zip(window, found, strict=False) if value not in (None, truth.look(n))])
        await cache.close()

    cache = None
    asyncio.run(main())


def answer(link: Connection, about: str) -> list[int]:
    """The schedules in which a process saw a stale value."""
    if not link.poll(120):
        raise SystemExit(f"{about}: a process does not end")
    return link.recv()


def run(name: str, schedules: int, seed: int) -> dict:
    """Plays the schedules of a scenario."""
    with redis_server.required() as url, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth"
        truth = Truth(path, schedules)
        roles = [("reader", number) for number in range(READERS)] + [
            ("writer", number) for number in range(WRITERS)
        ]
        workers = []
        # Not forked: each is a process as its users start it.
        context = multiprocessing.get_context("spawn")
        for role in roles:
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(name, url, path, schedules, role, seed, theirs))
            process.start()
            theirs.close()
            workers.append((process, ours))
        stale = []
        with asyncio.Runner() as runner:
            observer = runner.run(CACHES[name].connect(url))
            for start in range(0, schedules, WINDOW):
                window = range(start, min(start + WINDOW, schedules))
                for _, link in workers:
                    link.send(window)
                stale += [
                    n for _, link in workers for n in answer(link, f"{name}, schedules {window}, seed {seed}")
                ]
                for _, link in workers:
                    link.send("all have settled")
                stale += [
                    n for _, link in workers for n in answer(link, f"{name}, schedules {window}, seed {seed}")
                ]
                left = runner.run(observer.values([key(schedule) for schedule in window]))
                stale += [n for n, value in zip(window, left, strict=True) if value not in (None, truth.look(n))]
            runner.run(observer.close())
        for process, link in workers:
            link.send(None)
            process.join(60)
            if process.exitcode != 0:
                raise SystemExit(f"{name}: a process ended with {process.exitcode}")
    return {
        "runs": schedules,
        "reads": schedules * READERS * 2,
        "violations": len(set(stale)),
        "seed": seed,
        "worst_staleness_ms": None,
        "first": stale[:5],
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    arguments.add_argument("--scale", type=float, default=float(os.environ.get("SCALE", "1")))
    arguments.add_argument("--only", choices=sorted(CACHES), help="one scenario alone")
    options = arguments.parse_args()
    results, wrong = {}, []
    for name in [options.only] if options.only else CACHES:
        is_control = name.startswith("control-")
        full = CONTROL_SCHEDULES if is_control else SCHEDULES
        begun = time.monotonic()
        results[name] = run(name, max(int(full * options.scale), 2_000 if is_control else 1_000), options.seed)
        results[name]["seconds"] = round(time.monotonic() - begun, 1)
        if is_control == (results[name]["violations"] == 0):
            wrong.append(name)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "proof"
    target.mkdir(parents=True, exist_ok=True)
    (target / "interleave.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"{'scenario':<24}{'schedules':>10}{'reads':>10}{'stale left':>12}{'seconds':>9}   seed {options.seed}")
    for name, result in results.items():
        print(
            f"{name:<24}{result['runs']:>10}{result['reads']:>10}{result['violations']:>12}{result['seconds']:>9}"
        )
    for name in wrong:
        print(
            f"{name}: {results[name]['violations']} stale values, the first in schedules {results[name]['first']}"
        )
    print(
        f"{len(results) - len(wrong)} passed, {len(wrong)} failed: stale values left by reads and writes at once"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
