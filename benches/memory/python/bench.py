"""The memory tier in Python against its peers: interleaved rounds, keys drawn outside of the timed loop.

bench.py OUTPUT.json        SCALE: 1 = the full figure
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiocache
import cachebox
import cachetools
import cashews
import dogpile.cache
import lru
from scrubjay import CacheService, MemoryCache, memoize

SCALE = float(os.environ.get("SCALE", "1"))
ROUNDS = max(7, round(401 * SCALE))
KEYS = 1_000
ROOM = 4 * KEYS
TTL = 3600

NAMES = [f"user:{n:08}" for n in range(KEYS)]
VALUES = {name: {"id": n, "name": name} for n, name in enumerate(NAMES)}

Loop = Callable[[list[str]], Any]
"""Times one subject over drawn keys; returns what the last call gave."""
Check = Callable[[Any, str], bool]
Subject = tuple[str, Loop, int]
"""A name, the loop, and how many keys it is given in a round: slow peers get fewer. Rounds are short and many, so
that on a busy machine most of them are not interrupted."""

FAST, SLOW, SLOWEST = 5_000, 1_000, 300


def holds(last: Any, key: str) -> bool:
    """Whether the last value of a round is the right one."""
    return last == VALUES[key]


def filled(cache: Any) -> Any:
    """Fill a cache, and return it."""
    cache.update(VALUES)
    return cache


def gets() -> list[Subject]:
    """Time hits."""
    ours = filled(MemoryCache(ROOM, TTL))
    boxed = filled(cachebox.TTLCache(ROOM, TTL))
    tools = filled(cachetools.TTLCache(ROOM, TTL))
    least = lru.LRU(ROOM)
    least.update(VALUES)
    plain = dict(VALUES)
    region = dogpile.cache.make_region().configure("dogpile.cache.memory", expiration_time=TTL)
    for name, value in VALUES.items():
        region.set(name, value)

    def loop(cache: Any) -> Loop:
        def run(keys: list[str]) -> Any:
            for key in keys:
                found = cache.get(key)
            return found

        return run

    return [
        ("scrubjay", loop(ours), FAST),
        ("cachebox.TTLCache", loop(boxed), FAST),
        ("dict.get", loop(plain), FAST),
        ("lru-dict", loop(least), FAST),
        ("cachetools.TTLCache", loop(tools), SLOW),
        ("dogpile.cache", loop(region), SLOW),
    ]


def sets() -> list[Subject]:
    """Time replacing."""

    def loop(cache: Any) -> Loop:
        value = VALUES[NAMES[0]]

        def run(keys: list[str]) -> Any:
            for key in keys:
                cache[key] = value
            cache[keys[-1]] = VALUES[keys[-1]]
            return cache[keys[-1]]

        return run

    return [
        ("scrubjay", loop(filled(MemoryCache(ROOM, TTL))), FAST),
        ("cachebox.TTLCache", loop(filled(cachebox.TTLCache(ROOM, TTL))), FAST),
        ("dict", loop(dict(VALUES)), FAST),
        ("lru-dict", loop(lru.LRU(ROOM)), FAST),
        ("cachetools.TTLCache", loop(filled(cachetools.TTLCache(ROOM, TTL))), SLOW),
    ]


def memoised() -> list[Subject]:
    """Time calls of memoised functions that hit."""

    def load(key: str) -> Any:
        return VALUES[key]

    def loop(decorate: Callable[[Any], Any]) -> Loop:
        function = decorate(load)
        for name in NAMES:
            function(name)

        def run(keys: list[str]) -> Any:
            for key in keys:
                found = function(key)
            return found

        return run

    region = dogpile.cache.make_region().configure("dogpile.cache.memory", expiration_time=TTL)
    return [
        ("scrubjay", loop(memoize(maxsize=ROOM, ttl=TTL)), FAST),
        ("functools.lru_cache", loop(functools.lru_cache(maxsize=ROOM)), FAST),
        ("cachetools.cached", loop(cachetools.cached(cachetools.TTLCache(ROOM, TTL))), SLOW),
        ("cachebox.cached", loop(cachebox.cached(cachebox.TTLCache(ROOM, TTL))), SLOW),
        ("dogpile.cache", loop(region.cache_on_arguments()), SLOWEST),
    ]


def awaited() -> list[Subject]:
    """Time awaited hits."""
    runner = asyncio.Runner()
    ours = CacheService(prefix="bench")
    theirs = aiocache.SimpleMemoryCache(timeout=0)
    others = cashews.Cache()
    others.setup("mem://", size=ROOM)

    async def fill() -> None:
        for name, value in VALUES.items():
            await ours.aset(name, value, TTL)
            await ours.aget(name)
            await theirs.set(name, value, ttl=TTL)
            await others.set(name, value, expire=TTL)

    runner.run(fill())

    def loop(get: Callable[[str], Awaitable[Any]]) -> Loop:
        async def run(keys: list[str]) -> tuple[int, Any]:
            begun = time.perf_counter_ns()
            for key in keys:
                found = await get(key)
            return time.perf_counter_ns() - begun, found

        return lambda keys: runner.run(run(keys))

    async def floor(key: str) -> Any:
        return VALUES.get(key)

    return [
        ("scrubjay", loop(ours.aget), FAST),
        ("coroutine over dict.get", loop(floor), FAST),
        ("aiocache", loop(theirs.get), SLOWEST),
        ("cashews", loop(others.get), SLOWEST),
    ]


def service() -> list[Subject]:
    """Time hits of the cache that has a shared tier behind it."""
    ours = CacheService(prefix="bench")
    for name, value in VALUES.items():
        ours.set(name, value, TTL)
        ours.get(name)

    def loop(cache: Any) -> Loop:
        def run(keys: list[str]) -> Any:
            for key in keys:
                found = cache.get(key)
            return found

        return run

    boxed = filled(cachebox.TTLCache(ROOM, TTL))
    return [("scrubjay", loop(ours), FAST), ("cachebox.TTLCache", loop(boxed), FAST)]


CASES: dict[str, Callable[[], list[Subject]]] = {
    "python/get": gets,
    "python/set": sets,
    "python/memoised": memoised,
    "python/await-get": awaited,
    "python/service-get": service,
}


def one(loop: Loop, keys: list[str]) -> float:
    """Nanoseconds for one call. A loop of tasks times itself: starting one is not what is measured."""
    begun = time.perf_counter_ns()
    last = loop(keys)
    took = time.perf_counter_ns() - begun
    if type(last) is tuple:
        took, last = last
    assert holds(last, keys[-1]), "a wrong value"
    return took / len(keys)


def measure(case: str, subjects: list[Subject]) -> list[dict[str, Any]]:
    """Run the rounds of one case: the medians."""
    rng = random.Random(7)
    drawn = rng.choices(NAMES, k=FAST)
    times: dict[str, list[float]] = {name: [] for name, _, _ in subjects}
    gc.collect()
    gc.disable()
    for round_ in range(-1, ROUNDS):
        order = subjects[round_ % len(subjects) :] + subjects[: round_ % len(subjects)]
        for name, loop, count in order:
            # The subjects before this one have used the processor's caches: the first pass is not timed.
            one(loop, drawn[:count])
            took = one(loop, drawn[:count])
            if round_ >= 0:
                times[name].append(took)
    gc.enable()
    return [
        {
            "case": case,
            "subject": name,
            "metric": "ns",
            "value": round(statistics.median(all_), 2),
            "unit": "ns",
            "repeats": ROUNDS,
        }
        for name, all_ in times.items()
    ]


def main() -> None:
    """Run all cases, print them, and write them to the file that was named."""
    results: list[dict[str, Any]] = []
    for case, make in CASES.items():
        rows = measure(case, make())
        results += rows
        ours = rows[0]["value"]
        for row in rows:
            print(
                f"{case:22} {row['subject']:26} {row['value']:12.1f} ns {ours / row['value']:9.3f} x", flush=True
            )
    Path(sys.argv[1]).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
