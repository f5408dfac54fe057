"""`MemoryCache` as a mapping: side by side with `cachetools.TTLCache`, and what is its own."""

from __future__ import annotations

import collections.abc
import copy
import math
import pickle
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import cachetools
import pytest
from conftest import eventually
from scrubjay import Closed, InvalidOption, InvalidValue, MemoryCache, MemoryStats


class Clock:
    """A timer that tests move."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returned or raised."""
    try:
        return call(*arguments)
    except (KeyError, ValueError) as error:
        return (
            KeyError if isinstance(error, KeyError) else ValueError,
            isinstance(error, KeyError) and error.args,
        )


def test_it_is_a_mutable_mapping() -> None:
    cache: MemoryCache[str, int] = MemoryCache(10, 60)
    assert isinstance(cache, collections.abc.MutableMapping)
    cache["a"] = 1
    cache.update({"b": 2}, c=3)
    cache.update([("d", 4)])
    assert list(cache) == list(cache.keys()) == ["a", "b", "c", "d"]
    assert list(cache.values()) == [1, 2, 3, 4]
    assert list(cache.items()) == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
    assert cache == {"a": 1, "b": 2, "c": 3, "d": 4} == dict(cache)
    assert cache != {"a": 1}
    assert "a" in cache
    assert "z" not in cache
    assert 1 in cache.values()
    assert ("b", 2) in cache.items()
    assert {"a", "z"} & cache.keys() == {"a"}
    del cache["a"]
    assert cache.pop("b") == 2
    assert cache.pop("b", 7) == 7
    assert cache.popitem() == ("c", 3)
    assert cache.setdefault("d", 9) == 4
    assert cache.setdefault("e") is None
    assert cache["e"] is None
    assert repr(cache) == "MemoryCache({'d': 4, 'e': None}, maxsize=10, currsize=2)"
    cache.clear()
    assert len(cache) == cache.currsize == 0
    with pytest.raises(KeyError, match="MemoryCache is empty"):
        cache.popitem()
    with pytest.raises(TypeError):
        hash(cache)
    assert MemoryCache[str, int]  # type: ignore[truthy-function]


def test_it_keeps_the_object_itself() -> None:
    cache: MemoryCache[Any, Any] = MemoryCache(10, 60)
    value = object()
    cache["k"] = value
    assert cache["k"] is value
    assert cache.get("k") is value
    assert cache.get("k", None) is value
    assert cache.get(key="k", default=1) is value
    assert cache.get("none") is None
    assert cache.get("none", value) is value


