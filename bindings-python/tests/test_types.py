"""What a type checker makes of the package. mypy reads this file; pytest runs it."""

from __future__ import annotations

import asyncio
from typing import assert_type

from scrubjay import CacheService, DrainReport, PartialError, Receipt, Rejected, Stats, Write, WriteBehind, cached


def test_calls_have_types(cache: CacheService) -> None:
    assert_type(cache.set("k", 1), Receipt)
    assert_type(cache.stats(), Stats)
    assert_type(cache.get_or_fetch("k", 60, lambda: "text"), str)
    cache.delete("k")
    assert_type(cache.get_or_fetch("k", None, lambda: "text"), str)
    assert_type(cache.get_or_fetch_many(["a"], 60, lambda keys: {key: len(key) for key in keys}), dict[str, int])
    assert_type(
        cache.get_or_fetch_many([b"a"], 60, lambda keys: {key: len(key) for key in keys}), dict[bytes, int]
    )
    cache.get_many([b"a"])[b"a"]

    async def main() -> None:
        async def fetch() -> int:
            return 7

        assert_type(await cache.aget_or_fetch("n", 60, fetch), int)
        assert_type(await cache.aset("k", 1), Receipt)
        assert_type(await cache.aclose(), Receipt)

    asyncio.run(main())


def test_the_decorator_keeps_types(cache: CacheService) -> None:
    class Things:
        @cached(cache, key="thing:{number}")
        def thing(self, number: int, *, deep: bool = False) -> str:
            return f"{number} {deep}"

        @cached(cache, key="athing:{number}")
        async def athing(self, number: int) -> str:
            return str(number)

    @cached(cache)
    def plain(number: int) -> str:
        return str(number)

    async def main() -> None:
        assert_type(await Things().athing(1), str)
        assert_type(await plain.ainvalidate(1), Receipt)

    assert_type(plain(1), str)
    assert_type(plain.cache_key(1), str | bytes)
    assert_type(Things().thing(1, deep=True), str)
    assert_type(Things.thing.invalidate(Things(), 1), Receipt)
    asyncio.run(main())


def test_a_write_behind_has_types(cache: CacheService) -> None:
    def write(writes: list[Write]) -> list[Rejected]:
        assert_type(writes[0].key, str)
        return []

    async def awrite(writes: list[Write]) -> None:
        await asyncio.sleep(0 * len(writes))

    with cache.write_behind("a", write, ack="memory", max_age=60) as behind:
        assert_type(behind, WriteBehind)
        assert_type(behind.set("k", 1), Receipt | None)
        assert_type(behind.flush(), DrainReport)

    async def main() -> None:
        async with cache.write_behind("b", awrite, ack="memory") as behind:
            assert_type(await behind.adelta("k", 1), Receipt | None)
            assert_type(await behind.adead_letters(), list[Write])

    asyncio.run(main())


def test_errors_have_types() -> None:
    error = PartialError("x", failed={"a": ValueError()}, values={"b": 1})
    assert list(error.failed) == ["a"]
    assert error.code == 13
