"""Keys made from arguments: from templates and by default."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import inspect
import ipaddress
import json
import os
import pathlib
import subprocess
import sys
import uuid
import zoneinfo
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from scrubjay import CacheService, InvalidKey, InvalidOption, cached

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
    odd: Any = object()
    what = "the argument {} is of type builtins.object"
    with pytest.raises(InvalidOption, match=what.format("value")):
        function(object())
    with pytest.raises(InvalidOption, match=what.format(r"value\[1\]\['a'\]")):
        function([1, {"a": object()}])
    with pytest.raises(InvalidOption, match=what.format(r"rest\[1\]")):
        function(1, 2, object())
    with pytest.raises(InvalidOption, match=what.format("deep.text")):
        function(1, deep=Query(odd))


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
