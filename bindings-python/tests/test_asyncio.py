"""How calls wait on event loops: no switch on a hit, queues that go with their loops, other loops than the usual."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvloop
from conftest import MakeCache, Redis, eventually
from scrubjay import CacheService, InvalidOption


class NoReader(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, as some are."""

    def add_reader(self, *_: Any) -> Any:  # type: ignore[override]
        raise NotImplementedError


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.SelectorEventLoop,
    uvloop.new_event_loop,
    NoReader,
]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("new_loop", LOOPS)
def test_loops(any_cache: CacheService, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        runs = []

        async def fetch() -> int:
            runs.append(1)
            await asyncio.sleep(0.001)
            return 7

        assert await asyncio.gather(*[any_cache.aget_or_fetch("k", 60, fetch) for _ in range(100)]) == [7] * 100
        assert len(runs) == 1
        await any_cache.aset("other", 1)
        assert await any_cache.aget_many(["k", "other"]) == {"k": 7, "other": 1}
        await any_cache.aclear()
        for i in range(50):
            assert await any_cache.aget_or_fetch(f"k{i}", 60, lambda i=i: i) == i

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


def steps(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine that must not wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


def test_a_hit_does_not_wait(redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(redis.url, max_staleness=60)

    async def main() -> None:
        await cache.aset("k", 7)
        assert steps(cache.aget("k")) == 7
        assert steps(cache.aget_many(["k"])) == {"k": 7}
        assert steps(cache.aget_or_fetch("k", 60, lambda: pytest.fail("it is there"))) == 7
        assert steps(cache.aget_or_fetch_many(["k"], 60, lambda _: pytest.fail("it is there"))) == {"k": 7}

    asyncio.run(main())


def test_memory_alone_never_waits(cache: CacheService) -> None:
    async def main() -> None:
        assert steps(cache.aget("k", 1)) == 1
        assert steps(cache.aset("k", 2)).pending is False
        assert steps(cache.aget_or_fetch("l", 60, lambda: 3)) == 3
        assert steps(cache.adelete("k")).pending is False
        assert steps(cache.aclear()).pending is False

    asyncio.run(main())


def test_outside_of_a_loop(cache: CacheService) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        steps(cache.aget("k"))


@pytest.mark.parametrize("new_loop", LOOPS)
def test_the_queue_goes_with_its_loop(
    redis: Redis, make_cache: MakeCache, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    cache = make_cache(redis.url, max_staleness=0)
    cache.set("k", 1)

    def once() -> weakref.ref[asyncio.AbstractEventLoop]:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            assert runner.run(cache.aget("k")) == 1
            return weakref.ref(runner.get_loop())

    once()
    gc.collect()
    before, threads = descriptors(), threading.active_count()
    loops = [once() for _ in range(30)]
    gc.collect()
    assert [loop() for loop in loops] == [None] * 30
    assert descriptors() <= before
    eventually(lambda: threading.active_count() <= threads)


def test_a_loop_that_ends_with_calls_under_way(make_cache: MakeCache) -> None:
    """Neither closed properly nor waited for: what it led goes on to others, and nothing stays behind."""
    cache = make_cache()

    async def stuck() -> str:
        await asyncio.Event().wait()
        return "stuck"

    def abandoned() -> weakref.ref[asyncio.AbstractEventLoop]:
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(cache.aget_or_fetch("k", 60, stuck)) for _ in range(3)]
        while cache.stats().waits < 2:
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        return weakref.ref(loop)

    loop = abandoned()
    gc.collect()
    assert loop() is None
    assert cache.get_or_fetch("k", 60, lambda: "next") == "next"


def test_loops_in_threads(any_cache: CacheService) -> None:
    results: list[Any] = []

    async def main(seed: int) -> int:
        calls = [any_cache.aget_or_fetch(f"k{(seed + i) % 50}", 60, lambda: "v") for i in range(100)]
        return (await asyncio.gather(*calls)).count("v")

    threads = [threading.Thread(target=lambda n=n: results.append(asyncio.run(main(n)))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [100] * 8
    assert any_cache.stats().loads == 50


def test_a_refresh_runs_behind_its_caller(make_cache: MakeCache) -> None:
    cache = make_cache(jitter=0)

    async def main() -> None:
        runs = []

        async def fetch() -> int:
            runs.append(1)
            await asyncio.sleep(0.02)
            return len(runs)

        await cache.aget_or_fetch("k", 0.3, fetch)
        async with asyncio.timeout(30):
            while len(runs) < 4:
                # A hit answers at once, also the one that draws the refresh; only a miss waits.
                await cache.aget_or_fetch("k", 0.3, fetch)
                await asyncio.sleep(0.001)

    asyncio.run(main())
    assert cache.stats().loads >= 3


def test_a_refresh_that_fails_is_nobodys_error(make_cache: MakeCache) -> None:
    cache = make_cache(jitter=0)
    problems: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        runs = []

        async def fetch() -> int:
            runs.append(1)
            await asyncio.sleep(0.02)
            if len(runs) > 1:
                raise ValueError
            return 1

        async with asyncio.timeout(30):
            while len(runs) < 3:
                assert await cache.aget_or_fetch("k", 0.3, fetch) == 1
                await asyncio.sleep(0.001)

    asyncio.run(main())
    gc.collect()
    assert problems == []


def test_a_threads_refresh_on_an_executor(make_cache: MakeCache) -> None:
    cache = make_cache(jitter=0)
    here, elsewhere = threading.get_ident(), []

    def fetch() -> int:
        threading.Event().wait(0.02)
        if threading.get_ident() != here:
            elsewhere.append(1)
        return 1

    with ThreadPoolExecutor(1) as pool:
        eventually(lambda: bool(cache.get_or_fetch("k", 0.3, fetch, background=pool) and len(elsewhere) > 1))


def test_an_executor_that_was_shut_down(make_cache: MakeCache) -> None:
    """A refresh that is drawn goes back, and the value is given all the same."""
    cache = make_cache(jitter=0)
    drawn = []

    class Gone(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            drawn.append(1)
            return super().submit(*args, **kwargs)

    with Gone(1) as pool:
        pass

    def fetch() -> int:
        threading.Event().wait(0.02)
        return 1

    eventually(lambda: cache.get_or_fetch("k", 0.3, fetch, background=pool) == 1 and len(drawn) > 1)


def test_background_must_be_an_executor(cache: CacheService) -> None:
    wrong: Any = 5
    with pytest.raises(InvalidOption, match="background must be an Executor, is int"):
        cache.get_or_fetch("k", 60, int, background=wrong)
    with pytest.raises(InvalidOption, match="background must be an Executor, is int"):
        cache.get_or_fetch_many(["k"], 60, lambda _: {}, background=wrong)


def test_a_threads_refresh_without_an_executor(make_cache: MakeCache) -> None:
    cache = make_cache(jitter=0)
    runs = []

    def fetch() -> int:
        runs.append(1)
        threading.Event().wait(0.02)
        if len(runs) > 1:
            raise ValueError
        return 1

    # Whoever draws the refresh runs it, and has the old value when it fails.
    eventually(lambda: cache.get_or_fetch("k", 0.3, fetch) == 1 and len(runs) > 2)


def test_answers_of_many_keys_leave_other_calls_alone(redis: Redis, make_cache: MakeCache) -> None:
    """Calls on many keys, on one key and loads of many, all under way at once."""
    cache = make_cache(redis.url, l1_bytes=0)
    cache.set_many({f"k{i}": i for i in range(20)})

    async def main() -> None:
        keys = [f"k{i}" for i in range(20)]
        want = {key: i for i, key in enumerate(keys)}
        for _ in range(20):
            calls: list[Any] = []
            for i in range(20):
                calls += [cache.aget_many(keys), cache.aget(f"k{i}"), cache.aget_or_fetch(f"k{i}", 60, lambda: 0)]
                calls += [cache.aget_or_fetch_many(keys, 60, lambda missing: dict.fromkeys(missing, 0))]
            async with asyncio.timeout(20):
                answers = await asyncio.gather(*calls)
            for i in range(20):
                assert answers[4 * i : 4 * i + 4] == [want, i, i, want]

    asyncio.run(main())
