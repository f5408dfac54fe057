"""`write_through`: reads and writes of a source, through the cache."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._errors import InvalidOption, NotFound, PartialError, ScrubjayError, Unsupported
from ._load import hold, release
from ._loop import settled
from ._scrubjay import (
    Pending,
    Receipt,
    Turn,
    abegin_store,
    aend_store,
    aend_update,
    begin_store,
    end_store,
    end_update,
)

if TYPE_CHECKING:
    from ._service import CacheService

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

Seconds = float | timedelta | None

METHODS = ("load", "load_many", "store", "remove")


class Source(Generic[K, V]):
    """What a cache stands before: a table, a service. A base class, for who wants types; any object will do.

    Each method may be left out; what needs it then raises `Unsupported`. Methods may be plain or coroutine
    functions; those of the latter kind are for `aget`, `aset` and so on.
    """

    def load(self, key: K) -> Any:  # noqa: ARG002
        """Return the value of a key. Raise `NotFound` where there is none: that is remembered for a while."""
        raise _lacks("load")

    def load_many(self, keys: list[K]) -> Any:  # noqa: ARG002
        """Return a mapping of those of the keys that there are. By default one `load` after the other."""
        raise _lacks("load_many")

    def store(self, key: K, value: V) -> Any:  # noqa: ARG002
        """Store a value. When this returns, the source has it."""
        raise _lacks("store")

    def remove(self, key: K) -> Any:  # noqa: ARG002
        """Remove a key."""
        raise _lacks("remove")


class WriteThrough(Generic[K, V]):
    """A source behind a cache: made by `CacheService.write_through`. Plain methods for threads, `a…` for tasks.

    A write goes to the source first, and then into the cache. Writes of one key in one process follow one
    another in the order in which they were asked for, each when the one before has ended. From before a write
    begins until it has ended nothing that is loaded is stored under its key, in any process. When writers of
    several processes meet on a key, it is left invalidated, since nobody knows whose value the source got last.
    A write that fails leaves it so too: the cache is never ahead of the source.
    """

    def __init__(
        self,
        cache: CacheService,
        source: object,
        ttl: Seconds,
        codec: str | None,
        tags: Iterable[str] | None,
        key: Callable[[Any], str | bytes] | None,
        intent_ttl: Seconds,
        hold: Seconds,
        strict: bool,
    ) -> None:
        if isinstance(tags, str | bytes):
            raise _refused("tags must be an iterable of text, not one text")
        if key is not None and not callable(key):
            raise _refused(f"key must be a function, is {type(key).__name__}")
        if not isinstance(strict, bool):
            raise _refused(f"strict must be True or False, is {type(strict).__name__}")
        self.source = source
        self._cache = cache
        self._put = (ttl, codec, None if tags is None else tuple(tags))
        self._key = key
        self._how = (intent_ttl, hold, strict, None)
        own = {name: self._method(name) for name in METHODS}
        if own["load"] is None and own["store"] is None:
            raise _refused(f"source must have a load or a store, {type(source).__name__} has none")
        self._load, self._load_many = own["load"], own["load_many"]
        self._store, self._remove = own["store"], own["remove"]

    def _method(self, name: str) -> Callable[..., Any] | None:
        method = getattr(self.source, name, None)
        if method is None or getattr(type(self.source), name, None) is getattr(Source, name):
            return None
        if not callable(method):
            raise _refused(f"{name} of the source must be callable, is {type(method).__name__}")
        return method  # type: ignore[no-any-return]

    def get(self, key: K, default: D | None = None) -> V | D | None:
        """Return the value of a key, from the cache or else from the source, with one load for all who ask.

        ``default`` is what is returned where the source has none.

        Raises:
            Exception: what the source raises; and all that `CacheService.get_or_fetch` does.
        """
        load = _needed(self._load, "load", blocking=True)
        ttl, codec, tags = self._put
        try:
            return self._cache.get_or_fetch(  # type: ignore[no-any-return]
                self._name(key), ttl, lambda: load(key), codec=codec, tags=tags
            )
        except NotFound:
            return default

    async def aget(self, key: K, default: D | None = None) -> V | D | None:
        """As `get`, for tasks."""
        load = _needed(self._load, "load")
        ttl, codec, tags = self._put
        try:
            return await self._cache.aget_or_fetch(self._name(key), ttl, lambda: load(key), codec=codec, tags=tags)
        except NotFound:
            return default

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of many keys, with one ``load_many`` for those that nobody has or loads.

        Raises:
            PartialError: some keys failed. It holds their exceptions, and the values of the others.
        """
        named = {self._name(key): key for key in keys}
        ttl, codec, tags = self._put
        if self._load_many is None:
            load = _needed(self._load, "load", blocking=True)
        else:
            load_many = _needed(self._load_many, "load_many", blocking=True)

        def fetch(missing: list[Any]) -> Mapping[Any, Any]:
            if self._load_many is not None:
                return self._by_name(load_many([named[name] for name in missing]), missing, named)
            values = {}
            for name in missing:
                with contextlib.suppress(NotFound):
                    values[name] = load(named[name])
            return values

        try:
            found = self._cache.get_or_fetch_many(list(named), ttl, fetch, codec=codec, tags=tags)
        except PartialError as error:
            raise self._partial(error, named) from error.__cause__
        return {named[name]: value for name, value in found.items()}

    async def aget_many(self, keys: Iterable[K]) -> dict[K, V]:
        """As `get_many`, for tasks."""
        named = {self._name(key): key for key in keys}
        ttl, codec, tags = self._put
        method = _needed(self._load_many or self._load, "load")

        async def fetch(missing: list[Any]) -> Mapping[Any, Any]:
            if self._load_many is not None:
                values = await _result(method([named[name] for name in missing]))
                return self._by_name(values, missing, named)
            values = {}
            for name in missing:
                with contextlib.suppress(NotFound):
                    values[name] = await _result(method(named[name]))
            return values

        try:
            found = await self._cache.aget_or_fetch_many(list(named), ttl, fetch, codec=codec, tags=tags)
        except PartialError as error:
            raise self._partial(error, named) from error.__cause__
        return {named[name]: value for name, value in found.items()}

    def set(self, key: K, value: V) -> Receipt:
        """Store a value in the source, and then in the cache.

        Raises:
            Exception: what the source raises; the key is invalidated then.
            InvalidKey, InvalidValue, InvalidOption, Closed: before the source is asked; Closed also after it.
            Overloaded: too many writes wait for their turn.
            RecursiveFetch: it would wait for the write inside which it is made.
            Unavailable, Unsupported: before the source is asked, with ``strict`` only.
        """
        store = _needed(self._store, "store", blocking=True)
        turn = begin_store(self._cache, self._name(key), (value,), self._put, self._how)
        return self._write(turn, lambda: store(key, value))

    def delete(self, key: K) -> Receipt:
        """Remove a key from the source, and invalidate it. As `set`."""
        remove = _needed(self._remove, "remove", blocking=True)
        turn = begin_store(self._cache, self._name(key), None, self._put, self._how)
        return self._write(turn, lambda: remove(key))

    async def aset(self, key: K, value: V) -> Receipt:
        """As `set`, for tasks. One that is cancelled while the source works has the key invalidated behind it."""
        store = _needed(self._store, "store")
        turn = abegin_store(self._cache, self._name(key), (value,), self._put, self._how)
        return await self._awrite(turn, lambda: store(key, value))

    async def adelete(self, key: K) -> Receipt:
        """As `delete`, for tasks."""
        remove = _needed(self._remove, "remove")
        turn = abegin_store(self._cache, self._name(key), None, self._put, self._how)
        return await self._awrite(turn, lambda: remove(key))

    def _write(self, turn: Turn, write: Callable[[], Any]) -> Receipt:
        outside = hold(turn.lease)
        try:
            _refuse_awaitable(write())
        except Exception:
            # What the source raised is what its caller is to see.
            with contextlib.suppress(ScrubjayError):
                end_update(self._cache, turn)
            raise
        except BaseException:
            # The thread, or the process, is to end: not to wait for a server.
            turn.abandon()
            raise
        finally:
            release(outside)
        return end_store(self._cache, turn)

    async def _awrite(self, begun: Turn | Pending, write: Callable[[], Any]) -> Receipt:
        turn = await settled(begun) if type(begun) is Pending else begun
        outside = hold(turn.lease)
        try:
            await _result(write())
        except Exception:
            with contextlib.suppress(ScrubjayError):
                await _answer(aend_update(self._cache, turn))
            raise
        except BaseException:
            turn.abandon()
            raise
        finally:
            release(outside)
        return await _answer(aend_store(self._cache, turn))

    def _name(self, key: K) -> Any:
        return key if self._key is None else self._key(key)

    def _by_name(self, values: Any, missing: list[Any], named: dict[Any, K]) -> Mapping[Any, Any]:
        _refuse_awaitable(values)
        return {name: values[named[name]] for name in missing if named[name] in values}

    def _partial(self, error: PartialError, named: dict[Any, K]) -> PartialError:
        failed = {named[name]: failure for name, failure in error.failed.items()}
        values = {named[name]: value for name, value in error.values.items()}
        return PartialError(error.message, operation=error.operation, failed=failed, values=values)


def _needed(method: Callable[..., Any] | None, name: str, blocking: bool = False) -> Callable[..., Any]:
    if method is None:
        raise _lacks(name)
    if blocking and inspect.iscoroutinefunction(method):
        raise _refused(f"{name} of the source is a coroutine function: await the a… methods instead")
    return method


def _refuse_awaitable(value: Any) -> None:
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise _refused("the source must not return an awaitable here: await the a… methods instead")


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _answer(answer: Receipt | Pending) -> Receipt:
    return await settled(answer) if type(answer) is Pending else answer


def _lacks(name: str) -> Unsupported:
    return Unsupported(f"the source has no {name}", operation="write_through")


def _refused(message: str) -> InvalidOption:
    return InvalidOption(message, operation="write_through")
