"""Hits of `CacheService` from decoded copies: shared, counted, dead as soon as the core's entry is."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import inspect
import os
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any, ClassVar

import pytest
from conftest import MakeCache, Redis, eventually
from scrubjay import CacheService, Closed, InvalidKey, InvalidOption, MemoryCache


def both(cache: CacheService, name: str, *args: Any, **kwargs: Any) -> Any:
    """The answer of a call, which is the same to threads and to tasks."""

    async def main() -> Any:
        return await getattr(cache, f"a{name}")(*args, **kwargs)

    answer = getattr(cache, name)(*args, **kwargs)
    assert asyncio.run(main()) == answer
    return answer


def refuse() -> Any:
    raise AssertionError("the fetch ran")


def refuse_many(_: list[Any]) -> Any:
    raise AssertionError("the fetch ran")


def test_hits_share_one_value(cache: CacheService) -> None:
    cache.set("k", {"list": [1]})
    first = cache.get("k")
    assert cache.get("k") is first
    assert cache.get("k", None) is first
    assert cache.get(key="k") is first
    assert cache.get_or_fetch("k", 60, refuse) is first
    assert cache.get_or_fetch("k", ttl=60, fetch=refuse) is first
    assert cache.get_many(["k", "z"])["k"] is first
    assert cache.get_or_fetch_many(["k"], 60, refuse_many)["k"] is first

    async def main() -> None:
        assert await cache.aget("k") is first
        assert await cache.aget(key="k", default=5) is first
        assert await cache.aget_or_fetch("k", 60, refuse) is first
        assert (await cache.aget_many(["k", "z"]))["k"] is first
        assert (await cache.aget_or_fetch_many(["k"], 60, refuse_many))["k"] is first

    asyncio.run(main())
    assert cache.stats().hits_l1 == 13


def test_text_and_its_bytes_have_copies_of_their_own_that_die_together(cache: CacheService) -> None:
    for text in ("ascii", "ké"):
        cache.set(text, [1])
        assert cache.get(text) == cache.get(text.encode()) == [1]
        assert cache.get(text) == [1]
        cache.delete(text.encode())
        assert cache.get(text) is None
        assert cache.get(text.encode()) is None


@pytest.mark.parametrize(
    "end",
    [
        lambda cache: cache.delete("k"),
        lambda cache: cache.delete(b"k"),
        lambda cache: cache.delete_many(["k"]),
        lambda cache: cache.clear(),
        lambda cache: cache.set("k", "new"),
        lambda cache: cache.set_many({b"k": "new"}),
        lambda cache: asyncio.run(cache.adelete("k")),
    ],
)
def test_whatever_ends_an_entry_ends_its_copy(cache: CacheService, end: Any) -> None:
    for _ in range(3):
        cache.set("k", "old")
        assert both(cache, "get", "k") == "old"
        end(cache)
        assert both(cache, "get", "k") in (None, "new")


def test_copies_end_with_their_time(make_cache: MakeCache) -> None:
    cache = make_cache(ttl=0.05, refresh_ahead=False)
    cache.set("k", [1])
    assert cache.get("k") is cache.get("k")
    eventually(lambda: cache.get("k") is None)


def test_isolated_hits_are_decoded_each(make_cache: MakeCache) -> None:
    cache = make_cache(isolate=True)
    cache.set("k", {"list": [1]})
    cache.get("k")["list"].append(2)
    assert both(cache, "get", "k") == {"list": [1]}
    assert both(cache, "get_many", ["k"]) == {"k": {"list": [1]}}
    assert both(cache, "get_or_fetch", "k", 60, refuse) == {"list": [1]}
    assert cache.stats().hits_l1 == 7


def test_without_a_memory_tier(make_cache: MakeCache) -> None:
    cache = make_cache(l1_bytes=0)
    cache.set("k", 1)
    assert both(cache, "get", "k") is None


def test_a_close_ends_them(cache: CacheService) -> None:
    cache.set("k", 1)
    assert cache.get("k") == cache.get("k") == 1
    cache.close()
    with pytest.raises(Closed):
        cache.get("k")
    with pytest.raises(Closed):
        both(cache, "get_or_fetch", "k", 60, refuse)


@pytest.mark.parametrize("wrong", [None, 5, ["k"], "", "x" * 1025])
def test_wrong_keys_are_refused_with_copies_there(cache: CacheService, wrong: Any) -> None:
    cache.set("k", 1)
    cache.get("k")
    with pytest.raises(InvalidKey):
        both(cache, "get", wrong)
    with pytest.raises(InvalidKey):
        both(cache, "get_or_fetch", wrong, 60, refuse)


async def coroutine_function() -> int:
    return 1


@pytest.mark.parametrize(
    ("ttl", "fetch", "name"),
    [(0, refuse, "ttl"), (True, refuse, "ttl"), (10**400, refuse, "ttl"), ("1", refuse, "ttl"), (60, 5, "fetch")],
)
def test_wrong_arguments_are_refused_on_hits_too(cache: CacheService, ttl: Any, fetch: Any, name: str) -> None:
    cache.set("k", 1)
    cache.get("k")
    for _ in range(2):
        with pytest.raises(InvalidOption, match=name):
            cache.get_or_fetch("k", ttl, fetch)
        with pytest.raises(InvalidOption, match=name):
            asyncio.run(cache.aget_or_fetch("k", ttl, fetch))
        with pytest.raises(InvalidOption, match=name):
            cache.get_or_fetch_many(["k"], ttl, fetch)
    for _ in range(3):
        assert cache.get_or_fetch("k", 60, refuse) == 1
        assert cache.get_or_fetch("k", 60, lambda: 2) == 1
        with pytest.raises(InvalidOption, match="coroutine function"):
            _ = cache.get_or_fetch("k", 60, coroutine_function)


def test_a_hit_is_a_coroutine_that_has_ended(cache: CacheService) -> None:
    cache.set("k", [1])
    value = cache.get("k")

    hit = cache.aget("k")
    assert isinstance(hit, collections.abc.Coroutine)
    assert inspect.isawaitable(hit)
    assert asyncio.iscoroutine(hit)
    assert not gc.is_tracked(value) or gc.get_referents(hit)
    with pytest.raises(StopIteration) as ended:
        hit.send(None)
    assert ended.value.value is value
    with pytest.raises(RuntimeError, match="already awaited"):
        hit.send(None)

    class Mine(Exception):
        pass

    thrown: list[Any] = [(Mine("x"),), (Mine,), (Mine, "x"), (Mine, Mine("x"), None)]
    for arguments in thrown:
        with pytest.raises(Mine):
            cache.aget("k").throw(*arguments)
    cache.aget("k").close()
    closed = cache.aget("k")
    closed.close()
    with pytest.raises(RuntimeError):
        closed.send(None)
    del hit, closed

    async def main() -> None:
        assert await asyncio.create_task(cache.aget("k")) is value
        assert list(await asyncio.gather(cache.aget("k"), cache.aget("none", 7))) == [value, 7]
        assert await asyncio.wait_for(cache.aget("k"), 5) is value
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            tasks = [group.create_task(cache.aget_or_fetch("k", 60, refuse)) for _ in range(3)]
        assert [task.result() for task in tasks] == [value] * 3
        task = asyncio.create_task(cache.aget("k"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        again = cache.aget("k")
        await again
        with pytest.raises(RuntimeError, match="already awaited"):
            await again
        for stored in (None, b"bytes", 5):
            await cache.aset("other", stored)
            await cache.aget("other")
            assert await cache.aget("other", 1) == stored

    asyncio.run(main())
    assert asyncio.run(cache.aget("k")) is value


def test_a_hit_does_not_switch_tasks(cache: CacheService) -> None:
    cache.set("k", 1)
    cache.get("k")
    order = []

    async def other() -> None:
        order.append("other")

    async def main() -> None:
        task = asyncio.create_task(other())
        for _ in range(1000):
            await cache.aget("k")
            await cache.aget_or_fetch("k", 60, refuse)
        order.append("main")
        await task

    asyncio.run(main())
    assert order == ["main", "other"]


def test_subclasses_have_their_own_way() -> None:
    class Loud(CacheService):
        def get(self, key: Any, default: Any = None) -> Any:
            return ("loud", super().get(key, default))

        async def aget(self, key: Any, default: Any = None) -> Any:
            return ("loud", await super().aget(key, default))

    with Loud(prefix="loud") as cache:
        cache.set("k", 1)
        for _ in range(3):
            assert both(cache, "get", "k") == ("loud", 1)
        assert cache.get_or_fetch("k", 60, refuse) == 1


def test_a_loop_of_hits_sees_an_invalidation_by_another_thread(cache: CacheService) -> None:
    for _ in range(5):
        cache.set("k", "old")
        assert cache.get("k") == "old"
        started = threading.Event()
        seen: list[float] = []

        def read() -> None:
            get = cache.get
            started.set()  # noqa: B023
            while get("k") is not None:
                pass
            seen.append(time.monotonic())  # noqa: B023

        reader = threading.Thread(target=read)
        reader.start()
        started.wait()
        cache.delete("k")
        deleted = time.monotonic()
        reader.join(20)
        assert not reader.is_alive()
        assert seen[0] - deleted < 1


def test_an_invalidation_by_another_process_reaches_a_loop_of_hits(redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(redis.url, max_staleness=0.2)
    cache.set("k", "old")
    eventually(lambda: cache.get("k") == "old")
    redis.command("FLUSHALL")
    eventually(lambda: cache.get("k") is None)


def test_threads_never_see_what_was_deleted(cache: CacheService) -> None:
    """Each writer counts up; a reader must never go backwards, and after a delete never see what was before it."""
    over = time.monotonic() + 2
    failures: list[str] = []

    def write(key: str) -> None:
        n = 0
        while time.monotonic() < over:
            n += 1
            cache.set(key, [n])
            if (got := cache.get(key)) != [n]:
                failures.append(f"{got} after set {n}")
            cache.delete(key)
            if (got := cache.get(key)) is not None:
                failures.append(f"{got} after delete {n}")

    def read(key: str) -> None:
        last = 0
        while time.monotonic() < over:
            got = cache.get(key)
            if got is not None:
                if got[0] < last:
                    failures.append(f"{got} after {last}")
                last = got[0]

    threads = [threading.Thread(target=work, args=(f"k{n}",)) for n in range(2) for work in (write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_child_of_a_fork_has_none(cache: CacheService) -> None:
    cache.set("k", [1])
    value = cache.get("k")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert cache.get("k") is None
            cache.set("k", [2])
            assert cache.get("k") is cache.get("k") is not None
            assert cache.get("k") == [2]
            assert asyncio.run(cache.aget("k")) == [2]
            cache.delete("k")
            assert cache.get("k") is None
            os.write(write, b"ok")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 10) == b"ok"
    for descriptor in (read, write):
        os.close(descriptor)
    assert cache.get("k") is value


def objects_of(kind: type) -> int:
    gc.collect()
    return sum(type(found) is kind for found in gc.get_objects())


def test_copies_leave_memory_though_nobody_calls(make_cache: MakeCache) -> None:
    cache = make_cache(ttl=0.2, refresh_ahead=False, jitter=0)
    before = objects_of(dict)
    for n in range(2000):
        cache.set(f"k{n}", {"n": [n]})
        cache.get(f"k{n}")
        cache.get(f"k{n}")
    assert objects_of(dict) >= before + 1000
    eventually(lambda: objects_of(dict) < before + 100, within=10)


def test_evicted_and_deleted_copies_leave_memory(make_cache: MakeCache) -> None:
    cache = make_cache(l1_bytes=200_000)
    before = objects_of(dict)
    for n in range(5000):
        cache.set(f"k{n}", {"n": [n]})
        cache.get(f"k{n}")
    assert objects_of(dict) < before + 2000
    cache.clear()
    eventually(lambda: objects_of(dict) < before + 100, within=10)


def test_a_task_that_only_waits_is_swept_too(make_cache: MakeCache) -> None:
    cache = make_cache(ttl=0.2, refresh_ahead=False, jitter=0)
    before = objects_of(dict)

    async def main() -> None:
        for n in range(1000):
            await cache.aset(f"k{n}", {"n": [n]})
            await cache.aget(f"k{n}")
        assert objects_of(dict) >= before + 500
        deadline = time.monotonic() + 10
        while objects_of(dict) > before + 100 and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert objects_of(dict) <= before + 100

    asyncio.run(main())


class Dropped:
    """Notes which thread dropped it."""

    threads: ClassVar[list[int]] = []

    def __del__(self) -> None:
        self.threads.append(threading.get_ident())


def remember(count: int, ttl: float) -> MemoryCache[int, Dropped]:
    Dropped.threads.clear()
    kept: MemoryCache[int, Dropped] = MemoryCache(2 * count, ttl)
    for n in range(count):
        kept[n] = Dropped()
    return kept


def test_an_event_loop_drops_what_is_dead_itself(make_cache: MakeCache) -> None:
    async def main() -> MemoryCache[int, Dropped]:
        await make_cache().aset("attached", 1)
        kept = remember(2500, ttl=0.1)
        deadline = time.monotonic() + 10
        while len(Dropped.threads) < 2500 and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert Dropped.threads == [threading.get_ident()] * 2500
        return kept

    asyncio.run(main())


@pytest.mark.parametrize("state", ["busy", "closed"])
def test_a_loop_that_does_not_come_is_not_waited_for(make_cache: MakeCache, state: str) -> None:
    async def main() -> None:
        await make_cache().aset("attached", 1)
        if state == "busy":
            kept = remember(2500, ttl=0.1)
            eventually(lambda: len(Dropped.threads) == 2500, within=10)
            del kept

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    if state == "closed":
        loop.close()
        kept = remember(2500, ttl=0.1)
        eventually(lambda: len(Dropped.threads) == 2500, within=10)
        del kept
    assert threading.get_ident() not in Dropped.threads
    loop.close()


@pytest.mark.parametrize(("size", "count"), [(100, 60_000), (2000, 8_000)])
def test_memory_stays_within_its_bound(size: int, count: int) -> None:
    """Resident memory grows by at most 1.5 times `l1_bytes`, decoded copies included."""
    program = textwrap.dedent("""
        import gc, os, random, sys
        from scrubjay import CacheService

        def resident():
            gc.collect()
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        size, count, bound = int(sys.argv[1]), int(sys.argv[2]), 16 << 20
        rng = random.Random(1)

        def value(n):
            rows = [{"id": n + i, "name": f"product {n}", "price": n / 7, "tags": ["a", "bb", n]} for i in range(max(1, size // 70))]
            return {"rows": rows, "total": n, "open": True, "none": None}

        with CacheService(prefix="warm") as warm:
            for n in range(200):
                warm.set(f"key:{n}", value(n))
                warm.get(f"key:{n}")
        cache = CacheService(prefix="bound", l1_bytes=bound)
        before = resident()
        most = 0
        for n in range(count):
            cache.set(f"key:{n}", value(n))
            cache.get(f"key:{n}")
            cache.get(f"key:{rng.randrange(n + 1)}")
            if n % 2000 == 0:
                most = max(most, resident() - before)
        most = max(most, resident() - before)
        print(most / bound)
        """)
    command = [sys.executable, "-c", program, str(size), str(count)]
    factor = float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout)
    assert 0.3 < factor < 1.5