@pytest.mark.parametrize("arguments", [(), ("k", 1, 2)])
def test_calls_with_wrong_arguments(arguments: tuple[Any, ...]) -> None:
    cache: MemoryCache[Any, Any] = MemoryCache(10, 60)
    for method in (cache.get, cache.pop):
        with pytest.raises(TypeError):
            method(*arguments)
    with pytest.raises(TypeError):
        cache.get("k", other=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("call", ["get", "pop", "setdefault", "__getitem__", "__delitem__", "__contains__"])
def test_keys_must_be_hashable(call: str) -> None:
    cache: MemoryCache[Any, Any] = MemoryCache(10, 60)
    with pytest.raises(TypeError, match="unhashable"):
        getattr(cache, call)([])


CALLS: list[Callable[[Any, Any, int], Any]] = [
    lambda c, key, value: c.__setitem__(key, value),
    lambda c, key, value: c.__setitem__(key, value),
    lambda c, key, _: c[key],
    lambda c, key, _: c.get(key),
    lambda c, key, value: c.get(key, value),
    lambda c, key, _: c.pop(key),
    lambda c, key, value: c.pop(key, value),
    lambda c, key, value: c.setdefault(key, value),
    lambda c, key, _: c.__delitem__(key),
    lambda c, key, _: key in c,
    lambda c, *_: len(c),
    lambda c, *_: list(c),
    lambda c, *_: sorted(map(repr, c.items())),
    lambda c, *_: c.currsize,
    lambda c, *_: sorted(map(repr, c.expire())),
    lambda c, *_: c == dict(c),
    lambda c, key, value: c.update({key: value}),
    lambda c, _, value: c.clear() if value < 5 else None,
    lambda c, _, value: (c.maxsize, c.ttl, c.getsizeof(value)),
]


@pytest.mark.parametrize("seed", range(30))
def test_side_by_side_with_cachetools(seed: int) -> None:
    """Any calls, below the bound: there the two choose nothing for themselves."""
    rng = random.Random(seed)
    clock = Clock()
    sizes = seed % 3 == 0
    options: dict[str, Any] = {"timer": clock, "getsizeof": (lambda value: value % 5) if sizes else None}
    bound = 200 if sizes else 20
    theirs = cachetools.TTLCache(bound, 10, **options)
    ours: MemoryCache[Any, Any] = MemoryCache(bound, 10, **options)
    keys: list[Any] = [*range(10), *"abcde", (1, 2), None, 1.5]
    for _ in range(600):
        call, key, value = rng.choice(CALLS), rng.choice(keys), rng.randrange(100)
        assert outcome(call, ours, key, value) == outcome(call, theirs, key, value)
        if rng.random() < 0.2:
            clock.time += rng.choice([0.5, 1, 3, 9])


@pytest.mark.parametrize("seed", range(10))
def test_full_caches_side_by_side_with_cachetools(seed: int) -> None:
    """Which entry goes is the policy's to say; never how many there are, nor that the new one is there."""
    rng = random.Random(seed)
    clock = Clock()
    sizes = seed % 2 == 0
    options: dict[str, Any] = {"timer": clock, "getsizeof": (lambda value: value % 7) if sizes else None}
    theirs = cachetools.TTLCache(25, 10, **options)
    ours: MemoryCache[Any, Any] = MemoryCache(25, 10, **options)
    for _ in range(2000):
        key, value = rng.randrange(60), rng.randrange(100)
        theirs[key] = ours[key] = value
        assert ours[key] == value
        assert ours.currsize <= 25
        if not sizes and clock.time == 0:
            assert len(ours) == len(theirs)
        assert ours.currsize == sum(map(ours.getsizeof, ours.values()))
        if seed > 4 and rng.random() < 0.1:
            clock.time += 2


@pytest.mark.parametrize(
    ("maxsize", "size", "fits"), [(3, 3, True), (3, 4, False), (0, 1, False), (math.inf, 9, True)]
)
def test_values_that_are_too_large(maxsize: float, size: int, fits: bool) -> None:
    cache: MemoryCache[str, int] = MemoryCache(maxsize, 60, getsizeof=lambda value: value)
    cache["k"] = 0
    if fits:
        cache["k"] = size
    else:
        with pytest.raises(ValueError, match="value too large"):
            cache["k"] = size
        assert cache.get("k", 0) == 0  # what was there stays
    with pytest.raises(InvalidValue, match="getsizeof must return"):
        cache["k"] = -1
    none: MemoryCache[str, int] = MemoryCache(0, 60)
    with pytest.raises(ValueError, match="value too large"):
        none["k"] = 1
    assert not none


def test_a_bound_in_bytes() -> None:
    cache: MemoryCache[int, str] = MemoryCache(ttl=60, max_bytes=100_000)
    for n in range(1000):
        cache[n] = f"{n:0500}"
    assert 60 < len(cache) < 160
    assert cache.stats().bytes <= 100_000
    with pytest.raises(ValueError, match="value too large"):
        cache[1] = "x" * 100_000
    assert cache.maxsize is None
    assert cache.max_bytes == 100_000
    assert MemoryCache().ttl == 3600


def test_times_pass() -> None:
    cache: MemoryCache[str, int] = MemoryCache(10, 0.05)
    cache["a"] = 1
    cache.set("b", 2, 60)
    cache.set("c", 3, timedelta(milliseconds=50))
    assert len(cache) == 3
    assert cache.timer is time.monotonic
    eventually(lambda: "a" not in cache and "c" not in cache)
    assert cache.get("a") is None
    assert list(cache) == ["b"]
    assert len(cache) == 1
    with pytest.raises(KeyError):
        del cache["a"]
    eventually(lambda: cache.stats().expired == 2)


def test_expire_at_a_time_of_the_callers() -> None:
    cache: MemoryCache[str, int] = MemoryCache(10, 60)
    cache["a"] = 1
    cache.set("b", 2, 600)
    assert cache.expire() == []
    assert cache.expire(time.monotonic() + 61) == [("a", 1)]
    assert list(cache.expire(time.monotonic() + 3601)) == [("b", 2)]


def test_long_lives() -> None:
    cache: MemoryCache[str, int] = MemoryCache(10, timedelta(days=365))
    cache["a"] = 1
    assert cache["a"] == 1
    [(_, _, left)] = cache._lives()
    assert 364 * 86400 < left <= 365 * 86400


def test_a_timer_may_tell_dates() -> None:
    now = datetime(2026, 1, 1)
    cache: MemoryCache[str, int] = MemoryCache(10, timedelta(hours=1), lambda: now)
    cache["a"] = 1
    cache.set("b", 2, timedelta(minutes=1))
    now += timedelta(minutes=30)
    assert list(cache.items()) == [("a", 1)]
    assert len(cache) == 1
    now += timedelta(minutes=31)
    assert len(cache) == cache.currsize == 0


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"maxsize": -1}, ["maxsize", "0"]),
        ({"maxsize": 2**33}, ["maxsize", "4294967296"]),
        ({"maxsize": "10"}, ["maxsize"]),
        ({"maxsize": True}, ["maxsize"]),
        ({"maxsize": 1.5}, ["maxsize"]),
        ({"maxsize": math.nan}, ["maxsize"]),
        ({"maxsize": None, "getsizeof": len}, ["maxsize", "getsizeof"]),
        ({"maxsize": 5, "getsizeof": len, "max_bytes": 5}, ["max_bytes", "getsizeof"]),
        ({"maxsize": 5, "max_bytes": -5}, ["max_bytes"]),
        ({"maxsize": 5, "ttl": 0}, ["ttl", "0.001"]),
        ({"maxsize": 5, "ttl": -1}, ["ttl"]),
        ({"maxsize": 5, "ttl": math.inf}, ["ttl"]),
        ({"maxsize": 5, "ttl": None}, ["ttl"]),
        ({"maxsize": 5, "ttl": "1"}, ["ttl"]),
        ({"maxsize": 5, "ttl": 0, "timer": time.time}, ["ttl"]),
        ({"maxsize": 5, "timer": 5}, ["timer", "callable"]),
        ({"maxsize": 5, "getsizeof": 5}, ["getsizeof", "callable"]),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(InvalidOption) as caught:
        MemoryCache(**arguments)
    assert isinstance(caught.value, ValueError)
    for name in names:
        assert name in caught.value.message


