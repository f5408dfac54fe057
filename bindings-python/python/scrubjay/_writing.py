"""The ways to write to the source of a cache: what they promise is in docs/patterns.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from ._scrubjay import Cache, Receipt
from ._through import Source, WriteThrough
from ._update import Seconds, Updating, aupdate, update
from ._write_behind import WriteBehind, WriteBehindOptions
from ._writer import Writer

if TYPE_CHECKING:
    from ._service import CacheService

S = TypeVar("S")
T = TypeVar("T")

Ttl = float | timedelta | None
Tags = Iterable[str] | None


class Writing(Cache):
    """The half of `CacheService` that writes to the source."""

    def _whole(self) -> CacheService:
        return cast("CacheService", self)

    def update(
        self,
        keys: Iterable[str | bytes],
        write: Callable[[], T],
        *,
        tags: Tags = None,
        intent_ttl: Seconds = None,
        hold: Seconds = None,
        strict: bool = False,
    ) -> tuple[T, Receipt]:
        """Run ``write``, which changes the source of these keys, such that no old value of theirs is left.

        From before the write until its end nothing is stored under the keys, in any process; then they are
        invalidated, whatever became of it. A process that dies in between leaves only that, for ``intent_ttl``.

        Args:
            keys: what the write changes; may be empty where there are tags.
            write: a function without arguments. What it raises is raised, once the keys are invalidated.
            tags: tags of what the write changes: as for the keys, nothing that has one of them is stored or read
                meanwhile, and then they are invalidated.
            intent_ttl: for how long nothing is stored should the writer die: 0.1 s to 1 h, by default 30 s. It
                must be longer than the longest transaction.
            hold: for how long nothing is stored after the write, up to 1 h: where fetches read a replica, the
                bound of its lag.
            strict: do not write where the shared tier cannot be told of it.

        Returns:
            What the write returned, and the receipt of the invalidation.

        Raises:
            Unavailable, Unsupported: before the write, with ``strict`` only.
            InvalidKey, InvalidOption, Overloaded, Closed: before the write; Closed also after it.
        """
        return update(Updating(self._whole(), keys, intent_ttl, hold, strict, tags), write)

    @overload
    async def aupdate(
        self,
        keys: Iterable[str | bytes],
        write: Callable[[], Awaitable[T]],
        *,
        tags: Tags = None,
        intent_ttl: Seconds = None,
        hold: Seconds = None,
        strict: bool = False,
    ) -> tuple[T, Receipt]: ...
    @overload
    async def aupdate(
        self,
        keys: Iterable[str | bytes],
        write: Callable[[], T],
        *,
        tags: Tags = None,
        intent_ttl: Seconds = None,
        hold: Seconds = None,
        strict: bool = False,
    ) -> tuple[T, Receipt]: ...
    async def aupdate(
        self,
        keys: Iterable[str | bytes],
        write: Callable[[], Any],
        *,
        tags: Tags = None,
        intent_ttl: Seconds = None,
        hold: Seconds = None,
        strict: bool = False,
    ) -> tuple[Any, Receipt]:
        """As `update`, for tasks. A task that is cancelled in its write has the keys invalidated behind it."""
        return await aupdate(Updating(self._whole(), keys, intent_ttl, hold, strict, tags), write)

    def updating(
        self,
        keys: Iterable[str | bytes],
        *,
        tags: Tags = None,
        intent_ttl: Seconds = None,
        hold: Seconds = None,
        strict: bool = False,
    ) -> Updating:
        """As `update`, for a block of code: ``with cache.updating(keys):`` or ``async with``."""
        return Updating(self._whole(), keys, intent_ttl, hold, strict, tags)

    @overload
    def write_through(
        self,
        source: Source[S, T],
        ttl: Ttl = None,
        *,
        codec: str | None = None,
        tags: Tags = None,
        key: Callable[[S], str | bytes] | None = None,
        intent_ttl: Seconds = None,
        hold: Seconds = None,
        strict: bool = False,
    ) -> WriteThrough[S, T]: ...
    @overload
    def write_through(
        self,
        source: object,
        ttl: Ttl = None,
        *,
        codec: str | None = None,
        tags: Tags = None,
        key: Callable[[Any], str | bytes] | None = None,
        intent_ttl: Seconds = None,
        hold: Seconds = None,
        strict: bool = False,
    ) -> WriteThrough[Any, Any]: ...
    def write_through(
        self,
        source: object,
        ttl: Ttl = None,
        *,
        codec: str | None = None,
        tags: Tags = None,
        key: Callable[[Any], str | bytes] | None = None,
        intent_ttl: Seconds = None,
        hold: Seconds = None,
        strict: bool = False,
    ) -> WriteThrough[Any, Any]:
        """Put a source behind this cache: reads load from it, writes go to it first and then into the cache.

        Args:
            source: an object with a ``load(key)`` or a ``store(key, value)``, plain or coroutine functions; and
                with ``load_many(keys)`` and ``remove(key)`` where it has them. See `Source`.
            ttl: how long a value is fresh, in seconds; None for the default of the cache.
            codec: what values are stored as, "json" or "msgpack"; the default is that of the cache.
            tags: the tags of all its values.
            key: a function that makes the key in the cache of what the source is asked for; by default that is
                the key.
            intent_ttl: for how long nothing is stored should a writer die: 0.1 s to 1 h, by default 30 s. It
                must be longer than the slowest write.
            hold: for how long nothing is stored after a write, up to 1 h: where ``load`` reads a replica, the
                bound of its lag. The value of the write is not stored either then.
            strict: do not write where the shared tier cannot be told of it.

        Raises:
            InvalidOption: the source has neither a load nor a store, or an option is of a wrong type.
        """
        return WriteThrough(self._whole(), source, ttl, codec, tags, key, intent_ttl, hold, strict)

    def write_behind(
        self, name: str, writer: Writer | None = None, **options: Unpack[WriteBehindOptions]
    ) -> WriteBehind:
        """Open a write-behind over this cache: the cache has its values at once, the source a little later.

        It starts no thread and opens no file before its first use, so it may be opened before a fork.

        Args:
            name: 1 to 64 of ``[A-Za-z0-9_.-]``. Processes with the same name and directory, or the same name,
                prefix and Redis, work together.
            writer: brings a list of `Write` to the source: see `WriteBehind.run`. The first write in a process
                starts a thread for it, or a task where it is a coroutine function.
            **options: see `WriteBehindOptions`.

        Raises:
            InvalidOption: naming the option and its limit.
        """
        return WriteBehind(self._whole(), name, writer, dict(options))
