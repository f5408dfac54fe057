"""Programs that know nothing of Scrubjay: plain entries, and channels whose messages are keys."""

from __future__ import annotations

import asyncio
import math

import pytest
from conftest import MakeCache, Redis, eventually
from scrubjay import InvalidOption, InvalidValue

HOUR = 3600


def test_plain_entries_are_bare_json(own_redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(own_redis.url, prefix="shop", format="plain")
    cache.set("user:1", {"name": "Ada"})
    assert own_redis.command("STRLEN", "shop:user:1") == ":14"
    own_redis.command("SET", "shop:user:2", '{"name": "Bob"}')
    assert cache.get("user:2") == {"name": "Bob"}
    assert cache.get_or_fetch("user:3", 60, lambda: [1, None]) == [1, None]
    eventually(lambda: own_redis.command("EXISTS", "shop:user:3") == ":1")
    assert cache.get_many(["user:1", "user:2", "user:4"]) == {"user:1": {"name": "Ada"}, "user:2": {"name": "Bob"}}
    cache.clear()
    assert own_redis.command("DBSIZE") == ":0"
    assert cache.effective_staleness_bound() == math.inf
    with pytest.raises(InvalidValue):
        cache.set("k", b"bytes")
    with pytest.raises(InvalidOption, match="tags"):
        cache.set("k", 1, tags=["t"])
    with pytest.raises(InvalidOption, match="format"):
        make_cache("memory://", format="plain")


def test_memory_follows_tracked_keys(own_redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(own_redis.url, prefix="shop", format="plain", tracking=True, max_staleness=HOUR)
    cache.get("nothing")
    eventually(lambda: cache.stats().push_sessions == 1)
    for n in range(20):
        own_redis.command("SET", "shop:k", str(n))
        eventually(lambda n=n: cache.get("k") == n)  # type: ignore[misc]
        hits = cache.stats().hits_l1
        eventually(lambda: cache.get("k") == n and cache.stats().hits_l1 > hits)  # noqa: B023

    async def main() -> None:
        assert await cache.aget("k") == 19
        own_redis.command("DEL", "shop:k")
        async with asyncio.timeout(20):
            while await cache.aget("k") is not None:
                await asyncio.sleep(0.001)

    asyncio.run(main())


def test_keys_on_a_channel_are_invalidated(own_redis: Redis, make_cache: MakeCache) -> None:
    channel = "cache:invalidate"
    cache, other = (
        make_cache(
            own_redis.url,
            prefix="shop",
            max_staleness=HOUR,
            subscribe_invalidations=channel,
            publish_invalidations=channel,
        )
        for _ in range(2)
    )
    cache.set("user:1", "old")
    assert other.get("user:1") == "old"
    # How many heard it says who listens.
    eventually(lambda: own_redis.command("PUBLISH", channel, "nothing") == ":2")
    assert other.get("user:1") == "old"
    assert own_redis.command("PUBLISH", channel, "user:1") == ":2"
    for one in (cache, other):
        eventually(lambda one=one: one.get("user:1") is None)  # type: ignore[misc]
    # What a cache tells itself is not the word of another program: the value stays.
    cache.set("user:1", "new")
    heard = other.stats().invalidations
    assert own_redis.command("PUBLISH", channel, "last") == ":2"
    eventually(lambda: other.stats().invalidations == heard + 1)
    assert other.get("user:1") == "new"
