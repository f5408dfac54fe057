"""More than may be in flight to Redis is refused with `Overloaded`; what was let in gets its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from conftest import MakeCache, Redis
from scrubjay import Overloaded

#: As many as may be in flight.
OPERATIONS = 10_000
EIGHT_MIB = 8 << 20


def test_more_operations_than_may_be_in_flight(own_redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(own_redis.url, max_staleness=60, l2_timeout=60, l1_bytes=1 << 30)
    cache.set("kept", 1)
    sync: dict[str, Callable[[], Any]] = {
        "get": lambda: cache.get("absent"),
        "get_many": lambda: cache.get_many(["kept", "absent"]),
        "set": lambda: cache.set("kept", 2),
        "set_many": lambda: cache.set_many({"kept": 2}),
        "delete": lambda: cache.delete("kept"),
        "delete_many": lambda: cache.delete_many(["kept"]),
    }
    tasks: dict[str, Callable[[], Any]] = {
        "get": lambda: cache.aget("absent"),
        "get_many": lambda: cache.aget_many(["kept", "absent"]),
        "set": lambda: cache.aset("kept", 2),
        "set_many": lambda: cache.aset_many({"kept": 2}),
        "delete": lambda: cache.adelete("kept"),
        "delete_many": lambda: cache.adelete_many(["kept"]),
    }

    async def main() -> None:
        own_redis.pause()
        first = asyncio.ensure_future(cache.aset("first", 1))
        let_in = [asyncio.ensure_future(cache.aget(f"k{n}")) for n in range(OPERATIONS - 1)]
        await asyncio.sleep(0)
        for operation, call in sync.items():
            with pytest.raises(Overloaded) as refusal:
                call()
            assert (refusal.value.operation, refusal.value.retryable) == (operation, True)
        for operation, call in tasks.items():
            with pytest.raises(Overloaded) as refusal:
                await call()
            assert (refusal.value.operation, refusal.value.retryable) == (operation, True)
        assert cache.get("kept") == 1, "nothing has changed"
        # A fetch goes on as if Redis could not be reached.
        assert cache.get_or_fetch("one", 60, lambda: 1) == 1
        assert await cache.aget_or_fetch("two", 60, lambda: 2) == 2
        assert cache.get_or_fetch_many(["three"], 60, lambda keys: dict.fromkeys(keys, 3)) == {"three": 3}
        own_redis.unpause()
        assert await asyncio.gather(*let_in) == [None] * (OPERATIONS - 1)
        assert not (await first).pending
        assert not (await cache.aset("kept", 2)).pending

    asyncio.run(main())
    assert cache.get("kept") == 2


def test_more_bytes_than_may_be_in_flight(own_redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(own_redis.url, max_staleness=60, l2_timeout=60, l1_bytes=1 << 30)
    cache.set("kept", 1)

    async def main() -> None:
        own_redis.pause()
        let_in = [asyncio.ensure_future(cache.aset(f"k{n}", bytes(EIGHT_MIB))) for n in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            cache.set("kept", 2)
        with pytest.raises(Overloaded):
            await cache.aget("absent")
        own_redis.unpause()
        assert not any(receipt.pending for receipt in await asyncio.gather(*let_in))

    asyncio.run(main())
    assert cache.get("kept") == 1


def test_more_than_one_reply_may_have(redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(redis.url, l1_bytes=0, l2_timeout=60)
    keys = [f"k{n}" for n in range(9)]
    for key in keys:
        cache.set(key, bytes(EIGHT_MIB))
    with pytest.raises(Overloaded, match="64 MiB"):
        cache.get_many(keys)
    with pytest.raises(Overloaded, match="64 MiB"):
        asyncio.run(cache.aget_many(keys))
    assert len(cache.get_many(keys[:7])) == 7
    cache.clear()
