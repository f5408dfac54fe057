"""Updates: nothing is stored under a key while its writer is at work. And what is known of a key."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest
from conftest import MakeCache, Redis, eventually, free_port
from scrubjay import CacheService, Closed, InvalidKey, InvalidOption, Unavailable


class Full(Exception):
    """An error of the source."""


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest, make_cache: MakeCache) -> CacheService:
    if request.param == "memory":
        return make_cache()
    redis: Redis = request.getfixturevalue("redis")
    return make_cache(redis.url)


def loads(cache: CacheService, key: str = "k") -> bool:
    """Whether a fetch of the key runs: it is not stored."""
    ran = []
    cache.get_or_fetch(key, 60, lambda: ran.append(1))
    return bool(ran)


def is_free(cache: CacheService, key: str = "k") -> None:
    assert cache.explain(key)["hold"] is None
    eventually(lambda: not loads(cache, key))


def test_nothing_is_stored_while_it_is_written(cache: CacheService) -> None:
    cache.set("k", "old")
    seen: list[Any] = []

    def write() -> int:
        seen.append(cache.get("k"))
        seen.append(loads(cache) and loads(cache))
        seen.append(cache.explain("k")["reason"])
        cache.set("k", "which is newer?")
        seen.append(cache.get("k"))
        return 3

    rows, receipt = cache.update(["k", b"l"], write)
    assert (rows, receipt.pending) == (3, False)
    assert seen == [None, True, "held", None]
    assert cache.get("k") is None
    is_free(cache)


def test_the_error_of_a_write_is_its_own(cache: CacheService) -> None:
    cache.set("k", "old")
    error = Full("rolled back")

    def write() -> None:
        raise error

    with pytest.raises(Full) as caught:
        cache.update(["k"], write)
    assert caught.value is error
    assert cache.get("k") is None
    is_free(cache)
    with pytest.raises(KeyboardInterrupt), cache.updating(["k"]):
        raise KeyboardInterrupt
    eventually(lambda: cache.explain("k")["hold"] is None)
    is_free(cache)


def test_a_block(cache: CacheService) -> None:
    with cache.updating(["k"], intent_ttl=timedelta(seconds=5)) as updating:
        assert updating.receipt is None
        hold = cache.explain("k")["hold"]
        assert hold is not None
        assert hold["writers"] == 1
        assert 3 < hold["left"] <= 5
        with pytest.raises(InvalidOption), updating:
            pytest.fail("one block at a time")
    assert updating.receipt is not None
    assert not updating.receipt.pending
    is_free(cache)


def test_writers_of_one_key(cache: CacheService) -> None:
    with cache.updating(["k"]):
        with cache.updating(["k", "l"]):
            hold = cache.explain("k")["hold"]
            assert hold is not None
            assert hold["writers"] == 2
        assert loads(cache)
        assert loads(cache)
        is_free(cache, "l")
    is_free(cache)


def test_tasks(cache: CacheService) -> None:
    async def main() -> None:
        async def write() -> str:
            await asyncio.sleep(0)
            assert (await cache.aexplain("k"))["reason"] == "held"
            return "done"

        value, receipt = await cache.aupdate(["k"], write)
        assert (value, receipt.pending) == ("done", False)
        assert (await cache.aupdate(["k"], lambda: 7))[0] == 7

        async def fail() -> None:
            raise Full

        with pytest.raises(Full):
            await cache.aupdate(["k"], fail)
        assert (await cache.aexplain("k"))["reason"] == "absent"

        async with cache.updating(["k"], hold=0) as updating:
            assert (await cache.aexplain("k"))["hold"] is not None
        assert updating.receipt is not None

    asyncio.run(main())
    is_free(cache)


def test_a_cancelled_task_ends_its_update(cache: CacheService) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def write() -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(cache.aupdate(["k"], write))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Before the intent is answered.
        task = asyncio.create_task(cache.aupdate(["k"], write))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while (await cache.aexplain("k"))["hold"] is not None:
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(main(), 20))
    is_free(cache)


def test_what_cannot_be_is_refused_before_the_write(make_cache: MakeCache) -> None:
    cache = make_cache()

    def write() -> None:
        pytest.fail("it must not run")

    wrong: list[tuple[dict[str, Any], str]] = [
        ({"intent_ttl": 0.09}, "intent_ttl must be 0.1 to 3600 seconds, is 0.09"),
        ({"intent_ttl": 3601}, "intent_ttl must be 0.1 to 3600 seconds, is 3601"),
        ({"intent_ttl": -1}, "intent_ttl must be a number of seconds of 0 or more, or a timedelta, is -1"),
        ({"intent_ttl": "1"}, "intent_ttl must be a number of seconds of 0 or more, or a timedelta, is str"),
        ({"hold": 3601}, "hold must be 0 to 3600 seconds, is 3601"),
        ({"hold": float("nan")}, "hold must be a number of seconds"),
        ({"strict": 1}, "strict must be True or False, is int"),
    ]
    for options, message in wrong:
        with pytest.raises(InvalidOption, match=message) as caught:
            cache.update(["k"], write, **options)
        assert caught.value.operation == "update"
    with pytest.raises(InvalidOption, match="keys must be an iterable of keys, is str"):
        cache.update("k", write)
    with pytest.raises(InvalidKey):
        cache.update(["k", ""], write)
    with pytest.raises(InvalidOption, match="write must be callable, is int"):
        cache.update(["k"], 7)  # type: ignore[arg-type]

    async def coroutine() -> None:
        pytest.fail("it must not run")

    with pytest.raises(InvalidOption, match="write must not be a coroutine function here: await aupdate instead"):
        cache.update(["k"], coroutine)
    with pytest.raises(InvalidOption, match="write must not return an awaitable here: await aupdate instead"):
        cache.update(["k"], lambda: coroutine())
    is_free(cache)
    with pytest.raises(InvalidKey):
        cache.explain("")
    cache.close()
    with pytest.raises(Closed):
        cache.update(["k"], write)
    with pytest.raises(Closed):
        cache.explain("k")


def test_a_server_that_is_away_stops_a_strict_update_only(make_cache: MakeCache) -> None:
    cache = make_cache(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable) as caught:
        cache.update(["k"], lambda: pytest.fail("it must not run"), strict=True)
    assert caught.value.operation == "update"
    value, receipt = cache.update(["k"], lambda: 7)
    assert (value, receipt.pending) == (7, True)
    assert cache.explain("k")["reason"] == "pending"
    assert cache.explain("elsewhere")["reachable"] is False


def test_threads_write_one_key(cache: CacheService) -> None:
    """The truth is read under the eyes of writers: no old value is stored."""
    truth = 0
    lock = threading.Lock()

    def write() -> None:
        nonlocal truth
        with lock:
            truth += 1

    def work() -> None:
        for _ in range(30):
            cache.update(["k"], write)
            cache.get_or_fetch("k", 60, lambda: truth)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert truth == 120
    assert cache.get("k", truth) == truth


KILLED = """
import sys, time
from scrubjay import CacheService
cache = CacheService(sys.argv[1], sys.argv[2])
with cache.updating(["k"], intent_ttl=0.5):
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_writer_that_is_killed(redis: Redis) -> None:
    with CacheService(redis.url, "killed", max_staleness=0) as cache:
        cache.set("k", "old")
        child = subprocess.Popen([sys.executable, "-c", KILLED, redis.url, "killed"], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert cache.get("k") is None
        assert loads(cache)
        eventually(lambda: not loads(cache))


def test_explanations(cache: CacheService) -> None:
    cache.clear()
    absent = cache.explain("k")
    assert (absent["tier"], absent["reason"], absent["ttl"], absent["reachable"]) == (None, "absent", None, True)
    cache.set("k", "twelve", 60)
    found = cache.explain("k")
    assert (found["tier"], found["reason"], found["stale"], found["codec"]) == ("l1", "fresh", False, "json")
    assert found["bytes"] == 8
    assert found["tags"] == []
    ttl = found["ttl"]
    assert ttl is not None
    assert 40 < ttl <= 60
    cache.get_or_fetch("l", 60, lambda: cache.explain("l")["lease"])
    assert cache.get("l")["here"] is True


def test_tags(cache: CacheService) -> None:
    def load(value: str) -> Any:
        return cache.get_or_fetch("k", 60, lambda: value, tags=["users", "all"])

    load("old")
    cache.set("free", "as before", tags=["all"])

    def write() -> int:
        assert cache.get("k") is None
        assert (load("old too"), load("old again")) == ("old too", "old again")
        cache.set("k", "which is newer?", tags=["users"])
        assert (cache.get("k"), cache.get("free")) == (None, "as before")
        return 3

    rows, receipt = cache.update([], write, tags=["users"])
    assert (rows, receipt.pending, cache.get("k")) == (3, False, None)
    eventually(lambda: bool(load("new")) and cache.get("k") == "new")
    with cache.updating(["l"], tags=("users",)):
        assert cache.get("k") is None

    async def main() -> None:
        eventually(lambda: bool(load("newer")) and cache.get("k") == "newer")
        with pytest.raises(Full):
            async with cache.updating([], tags=["users"]):
                raise Full
        assert await cache.aget("k") is None
        assert (await cache.aupdate([], lambda: 7, tags=["users"]))[0] == 7

    asyncio.run(main())
    for wrong in ("users", [""], [7]):
        with pytest.raises(InvalidOption):
            cache.update([], write, tags=wrong)  # type: ignore[arg-type]
