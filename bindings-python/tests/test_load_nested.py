"""Fetches inside of fetches: recursion is told, everything else runs."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from loading import until
from scrubjay import (
    CacheService,
    RecursiveFetch,
)


def test_recursion_is_told(any_cache: CacheService) -> None:
    def fetch() -> Any:
        return any_cache.get_or_fetch("k", 60, fetch)

    with pytest.raises(RecursiveFetch):
        any_cache.get_or_fetch("k", 60, fetch)

    async def afetch() -> Any:
        return await any_cache.aget_or_fetch("k2", 60, afetch)

    with pytest.raises(RecursiveFetch):
        asyncio.run(any_cache.aget_or_fetch("k2", 60, afetch))


def test_recursion_on_the_thread_of_a_loop_is_told(cache: CacheService) -> None:
    def fetch() -> Any:
        return cache.get_or_fetch("k", 60, fetch)

    async def main() -> None:
        with pytest.raises(RecursiveFetch):
            cache.get_or_fetch("k", 60, fetch)
        with pytest.raises(RecursiveFetch):
            await cache.aget_or_fetch("k", 60, fetch)

    asyncio.run(main())


def test_a_circle_of_two_is_told(cache: CacheService) -> None:
    both = threading.Barrier(2)

    def fetch(other: str) -> Any:
        both.wait(10)
        return cache.get_or_fetch(other, 60, lambda: "the other's")

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(cache.get_or_fetch, "a", 60, lambda: fetch("b"))
        two = pool.submit(cache.get_or_fetch, "b", 60, lambda: fetch("a"))
        errors = [one.exception(timeout=20), two.exception(timeout=20)]
    assert any(isinstance(error, RecursiveFetch) for error in errors)


def test_nested_fetches_of_other_keys(any_cache: CacheService) -> None:
    def outer() -> list[int]:
        return [any_cache.get_or_fetch(f"inner:{i}", 60, lambda i=i: i) for i in range(3)]

    assert any_cache.get_or_fetch("outer", 60, outer) == [0, 1, 2]

    async def aouter() -> list[int]:
        calls = [any_cache.aget_or_fetch(f"ainner:{i}", 60, lambda i=i: i) for i in range(3)]
        return await asyncio.gather(*calls)

    assert asyncio.run(any_cache.aget_or_fetch("aouter", 60, aouter)) == [0, 1, 2]


def test_a_blocked_loop_does_not_wait_for_itself(cache: CacheService) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def fetch() -> str:
            await release.wait()
            return "of the task"

        task = asyncio.create_task(cache.aget_or_fetch("k", 60, fetch))
        await until(lambda: cache.stats().loads == 1)
        # The task can go on only when this call has returned.
        assert cache.get_or_fetch("k", 60, lambda: "of the thread") == "of the thread"
        assert cache.get_or_fetch_many(["k", "l"], 60, lambda keys: dict.fromkeys(keys, 1)) == {"k": 1, "l": 1}
        release.set()
        assert await task == "of the task"
        assert await cache.aget("k") == "of the task"

    asyncio.run(main())
