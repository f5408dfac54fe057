"""Loading once: threads and tasks, errors, cancellation, recursion."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import threading
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import MakeCache, eventually
from scrubjay import (
    CacheService,
    Closed,
    FetchTimeout,
    InvalidOption,
    InvalidValue,
    NotFound,
    PartialError,
    RecursiveFetch,
)

CALLERS = 1000


class Origin(Exception):
    """The error of a fetch."""


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """What each of so many threads got, or its exception."""
    results: list[Any] = [None] * count

    def run(index: int) -> None:
        try:
            results[index] = call()
        except BaseException as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def when_all_wait(cache: CacheService, count: int = CALLERS) -> None:
    eventually(lambda: cache.stats().waits >= count - 1, within=60)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


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


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_who_is_interrupted_hands_over(cache: CacheService, leaving: type[BaseException]) -> None:
    runs = []

    def fetch() -> int:
        runs.append(1)
        if len(runs) == 1:
            when_all_wait(cache, 10)
            raise leaving
        return len(runs)

    results = in_threads(10, lambda: cache.get_or_fetch("k", 60, fetch))
    assert sorted(map(str, (type(result) for result in results))) == sorted(map(str, [leaving] + [int] * 9))
    assert len(runs) == 2
    assert cache.stats().load_errors == 0


def test_a_cancelled_leader_hands_over(any_cache: CacheService) -> None:
    runs = []

    async def fetch() -> str:
        runs.append(1)
        if len(runs) == 1:
            await asyncio.Event().wait()
        return "value"

    async def main() -> None:
        leader = asyncio.create_task(any_cache.aget_or_fetch("k", 60, fetch))
        await until(lambda: len(runs) == 1)
        others = [asyncio.create_task(any_cache.aget_or_fetch("k", 60, fetch)) for _ in range(99)]
        await until(lambda: any_cache.stats().waits >= 99)
        leader.cancel()
        assert await asyncio.gather(*others) == ["value"] * 99
        with pytest.raises(asyncio.CancelledError):
            await leader

    asyncio.run(main())
    assert len(runs) == 2


def test_a_cancelled_waiter_just_leaves(cache: CacheService) -> None:
    async def main() -> None:
        begun, end = asyncio.Event(), asyncio.Event()

        async def fetch() -> str:
            begun.set()
            await end.wait()
            return "value"

        leader = asyncio.create_task(cache.aget_or_fetch("k", 60, fetch))
        await begun.wait()
        waiters = [asyncio.create_task(cache.aget_or_fetch("k", 60, fetch)) for _ in range(10)]
        await until(lambda: cache.stats().waits == 10)
        for waiter in waiters[:5]:
            waiter.cancel()
        await asyncio.wait(waiters[:5])
        end.set()
        assert await leader == "value"
        assert await asyncio.gather(*waiters[5:]) == ["value"] * 5
        assert all(waiter.cancelled() for waiter in waiters[:5])

    asyncio.run(main())


@pytest.mark.parametrize("steps", range(6))
def test_a_lead_that_meets_a_cancel_goes_on(make_cache: MakeCache, steps: int) -> None:
    """The leader gives up about the time at which the next in line is cancelled."""
    cache = make_cache()

    async def main() -> None:
        begun = asyncio.Event()

        async def stuck() -> str:
            begun.set()
            await asyncio.Event().wait()
            return "stuck"

        leader = asyncio.create_task(cache.aget_or_fetch("k", 60, stuck))
        await begun.wait()
        waiters = [asyncio.create_task(cache.aget_or_fetch("k", 60, lambda i=i: i)) for i in range(50)]
        await until(lambda: cache.stats().waits == 50)
        leader.cancel()
        for _ in range(steps):
            await asyncio.sleep(0)
        for waiter in waiters[:49]:
            waiter.cancel()
        async with asyncio.timeout(10):
            assert await waiters[49] in range(50)
            await asyncio.wait(waiters)

    asyncio.run(main())


def test_a_closed_coroutine_hands_over(cache: CacheService) -> None:
    async def main() -> None:
        async def stuck() -> str:
            await asyncio.Event().wait()
            return "stuck"

        coroutine = cache.aget_or_fetch("k", 60, stuck)
        contextvars.copy_context().run(coroutine.send, None)  # it leads, inside its fetch
        waiter = asyncio.create_task(cache.aget_or_fetch("k", 60, lambda: "value"))
        await until(lambda: cache.stats().waits == 1)
        coroutine.close()
        assert await waiter == "value"

    asyncio.run(main())


def test_a_timeout_around_a_wait(cache: CacheService) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def fetch() -> str:
            await release.wait()
            return "value"

        leader = asyncio.create_task(cache.aget_or_fetch("k", 60, fetch))
        await until(lambda: cache.stats().loads == 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await cache.aget_or_fetch("k", 60, fetch)
        release.set()
        assert await leader == "value"

    asyncio.run(main())


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
