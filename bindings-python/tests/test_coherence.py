"""Memory follows the writes of other processes, as the server tells of them."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

from conftest import MakeCache, Redis, eventually
from scrubjay import CacheService


def listening(make_cache: MakeCache, url: str, prefix: str) -> CacheService:
    """A cache that the server tells of writes: nothing would be asked for an hour."""
    cache = make_cache(url, prefix=prefix, max_staleness=3600)
    cache.set("warm", 1)
    eventually(lambda: cache.stats().push_sessions == 1)
    return cache


def test_copies_end_at_once_when_another_cache_writes(redis: Redis, make_cache: MakeCache) -> None:
    mine, theirs = (listening(make_cache, redis.url, "threads") for _ in range(2))
    for n in range(50):
        theirs.set("k", [n])
        eventually(lambda n=n: mine.get("k") == [n])  # type: ignore[misc]
        assert mine.get("k") == [n]
        theirs.delete("k")
        eventually(lambda: mine.get("k") is None)
    assert mine.stats().hits_l1 >= 50


def test_the_same_in_an_event_loop(redis: Redis, make_cache: MakeCache) -> None:
    async def main() -> None:
        mine, theirs = (listening(make_cache, redis.url, "loop") for _ in range(2))
        for n in range(50):
            await theirs.aset("k", n)
            deadline = time.monotonic() + 20
            while await mine.aget("k") != n:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.001)

    asyncio.run(main())


def test_a_silent_server_is_not_believed_for_longer_than_the_bound(
    own_redis: Redis, make_cache: MakeCache
) -> None:
    bound = 0.4
    cache = make_cache(own_redis.url, max_staleness=bound, l2_timeout=0.1)
    cache.set("k", 1)
    eventually(lambda: cache.stats().push_sessions == 1)
    begun = time.monotonic()
    while time.monotonic() < begun + 2 * bound:
        assert cache.get("k") == 1
    own_redis.freeze()
    try:
        silent = last = time.monotonic()
        while time.monotonic() < silent + 2 * bound:
            asked, hits = time.monotonic(), cache.stats().hits_l1
            if cache.get("k") == 1 and cache.stats().hits_l1 > hits:
                last = asked
        # The clock that is read has a resolution of some ms.
        assert last - silent <= bound + 0.1
    finally:
        own_redis.thaw()


def test_the_bound_is_told(own_redis: Redis, make_cache: MakeCache) -> None:
    assert make_cache("memory://").effective_staleness_bound() == 0
    cases: list[tuple[dict[str, Any], float]] = [({}, 1.0), ({"max_staleness": 0.5}, 0.5), ({"l1_bytes": 0}, 0.0)]
    for options, bound in cases:
        cache = make_cache(own_redis.url, **options)
        cache.set("k", 1)
        assert cache.effective_staleness_bound() == bound
    own_redis.command("ACL", "SETUSER", "plain", "on", "nopass", "~*", "&*", "+@all", "-@scripting")
    plain = make_cache(own_redis.url, username="plain", password="any")
    plain.set("k", 1)
    assert plain.effective_staleness_bound() == math.inf