@pytest.mark.parametrize("ttl", [0, -1, math.nan, math.inf, "1", True, timedelta(0), 31536001])
def test_wrong_ttls_of_one_entry(ttl: Any) -> None:
    cache: MemoryCache[str, int] = MemoryCache(10, 60)
    cache["k"] = 1
    with pytest.raises(InvalidOption, match="ttl must be"):
        cache.set("k", 2, ttl)
    assert cache["k"] == 1


def test_what_getsizeof_raises_is_its_own() -> None:
    cache: MemoryCache[str, Any] = MemoryCache(10, 60, getsizeof=len)
    with pytest.raises(TypeError, match="len"):
        cache["k"] = 5
    assert not cache


class Sized(MemoryCache[str, str]):
    """A subclass as cachetools has them."""

    def __init__(self, bound: int) -> None:
        super().__init__(bound, 60)
        self.asked: list[Any] = []

    def __missing__(self, key: str) -> str:
        self.asked.append(key)
        self[key] = value = key * 2
        return value

    def getsizeof(self, value: str) -> int:
        return len(value)


def test_subclasses() -> None:
    cache = Sized(6)
    assert cache["abc"] == "abcabc"
    assert cache["abc"] == "abcabc"
    assert cache.get("x") is None
    assert cache.asked == ["abc"]
    assert cache.currsize == 6
    with pytest.raises(ValueError, match="value too large"):
        cache["k"] = "x" * 7
    assert repr(cache).startswith("Sized({'abc': 'abcabc'}")

    class Unopened(MemoryCache[str, int]):
        def __init__(self) -> None:
            pass

    for call in (lambda c: c.get("k"), lambda c: c["k"], len, lambda c: c.set("k", 1), list):
        with pytest.raises(Closed, match="super"):
            call(Unopened())
    with pytest.raises(InvalidOption, match="open already"):
        cache.__init__(5)  # type: ignore[misc]


