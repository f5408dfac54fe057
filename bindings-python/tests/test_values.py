"""What values become, exactly."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import json
import math
import random
from typing import Any, NamedTuple

import pytest
from scrubjay import CacheService, InvalidValue


class Colour(enum.IntEnum):
    RED = 3


class Name(enum.StrEnum):
    ADA = "ada"


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"


class Odd(int):
    def __repr__(self) -> str:
        return "odd"

    __str__ = __repr__


class Point(NamedTuple):
    x: int
    y: int


def there_and_back(cache: CacheService, value: Any) -> Any:
    cache.set("k", value)
    return cache.get("k", "a miss")


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**53, -(2**53) - 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**1000,
        0.0, 1.0, -1.5, 1e16, 1e-7, 5e-324, 1.7976931348623157e308, 0.1, 123456789.123, 1e21, 1e22, 9007199254740993.0,
        "", "é", "\x00\x1f\"\\/\b\f\n\r\t", "\u2028", "😀", "a" * 10000, "\x7f",
        [], {}, [[]], {"": {}}, {"a": [1, {"b": None}]}, list(range(1000)), {str(n): n for n in range(1000)},
        b"", b"\x00\xff", b"null",
    ],
)  # fmt: skip
def test_exact(cache: CacheService, value: Any) -> None:
    got = there_and_back(cache, value)
    assert got == value
    assert type(got) is type(value)


def test_the_sign_of_zero_stays(cache: CacheService) -> None:
    assert math.copysign(1, there_and_back(cache, -0.0)) == -1


def test_floats_stay_floats_and_integers_integers(cache: CacheService) -> None:
    got = there_and_back(cache, [1, 1.0, 10**20, 1e20])
    assert [type(number) for number in got] == [int, float, int, float]


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (Point(1, 2), [1, 2]),
        (Colour.RED, 3),
        ([Colour.RED], [3]),
        (Name.ADA, "ada"),
        ({Name.ADA: 1}, {"ada": 1}),
        (Loud("quiet"), "quiet"),
        (Odd(7), 7),
        (Odd(2**70), 2**70),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.Counter("aa"), {"a": 2}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (bytearray(b"x"), b"x"),
        (memoryview(b"xyz")[::2], b"xz"),
    ],
)
def test_what_becomes_something_plainer(cache: CacheService, value: Any, becomes: Any) -> None:
    got = there_and_back(cache, value)
    assert got == becomes
    assert type(got) is type(becomes)


def test_the_order_of_a_dict_stays(cache: CacheService) -> None:
    assert list(there_and_back(cache, {"z": 1, "a": 2, "m": 3})) == ["z", "a", "m"]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (float("nan"), "$: NaN"),
        ([1, float("inf")], "$[1]: inf"),
        ({"a": {"b": [0, -float("inf")]}}, "$.a.b[1]: -inf"),
        ({1: 2}, "$: a key"),
        ({"a": {None: 1}}, "$.a: a key"),
        ({"a": {("t",): 1}}, "$.a: a key"),
        ({b"k": 1}, "$: a key"),
        ("\ud800", "$: the text has a lone surrogate"),
        ({"a": ["\udc00"]}, "$.a[0]: the text has a lone surrogate"),
        ({"\ud800": 1}, "$: a key of the dict has a lone surrogate"),
        ({"a": b"x"}, "$.a: bytes can be stored as a value of its own only"),
        ([bytearray()], "$[0]: bytearray can"),
        ({1, 2}, "$: a value of type set"),
        ({"a": [frozenset()]}, "$.a[0]: a value of type frozenset"),
        ([datetime.date(2026, 1, 1)], "$[0]: a value of type date"),
        (decimal.Decimal(1), "$: a value of type Decimal"),
        (1j, "$: a value of type complex"),
        (object(), "$: a value of type object"),
        (print, "$: a value of type builtin_function_or_method"),
        ({}.keys(), "$: a value of type dict_keys"),
        ((n for n in ()), "$: a value of type generator"),
        (Exception("x"), "$: a value of type Exception"),
        (10**1024, "$: the integer has more than 1024 digits"),
        ([10**5000], "$[0]: the integer has more than 1024 digits"),
    ],
)
def test_refused_with_its_path(cache: CacheService, value: Any, path: str) -> None:
    for store in (
        lambda: cache.set("k", value),
        lambda: cache.set_many({"k": value}),
        lambda: cache.get_or_fetch("k", 60, lambda: value),
    ):
        with pytest.raises(InvalidValue) as caught:
            store()
        assert caught.value.message.startswith(path)
    assert cache.get("k", "a miss") == "a miss"


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_sixty_four_levels_are_enough(cache: CacheService) -> None:
    assert there_and_back(cache, nested(64)) == nested(64)
    assert there_and_back(cache, {"a": nested(63)}) == {"a": nested(63)}
    for value in (nested(65), {"a": nested(64)}, nested(100_000)):
        with pytest.raises(InvalidValue, match="64 levels"):
            cache.set("k", value)


def test_what_holds_itself_is_refused(cache: CacheService) -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    with pytest.raises(InvalidValue, match="64 levels"):
        cache.set("k", loop)


def test_a_released_memoryview_is_refused(cache: CacheService) -> None:
    view = memoryview(b"x")
    view.release()
    with pytest.raises(InvalidValue, match="released"):
        cache.set("k", view)


def test_max_value(cache: CacheService) -> None:
    cache.set("k", b"x" * (8 << 20))
    with pytest.raises(InvalidValue, match="max_value"):
        cache.set("k", b"x" * ((8 << 20) + 1))


def test_random_values_as_the_json_module_has_them(cache: CacheService) -> None:
    chance = random.Random(7)
    alphabet = 'ab"\\/\n\x01é\u20ac😀 '

    def anything(depth: int) -> Any:
        kind = chance.randrange(8 if depth < 5 else 6)
        if kind == 0:
            return chance.choice([None, True, False])
        if kind == 1:
            return chance.randrange(-(2 ** chance.randrange(1, 200)), 2 ** chance.randrange(1, 200))
        if kind == 2:
            return chance.uniform(-1, 1) * 10 ** chance.randrange(-300, 300)
        if kind in (3, 4, 5):
            return "".join(chance.choices(alphabet, k=chance.randrange(20)))
        if kind == 6:
            return [anything(depth + 1) for _ in range(chance.randrange(6))]
        return {"".join(chance.choices(alphabet, k=3)): anything(depth + 1) for _ in range(chance.randrange(6))}

    for _ in range(2000):
        value = anything(0)
        assert there_and_back(cache, value) == value == json.loads(json.dumps(value))
