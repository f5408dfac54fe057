"""`memoize`: side by side with `functools.lru_cache`, and what is its own."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import threading
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from conftest import eventually
from scrubjay import CacheInfo, InvalidOption, memoize


@memoize(maxsize=10)
def of_module(x: int) -> int:
    """Say so."""
    return x * 2


def count(decorate: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    """A decorated function, and the arguments with which it ran."""
    ran: list[Any] = []

    @decorate
    def function(*args: Any, **kwargs: Any) -> Any:
        ran.append((args, kwargs))
        return (args, kwargs)

    return function, ran


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1.0,), {}),
    ((True,), {}),
    (("1",), {}),
    ((1, 2), {}),
    ((1,), {"b": 2}),
    ((), {"a": 1, "b": 2}),
    ((), {"b": 2, "a": 1}),
    (((1,),), {}),
    (((1, 2),), {}),
    ((None,), {}),
    ((2**70,), {}),
    ((-1,), {}),
    ((3, 3.0), {"k": 3}),
    ((3.0, 3), {"k": 3.0}),
    (("a", 1), {}),
    ((b"a",), {}),
]


@pytest.mark.parametrize("typed", [False, True])
def test_calls_are_told_apart_as_by_lru_cache(typed: bool) -> None:
    ours, ran = count(memoize(maxsize=100, typed=typed))
    theirs, ran_there = count(functools.lru_cache(maxsize=100, typed=typed))
    for args, kwargs in CALLS * 2 + CALLS[::-1]:
        assert ours(*args, **kwargs) == theirs(*args, **kwargs)
        assert ran == ran_there
    assert ours.cache_info() == theirs.cache_info()
    assert ours.cache_info()._fields == theirs.cache_info()._fields
    ours.cache_clear()
    assert ours.cache_info() == CacheInfo(0, 0, 100, 0)
    assert ours.cache_parameters() == {"maxsize": 100, "ttl": 3600, "typed": typed}
    assert theirs.cache_parameters() == {"maxsize": 100, "typed": typed}


@pytest.mark.parametrize(
    ("decorate", "maxsize"),
    [(memoize, 128), (memoize(), 128), (memoize(5), 5), (memoize(maxsize=0), 0), (memoize(maxsize=None), None)],
)
def test_with_and_without_arguments(decorate: Any, maxsize: int | None) -> None:
    function, ran = count(decorate)
    function(1)
    function(1)
    assert len(ran) == (2 if maxsize == 0 else 1)
    assert function.cache_info().maxsize == maxsize
    assert function.cache_info().currsize == (0 if maxsize == 0 else 1)


def test_the_bound() -> None:
    function, _ = count(memoize(maxsize=3))
    for n in range(10):
        function(n)
    assert function.cache_info() == CacheInfo(0, 10, 3, 3)


def test_results_end() -> None:
    function, ran = count(memoize(ttl=timedelta(milliseconds=20)))
    function(1)
    function(1)
    assert len(ran) == 1
    eventually(lambda: function(1) is not None and len(ran) == 2)


def test_it_looks_like_the_function() -> None:
    assert of_module.__name__ == "of_module"  # type: ignore[attr-defined]
    assert of_module.__doc__ == "Say so."
    assert of_module.__module__ == __name__
    assert inspect.signature(of_module) == inspect.signature(of_module.__wrapped__)
    assert of_module.__wrapped__(4) == 8
    assert pickle.loads(pickle.dumps(of_module)) is of_module
    assert copy.copy(of_module) is copy.deepcopy(of_module) is of_module
    assert weakref.ref(of_module)() is of_module
    assert "of_module" in repr(of_module)
    assert callable(of_module)


def test_methods() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @memoize
        def price(self, item: str, *, tax: int = 0) -> tuple[str, str, int]:
            return (self.name, item, tax)

        @staticmethod
        @memoize
        def both(item: str) -> str:
            return item * 2

        @classmethod
        @memoize
        def kind(cls, item: str) -> tuple[type, str]:
            return (cls, item)

    north, south = Shop("north"), Shop("south")
    assert north.price("pen") is north.price("pen")
    assert north.price("pen", tax=1) == ("north", "pen", 1)
    assert south.price("pen") == ("south", "pen", 0)
    bound = north.price
    assert bound("pen") is north.price("pen")
    assert Shop.price(south, "pen") is south.price("pen")
    assert Shop.price.cache_info().misses == 3
    assert bound.cache_info().misses == 3
    assert Shop.both("a") == north.both("a") == "aa"
    assert Shop.kind("a") == (Shop, "a")


def test_recursion() -> None:
    @memoize(maxsize=None)
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(80) == 23416728348467685
    assert fib.cache_info().misses == 81


def test_errors_are_not_kept() -> None:
    ran = []

    @memoize
    def function(x: Any) -> Any:
        ran.append(x)
        raise LookupError(x)

    for _ in range(2):
        with pytest.raises(LookupError):
            function(1)
    assert len(ran) == 2
    with pytest.raises(TypeError, match="unhashable"):
        function([])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"maxsize": -1}, "maxsize"), ({"maxsize": 2**33}, "maxsize"), ({"maxsize": "5"}, "maxsize"),
        ({"maxsize": True}, "maxsize"), ({"ttl": 0}, "ttl"), ({"ttl": "5"}, "ttl"), ({"ttl": None}, "ttl"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidOption, match=name):
        memoize(**arguments)(int)


def test_coroutine_functions_are_refused() -> None:
    with pytest.raises(InvalidOption, match="coroutine function"):

        @memoize
        async def function() -> None: ...

    with pytest.raises(InvalidOption, match="callable"):
        memoize(maxsize=5)(5)  # type: ignore[arg-type]


def test_threads() -> None:
    function, _ = count(memoize(maxsize=50))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for n in range(5000):
                assert function(n % 70, k=n % 3) == ((n % 70,), {"k": n % 3})
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    info = function.cache_info()
    assert info.hits + info.misses == 20_000
