"""The decorator."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from scrubjay import CacheService, Fetched, FetchFailed, InvalidKey, InvalidOption, NotFound, cached


def test_a_plain_function(cache: CacheService) -> None:
    runs = []

    @cached(cache, ttl=60, key="sum:{a}:{b}")
    def add(a: int, b: int = 2) -> int:
        """Adds."""
        runs.append((a, b))
        return a + b

    assert [add(1), add(1, 2), add(b=2, a=1), add(a=1)] == [3] * 4
    assert runs == [(1, 2)]
    assert add.cache_key(1) == "sum:1:2"
    assert cache.get("sum:1:2") == 3
    assert (add.__name__, add.__doc__) == ("add", "Adds.")  # type: ignore[attr-defined]
    assert add.__wrapped__(5, 6) == 11  # type: ignore[attr-defined]
    add.invalidate(1)
    assert cache.get("sum:1:2") is None
    with pytest.raises(TypeError):
        add()  # type: ignore[call-arg]


def test_a_coroutine_function(cache: CacheService) -> None:
    runs = []

    @cached(cache, ttl=60, key="user:{user_id}")
    async def get_user(user_id: str) -> dict[str, str]:
        runs.append(user_id)
        await asyncio.sleep(0)
        return {"id": user_id}

    async def main() -> None:
        assert await asyncio.gather(*[get_user("7") for _ in range(100)]) == [{"id": "7"}] * 100
        assert runs == ["7"]
        receipt = await get_user.ainvalidate("7")
        assert receipt.pending is False
        await get_user("7")
        assert runs == ["7", "7"]

    assert inspect.iscoroutinefunction(get_user)
    asyncio.run(main())


class Users:
    def __init__(self, tenant: str = "t") -> None:
        self.tenant = tenant
        self.runs: list[str] = []

    # The cache is made by each test; it is found through the class.
    cache: CacheService

    def load(self, user_id: str, *, deep: bool = False) -> str:
        self.runs.append(user_id)
        return f"{self.tenant}/{user_id}/{deep}"


def test_methods(cache: CacheService) -> None:
    class Own(Users):
        load = cached(cache, ttl=60)(Users.load)

        @cached(cache, ttl=60, key="own:{self.tenant}:{user_id}")
        def by_tenant(self, user_id: str) -> str:
            return f"{self.tenant}/{user_id}"

        @cached(cache, ttl=60, key="own2:{self.tenant}:{user_id}")
        async def aby_tenant(self, user_id: str) -> str:
            return f"{self.tenant}/{user_id}"

        @classmethod
        @cached(cache)
        def of_class(cls, number: int) -> str:
            return f"{cls.__name__} {number}"

        @cached(cache)
        @staticmethod
        def of_nobody(number: int) -> int:
            return number * 2

    one, two = Own("one"), Own("two")
    assert one.load("7") == "one/7/False"
    # The default key leaves out who is asked.
    assert two.load("7") == "one/7/False"
    assert two.load("7", deep=True) == "two/7/True"
    assert (one.by_tenant("7"), two.by_tenant("7")) == ("one/7", "two/7")
    assert asyncio.run(two.aby_tenant("7")) == "two/7"
    assert Own.by_tenant.cache_key(two, "7") == "own:two:7"
    Own.by_tenant.invalidate(two, "7")
    assert cache.get("own:two:7") is None
    below: Any = Own  # a checker does not see through classmethod and staticmethod
    assert below.of_class(1) == "Own 1"
    assert (below.of_nobody(2), below().of_nobody(2)) == (4, 4)


def test_a_key_by_function(cache: CacheService) -> None:
    @cached(cache, key=lambda user, **_: f"user:{user['id']}")
    def load(user: dict[str, int], *, deep: bool = False) -> int:
        return user["id"] if deep else 0

    @cached(cache, key=lambda number: bytes([number]))
    def raw(number: int) -> int:
        return number

    @cached(cache, key=lambda number: number)
    def wrong(number: int) -> int:
        return number

    assert load({"id": 7}, deep=True) == 7
    assert cache.get("user:7") == 7
    assert raw(255) == 255
    assert cache.get(b"\xff") == 255
    with pytest.raises(InvalidKey):
        wrong(5)


def test_generators_are_refused(cache: CacheService) -> None:
    def plain() -> Iterator[int]:
        yield 1

    async def asynchronous() -> AsyncIterator[int]:
        yield 1

    class Called:
        def __call__(self) -> Iterator[int]:
            yield 1

    for function in (plain, asynchronous, Called(), functools.partial(plain), staticmethod(plain)):
        with pytest.raises(InvalidOption, match="generator function"):
            cached(cache, key="k")(function)


def test_functions_of_one_name_that_see_other_variables(cache: CacheService) -> None:
    def make(factor: int, **options: Any) -> Any:
        @cached(cache, **options)
        def scale(number: int) -> int:
            return number * factor

        return scale

    assert make(2)(3) == 6
    with pytest.raises(InvalidOption, match="another function"):
        make(5)
    assert make(5, name="five")(3) == 15
    assert make(7, key="seven:{number}")(3) == 21


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_refresh_and_unless(any_cache: CacheService, kind: str) -> None:
    cache, source, runs = any_cache, [1], []

    def load(number: int) -> int:
        runs.append(number)
        if source[0] == 0:
            raise KeyError("empty")
        return source[0]

    async def aload(number: int) -> int:
        return load(number)

    options: dict[str, Any] = {
        "ttl": lambda number: 60 + number,
        "name": "load",
        "tags": lambda number: [f"n:{number}"],
    }
    function: Any = cached(cache, unless=lambda result: result < 0, **options)(load if kind == "plain" else aload)

    def call(what: Any) -> Any:
        return asyncio.run(what(7)) if kind == "async" else what(7)

    assert [call(function), call(function)] == [1, 1]
    source[0] = 2
    assert [call(function), call(function.refresh), call(function)] == [1, 2, 2]
    assert len(runs) == 2
    assert function.get_tags(7) == ["n:7"]
    cache.invalidate_tags(["n:7"])
    assert (call(function), len(runs)) == (2, 3)
    source[0] = -1
    assert [call(function.refresh), call(function), cache.get("load(7)")] == [-1, -1, None]
    source[0] = 0
    for _ in range(2):
        with pytest.raises(KeyError):
            call(function.refresh)
    assert cache.get("load(7)") is None


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_errors_are_remembered_where_that_is_asked_for(any_cache: CacheService, kind: str) -> None:
    runs = []

    def load(what: str) -> int:
        runs.append(what)
        raise {"key": KeyError, "value": ValueError, "none": NotFound}[what](f"no {what}")

    async def aload(what: str) -> int:
        return load(what)

    def make(errors: Any) -> Any:
        function: Any = cached(any_cache, key="e:{what}", cache_errors=errors)(load if kind == "plain" else aload)
        return (lambda what: asyncio.run(function(what))) if kind == "async" else function

    for errors in (KeyError, (KeyError, TypeError), lambda error: isinstance(error, KeyError)):
        runs.clear()
        call = make(errors)
        any_cache.delete("e:key")
        with pytest.raises(KeyError):
            call("key")
        for _ in range(2):
            with pytest.raises(FetchFailed, match="no key"):
                call("key")
            with pytest.raises(ValueError, match="no value"):
                call("value")
        assert runs == ["key", "value", "value"]
        assert any_cache.get("e:key", "nothing") == "nothing"
    with pytest.raises(NotFound):
        make(Exception)("none")

    def wrong(error: Exception) -> bool:
        raise RuntimeError(f"of the predicate: {error}")

    any_cache.delete("e:key")
    with pytest.raises(RuntimeError, match="of the predicate"):
        make(wrong)("key")
    for wrong_errors in (5, "KeyError", int, (KeyError, 5)):
        with pytest.raises(InvalidOption, match="cache_errors"):
            make(wrong_errors)


def test_a_value_that_is_not_to_be_kept(any_cache: CacheService) -> None:
    assert any_cache.get_or_fetch("k", 60, lambda: Fetched(1, keep=False)) == 1
    assert any_cache.get("k") is None
    assert any_cache.get_or_fetch_many(["a", "b"], 60, lambda _: {"a": Fetched(1, keep=False), "b": 2}) == {
        "a": 1,
        "b": 2,
    }
    assert any_cache.get_many(["a", "b"]) == {"b": 2}


@pytest.mark.parametrize("key", ["user:{nobody}", "{a}{b}", "user:{", "}", "{}", 5])
def test_wrong_keys_are_told_at_once(cache: CacheService, key: Any) -> None:
    def function(a: int, b: int) -> int:
        return a + b

    with pytest.raises(InvalidOption, match="key"):
        cached(cache, key=key)(function)


def test_what_has_no_name_needs_a_key(cache: CacheService) -> None:
    with pytest.raises(InvalidOption, match="key must be a function here"):
        cached(cache)(functools.partial(int, "5"))
    for nameless in (lambda: 1, functools.partial(Users, "t")):
        with pytest.raises(InvalidOption, match="key must be given"):
            cached(cache)(nameless)
        assert cached(cache, key="fixed")(nameless).cache_key() == "fixed"


@pytest.mark.parametrize("wrong", [5, None, "text"])
def test_only_functions(cache: CacheService, wrong: Any) -> None:
    with pytest.raises(InvalidOption, match="a function is needed"):
        cached(cache)(wrong)


def test_wrong_options_are_the_error_of_the_call(cache: CacheService) -> None:
    @cached(cache, ttl=-1)
    def function() -> int:
        return 1

    with pytest.raises(InvalidOption, match="ttl"):
        function()


def test_errors_pass_and_not_found_is_remembered(cache: CacheService) -> None:
    runs = []

    @cached(cache, ttl=60)
    def function(kind: str) -> int:
        runs.append(kind)
        raise NotFound(kind) if kind == "nothing" else KeyError(kind)

    for _ in range(2):
        with pytest.raises(KeyError):
            function("broken")
        with pytest.raises(NotFound):
            function("nothing")
    assert runs == ["broken", "nothing", "broken"]


def test_results_that_are_none_are_kept(cache: CacheService) -> None:
    runs = []

    @cached(cache, ttl=60)
    def function() -> None:
        runs.append(1)

    assert [function(), function()] == [None, None]
    assert runs == [1]


def test_a_function_that_calls_itself(cache: CacheService) -> None:
    @cached(cache, ttl=60)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(50) == 12586269025
    assert cache.stats().loads == 51


def test_background_is_for_plain_functions(cache: CacheService) -> None:
    with ThreadPoolExecutor(1) as pool:

        @cached(cache, background=pool)
        def plain() -> int:
            return 1

        async def function() -> int:
            return 1

        assert plain() == 1
        with pytest.raises(InvalidOption, match="background"):
            cached(cache, background=pool)(function)