def test_iterating_while_it_changes() -> None:
    cache: MemoryCache[int, int] = MemoryCache(1000, 60)
    cache.update({n: n for n in range(300)})
    seen = []
    for n in cache:
        seen.append(n)
        cache.pop(n + 1, None)
        cache[1000 + n] = n
        if n == 100:
            for gone in range(110, 290):
                cache.pop(gone, None)
    assert seen == [*range(0, 110, 2), *range(290, 300, 2)]
    iterator = iter(cache)
    next(iterator)
    cache.clear()
    assert list(iterator) == []
    assert list(iterator) == []


def test_copies_and_pickles() -> None:
    cache: MemoryCache[str, Any] = MemoryCache(10, 60)
    cache["list"] = [1]
    cache.set("short", 1, 0.2)
    shallow, deep, pickled = copy.copy(cache), copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))
    for made in (shallow, deep, pickled):
        assert made == cache
        assert (made.maxsize, made.ttl) == (10, 60)
        made["new"] = 1
    assert "new" not in cache
    assert shallow["list"] is cache["list"]
    assert deep["list"] is not cache["list"]
    eventually(lambda: all("short" not in made for made in (shallow, deep, pickled)))
    cache["itself"] = cache
    again = copy.deepcopy(cache)
    assert again["itself"] is again
    assert "..." in repr(cache)

    clock = Clock()
    timed: MemoryCache[str, int] = MemoryCache(10, 5, clock)
    timed["k"] = 1
    clock.time = 3
    made = copy.copy(timed)
    assert made["k"] == 1
    clock.time = 5
    assert "k" not in made

    sized = Sized(10)
    sized["a"]
    made = pickle.loads(pickle.dumps(sized))
    assert (made, made.asked, made.currsize) == (sized, ["a"], 2)


def test_stats() -> None:
    cache: MemoryCache[int, int] = MemoryCache(2, 60)
    cache[1] = cache[2] = cache[3] = 0
    for key in (3, 3, 9):
        cache.get(key)
    assert cache.stats() == MemoryStats(hits=2, misses=1, evictions=1, expired=0, entries=2, bytes=2)


def test_threads_share_it() -> None:
    cache: MemoryCache[int, tuple[int, int]] = MemoryCache(500, 0.02)
    failures: list[BaseException] = []
    over = time.monotonic() + 1

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            while time.monotonic() < over:
                n = rng.randrange(1000)
                found = cache.get(n)
                assert found is None or found[0] == n
                cache[n] = (n, seed)
                cache.pop(rng.randrange(1000), None)
                if rng.random() < 0.01:
                    assert len(cache) <= 500
                    for key, value in cache.items():
                        assert key == value[0]
                if rng.random() < 0.001:
                    cache.clear()
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


def test_many_entries() -> None:
    """The table grows, shrinks and packs itself."""
    cache: MemoryCache[int, int] = MemoryCache(50_000, 60)
    for n in range(80_000):
        cache[n] = n
    assert len(cache) == 50_000
    assert all(key == value for key, value in cache.items())
    for n in range(80_000):
        if n % 10:
            cache.pop(n, None)
    assert all(n % 10 == 0 for n in cache)
    assert all(cache[n] == n for n in list(cache))
