"""Errors of a fetch: who gets which, and what becomes of them."""

from __future__ import annotations

import asyncio
import functools
import gc
import traceback
import weakref
from typing import Any

import pytest
from conftest import MakeCache
from loading import CALLERS, Origin, in_threads, until, when_all_wait
from scrubjay import (
    CacheService,
    InvalidOption,
    InvalidValue,
    NotFound,
    PartialError,
)


def test_threads_get_the_very_exception(cache: CacheService) -> None:
    def fetch() -> None:
        when_all_wait(cache)
        raise Origin("boom")

    results = in_threads(CALLERS, lambda: cache.get_or_fetch("cold", 60, fetch))
    assert {type(result) for result in results} == {Origin}
    assert len({id(result) for result in results}) == 1
    assert cache.stats().load_errors == 1
    assert cache.get("cold") is None


def test_tasks_get_the_very_exception(cache: CacheService) -> None:
    async def fetch() -> None:
        await until(lambda: cache.stats().waits >= CALLERS - 1)
        raise Origin("boom")

    async def main() -> list[Any]:
        calls = [cache.aget_or_fetch("cold", 60, fetch) for _ in range(CALLERS)]
        return await asyncio.gather(*calls, return_exceptions=True)

    results = asyncio.run(main())
    assert {type(result) for result in results} == {Origin}
    assert len({id(result) for result in results}) == 1
    # A thousand raises of one exception leave the traceback of one.
    frames = traceback.extract_tb(results[0].__traceback__)
    assert len(frames) < 10
    assert "fetch" in [frame.name for frame in frames]


def test_stop_iteration_passes_too(cache: CacheService) -> None:
    def fetch() -> None:
        raise StopIteration(7)

    with pytest.raises(StopIteration):
        cache.get_or_fetch("k", 60, fetch)

    async def main() -> list[Any]:
        def slow() -> None:
            raise Origin

        calls = [cache.aget_or_fetch("k", 60, slow) for _ in range(3)]
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [type(error) for error in asyncio.run(main())] == [Origin] * 3


def test_no_exception_outlives_its_callers(cache: CacheService) -> None:
    class Big:
        pass

    kept: list[weakref.ref[Big]] = []

    def fetch() -> None:
        big = Big()
        kept.append(weakref.ref(big))
        raise Origin(big)

    def lead_with_waiters() -> None:
        def slow() -> None:
            when_all_wait(cache, 9)
            fetch()

        in_threads(9, lambda: cache.get_or_fetch("many", 60, slow))

    with pytest.raises(Origin):
        cache.get_or_fetch("alone", 60, fetch)
    lead_with_waiters()
    gc.collect()
    assert [big() for big in kept] == [None, None]


def test_no_exception_outlives_its_tasks(cache: CacheService) -> None:
    """Each of many tasks that fail together has the exception in a frame of its traceback."""

    class Big:
        pass

    kept: list[weakref.ref[Big]] = []

    async def fetch(waiters: int) -> Any:
        await until(lambda: cache.stats().waits >= waiters)
        big = Big()
        kept.append(weakref.ref(big))
        raise Origin(big)

    async def one(key: str, waiters: int) -> None:
        with pytest.raises(Origin):
            await cache.aget_or_fetch(key, 60, lambda: fetch(waiters))

    async def many(key: str, waiters: int) -> None:
        with pytest.raises(PartialError):
            await cache.aget_or_fetch_many([key], 60, lambda _: fetch(waiters))

    async def main() -> None:
        await asyncio.gather(*[one("k", 9) for _ in range(10)])
        await asyncio.gather(*[many("l", 18) for _ in range(10)])

    asyncio.run(main())
    gc.collect()
    assert [big() for big in kept] == [None, None]


def test_not_found_is_remembered(any_cache: CacheService) -> None:
    runs = []

    def fetch() -> None:
        runs.append(1)
        raise NotFound("no such thing")

    with pytest.raises(NotFound, match="no such thing"):
        any_cache.get_or_fetch("k", 60, fetch)
    with pytest.raises(NotFound):
        any_cache.get_or_fetch("k", 60, fetch)
    assert len(runs) == 1
    assert any_cache.get("k", "a miss") == "a miss"

    async def main() -> None:
        with pytest.raises(NotFound):
            await any_cache.aget_or_fetch("k", 60, fetch)

    asyncio.run(main())
    assert len(runs) == 1


def test_a_class_of_ones_own_below_not_found(cache: CacheService) -> None:
    class NoUser(NotFound):
        pass

    def fetch() -> None:
        raise NoUser("7")

    with pytest.raises(NoUser):
        cache.get_or_fetch("k", 60, fetch)
    with pytest.raises(NotFound):
        cache.get_or_fetch("k", 60, lambda: pytest.fail("it was not remembered"))


def test_a_value_that_cannot_be_stored_is_everyones_error(cache: CacheService) -> None:
    def fetch() -> object:
        when_all_wait(cache, 5)
        return {"a": object()}

    results = in_threads(5, lambda: cache.get_or_fetch("k", 60, fetch))
    assert [type(result) for result in results] == [InvalidValue] * 5
    assert {result.message for result in results} == {
        "$.a: a value of type object cannot be stored: it has no JSON form"
    }


def test_a_value_that_is_too_large(make_cache: MakeCache) -> None:
    cache = make_cache(max_value=1024)
    with pytest.raises(InvalidValue, match="max_value"):
        cache.get_or_fetch("k", 60, lambda: "x" * 2000)


async def a_coroutine_function() -> int:
    return 7


class AsyncCallable:
    async def __call__(self) -> int:
        return 7

    async def method(self) -> int:
        return 7


@pytest.mark.parametrize(
    "fetch",
    [
        a_coroutine_function,
        functools.partial(a_coroutine_function),
        lambda: a_coroutine_function(),
        AsyncCallable(),
        AsyncCallable().method,
    ],
)
def test_a_coroutine_function_needs_the_other_call(cache: CacheService, fetch: Any) -> None:
    with pytest.raises(InvalidOption, match=r"fetch must not .* await aget_or_fetch instead"):
        cache.get_or_fetch("k", 60, fetch)
    assert asyncio.run(cache.aget_or_fetch("k", 60, fetch)) == 7


def test_a_coroutine_function_is_refused_on_a_hit_too(cache: CacheService) -> None:
    cache.set("k", 1)
    with pytest.raises(InvalidOption, match="fetch"):
        cache.get_or_fetch("k", 60, a_coroutine_function)  # type: ignore[unused-coroutine]


@pytest.mark.parametrize("fetch", [None, 5, "text"])
def test_a_fetch_must_be_callable(cache: CacheService, fetch: Any) -> None:
    with pytest.raises(InvalidOption, match="fetch must be callable"):
        cache.get_or_fetch("k", 60, fetch)
    with pytest.raises(InvalidOption, match="fetch must be callable"):
        cache.get_or_fetch_many(["k"], 60, fetch)
    with pytest.raises(InvalidOption, match="fetch must be callable"):
        asyncio.run(cache.aget_or_fetch("k", 60, fetch))


def test_an_error_whose_text_fails(cache: CacheService) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def fetch() -> None:
        raise Mute

    with pytest.raises(Mute):
        cache.get_or_fetch("k", 60, fetch)


def test_an_error_whose_text_is_no_utf8(cache: CacheService) -> None:
    def fetch() -> None:
        raise Origin("\ud800")

    with pytest.raises(Origin):
        cache.get_or_fetch("k", 60, fetch)
