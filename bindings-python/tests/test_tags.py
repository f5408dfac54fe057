"""Tags: in `set`, in fetches and their values, in `cached`; for threads and for tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from scrubjay import CacheService, Fetched, InvalidOption, NotFound, cached


def test_entries_end_with_their_tags(any_cache: CacheService) -> None:
    cache = any_cache
    cache.set("a", 1, tags=["x", "y"])
    cache.set_many({"b": 2, "c": 3}, 60, tags=("y",))
    asyncio.run(cache.aset("d", 4, tags={"z"}))
    asyncio.run(cache.aset_many([("e", 5)], tags=iter(["z"])))
    assert cache.get_or_fetch("f", 60, lambda: 6, tags=["x"]) == 6
    assert asyncio.run(cache.aget_or_fetch("g", 60, lambda: 7, tags=["x"])) == 7
    many = cache.get_or_fetch_many(["h"], 60, lambda keys: dict.fromkeys(keys, 8), tags=(t for t in "x"))
    assert many == {"h": 8}
    keys = list("abcdefgh")
    # Copies that this process holds end too.
    assert len(cache.get_many(keys)) == len(cache.get_many(keys)) == 8
    assert not cache.invalidate_tags(["x"]).pending
    assert cache.get_many(keys) == {"b": 2, "c": 3, "d": 4, "e": 5}
    assert not asyncio.run(cache.ainvalidate_tags(("y", "nobody's"))).pending
    assert cache.get_many(keys) == {"d": 4, "e": 5}
    cache.invalidate_tags(iter("z"))
    assert cache.get_many(keys) == {}
    assert not cache.invalidate_tags([]).pending
    assert cache.stats().invalidations == 4


def test_a_value_may_bring_its_tags_and_its_ttl(cache: CacheService) -> None:
    def found(value: int) -> Fetched[int]:
        return Fetched(value, ttl=300, tags=[f"n:{value}"])

    async def afound() -> Fetched[int]:
        return found(2)

    def load() -> dict[str, Any]:
        values = {
            "a": cache.get_or_fetch("a", 60, lambda: found(1), tags=["all"]),
            "d": cache.get_or_fetch("d", 60, lambda: Fetched(None)),
        }
        return values | cache.get_or_fetch_many(
            ["c"], 60, lambda keys: {key: found(3) for key in keys}, tags=["all"]
        )

    for _ in range(2):
        assert load() | {"b": asyncio.run(cache.aget_or_fetch("b", 60, afound))} == {
            "a": 1,
            "b": 2,
            "c": 3,
            "d": None,
        }
    cache.invalidate_tags(["n:1", "n:3"])
    assert cache.get("a") is None
    assert cache.get("c") is None
    assert cache.get("b") == 2
    load()
    cache.invalidate_tags(["all"])
    assert cache.get("a") is None


def test_not_found_has_the_tags_of_its_call(cache: CacheService) -> None:
    def nothing() -> int:
        raise NotFound

    with pytest.raises(NotFound):
        cache.get_or_fetch("a", 60, nothing, tags=["t"])
    cache.invalidate_tags(["t"])
    assert cache.get_or_fetch("a", 60, lambda: 1) == 1


def test_a_tag_that_is_invalidated_during_a_fetch_keeps_it_out(cache: CacheService) -> None:
    def fetch() -> Fetched[str]:
        cache.invalidate_tags(["of the value"])
        return Fetched("old", tags=["of the value"])

    def other() -> str:
        cache.invalidate_tags(["of the call"])
        return "old"

    assert cache.get_or_fetch("a", 60, fetch) == "old"
    assert cache.get_or_fetch("b", 60, other, tags=["of the call"]) == "old"
    assert cache.get_many(["a", "b"]) == {}


@pytest.mark.parametrize(
    "tags", ["users", b"users", 7, [7], [b"users"], [""], ["x" * 129], map(str, range(17)), ["\ud800"]]
)
def test_what_is_no_tags_is_refused(cache: CacheService, tags: Any) -> None:
    tags = tags if isinstance(tags, str | bytes | int) else list(tags)
    calls: list[Callable[[], Any]] = [
        lambda: cache.set("k", 1, tags=tags),
        lambda: cache.set_many({"k": 1}, tags=tags),
        lambda: cache.get_or_fetch("k", 60, lambda: 1, tags=tags),
        lambda: cache.get_or_fetch_many(["k"], 60, lambda keys: dict.fromkeys(keys, 1), tags=tags),
        lambda: cache.get_or_fetch("k", 60, lambda: Fetched(1, tags=tags)),
    ]
    for call in calls:
        with pytest.raises(InvalidOption, match="tags"):
            call()
    with pytest.raises(InvalidOption, match="tags"):
        asyncio.run(cache.aset("k", 1, tags=tags))
    with pytest.raises(InvalidOption, match="ttl"):
        asyncio.run(cache.aget_or_fetch("k", 60, lambda: Fetched(1, ttl=0)))
    assert cache.get("k") is None


def test_functions_have_tags_from_their_arguments(cache: CacheService) -> None:
    @cached(cache, 60, "user:{user}", tags=["users", "team:{team}"])
    def load(user: int, team: str = "b:c") -> int:
        return user + len(team) - len(team)

    @cached(cache, 60, "task:{user}", tags=lambda user: [f"user:{user}"])
    async def aload(user: int) -> Fetched[int]:
        return Fetched(user, tags=["loaded"])

    for tag in ["users", "team:b%3Ac"]:
        assert load(7) == 7
        assert cache.get("user:7") == 7
        cache.invalidate_tags([tag])
        assert cache.get("user:7") is None

    async def aload_of(user: int) -> Any:
        return await aload(user)

    for tag in ["user:7", "loaded"]:
        asyncio.run(aload_of(7))
        assert cache.get("task:7") == 7
        cache.invalidate_tags([tag])
        assert cache.get("task:7") is None
    for wrong in ["users", ["{"], ["{nobody}"], [7], 7]:
        with pytest.raises(InvalidOption, match="tags"):
            cached(cache, tags=wrong)(load)  # type: ignore[arg-type]
