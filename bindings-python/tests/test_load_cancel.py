"""Who leaves while a fetch runs or is waited for: the others go on."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from conftest import MakeCache
from loading import in_threads, until, when_all_wait
from scrubjay import (
    CacheService,
)


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
