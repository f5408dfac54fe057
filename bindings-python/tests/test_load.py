"""Loading once: threads and tasks share a fetch."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import MakeCache, eventually
from loading import CALLERS, Origin, in_threads, until, when_all_wait
from scrubjay import (
    CacheService,
    Closed,
    FetchTimeout,
)


def test_a_thousand_threads_fetch_once(any_cache: CacheService) -> None:
    runs = []

    def fetch() -> dict[str, int]:
        runs.append(1)
        when_all_wait(any_cache)
        return {"run": len(runs)}

    results = in_threads(CALLERS, lambda: any_cache.get_or_fetch("cold", 60, fetch))
    assert results == [{"run": 1}] * CALLERS
    assert (len(runs), any_cache.stats().loads) == (1, 1)


def test_a_thousand_tasks_fetch_once(any_cache: CacheService) -> None:
    runs = []

    async def fetch() -> dict[str, int]:
        runs.append(1)
        await until(lambda: any_cache.stats().waits >= CALLERS - 1)
        return {"run": len(runs)}

    async def main() -> list[Any]:
        return await asyncio.gather(*[any_cache.aget_or_fetch("cold", 60, fetch) for _ in range(CALLERS)])

    assert asyncio.run(main()) == [{"run": 1}] * CALLERS
    assert (len(runs), any_cache.stats().loads) == (1, 1)


def test_threads_and_two_loops_share_one_fetch(cache: CacheService) -> None:
    runs = []

    def fetch() -> str:
        runs.append(1)
        when_all_wait(cache, 30)
        return "value"

    async def tasks() -> list[str]:
        return await asyncio.gather(*[cache.aget_or_fetch("cold", 60, fetch) for _ in range(10)])

    with ThreadPoolExecutor(32) as pool:
        first = pool.submit(cache.get_or_fetch, "cold", 60, fetch)
        eventually(lambda: len(runs) == 1)
        loops = [pool.submit(asyncio.run, tasks()) for _ in range(2)]
        threads = [pool.submit(cache.get_or_fetch, "cold", 60, fetch) for _ in range(9)]
        assert first.result() == "value"
        assert [value for loop in loops for value in loop.result()] == ["value"] * 20
        assert [thread.result() for thread in threads] == ["value"] * 9
    assert len(runs) == 1


def test_a_delete_during_a_fetch_stores_nothing(any_cache: CacheService) -> None:
    def fetch() -> str:
        any_cache.delete("k")
        return "old"

    assert any_cache.get_or_fetch("k", 60, fetch) == "old"
    assert any_cache.get("k", "a miss") == "a miss"

    async def afetch() -> str:
        await any_cache.adelete("k")
        return "old"

    assert asyncio.run(any_cache.aget_or_fetch("k", 60, afetch)) == "old"
    assert any_cache.get("k", "a miss") == "a miss"


def test_stale_instead_of_an_error(make_cache: MakeCache) -> None:
    cache = make_cache(jitter=0, stale_for=60)
    cache.set("k", "old", 0.001)
    eventually(lambda: cache.get("k") is None)

    def fetch() -> str:
        raise Origin

    assert cache.get_or_fetch("k", 60, fetch) == "old"
    assert asyncio.run(cache.aget_or_fetch("k", 60, fetch)) == "old"
    assert cache.get_or_fetch("k", 60, lambda: "new") == "new"
    assert cache.stats().stale_served == 2


def test_a_slow_fetch_times_out_for_those_that_wait(make_cache: MakeCache) -> None:
    cache = make_cache(fetch_hard_timeout=0.2)
    release = threading.Event()

    def slow() -> str:
        release.wait(60)
        return "late"

    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(cache.get_or_fetch, "k", 60, slow)
        eventually(lambda: cache.stats().loads == 1)
        with pytest.raises(FetchTimeout) as caught:
            cache.get_or_fetch("k", 60, lambda: "mine")
        assert isinstance(caught.value, TimeoutError)
        assert cache.get_or_fetch("k", 60, lambda: "new") == "new"
        release.set()
        assert leader.result() == "late"
    assert cache.get("k") == "new"


def test_close_wakes_who_waits(any_cache: CacheService) -> None:
    release = threading.Event()

    async def waiter() -> Any:
        return await any_cache.aget_or_fetch("k", 60, lambda: "mine")

    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(any_cache.get_or_fetch, "k", 60, lambda: release.wait(60) and "value")
        eventually(lambda: any_cache.stats().loads == 1)
        waiting = [pool.submit(any_cache.get_or_fetch, "k", 60, str), pool.submit(asyncio.run, waiter())]
        eventually(lambda: any_cache.stats().waits == 2)
        any_cache.close()
        assert [type(wait.exception(timeout=10)) for wait in waiting] == [Closed, Closed]
        release.set()
        assert leader.result(timeout=10) == "value"


def test_one_fetch_at_a_time_goes_round(make_cache: MakeCache) -> None:
    """More leaders than `origin_concurrency` queue up, threads and tasks alike."""
    cache = make_cache(origin_concurrency=1)

    async def main() -> list[int]:
        async def fetch(i: int) -> int:
            await asyncio.sleep(0)
            return i

        calls = [cache.aget_or_fetch(f"k{i}", 60, lambda i=i: fetch(i)) for i in range(50)]
        return await asyncio.gather(*calls)

    with ThreadPoolExecutor(8) as pool:
        threads = [pool.submit(cache.get_or_fetch, f"t{i}", 60, lambda i=i: i) for i in range(50)]
        assert asyncio.run(main()) == list(range(50))
        assert [thread.result() for thread in threads] == list(range(50))
