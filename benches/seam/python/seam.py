"""Reads and writes that go to Redis, through Scrubjay and through clients of Redis: threads and tasks.

seam.py OUTPUT.json     REDIS: the server's address; SCALE: 1 = the full figure

Every subject reads the same values from the same server by keys of its own, in rounds that take turns; ours has its
memory tier off. Keys are drawn outside of the timed loop, and each round's last value is checked.
"""

from __future__ import annotations

import asyncio
import itertools
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import coredis
import redis
import redis.asyncio
from glide import ExpirySet, ExpiryType, GlideClient, GlideClientConfiguration, NodeAddress
from scrubjay import CacheService

REDIS = os.environ["REDIS"]
HOST, PORT = urlsplit(REDIS).hostname or "127.0.0.1", urlsplit(REDIS).port or 6379
SCALE = float(os.environ.get("SCALE", "1"))
ROUNDS = max(5, round(11 * SCALE))
KEYS = 1_000
TTL = 3600
SIZES = {"100B": 100, "10KB": 10_000}
NAMES = [f"user:{n:08}" for n in range(KEYS)]


def value(name: str, size: int) -> bytes:
    """What is stored under a key."""
    return name.encode().ljust(size, b".")


class Figures:
    """What was measured, by case, subject and metric: a figure for each round."""

    UNITS = {"ops_per_s": "1/s", "p50_us": "us", "p99_us": "us", "cpu_us": "us", "loop_delay_p99_us": "us"}

    def __init__(self) -> None:
        self.rounds: dict[tuple[str, str, str], list[float]] = {}

    def add(self, case: str, subject: str, **metrics: float) -> None:
        """Add the figures of one round."""
        for metric, figure in metrics.items():
            self.rounds.setdefault((case, subject, metric), []).append(figure)

    def records(self) -> list[dict[str, Any]]:
        """The medians."""
        return [
            {
                "case": case,
                "subject": subject,
                "metric": metric,
                "value": round(statistics.median(figures), 2),
                "unit": self.UNITS[metric],
                "repeats": len(figures),
            }
            for (case, subject, metric), figures in self.rounds.items()
        ]


