"""The decorator, and keys made from arguments."""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from scrubjay import CacheService, InvalidKey, InvalidOption, NotFound, cached

VECTORS = json.loads((Path(__file__).parents[2] / "tests/vectors/templates.json").read_text())["vectors"]
CLASSES = {"InvalidOption": InvalidOption, "InvalidKey": InvalidKey}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["template"])
def test_the_vectors_of_all_languages(cache: CacheService, vector: dict[str, Any]) -> None:
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in vector["args"]]

    def function(**kwargs: Any) -> Any:
        return kwargs

    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]

    def key() -> Any:
        return cached(cache, key=vector["template"])(function).cache_key(**vector["args"])

    if "error" in vector:
        with pytest.raises(CLASSES[vector["error"]], match="key"):
            key()
    else:
        assert key() == vector["key"]


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


def test_default_keys_tell_arguments_apart(cache: CacheService) -> None:
    @cached(cache)
    def first(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    @cached(cache)
    def second(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}), ((1,), {}), ((1.0,), {}), (("1",), {}), ((True,), {}), ((None,), {}), (("null",), {}), (([1],), {}),
        ((1, 2), {}), (("1,2",), {}), ((), {"a": 1}), (({"a": 1},), {}), ((2**70,), {}), (("é",), {}), (("a", ""), {}),
        (("", "a"), {}),
    ]  # fmt: skip
    keys = [function.cache_key(*args, **kwargs) for function in (first, second) for args, kwargs in calls]
    assert len(set(keys)) == 2 * len(calls)
    assert first.cache_key(b=1, a=2) == first.cache_key(a=2, b=1)
    assert first.cache_key({"b": 1, "a": {"d": 1, "c": 2}}) == first.cache_key({"a": {"c": 2, "d": 1}, "b": 1})
    assert first.cache_key((1, 2)) == first.cache_key([1, 2])


def test_defaults_are_part_of_a_default_key(cache: CacheService) -> None:
    @cached(cache)
    def page(number: int = 1, *, size: int = 10) -> int:
        return number * size

    assert page.cache_key() == page.cache_key(1) == page.cache_key(size=10, number=1)
    name = f"{page.__module__}.{page.__qualname__}"  # type: ignore[attr-defined]
    assert page.cache_key() == f'{len(name)}:{name}:22:{{"number":1,"size":10}}'


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


def test_enums_and_what_cannot_stand_in_a_key(cache: CacheService) -> None:
    class Colour(enum.IntEnum):
        RED = 3

    @cached(cache, key="x:{value}")
    def function(value: Any) -> str:
        return str(value)

    assert function.cache_key(Colour.RED) == "x:3"
    for value in ([1], {"a": 1}, object(), b"x", float("nan"), "\ud800"):
        with pytest.raises(InvalidOption, match=r"key .*\{value\}"):
            function(value)


def test_arguments_without_a_json_form(cache: CacheService) -> None:
    @cached(cache)
    def function(value: Any) -> str:
        return str(value)

    with pytest.raises(InvalidOption, match=r"key must be given.*\$\.value: a value of type object"):
        function(object())


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
