"""Reads that find the write of a receipt, though it was made in another process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import MakeCache, Redis
from scrubjay import CacheService, Closed, InvalidKey, InvalidOption

HOUR = 3600


@pytest.fixture
def deaf(redis: Redis, make_cache: MakeCache) -> tuple[CacheService, CacheService]:
    """A cache that the server tells nothing, and that believes what it has for an hour; and another one."""
    redis.command("ACL", "SETUSER", "deaf", "on", "nopass", "~*", "&*", "+@all", "-subscribe", "-ssubscribe")
    reader = make_cache(redis.url, max_staleness=HOUR, username="deaf", password="any")
    return reader, make_cache(redis.url, prefix=reader._prefix)


@pytest.mark.parametrize("keys", ["k", b"k", ["k", "user:7"], ("user:7", b"k"), {"k"}, (key for key in ["k"])])
def test_who_has_the_token_reads_its_own_write(deaf: tuple[CacheService, CacheService], keys: Any) -> None:
    reader, writer = deaf
    writer.set("k", "old")
    assert reader.get("k") == "old"
    token = writer.set("k", "new").token
    assert reader.get("k") == "old"
    reader.observe(token, keys)
    assert reader.get("k") == "new"


def test_the_same_in_an_event_loop(deaf: tuple[CacheService, CacheService]) -> None:
    reader, writer = deaf

    async def main() -> None:
        await writer.aset("k", ["old"])
        assert await reader.aget("k") == ["old"]
        token = (await writer.aset("k", ["new"])).token
        assert await reader.aget("k") == ["old"]
        reader.observe(token, "k")
        assert await reader.aget("k") == ["new"]

    asyncio.run(main())


def test_what_is_wrong_is_refused(cache: CacheService) -> None:
    token = cache.set("k", 1).token
    for wrong in ["", "00", 33 * "0", 32 * "g", "\ud800", None, 7, b"0" * 32]:
        with pytest.raises(InvalidOption, match=r"token must be .*32 hexadecimal digits") as raised:
            cache.observe(wrong, "k")  # type: ignore[arg-type]
        assert raised.value.operation == "observe"
    for no_key in ["", [""], [7]]:
        with pytest.raises(InvalidKey):
            cache.observe(token, no_key)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="keys"):
        cache.observe(token, 7)  # type: ignore[arg-type]
    cache.observe(token, [])
    assert cache.get("k") == 1
    cache.close()
    with pytest.raises(Closed):
        cache.observe(token, "k")
