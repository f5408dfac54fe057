"""`get_or_fetch_many`, for threads and for tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import MakeCache, eventually
from scrubjay import CacheService, InvalidOption, InvalidValue, NotFound, PartialError, RecursiveFetch

Load = Callable[..., Any]


class Origin(Exception):
    """The error of a fetch."""


@pytest.fixture(params=["sync", "async"])
def load(request: pytest.FixtureRequest, any_cache: CacheService) -> Load:
    def plain(keys: Any, fetch: Any) -> Any:
        return any_cache.get_or_fetch_many(keys, 60, fetch)

    def twin(keys: Any, fetch: Any) -> Any:
        async def afetch(missing: list[Any]) -> Any:
            await asyncio.sleep(0)
            return fetch(missing)

        return asyncio.run(any_cache.aget_or_fetch_many(keys, 60, afetch))

    return plain if request.param == "sync" else twin


def test_one_fetch_for_what_is_missing(any_cache: CacheService, load: Load) -> None:
    any_cache.set("b", "there")
    asked = []

    def fetch(missing: list[str]) -> dict[str, str]:
        asked.append(missing)
        return {key: key * 2 for key in [*missing, "unasked"] if key != "d"}

    assert load(iter(["a", "b", "c", "a", "d"]), fetch) == {"a": "aa", "b": "there", "c": "cc"}
    assert asked == [["a", "c", "d"]]
    assert any_cache.get_many(["a", "b", "c", "d", "unasked"]) == {"a": "aa", "b": "there", "c": "cc"}
    assert load(["a", "c"], lambda _: pytest.fail("it is there")) == {"a": "aa", "c": "cc"}
    assert load([], lambda _: pytest.fail("nothing was asked for")) == {}


def test_keys_of_bytes(load: Load) -> None:
    assert load([b"\xff", b"a", "a"], lambda keys: dict.fromkeys(keys, 1)) == {b"\xff": 1, b"a": 1}


def test_an_error_is_that_of_every_key(any_cache: CacheService, load: Load) -> None:
    any_cache.set("there", 1)
    error = Origin("boom")

    def fetch(_: list[str]) -> Any:
        raise error

    with pytest.raises(PartialError, match="2 keys failed, the first with: boom") as caught:
        load(["a", "there", "b"], fetch)
    assert caught.value.failed == {"a": error, "b": error}
    assert caught.value.values == {"there": 1}
    assert caught.value.kind == "Partial"
    assert caught.value.__cause__ is error


def test_one_bad_value_fails_alone(any_cache: CacheService, load: Load) -> None:
    with pytest.raises(PartialError) as caught:
        load(["a", "b"], lambda _: {"a": 1, "b": {"x": object()}})
    assert caught.value.values == {"a": 1}
    assert isinstance(caught.value.failed["b"], InvalidValue)
    assert any_cache.get_many(["a", "b"]) == {"a": 1}


def test_not_found_is_that_of_every_key(any_cache: CacheService, load: Load) -> None:
    def fetch(_: list[str]) -> Any:
        raise NotFound("none of them")

    with pytest.raises(PartialError) as caught:
        load(["a", "b"], fetch)
    assert [type(error) for error in caught.value.failed.values()] == [NotFound, NotFound]
    with pytest.raises(NotFound):
        any_cache.get_or_fetch("a", 60, lambda: pytest.fail("it was not remembered"))


@pytest.mark.parametrize("fetched", [None, [1], "ab", 5])
def test_a_fetch_must_return_a_mapping(load: Load, fetched: Any) -> None:
    with pytest.raises(PartialError) as caught:
        load(["a"], lambda _: fetched)
    assert isinstance(caught.value.failed["a"], InvalidValue)
    assert "mapping" in str(caught.value)


def test_recursion_is_told(any_cache: CacheService) -> None:
    def fetch(keys: list[str]) -> dict[str, Any]:
        return {key: any_cache.get_or_fetch(key, 60, lambda: 1) for key in keys}

    with pytest.raises(PartialError) as caught:
        any_cache.get_or_fetch_many(["a", "b"], 60, fetch)
    assert isinstance(caught.value.failed["a"], RecursiveFetch)


def test_a_coroutine_function_needs_the_other_call(cache: CacheService) -> None:
    async def fetch(keys: list[str]) -> dict[str, int]:
        return dict.fromkeys(keys, 1)

    for wrong in (fetch, lambda keys: fetch(keys)):
        with pytest.raises(InvalidOption, match="await aget_or_fetch_many instead"):
            cache.get_or_fetch_many(["a"], 60, wrong)
    assert asyncio.run(cache.aget_or_fetch_many(["a"], 60, fetch)) == {"a": 1}


def test_it_waits_for_what_others_load(any_cache: CacheService, load: Load) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert release.wait(60)
        return "of the other"

    def fetch(missing: list[str]) -> dict[str, str]:
        release.set()
        return dict.fromkeys(missing, "mine")

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(any_cache.get_or_fetch, "b", 60, slow)
        assert begun.wait(60)
        assert load(["a", "b", "c"], fetch) == {"a": "mine", "b": "of the other", "c": "mine"}
        assert other.result() == "of the other"


def test_what_another_gives_up_is_fetched_here(any_cache: CacheService, load: Load) -> None:
    begun, release = threading.Event(), threading.Event()
    asked = []

    def leaves() -> str:
        begun.set()
        assert release.wait(60)
        raise KeyboardInterrupt

    def fetch(missing: list[str]) -> dict[str, str]:
        asked.append(missing)
        release.set()
        return dict.fromkeys(missing, "mine")

    def lead() -> None:
        with pytest.raises(KeyboardInterrupt):
            any_cache.get_or_fetch("b", 60, leaves)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lead)
        assert begun.wait(60)
        assert load(["a", "b"], fetch) == {"a": "mine", "b": "mine"}
        other.result()
    assert asked == [["a"], ["b"]]


def test_many_callers_of_many_keys(any_cache: CacheService) -> None:
    """Whatever the order in which callers meet, each key is fetched once and nobody hangs."""
    fetched: list[str] = []

    def fetch(missing: list[str]) -> dict[str, str]:
        fetched.extend(missing)
        return {key: key for key in missing}

    async def afetch(missing: list[str]) -> dict[str, str]:
        await asyncio.sleep(0)
        return fetch(missing)

    async def main() -> list[dict[str, str]]:
        calls = [any_cache.aget_or_fetch_many(keys(seed), 60, afetch) for seed in range(30)]
        return await asyncio.gather(*calls)

    def keys(seed: int) -> list[str]:
        return [f"k{(seed * 7 + i * 3) % 40}" for i in range(20)]

    with ThreadPoolExecutor(8) as pool:
        threads = [pool.submit(any_cache.get_or_fetch_many, keys(seed), 60, fetch) for seed in range(30)]
        tasks = asyncio.run(main())
        for seed in range(30):
            want = {key: key for key in keys(seed)}
            assert threads[seed].result(timeout=60) == want
            assert tasks[seed] == want
    assert sorted(fetched) == sorted(set(fetched))


def test_a_cancelled_call_gives_its_keys_back(any_cache: CacheService) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def stuck(_: list[str]) -> dict[str, str]:
            begun.set()
            await asyncio.Event().wait()
            return {}

        first = asyncio.create_task(any_cache.aget_or_fetch_many(["a", "b"], 60, stuck))
        await begun.wait()
        waiting = asyncio.create_task(
            any_cache.aget_or_fetch_many(["b", "c"], 60, lambda keys: dict.fromkeys(keys, 2))
        )
        leaves = asyncio.create_task(
            any_cache.aget_or_fetch_many(["a", "d"], 60, lambda keys: dict.fromkeys(keys, 3))
        )
        async with asyncio.timeout(20):
            while any_cache.stats().waits < 2:
                await asyncio.sleep(0.001)
        leaves.cancel()
        await asyncio.wait([leaves])
        first.cancel()
        async with asyncio.timeout(20):
            assert await waiting == {"b": 2, "c": 2}
            assert await any_cache.aget_or_fetch("a", 60, lambda: 5) == 5
        assert first.cancelled() or await asyncio.wait([first])

    asyncio.run(main())


def test_refreshes_ahead(make_cache: MakeCache) -> None:
    """A slow fetch and a short life: hits draw refreshes, and nobody ever waits for a value that is there."""
    cache = make_cache(jitter=0)
    runs = []

    def fetch(missing: list[str]) -> dict[str, int]:
        runs.append(missing)
        threading.Event().wait(0.02)
        return dict.fromkeys(missing, len(runs))

    with ThreadPoolExecutor(1) as pool:
        assert cache.get_or_fetch_many(["a", "b"], 0.3, fetch, background=pool) == {"a": 1, "b": 1}
        eventually(
            lambda: bool(cache.get_or_fetch_many(["a", "b"], 0.3, fetch, background=pool)) and len(runs) > 3
        )
    assert cache.stats().loads >= 3
