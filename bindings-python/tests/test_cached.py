"""The decorator, and keys made from arguments."""

from __future__ import annotations

import asyncio
import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import inspect
import ipaddress
import json
import os
import pathlib
import subprocess
import sys
import uuid
import zoneinfo
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from scrubjay import CacheService, Fetched, FetchFailed, InvalidKey, InvalidOption, NotFound, cached

FOLDER = Path(__file__).parents[2] / "tests/vectors"
VECTORS = json.loads((FOLDER / "templates.json").read_text())["vectors"]
ARGUMENTS = json.loads((FOLDER / "arguments.json").read_text())
CLASSES = {"InvalidOption": InvalidOption, "InvalidKey": InvalidKey}


def written(value: Any) -> Any:
    """Return an argument that the vectors write."""
    if isinstance(value, list):
        return [written(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$int" in value:
        return int(value["$int"])
    if "$float" in value:
        return float(value["$float"])
    if "$bytes" in value:
        return bytes.fromhex(value["$bytes"])
    return {name: written(item) for name, item in value.items()}


@pytest.mark.parametrize("vector", ARGUMENTS["vectors"], ids=lambda vector: vector["name"])
def test_the_vectors_of_default_keys(cache: CacheService, vector: dict[str, Any]) -> None:
    @cached(cache, name="f")
    def function(*args: Any) -> Any:
        return args

    assert function.get_key(*written(vector["args"])) == vector["key"]


@pytest.mark.parametrize("vector", ARGUMENTS["names"], ids=lambda vector: vector["function"][:9])
def test_the_vectors_of_names(cache: CacheService, vector: dict[str, str]) -> None:
    def key() -> Any:
        return cached(cache, name=vector["function"])(len)

    if "error" in vector:
        with pytest.raises(CLASSES[vector["error"]], match="name must be"):
            key()
    else:
        assert cached(cache, name=vector["function"])(key).get_key() == vector["key"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["template"])
def test_the_vectors_of_all_languages(cache: CacheService, vector: dict[str, Any]) -> None:
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in vector["args"]]

    def function(**kwargs: Any) -> Any:
        return kwargs

    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]

    def key() -> Any:
        return cached(cache, key=vector["template"])(function).cache_key(**written(vector["args"]))

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
    assert first.cache_key((1, 2)) != first.cache_key([1, 2])
    assert first.cache_key({1, 2, 30}) == first.cache_key({30, 2, 1}) != first.cache_key(frozenset({1, 2, 30}))


def test_defaults_are_part_of_a_default_key(cache: CacheService) -> None:
    @cached(cache)
    def page(number: int = 1, *, size: int = 10) -> int:
        return number * size

    assert page.cache_key() == page.cache_key(1) == page.cache_key(size=10, number=1)
    name = f"{page.__module__}.{page.__qualname__}"  # type: ignore[attr-defined]
    name = name.replace("<", "%3C").replace(">", "%3E")
    assert page.cache_key() == f"{name}(1,size=10)"


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
    assert function.cache_key(Shade.DARK) == "x:dark"
    assert function.cache_key(uuid.UUID(int=7)) == "x:00000000-0000-0000-0000-000000000007"
    assert function.cache_key(decimal.Decimal("1.50")) == "x:1.50"
    assert (
        function.cache_key(datetime.datetime(2026, 11, 27, 10, tzinfo=datetime.UTC))
        == "x:2026-11-27T10%3A00%3A00%2B00%3A00"
    )
    assert function.cache_key(datetime.date(2026, 11, 27)) == "x:2026-11-27"
    assert function.cache_key(pathlib.PurePosixPath("/a")) == "x:%2Fa"
    assert function.cache_key(bytearray(b"a\0")) == "x:a%00"
    for value in ([1], {"a": 1}, object(), float("nan"), "\ud800"):
        with pytest.raises(InvalidOption, match=r"key .*\{value\}"):
            function(value)


class Shade(enum.Enum):
    DARK = "dark"
    DIM = "dim"


class Weight(enum.IntFlag):
    LIGHT = 1
    BOLD = 2


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Query:
    text: str
    shades: list[Shade] = dataclasses.field(default_factory=list)
    log: Any = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass
class Other:
    text: str
    shades: list[Shade] = dataclasses.field(default_factory=list)


