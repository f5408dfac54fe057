"""Who drives the connection to Redis: the event loop that waits itself; nobody waits for one that is busy."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvloop
from conftest import MakeCache, Redis, eventually
from scrubjay import CacheService

FORK = multiprocessing.get_context("fork")
NewLoop = Callable[[], asyncio.AbstractEventLoop]
LOOPS: list[NewLoop] = [asyncio.SelectorEventLoop, uvloop.new_event_loop]


@pytest.fixture
def remote(redis: Redis, make_cache: MakeCache) -> CacheService:
    """A cache without a memory tier: every read goes to the server."""
    return make_cache(redis.url, l1_bytes=0, l2_timeout=20)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_one_in_flight(remote: CacheService, new_loop: NewLoop) -> None:
    async def main() -> None:
        await remote.aset("k", b"v")
        before = remote.stats()
        for _ in range(500):
            assert await remote.aget("k") == b"v"
        after = remote.stats()
        assert after.driven_by_caller - before.driven_by_caller > 400
        assert after.driven_by_core - before.driven_by_core < 100

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("new_loop", LOOPS)
def test_many_in_flight(remote: CacheService, new_loop: NewLoop) -> None:
    values = {f"k{n}": bytes([n % 256]) * (200_000 if n % 50 == 0 else n) for n in range(300)}

    async def caller(number: int) -> None:
        for call in range(50):
            key = f"k{(number * 7 + call * 13) % 300}"
            assert await remote.aget(key) == values[key]

    async def main() -> None:
        await remote.aset_many(values)
        await asyncio.gather(*(caller(number) for number in range(64)))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert remote.stats().driven_by_caller > 0


def test_a_busy_loop_holds_no_thread_up(remote: CacheService) -> None:
    """The loop drives, asks, and does something else until threads have their answers."""
    remote.set("k", b"v")
    done = threading.Event()

    def reads() -> None:
        assert [remote.get("k") for _ in range(50)] == [b"v"] * 50

    async def main() -> None:
        assert await remote.aget("k") == b"v"
        asked = asyncio.ensure_future(remote.aget("k"))
        await asyncio.sleep(0)
        with ThreadPoolExecutor(3) as pool:
            running = [pool.submit(reads) for _ in range(3)]
            running[0].add_done_callback(lambda _: done.set())
            # The loop stands still.
            assert done.wait(60)
            for each in running:
                each.result(timeout=60)
        assert await asked == b"v"

    asyncio.run(main())


def test_two_loops_and_threads(remote: CacheService) -> None:
    remote.set_many({f"k{n}": f"k{n}".encode() for n in range(50)})

    async def tasks() -> None:
        async def caller(number: int) -> None:
            for call in range(100):
                key = f"k{(number + call) % 50}"
                assert await remote.aget(key) == key.encode()

        await asyncio.gather(*(caller(number) for number in range(8)))

    def thread() -> None:
        for call in range(200):
            key = f"k{call % 50}"
            assert remote.get(key) == key.encode()

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(asyncio.run, tasks()) for _ in range(2)] + [pool.submit(thread) for _ in range(2)]
        for each in running:
            each.result(timeout=100)


def test_an_outage_and_its_end(own_redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(own_redis.url, l1_bytes=0, l2_timeout=1)

    async def main() -> None:
        await cache.aset("k", 1)
        assert await cache.aget("k") == 1
        own_redis.stop()
        assert [await cache.aget("k") for _ in range(10)] == [None] * 10
        assert cache.stats().l2_errors > 0
        own_redis.start()
        deadline = asyncio.get_running_loop().time() + 60
        while (await cache.aset("k", 2)).pending or await cache.aget("k") != 2:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)
        before = cache.stats().driven_by_caller
        assert [await cache.aget("k") for _ in range(50)] == [2] * 50
        assert cache.stats().driven_by_caller > before

    asyncio.run(main())


def test_cancelled_and_closed_in_flight(remote: CacheService) -> None:
    """What a task no longer waits for, or a whole loop, takes nothing from the others."""
    remote.set("k", b"v")

    async def cancels() -> None:
        for _ in range(20):
            tasks = [asyncio.ensure_future(remote.aget("k")) for _ in range(20)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(value == b"v" or isinstance(value, asyncio.CancelledError) for value in results)
            assert results[1] == b"v"

    asyncio.run(cancels())

    left: list[asyncio.Future[Any]] = []

    async def leaves() -> None:
        left.extend(asyncio.ensure_future(remote.aget("k")) for _ in range(10))
        await asyncio.sleep(0)

    for new_loop in LOOPS:
        # Closed with everything in flight: its tasks are never ended.
        event_loop = new_loop()
        event_loop.run_until_complete(leaves())
        event_loop.close()
        assert remote.get("k") == b"v"
        asyncio.run(cancels())


def test_a_loop_that_pauses_between_two_runs(own_redis: Redis, make_cache: MakeCache) -> None:
    """While a loop stands still nobody reads for it, but the end of the connection is noticed."""
    cache = make_cache(own_redis.url, l1_bytes=0, l2_timeout=20)
    event_loop = asyncio.new_event_loop()
    try:
        event_loop.run_until_complete(cache.aset("k", 1))
        own_redis.stop()
        own_redis.start()
        eventually(lambda: not cache.set("k", 2).pending)
        assert event_loop.run_until_complete(cache.aget("k")) == 2
    finally:
        event_loop.close()


def test_large_values_leave_the_loop_its_turns(redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(redis.url, l1_bytes=0, l2_timeout=60)
    value = os.urandom(8 << 20)

    async def main() -> None:
        await cache.aset("k", value)
        running = asyncio.ensure_future(asyncio.wait_for(cache.aget("k"), 60))
        turns = 0
        while not running.done():
            turns += 1
            await asyncio.sleep(0)
        assert running.result() == value
        assert turns > 8

    asyncio.run(main())


def child(cache: CacheService, results: multiprocessing.Queue[str]) -> None:
    async def main() -> None:
        assert await cache.aget("k") == b"v"
        assert await asyncio.gather(*(cache.aget("k") for _ in range(20))) == [b"v"] * 20

    try:
        asyncio.run(main())
        results.put("ok")
    except BaseException as error:
        results.put(repr(error))


def test_fork_under_a_loop(remote: CacheService) -> None:
    """The child of a process whose loop drives has a connection of its own; the parent's goes on."""
    results = FORK.Queue()

    async def main() -> None:
        await remote.aset("k", b"v")
        flying = [asyncio.ensure_future(remote.aget("k")) for _ in range(10)]
        await asyncio.sleep(0)
        # Between a request and its answer, on the thread of the loop: no loop runs in the child.
        forked = await asyncio.get_running_loop().run_in_executor(None, fork)
        assert await asyncio.gather(*flying) == [b"v"] * 10
        assert await asyncio.to_thread(results.get, timeout=60) == "ok"
        await asyncio.to_thread(forked.join, 60)
        assert [await remote.aget("k") for _ in range(50)] == [b"v"] * 50

    def fork() -> multiprocessing.process.BaseProcess:
        process = FORK.Process(target=child, args=(remote, results))
        process.start()
        return process

    asyncio.run(main())
