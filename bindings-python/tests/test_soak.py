"""Nothing grows: SCALE times so many operations leave the memory of the process where it was.

SCALE=1 is a million operations of each kind; by default it is a small part of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from scrubjay import CacheService, NotFound

OPERATIONS = int(1_000_000 * float(os.environ.get("SCALE", "0.02")))
ALLOWED = 12 << 20


def resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def stays_flat(work: Callable[[int], None]) -> None:
    work(OPERATIONS // 4)
    before = resident()
    work(OPERATIONS)
    grown = resident() - before
    assert grown < ALLOWED, f"{grown >> 10} KiB more after {OPERATIONS} operations"


def fail() -> None:
    raise ValueError("x" * 1000)


def absent() -> None:
    raise NotFound("x" * 1000)


def test_threads(any_cache: CacheService) -> None:
    value = {"text": "x" * 200, "list": list(range(20))}

    def work(count: int) -> None:
        for n in range(count // 10):
            key = f"k{n % 100}"
            any_cache.set(key, value, 60)
            any_cache.get(key)
            any_cache.get_or_fetch(key, 60, lambda: value)
            any_cache.delete(key)
            any_cache.get_or_fetch(key, 60, lambda: value)
            any_cache.set_many({"a": value, "b": b"bytes"})
            any_cache.get_many(["a", "b", "c"])
            any_cache.get_or_fetch_many(["a", key, "d"], 60, lambda keys: dict.fromkeys(keys, value))
            for fetch in (fail, absent):
                with contextlib.suppress(ValueError, NotFound):
                    any_cache.get_or_fetch("failing", 60, fetch)
            any_cache.delete("failing")

    stays_flat(work)


def test_tasks(any_cache: CacheService) -> None:
    value = {"text": "x" * 200}

    async def one(n: int) -> None:
        key = f"k{n % 100}"
        await any_cache.aset(key, value)
        await any_cache.aget(key)
        await any_cache.adelete(key)
        await any_cache.aget_or_fetch(key, 60, lambda: value)
        await any_cache.aget_or_fetch_many([key, "a", "b"], 60, lambda keys: dict.fromkeys(keys, value))
        with contextlib.suppress(ValueError):
            await any_cache.aget_or_fetch("failing", 60, fail)
        waiting = asyncio.create_task(any_cache.aget_or_fetch(f"c{n % 10}", 60, lambda: asyncio.sleep(0, value)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

    async def main(count: int) -> None:
        for n in range(count // 80):
            await asyncio.gather(*[one(n * 10 + i) for i in range(10)])

    def work(count: int) -> None:
        for _ in range(4):
            asyncio.run(main(count // 4))

    stays_flat(work)


def test_threads_that_come_and_go(any_cache: CacheService) -> None:
    def work(count: int) -> None:
        for n in range(count // 100):
            thread = threading.Thread(target=any_cache.get_or_fetch, args=(f"k{n % 10}", 60, lambda: 1))
            thread.start()
            thread.join()

    stays_flat(work)


def test_loops_that_come_and_go(any_cache: CacheService) -> None:
    def work(count: int) -> None:
        for n in range(count // 200):
            asyncio.run(any_cache.aget_or_fetch(f"k{n % 10}", 60, lambda: 1))
            any_cache.delete(f"k{n % 10}")

    stays_flat(work)


@pytest.mark.parametrize("url", ["memory", "redis"])
def test_caches_that_come_and_go(request: pytest.FixtureRequest, url: str) -> None:
    address = request.getfixturevalue("redis").url if url == "redis" else "memory://"

    def work(count: int) -> None:
        for n in range(count // 200):
            with CacheService(address, "come-and-go") as cache:
                cache.set("k", n)
                assert cache.get("k") == n
            CacheService(address, "come-and-go")

    stays_flat(work)