class Round:
    """One timed stretch: wall clock, processor time of this process, and the times of single calls."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter_ns(), time.process_time_ns()

    def metrics(self, times: list[int]) -> dict[str, float]:
        """What it comes to, for as many calls as there are times."""
        wall, cpu = time.perf_counter_ns() - self.wall, time.process_time_ns() - self.cpu
        times.sort()
        return {
            "ops_per_s": len(times) / wall * 1e9,
            "p50_us": times[len(times) // 2] / 1e3,
            "p99_us": times[len(times) * 99 // 100] / 1e3,
            "cpu_us": cpu / len(times) / 1e3,
        }


@contextmanager
def awake(needed: bool) -> Any:
    """Keep the processors from falling asleep between single calls."""
    if not needed:
        yield
        return
    command = [sys.executable, str(Path(__file__).parent.parent / "awake.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as spinners:
        assert spinners.stdout is not None
        spinners.stdout.readline()
        yield
        spinners.communicate()


def in_turn(subjects: list[Any]) -> Any:
    """Each subject once a round, each round beginning with another. The first round is a warm-up."""
    for round_ in range(-1, ROUNDS):
        at = round_ % len(subjects)
        for subject in subjects[at:] + subjects[:at]:
            yield round_, subject


# --- threads ---

def threaded(get: Callable[[str], Any], drawn: list[list[str]], size: int) -> dict[str, float]:
    """A round: each list of keys is read by a thread of its own."""
    barrier = threading.Barrier(len(drawn) + 1)
    times: list[list[int]] = [[] for _ in drawn]
    last: list[Any] = [None] * len(drawn)

    def work(number: int) -> None:
        mine, clock = times[number], time.perf_counter_ns
        barrier.wait()
        for key in drawn[number]:
            begun = clock()
            found = get(key)
            mine.append(clock() - begun)
        last[number] = found

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(drawn))]
    for thread in threads:
        thread.start()
    barrier.wait()
    round_ = Round()
    for thread in threads:
        thread.join()
    metrics = round_.metrics([one for of_thread in times for one in of_thread])
    for keys, found in zip(drawn, last, strict=True):
        assert found == value(keys[-1], size), "a wrong value"
    return metrics


def of_threads(figures: Figures) -> None:
    """Clients for threads."""
    rng = random.Random(5)
    for label, size in SIZES.items():
        ours = CacheService(REDIS, f"bench{label}", l1_bytes=0)
        theirs = redis.Redis.from_url(REDIS, max_connections=100)
        for name in NAMES:
            ours.set(name, value(name, size), TTL)
            theirs.set(f"{label}:{name}", value(name, size), ex=TTL)
        named = {"scrubjay": ours.get, "redis-py": lambda key, label=label: theirs.get(f"{label}:{key}")}
        for callers in (1, 8, 64) if size == 100 else (8,):
            count = max(20, int(4_000 * SCALE / callers))
            with awake(callers == 1):
                for round_, subject in in_turn(list(named)):
                    drawn = [rng.choices(NAMES, k=count) for _ in range(callers)]
                    metrics = threaded(named[subject], drawn, size)
                    if round_ >= 0:
                        figures.add(f"python/l2-get-{callers}x{label}", subject, **metrics)
        if size == 100:
            many_and_sets(figures, ours, theirs)
        ours.close()
        theirs.close()


def many_and_sets(figures: Figures, ours: CacheService, theirs: redis.Redis) -> None:
    """A hundred keys at once, and plain sets, one caller."""
    rng = random.Random(6)
    many = {
        "scrubjay": lambda keys: list(ours.get_many(keys).values()),
        "redis-py": lambda keys: theirs.mget([f"100B:{key}" for key in keys]),
    }
    sets = {
        "scrubjay": lambda key: ours.set(key, value(key, 100), TTL),
        "redis-py": lambda key: theirs.set(f"100B:{key}", value(key, 100), ex=TTL),
    }
    with awake(needed=True):
        for round_, subject in in_turn(list(many)):
            times = []
            timed = Round()
            for _ in range(max(5, int(100 * SCALE))):
                keys = rng.sample(NAMES, 100)
                begun = time.perf_counter_ns()
                found = many[subject](keys)
                times.append(time.perf_counter_ns() - begun)
            assert found == [value(key, 100) for key in keys], "wrong values"
            metrics = timed.metrics(times)
            if round_ >= 0:
                figures.add("python/l2-get-many-100", subject, **metrics)
        for round_, subject in in_turn(list(sets)):
            times = []
            timed = Round()
            for key in rng.choices(NAMES, k=max(20, int(2_000 * SCALE))):
                begun = time.perf_counter_ns()
                sets[subject](key)
                times.append(time.perf_counter_ns() - begun)
            metrics = timed.metrics(times)
            if round_ >= 0:
                figures.add("python/l2-set-1x100B", subject, **metrics)
        cold_loads(figures, ours, theirs)


def cold_loads(figures: Figures, ours: CacheService, theirs: redis.Redis) -> None:
    """Values that are nowhere yet; a program that has a client and no cache reads, fetches and writes."""

    def by_hand(key: str) -> Any:
        found = theirs.get(f"100B:{key}")
        if found is None:
            found = value(key, 100)
            theirs.set(f"100B:{key}", found, ex=TTL)
        return found

    numbers = itertools.count()
    loads = {"scrubjay": lambda key: ours.get_or_fetch(key, TTL, lambda: value(key, 100)), "redis-py": by_hand}
    for round_, subject in in_turn(list(loads)):
        keys = [f"cold:{next(numbers):08}" for _ in range(max(20, int(1_000 * SCALE)))]
        times = []
        timed = Round()
        for key in keys:
            begun = time.perf_counter_ns()
            found = loads[subject](key)
            times.append(time.perf_counter_ns() - begun)
        metrics = timed.metrics(times)
        assert found == value(keys[-1], 100), "a wrong value"
        if round_ >= 0:
            figures.add("python/cold-get-or-fetch-1x100B", subject, **metrics)


# --- tasks ---

Get = Callable[[str], Awaitable[Any]]
LOOK = 1_000_000
"""Nanoseconds between two looks at the event loop."""


async def loop_delay(delays: list[int], watching: asyncio.Event) -> None:
    """How late the event loop wakes a task that asked for a millisecond: the timer is what is measured."""
    while True:
        begun = time.perf_counter_ns()
        await asyncio.sleep(LOOK / 1e9)
        watching.set()
        delays.append(max(0, time.perf_counter_ns() - begun - LOOK))


async def tasked(get: Get, drawn: list[list[str]], size: int) -> dict[str, float]:
    """A round: each list of keys is read by a task of its own."""
    times: list[int] = []
    delays: list[int] = []

    async def work(keys: list[str]) -> None:
        clock = time.perf_counter_ns
        for key in keys:
            begun = clock()
            found = await get(key)
            times.append(clock() - begun)
        assert found == value(keys[-1], size), "a wrong value"

    watching = asyncio.Event()
    watcher = asyncio.create_task(loop_delay(delays, watching))
    await watching.wait()
    round_ = Round()
    await asyncio.gather(*(work(keys) for keys in drawn))
    metrics = round_.metrics(times)
    watcher.cancel()
    delays.sort()
    return {**metrics, "loop_delay_p99_us": delays[len(delays) * 99 // 100] / 1e3}


async def of_tasks(figures: Figures) -> None:
    """Clients for asyncio."""
    rng = random.Random(7)
    plain = redis.asyncio.Redis(
        connection_pool=redis.asyncio.BlockingConnectionPool.from_url(REDIS, max_connections=100, timeout=None)
    )
    glide = await GlideClient.create(GlideClientConfiguration([NodeAddress(HOST, PORT)], request_timeout=10_000))
    core = coredis.Redis(host=HOST, port=PORT, max_connections=100)
    async with core:
        for label, size in SIZES.items():
            ours = CacheService(REDIS, f"bench{label}", l1_bytes=0)
            named: dict[str, Get] = {
                "scrubjay": ours.aget,
                "redis-py-asyncio": lambda key, label=label: plain.get(f"{label}:{key}"),
                "valkey-glide": lambda key, label=label: glide.get(f"{label}:{key}"),
                "coredis": lambda key, label=label: core.get(f"{label}:{key}"),
            }
            for callers in (1, 8, 64, 512) if size == 100 else (64,):
                count = max(5, int(4_000 * SCALE / callers))
                with awake(callers == 1):
                    for round_, subject in in_turn(list(named)):
                        drawn = [rng.choices(NAMES, k=count) for _ in range(callers)]
                        metrics = await tasked(named[subject], drawn, size)
                        if round_ >= 0:
                            figures.add(f"python-async/l2-get-{callers}x{label}", subject, **metrics)
            if size == 100:
                await tasks_one_by_one(figures, ours, {"redis-py-asyncio": plain, "valkey-glide": glide, "coredis": core})
            await ours.aclose()
    await plain.aclose()
    await glide.close()


async def tasks_one_by_one(figures: Figures, ours: CacheService, clients: dict[str, Any]) -> None:
    """A hundred keys at once, plain sets, and values that are nowhere yet: one caller."""
    rng, numbers = random.Random(8), itertools.count()

    def stored(subject: str, key: str) -> Awaitable[Any]:
        client, name, data = clients[subject], f"100B:{key}", value(key, 100)
        if subject == "valkey-glide":
            return client.set(name, data, expiry=ExpirySet(ExpiryType.SEC, TTL))
        return client.set(name, data, ex=TTL)

    async def loaded(subject: str, key: str) -> Any:
        found = await clients[subject].get(f"100B:{key}")
        if found is None:
            found = value(key, 100)
            await stored(subject, key)
        return found

    async def many(subject: str, keys: list[str]) -> list[Any]:
        if subject == "scrubjay":
            return list((await ours.aget_many(keys)).values())
        return list(await clients[subject].mget([f"100B:{key}" for key in keys]))

    async def put(subject: str, key: str) -> None:
        await (ours.aset(key, value(key, 100), TTL) if subject == "scrubjay" else stored(subject, key))

    async def load(subject: str, key: str) -> Any:
        if subject == "scrubjay":
            return await ours.aget_or_fetch(key, TTL, lambda: value(key, 100))
        return await loaded(subject, key)

    cases: dict[str, tuple[Any, Callable[[], Any], float]] = {
        "l2-get-many-100": (many, lambda: rng.sample(NAMES, 100), 100),
        "l2-set-1x100B": (put, lambda: rng.choice(NAMES), 2_000),
        "cold-get-or-fetch-1x100B": (load, lambda: f"cold-task:{next(numbers):08}", 1_000),
    }
    with awake(needed=True):
        for case, (call, draw, count) in cases.items():
            for round_, subject in in_turn(["scrubjay", *clients]):
                asked = [draw() for _ in range(max(5, int(count * SCALE)))]
                times = []
                timed = Round()
                for one in asked:
                    begun = time.perf_counter_ns()
                    found = await call(subject, one)
                    times.append(time.perf_counter_ns() - begun)
                metrics = timed.metrics(times)
                if call is many:
                    assert found == [value(key, 100) for key in asked[-1]], "wrong values"
                elif call is load:
                    assert found == value(asked[-1], 100), "a wrong value"
                if round_ >= 0:
                    figures.add(f"python-async/{case}", subject, **metrics)


def main() -> None:
    """Run all cases, print them, and write them to the file that was named."""
    figures = Figures()
    gc.freeze()
    of_threads(figures)
    asyncio.run(of_tasks(figures))
    records = figures.records()
    for record in records:
        print(f"{record['case']:28} {record['subject']:18} {record['value']:14,.1f} {record['metric']}")
    Path(sys.argv[1]).write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
