"""`MemoryCache` under Python code that runs inside of it, the garbage collector, threads, forks and exits."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
import weakref
from typing import Any

import pytest
from conftest import eventually
from scrubjay import MemoryCache, memoize
from test_processes import clean, run


class Key:
    """A key whose comparison runs what a test wants."""

    def __init__(self, name: str, act: Any = None, number: int = 7) -> None:
        self.name = name
        self.act = act
        self.number = number

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        if self.act is not None:
            act, self.act = self.act, None
            act()
        return isinstance(other, Key) and self.name == other.name


@pytest.mark.parametrize(
    "call", ["get", "__getitem__", "__setitem__", "__delitem__", "pop", "__contains__", "setdefault"]
)
@pytest.mark.parametrize("harm", ["clear", "remove", "replace", "grow", "expire"])
def test_a_comparison_that_changes_the_cache(call: str, harm: str) -> None:
    for place in range(3):
        cache: MemoryCache[Any, Any] = MemoryCache(1000, 60)

        def act() -> None:
            if harm == "clear":
                cache.clear()  # noqa: B023
            elif harm == "remove":
                for name in "abc":
                    cache.pop(Key(name), None)  # noqa: B023
            elif harm == "replace":
                for name in "abc":
                    cache[Key(name)] = object()  # noqa: B023
            elif harm == "grow":
                cache.update({n: n for n in range(500)})  # noqa: B023
            else:
                cache.expire(time.monotonic() + 1000)  # noqa: B023
            gc.collect()

        for n, name in enumerate("abc"):
            cache[Key(name, act if n == place else None)] = [name]
        arguments: tuple[Any, ...] = (Key("c"), 1) if call == "__setitem__" else (Key("c"),)
        with contextlib.suppress(KeyError):
            getattr(cache, call)(*arguments)
        assert len(list(cache.items())) == len(cache)


def test_a_comparison_that_raises() -> None:
    cache: MemoryCache[Any, Any] = MemoryCache(10, 60)

    def act() -> None:
        raise RuntimeError("broken")

    for call in ("get", "__getitem__", "pop", "__contains__", "__delitem__", "setdefault"):
        cache.clear()
        cache[Key("a", act)] = 1
        with pytest.raises(RuntimeError, match="broken"):
            getattr(cache, call)(Key("b"))
    next(iter(cache)).act = act
    with pytest.raises(RuntimeError, match="broken"):
        cache[Key("b")] = 1


class Dying:
    """A value whose end uses the cache."""

    def __init__(self, cache: Any, name: str) -> None:
        self.cache = cache
        self.name = name

    def __del__(self) -> None:
        self.cache.get(self.name)
        self.cache[f"after {self.name}"] = 1
        self.cache.pop("x", None)


def test_values_whose_end_uses_the_cache() -> None:
    cache: MemoryCache[str, Any] = MemoryCache(5, 60)
    for n in range(50):
        cache[f"k{n % 8}"] = Dying(cache, f"k{n}")
    cache.clear()
    cache["x"] = Dying(cache, "x")
    cache["x"] = Dying(cache, "x")
    cache.pop("x", None)
    cache.set("short", Dying(cache, "short"), 0.01)
    eventually(lambda: "after short" in cache)
    assert len(cache) <= 5


def test_cycles_are_collected() -> None:
    class Value:
        pass

    def make() -> weakref.ref[Value]:
        cache: MemoryCache[Any, Any] = MemoryCache(10, 60)
        value = Value()
        value.cache = cache  # type: ignore[attr-defined]
        cache["value"] = value
        cache["itself"] = cache

        @memoize(maxsize=5)
        def function(_: Any) -> Any:
            return value

        function(value)
        value.function = function  # type: ignore[attr-defined]
        return weakref.ref(value)

    dead = [make() for _ in range(10)]
    gc.collect()
    assert [ref() for ref in dead] == [None] * 10


def test_a_cycle_by_way_of_the_timer() -> None:
    class Owner:
        def __init__(self) -> None:
            self.cache: MemoryCache[str, int] = MemoryCache(10, 60, self.now, self.size)
            self.cache["k"] = 1

        def now(self) -> float:
            return 1.0

        def size(self, _: int) -> int:
            return 1

    dead = weakref.ref(Owner())
    gc.collect()
    assert dead() is None


def test_nothing_is_leaked() -> None:
    class Value:
        alive = 0

        def __init__(self) -> None:
            Value.alive += 1

        def __del__(self) -> None:
            Value.alive -= 1

        def __hash__(self) -> int:
            return 5

        def __eq__(self, other: object) -> bool:
            return self is other

    cache: MemoryCache[Any, Any] = MemoryCache(10, 60)

    def work() -> None:
        for n in range(200):
            cache[n % 20] = Value()
            cache[Value()] = Value()
            cache.get(n % 20)
            cache.get("none", Value())
            cache.pop(n % 20, Value())
            cache.setdefault(n % 7, Value())
            cache.setdefault(n % 7, Value())
            list(cache.items())
            cache.set("k", Value(), 30)
            _ = "k" in cache
            cache.popitem()
        cache.clear()

        @memoize(maxsize=10)
        def function(*_: Any, **__: Any) -> Value:
            return Value()

        for n in range(100):
            function(n % 20)
            function(Value(), n, k=Value())
        function.cache_clear()

    work()
    gc.collect()
    assert Value.alive == 0


def test_what_expires_dies_though_nobody_reads() -> None:
    class Value:
        pass

    cache: MemoryCache[int, Any] = MemoryCache(5000, 0.05)
    refs = []
    for n in range(3000):
        value = Value()
        refs.append(weakref.ref(value))
        cache[n] = value
        del value
    started = time.monotonic()
    eventually(lambda: not any(ref() for ref in refs), within=10)
    assert time.monotonic() - started < 5
    assert cache.stats().expired == 3000


def test_one_thread_sweeps_and_it_is_no_thread_of_the_program() -> None:
    caches = [MemoryCache[int, int](10, 60) for _ in range(5)]
    for cache in caches:
        cache[1] = 1
    assert all("scrubjay" not in thread.name for thread in threading.enumerate())


def test_a_fork_takes_the_entries_along() -> None:
    cache: MemoryCache[str, Any] = MemoryCache(10, 60)
    cache["k"] = [1]
    cache.set("short", Dying(cache, "short"), 0.3)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert cache["k"] == [1]
            cache["child"] = 1
            for n in range(30):
                cache[f"n{n}"] = n
            assert len(cache) == 10
            cache["k"] = [2]
            deadline = time.monotonic() + 10
            cache.set("again", 1, 0.02)
            while cache.stats().expired < 1 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert cache.stats().expired >= 1
            assert cache["k"] == [2]
            os.write(write, b"ok")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 10) == b"ok"
    for descriptor in (read, write):
        os.close(descriptor)
    assert cache["k"] == [1]
    assert "child" not in cache
    eventually(lambda: "after short" in cache)


def test_exits_with_entries_and_threads() -> None:
    for _ in range(3):
        clean(
            run("""
            import threading, time
            from scrubjay import MemoryCache, memoize, CacheService

            class Value:
                def __del__(self):
                    self.text = str(len(cache))

            cache = MemoryCache(1000, 0.01)
            service = CacheService()

            @memoize
            def slow(n):
                time.sleep(60)

            def work():
                n = 0
                while True:
                    n += 1
                    cache[n % 2000] = Value()
                    cache.get(n)
                    service.set(f"k{n % 100}", [n])
                    service.get(f"k{n % 100}")

            for _ in range(3):
                threading.Thread(target=work, daemon=True).start()
            threading.Thread(target=slow, args=(1,), daemon=True).start()
            time.sleep(0.3)
            """)
        )


def test_values_that_live_to_the_end() -> None:
    result = run("""
        from scrubjay import MemoryCache, memoize

        class Value:
            def __del__(self):
                print("died", cache is not None)

        cache = MemoryCache(10, 60)
        cache["k"] = Value()

        @memoize
        def function(x):
            return Value()

        function(1)
        """)
    assert result.returncode == 0
    assert result.stderr == ""
