"""`MemoryCache`: objects of this process, bounded and timed. A mapping like `cachetools.TTLCache`."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ._scrubjay import Memory, install_memory_cache

K = TypeVar("K")
V = TypeVar("V")


class MemoryStats(NamedTuple):
    """A snapshot of the counters of one `MemoryCache`."""

    hits: int
    """Reads that found a live entry."""
    misses: int
    """Reads that found none."""
    evictions: int
    """Entries that left for want of room."""
    expired: int
    """Entries that left because their time was up."""
    entries: int
    """Entries held now."""
    bytes: int
    """What the entries weigh, where the cache is bounded by ``max_bytes`` or ``getsizeof``."""


class MemoryCache(Memory, MutableMapping[K, V]):
    """A bounded cache of objects in this process, each with a time to live.

    It takes the place of ``cachetools.TTLCache``: the same arguments, properties and methods. It holds the objects
    themselves, of any type, under any hashable key; what is to go for want of room is chosen by Scrubjay's
    policy. Threads may share it. In the child of a fork it has what it had before.

    Args:
        maxsize: how many entries there may be; with ``getsizeof``, how large they may be together. None and
            ``math.inf`` are no bound of that kind.
        ttl: how long an entry lives, 0.001 s to 365 days, in seconds or as a ``timedelta``. With a ``timer`` of
            your own whatever can be added to its time.
        timer: a function that tells the time; the default is ``time.monotonic``, read in a faster way. With a
            timer of your own every call asks it.
        getsizeof: a function that tells the size of a value, a whole number. The default is 1 for each.
        max_bytes: a bound in bytes, what ``sys.getsizeof`` says of keys and values and 120 for each entry:
            objects to which they refer are not counted. 64 MiB where neither this nor ``maxsize`` is given.

    Raises:
        InvalidOption: an argument is outside its limits, which the message names.
    """

    __slots__ = ("__weakref__",)

    def __init__(
        self,
        maxsize: float | None = None,
        ttl: Any = 3600,
        timer: Callable[[], Any] | None = None,
        getsizeof: Callable[[V], float] | None = None,
        *,
        max_bytes: int | None = None,
    ) -> None:
        self._open(maxsize, ttl, timer, getsizeof, max_bytes)

    if TYPE_CHECKING:

        def get(self, key: K, default: Any = None) -> Any:
            """Return the value stored under a key, or ``default`` where there is none or it has expired."""

    def values(self) -> ValuesView[V]:
        """Return the values of the entries that live, as a view."""
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        """Return the entries that live, as a view of pairs."""
        return _Items(self)

    def stats(self) -> MemoryStats:
        """Return the counters of the cache since it was made."""
        return MemoryStats(*self._stats())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return _shown(self)

    def __reduce__(self) -> Any:
        """Copies and pickles have the same entries, for the rest of their time; counters begin at 0."""
        arguments = (type(self), self.maxsize, self.ttl, self._timer(), self._getsizeof(), self.max_bytes)
        return _again, arguments, (list(self._lives()), _attributes(self))

    def __setstate__(self, state: tuple[list[tuple[K, V, Any]], dict[str, Any]]) -> None:
        entries, attributes = state
        for name, value in attributes.items():
            setattr(self, name, value)
        for key, value, life in entries:
            if life != 0:
                self._restore(key, value, life)


def _show(cache: MemoryCache[Any, Any]) -> str:
    name = type(cache).__name__
    return f"{name}({dict(cache.items())!r}, maxsize={cache.maxsize!r}, currsize={cache.currsize!r})"


_shown: Callable[[MemoryCache[Any, Any]], str] = reprlib.recursive_repr()(_show)


class _Values(ValuesView[V]):
    __slots__ = ()

    def __iter__(self) -> Iterator[V]:
        return self._mapping._values()  # type: ignore[attr-defined, no-any-return]


class _Items(ItemsView[K, V]):
    __slots__ = ()

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._items()  # type: ignore[attr-defined, no-any-return]


def _again(cls: type[MemoryCache[Any, Any]], *arguments: Any) -> MemoryCache[Any, Any]:
    maxsize, ttl, timer, getsizeof, max_bytes = arguments
    cache: MemoryCache[Any, Any] = cls.__new__(cls)
    MemoryCache.__init__(cache, maxsize, ttl, timer, getsizeof, max_bytes=max_bytes)
    return cache


def _attributes(cache: MemoryCache[Any, Any]) -> dict[str, Any]:
    """What a subclass has added."""
    found = dict(getattr(cache, "__dict__", {}))
    for cls in type(cache).__mro__:
        for name in vars(cls).get("__slots__", ()):
            if name != "__weakref__" and hasattr(cache, name):
                found[name] = getattr(cache, name)
    return found


install_memory_cache(MemoryCache)