def test_types_of_python_are_told_apart(cache: CacheService) -> None:
    @cached(cache, name="f")
    def function(value: Any) -> str:
        return str(value)

    utc, berlin = datetime.UTC, zoneinfo.ZoneInfo("Europe/Berlin")
    values: list[Any] = [
        1, 1.0, "1", True, None, b"1", bytearray(b"1"), decimal.Decimal(1), decimal.Decimal("1.0"), fractions.Fraction(1),
        complex(1), (1,), [1], {1}, frozenset({1}), {1: 1}, {"1": 1}, {True: 1}, {1.0: 1}, {(1,): 1}, range(1), range(1),
        Point(1, 2), (1, 2), [1, 2], Shade.DARK, "dark", Weight.LIGHT, Weight.LIGHT | Weight.BOLD, 3,
        datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=utc), datetime.datetime(2026, 1, 1, tzinfo=berlin),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
        datetime.datetime(2026, 10, 25, 2, 30, tzinfo=berlin), datetime.datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=1),
        datetime.date(2026, 1, 1), datetime.time(1), datetime.time(1, tzinfo=utc), datetime.timedelta(1), utc, berlin,
        uuid.UUID(int=1), str(uuid.UUID(int=1)), ipaddress.ip_address("::1"), pathlib.PurePosixPath("a"),
        pathlib.PureWindowsPath("a"), "a", Query("a"), Other("a"), Query("a", [Shade.DARK]), {"text": "a", "shades": []},
        int, bool, Query, collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), {"a": 1, "b": 2},
        collections.Counter("a"), {"a": 1}, 10**400, 10**400 + 1,
    ]  # fmt: skip
    # range(1) and range(0, 1) are the same, and a key cannot be both 1 and True or 1.0.
    keys = [function.get_key(value) for value in values]
    assert len(keys) - len(set(keys)) == 1, [key for key in keys if keys.count(key) > 1]
    assert keys == [function.get_key(copy.deepcopy(value)) for value in values]
    assert function.get_key(Query("a", log=object())) == function.get_key(Query("a", log=1))
    assert function.get_key({"b": Shade.DARK, "a": (Point(1, 2),)}) == function.get_key(
        {"a": (Point(1, 2),), "b": Shade.DARK}
    )
    assert function.get_key([Shade.DARK]) == f'f([!{__name__}.Shade("DARK")])'


def test_keys_are_the_same_in_every_process() -> None:
    program = """
import datetime, decimal, sys, uuid
from scrubjay import CacheService, cached
f = cached(CacheService(), name="f")(lambda *args, **kwargs: 1)
print(f.get_key({"b", "a", "c"}, frozenset({1, "1", 1.5}), {"x": {2, 3}, "y": decimal.Decimal("1")}, uuid.UUID(int=5), z=1, a=2))
"""
    keys = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(keys) == 1, keys


def test_arguments_that_no_key_can_tell(cache: CacheService) -> None:
    @cached(cache)
    def function(value: Any, *rest: Any, deep: Any = None) -> str:
        return str((value, rest, deep))

    class Local:
        pass

    class Text(str):
        __slots__ = ()

    cyclic: list[Any] = []
    cyclic.append(cyclic)
    for value in (
        object(),
        Local(),
        Local,
        Text("a"),
        lambda: 1,
        cyclic,
        memoryview(b"a"),
        iter([1]),
        "\ud800",
        10**5000,
    ):
        with pytest.raises(InvalidOption, match="key must be given"):
            function(value)
    what = "the argument {} is of type builtins.object"
    with pytest.raises(InvalidOption, match=what.format("value")):
        function(object())
    with pytest.raises(InvalidOption, match=what.format(r"value\[1\]\['a'\]")):
        function([1, {"a": object()}])
    with pytest.raises(InvalidOption, match=what.format(r"rest\[1\]")):
        function(1, 2, object())
    with pytest.raises(InvalidOption, match=what.format("deep.text")):
        function(1, deep=Query(object()))


def test_paths_of_templates(cache: CacheService) -> None:
    class Users:
        tenant = "t"

        @cached(cache, key="{0.text}:{1[0]}:{self.tenant}:{query.shades[1]}")
        def find(self, query: Query, ids: tuple[int, ...] = (5,)) -> int:
            return len(query.text) + len(ids)

    query = Query("a", [Shade.DARK, Shade.DIM])
    assert Users.find.get_key(Users(), query) == "a:5:t:dim"
    assert Users().find(query) == 2
    with pytest.raises(InvalidOption, match=r"\{query.shades\[1\]\}"):
        Users.find.get_key(Users(), Query("a"))
    for wrong in ("{2}", "{0.}", "{query[}", "{nobody.x}"):
        with pytest.raises(InvalidOption, match="key"):
            cached(cache, key=wrong)(Users.find.__wrapped__)  # type: ignore[attr-defined]


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
