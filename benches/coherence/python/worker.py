"""The worker of Python: threads. See ../run.py."""

from __future__ import annotations

import gc
import itertools
import json
import sys
import threading
import time
from typing import Any

from scrubjay import CacheService

KEYS = [f"user:{n:08}" for n in range(100)]
VALUES = {key: {"id": n, "name": key} for n, key in enumerate(KEYS)}
TTL = 3600
FETCH_SECONDS = 0.005
WARM_CALLERS, COLD_CALLERS = 2, 4
BURST, PAUSE_SECONDS = 500, 0.001
HITS = 4_000
# What no hit takes.
SLOW_NS = 1_000_000

cold_keys = (f"cold:{n}" for n in itertools.count())


class Caches:
    """One with Redis, and one in memory alone."""

    def __init__(self, url: str) -> None:
        self.shared = CacheService(url, "bench")
        self.alone = CacheService("memory://", "bench")
        for key, value in VALUES.items():
            self.alone.set(key, value, TTL)

    def ready(self) -> dict[str, Any]:
        """Wait until Redis tells of writes, and memory has all keys."""
        while True:
            before = self.shared.stats()
            for key in KEYS:
                assert self.shared.get_or_fetch(key, TTL, lambda key=key: VALUES[key]) == VALUES[key]
            after = self.shared.stats()
            all_hit = after.hits_l1 - before.hits_l1 == len(KEYS)
            if all_hit and after.breaker_state == "closed" and after.coherence_lag_ms > 0:
                return {}
            time.sleep(0.01)

    def hits(self, rounds: int) -> dict[str, Any]:
        """Time hits of both, in turn."""
        drawn = [KEYS[(n * 37) % len(KEYS)] for n in range(HITS)]
        times: dict[str, list[float]] = {"on": [], "off": []}
        subjects = [("on", self.shared), ("off", self.alone)]
        gc.disable()
        for round_ in range(-2, rounds):
            for name, cache in subjects if round_ % 2 else reversed(subjects):
                begun = time.perf_counter_ns()
                for key in drawn:
                    found = cache.get(key)
                took = time.perf_counter_ns() - begun
                assert found == VALUES[drawn[-1]]
                if round_ >= 0:
                    times[name].append(took / HITS)
        gc.enable()
        return times

    def load(self, seconds: float) -> dict[str, Any]:
        """Warm and cold callers side by side."""
        end = time.perf_counter() + seconds
        warm: list[int] = []
        cold: list[tuple[float, str]] = []
        callers = [threading.Thread(target=self._warm, args=(end, warm)) for _ in range(WARM_CALLERS)]
        callers += [threading.Thread(target=self._cold, args=(end, cold)) for _ in range(COLD_CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        warm.sort()
        p50, p99 = warm[len(warm) // 2], warm[len(warm) * 99 // 100]
        slow_ppm = sum(took >= SLOW_NS for took in warm) * 1e6 / len(warm)
        return {"warm": {"p50_us": p50 / 1e3, "p99_us": p99 / 1e3, "slow_ppm": slow_ppm}, "cold": cold}

    def _warm(self, end: float, times: list[int]) -> None:
        def load() -> Any:
            time.sleep(FETCH_SECONDS)
            return VALUES[key]

        own: list[int] = []
        clock, get = time.perf_counter_ns, self.shared.get_or_fetch
        keys = itertools.cycle(KEYS)
        while time.perf_counter() < end:
            for key in itertools.islice(keys, BURST):
                begun = clock()
                found = get(key, TTL, load)
                own.append(clock() - begun)
            assert found == VALUES[key]
            time.sleep(PAUSE_SECONDS)
        times += own

    def _cold(self, end: float, calls: list[tuple[float, str]]) -> None:
        fetched = 0

        def load() -> str:
            nonlocal fetched
            begun = time.perf_counter_ns()
            time.sleep(FETCH_SECONDS)
            fetched = time.perf_counter_ns() - begun
            return key

        for cache in itertools.cycle([self.shared, self.alone]):
            if time.perf_counter() >= end:
                return
            key = next(cold_keys)
            state = "alone" if cache is self.alone else cache.stats().breaker_state
            begun = time.perf_counter_ns()
            found = cache.get_or_fetch(key, TTL, load)
            calls.append(((time.perf_counter_ns() - begun - fetched) / 1e3, state))
            assert found == key
            time.sleep(2 * FETCH_SECONDS)


def main() -> None:
    """Answer commands until there are no more."""
    caches: Caches | None = None
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "ready":
            caches = caches or Caches(rest[0])
            answer = caches.ready()
        else:
            assert caches is not None
            answer = caches.hits(int(rest[0])) if command == "hits" else caches.load(float(rest[0]))
        print(json.dumps(answer), flush=True)


main()
