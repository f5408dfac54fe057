"""What a shared tier adds: other caches see it, and an outage of it is not ours."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import MakeCache, Redis, eventually, free_port
from scrubjay import CacheService


def test_two_caches_share(redis: Redis) -> None:
    with CacheService(redis.url, "shared") as one, CacheService(redis.url, "shared") as two:
        one.clear()
        one.set("k", {"big": 10**30, "float": 1.0})
        assert two.get("k") == {"big": 10**30, "float": 1.0}
        one.set("raw", b"\x00\xff")
        assert two.get_many(["k", "raw"])["raw"] == b"\x00\xff"
        assert two.stats().hits_l2 == 2
        two.delete("k")
        assert one.get_or_fetch("other", 60, lambda: 7) == 7
        assert two.get_or_fetch("other", 60, lambda: pytest.fail("it is in Redis")) == 7


def test_without_a_memory_tier(redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(redis.url, l1_bytes=0)
    cache.set("k", 1)
    assert [cache.get("k") for _ in range(3)] == [1, 1, 1]
    assert (cache.stats().hits_l2, cache.stats().entries) == (3, 0)


def test_nowhere(make_cache: MakeCache) -> None:
    """A Redis that never answered: reads miss, fetches run, writes are pending."""
    cache = make_cache(f"redis://127.0.0.1:{free_port()}")
    assert cache.get("k", "a miss") == "a miss"
    assert cache.get_or_fetch("k", 60, lambda: 7) == 7
    assert cache.get("k") == 7
    receipt = cache.set("k", 8)
    assert receipt.pending
    assert "pending=True" in repr(receipt)
    assert cache.get("k") == 8
    assert cache.delete("k").pending
    assert cache.get("k", "a miss") == "a miss"

    async def main() -> None:
        assert await cache.aget("l", "a miss") == "a miss"
        assert await cache.aget_or_fetch("l", 60, lambda: 9) == 9
        assert (await cache.aset("l", 1)).pending
        assert (await cache.aset_many({"a": 1})).pending
        assert await cache.aget_or_fetch_many(["x", "y"], 60, lambda keys: dict.fromkeys(keys, 1)) == {
            "x": 1,
            "y": 1,
        }

    asyncio.run(main())
    assert cache.stats().l2_errors > 0
    began = time.monotonic()
    assert cache.close().pending
    assert time.monotonic() - began < 20


def test_an_outage_and_its_end(own_redis: Redis) -> None:
    with CacheService(own_redis.url, "outage", max_staleness=0) as cache:
        cache.set("k", 1)
        assert cache.get("k") == 1
        own_redis.stop()
        assert cache.delete("k").pending
        assert cache.get_or_fetch("k", 60, lambda: 2) == 2
        assert asyncio.run(cache.aget_or_fetch("l", 60, lambda: 3)) == 3
        own_redis.start()
        eventually(lambda: cache.stats().pending == 0 and not cache.set("k", 4).pending, within=60)
        with CacheService(own_redis.url, "outage") as other:
            assert other.get("k") == 4


def test_an_outage_under_load(own_redis: Redis) -> None:
    """Threads and tasks go on through a stop and a start of Redis, with right values and without errors."""
    cache = CacheService(own_redis.url, "load", max_staleness=0)
    over = threading.Event()
    counts = [0, 0]

    def thread(seed: int) -> None:
        n = seed
        while not over.is_set():
            n += 1
            key = f"k{n % 50}"
            assert cache.get_or_fetch(key, 60, lambda key=key: {"of": key}) == {"of": key}
            if n % 7 == 0:
                cache.delete(key)
            counts[0] += 1

    async def task(seed: int) -> None:
        n = seed
        while not over.is_set():
            n += 1
            key = f"k{n % 50}"
            assert await cache.aget_or_fetch(key, 60, lambda key=key: {"of": key}) == {"of": key}
            assert all(value == {"of": key} for key, value in (await cache.aget_many(["k1", key])).items())
            if n % 7 == 0:
                await cache.aset(key, {"of": key})
            counts[1] += 1

    async def tasks() -> None:
        await asyncio.gather(*[task(n * 13) for n in range(10)])

    def more(by: int = 200) -> None:
        want = [count + by for count in counts]
        eventually(lambda: all(count >= least for count, least in zip(counts, want, strict=True)), within=60)

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(thread, n * 11) for n in range(5)] + [pool.submit(asyncio.run, tasks())]
        try:
            more()
            own_redis.stop()
            more()
            own_redis.start()
            more()
        finally:
            over.set()
        for each in running:
            each.result(timeout=60)
    cache.close()


def test_waiting_lets_other_threads_and_tasks_run(make_cache: MakeCache) -> None:
    """Redis takes connections and never answers: who waits for it holds nobody up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cache = make_cache(f"redis://127.0.0.1:{silent.getsockname()[1]}", l2_timeout=0.5)
        progress = []
        asked = threading.Thread(target=cache.get, args=("k",))
        asked.start()
        while asked.is_alive():
            progress.append(1)
        assert len(progress) > 1000

        async def main() -> int:
            turns = 0
            waiting = asyncio.create_task(cache.aget_or_fetch("l", 60, lambda: 7))
            while not waiting.done():
                turns += 1
                await asyncio.sleep(0)
            assert await waiting == 7
            return turns

        assert asyncio.run(main()) >= 1


def test_close_while_calls_wait(make_cache: MakeCache) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cache = make_cache(f"redis://127.0.0.1:{silent.getsockname()[1]}", l2_timeout=2)
        results: list[Any] = []

        def call() -> None:
            try:
                results.append(cache.get("k", "a miss"))
            except Exception as error:
                results.append(type(error).__name__)

        threads = [threading.Thread(target=call) for _ in range(5)]
        for thread in threads:
            thread.start()
        cache.close()
        for thread in threads:
            thread.join(20)
        assert len(results) == 5
        assert set(results) <= {"a miss", "Closed"}
