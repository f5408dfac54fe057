"""The cache object: plain methods for threads, `a…` methods for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Executor
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from . import _load
from ._errors import InvalidOption
from ._fetched import Fetched
from ._load_many import Many, aload_many, load_many
from ._loop import settled
from ._scrubjay import MISS, UNDECODABLE, Pending, Receipt, Turn, aexplain, explain, install_cache_service
from ._update import Explanation
from ._writing import Writing

K = TypeVar("K", str, bytes)
T = TypeVar("T")

Ttl = float | timedelta | None
Tags = Iterable[str] | None


class CacheService(Writing):
    """A cache: a memory tier in this process and, with a `redis://` URL, a tier that processes share.

    One object serves threads and event loops at once. Opening it starts no thread and connects to nothing, and
    it works in the children of a fork. Close it when the program ends, or use it in a `with` or `async with`.

    Args:
        url: ``memory://``, ``redis://host:6379/0``, ``rediss://`` (TLS) or ``unix:///path``.
        prefix: the namespace of all keys, 0 to 128 bytes of ``[A-Za-z0-9_.:-]``.
        **options: the other options, durations in seconds or as ``timedelta``; the README lists them.

    Raises:
        InvalidOption: an option does not exist or is outside its limits, which the message names.
    """

    def __init__(self, url: str = "memory://", prefix: str = "", **options: Any) -> None:
        self._open({"url": url, "prefix": prefix, **options})
        self._prefix = prefix

    def __repr__(self) -> str:
        # Not the URL: it may hold a password.
        return f"<{type(self).__module__}.{type(self).__qualname__} prefix={self._prefix!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.aclose()

    if TYPE_CHECKING:
        # At run time these four are native: they answer hits, and hand everything else to the four below.

        def aget(self, key: str | bytes, default: Any = None) -> Coroutine[Any, Any, Any]: ...
        @overload
        def get_or_fetch(
            self,
            key: str | bytes,
            ttl: Ttl,
            fetch: Callable[[], Fetched[T]],
            *,
            codec: str | None = None,
            tags: Tags = None,
            background: Executor | None = None,
        ) -> T: ...
        @overload
        def get_or_fetch(
            self,
            key: str | bytes,
            ttl: Ttl,
            fetch: Callable[[], T],
            *,
            codec: str | None = None,
            tags: Tags = None,
            background: Executor | None = None,
        ) -> T: ...
        def get_or_fetch(
            self,
            key: str | bytes,
            ttl: Ttl,
            fetch: Callable[[], Any],
            *,
            codec: str | None = None,
            tags: Tags = None,
            background: Executor | None = None,
        ) -> Any: ...
        @overload
        def aget_or_fetch(
            self,
            key: str | bytes,
            ttl: Ttl,
            fetch: Callable[[], Awaitable[Fetched[T]]],
            *,
            codec: str | None = None,
            tags: Tags = None,
        ) -> Coroutine[Any, Any, T]: ...
        @overload
        def aget_or_fetch(
            self,
            key: str | bytes,
            ttl: Ttl,
            fetch: Callable[[], Awaitable[T]],
            *,
            codec: str | None = None,
            tags: Tags = None,
        ) -> Coroutine[Any, Any, T]: ...
        @overload
        def aget_or_fetch(
            self,
            key: str | bytes,
            ttl: Ttl,
            fetch: Callable[[], Fetched[T]],
            *,
            codec: str | None = None,
            tags: Tags = None,
        ) -> Coroutine[Any, Any, T]: ...
        @overload
        def aget_or_fetch(
            self,
            key: str | bytes,
            ttl: Ttl,
            fetch: Callable[[], T],
            *,
            codec: str | None = None,
            tags: Tags = None,
        ) -> Coroutine[Any, Any, T]: ...
        def aget_or_fetch(
            self,
            key: str | bytes,
            ttl: Ttl,
            fetch: Callable[[], Any],
            *,
            codec: str | None = None,
            tags: Tags = None,
        ) -> Coroutine[Any, Any, Any]: ...

    async def _aget_rest(self, key: str | bytes, default: Any = None) -> Any:
        answer = self._aget(key, default)
        if type(answer) is Pending:
            answer = await settled(answer)
            if answer is UNDECODABLE:
                self._note_undecodable(key)
                return default
            if answer is MISS:
                return default
        return answer

    def _get_or_fetch(
        self,
        key: str | bytes,
        ttl: Ttl,
        fetch: Callable[[], T],
        *,
        codec: str | None = None,
        tags: Tags = None,
        background: Executor | None = None,
    ) -> T:
        if background is not None:
            _check_executor(background)
        answer = self._begin(key, (ttl, codec, tags), fetch)
        if type(answer) is not Turn:
            return answer  # type: ignore[no-any-return]
        if answer.refreshes:
            return _load.refreshed(answer, fetch, background)  # type: ignore[no-any-return]
        return _load.lead(answer, fetch)  # type: ignore[no-any-return]

    async def _aget_or_fetch(
        self,
        key: str | bytes,
        ttl: Ttl,
        fetch: Callable[[], Any],
        *,
        codec: str | None = None,
        tags: Tags = None,
    ) -> Any:
        how = (ttl, codec, tags)
        answer = self._abegin(key, how, fetch, False)
        if type(answer) is Pending:
            answer = await settled(answer)
        if answer is UNDECODABLE:
            answer = await self._begin_past(key, how, fetch)
        if type(answer) is not Turn:
            return answer
        if answer.refreshes:
            _load.refresh_behind(_load.alead(answer, fetch))
            return answer.value
        return await _load.alead(answer, fetch)

    async def _begin_past(
        self, key: str | bytes, how: tuple[Ttl, str | None, Tags], fetch: Callable[[], Any]
    ) -> Any:
        """Begin again, past what is stored: that did not decode."""
        self._note_undecodable(key)
        answer = self._abegin(key, how, fetch, True)
        return await settled(answer) if type(answer) is Pending else answer

    @overload
    def get_or_fetch_many(
        self,
        keys: Iterable[K],
        ttl: Ttl,
        fetch: Callable[[list[K]], Mapping[K, Fetched[T]]],
        *,
        codec: str | None = None,
        tags: Tags = None,
        background: Executor | None = None,
    ) -> dict[K, T]: ...
    @overload
    def get_or_fetch_many(
        self,
        keys: Iterable[K],
        ttl: Ttl,
        fetch: Callable[[list[K]], Mapping[K, T]],
        *,
        codec: str | None = None,
        tags: Tags = None,
        background: Executor | None = None,
    ) -> dict[K, T]: ...
    def get_or_fetch_many(
        self,
        keys: Iterable[Any],
        ttl: Ttl,
        fetch: Callable[[list[Any]], Mapping[Any, Any]],
        *,
        codec: str | None = None,
        tags: Tags = None,
        background: Executor | None = None,
    ) -> dict[Any, Any]:
        """Return the values of many keys, with one ``fetch(missing)`` for those that nobody has or is loading.

        ``fetch`` is given a list of keys and returns a mapping of them to values or to `Fetched`; a key that it
        leaves out stays absent. When another caller that loads one of the keys gives up, ``fetch`` may run once
        more, for that key.

        Raises:
            PartialError: some keys failed. It holds their exceptions, and the values of the others.
        """
        if background is not None:
            _check_executor(background)
        return load_many(Many(self, (ttl, codec, tags), fetch), self._unique(keys), background)

    @overload
    async def aget_or_fetch_many(
        self,
        keys: Iterable[K],
        ttl: Ttl,
        fetch: Callable[[list[K]], Awaitable[Mapping[K, Fetched[T]]]],
        *,
        codec: str | None = None,
        tags: Tags = None,
    ) -> dict[K, T]: ...
    @overload
    async def aget_or_fetch_many(
        self,
        keys: Iterable[K],
        ttl: Ttl,
        fetch: Callable[[list[K]], Awaitable[Mapping[K, T]]],
        *,
        codec: str | None = None,
        tags: Tags = None,
    ) -> dict[K, T]: ...
    @overload
    async def aget_or_fetch_many(
        self,
        keys: Iterable[K],
        ttl: Ttl,
        fetch: Callable[[list[K]], Mapping[K, Fetched[T]]],
        *,
        codec: str | None = None,
        tags: Tags = None,
    ) -> dict[K, T]: ...
    @overload
    async def aget_or_fetch_many(
        self,
        keys: Iterable[K],
        ttl: Ttl,
        fetch: Callable[[list[K]], Mapping[K, T]],
        *,
        codec: str | None = None,
        tags: Tags = None,
    ) -> dict[K, T]: ...
    async def aget_or_fetch_many(
        self,
        keys: Iterable[Any],
        ttl: Ttl,
        fetch: Callable[[list[Any]], Any],
        *,
        codec: str | None = None,
        tags: Tags = None,
    ) -> dict[Any, Any]:
        """As `get_or_fetch_many`, for tasks: ``fetch`` may be a coroutine function or a plain one."""
        return await aload_many(Many(self, (ttl, codec, tags), fetch), self._unique(keys))

    async def aset(
        self, key: str | bytes, value: Any, ttl: Ttl = None, *, codec: str | None = None, tags: Tags = None
    ) -> Receipt:
        """As `set`, for tasks."""
        return await _written(self._aset(key, value, ttl, codec=codec, tags=tags))

    async def adelete(self, key: str | bytes) -> Receipt:
        """As `delete`, for tasks."""
        return await _written(self._adelete(key))

    async def aget_many(self, keys: Iterable[K]) -> dict[K, Any]:
        """As `get_many`, for tasks."""
        listed = self._listed(keys)
        held = self._held(listed, (None, None, None), None, True)
        missing = [key for key, value in zip(listed, held, strict=True) if value is MISS]
        answers: Any = []
        if missing or not listed:
            answers = self._aget_many(missing)
            if type(answers) is Pending:
                answers = await settled(answers)
        others = iter(answers)
        found: dict[Any, Any] = {}
        for key, value in zip(listed, held, strict=True):
            answer = next(others) if value is MISS else value
            if answer is UNDECODABLE:
                self._note_undecodable(key)
            elif answer is not MISS:
                found[key] = answer
        return found

    async def aset_many(
        self,
        entries: Mapping[str, Any] | Mapping[bytes, Any] | Iterable[tuple[str | bytes, Any]],
        ttl: Ttl = None,
        *,
        codec: str | None = None,
        tags: Tags = None,
    ) -> Receipt:
        """As `set_many`, for tasks."""
        return await _written(self._aset_many(entries, ttl, codec=codec, tags=tags))

    async def adelete_many(self, keys: Iterable[str | bytes]) -> Receipt:
        """As `delete_many`, for tasks."""
        return await _written(self._adelete_many(keys))

    async def ainvalidate_tags(self, tags: Iterable[str]) -> Receipt:
        """As `invalidate_tags`, for tasks."""
        return await _written(self._ainvalidate_tags(tags))

    def explain(self, key: str | bytes) -> Explanation:
        """Return what the cache knows of a key: which tier would answer and why, its age and lives, who loads it.

        It tells neither value nor key, changes nothing and counts as no read.
        """
        return explain(self, key)  # type: ignore[no-any-return]

    async def aexplain(self, key: str | bytes) -> Explanation:
        """As `explain`, for tasks."""
        answer = aexplain(self, key)
        return await settled(answer) if type(answer) is Pending else answer  # type: ignore[no-any-return]

    async def aclear(self) -> Receipt:
        """As `clear`, for tasks."""
        return await _written(self._aclear())

    async def aclose(self) -> Receipt:
        """As `close`, for tasks."""
        return await _written(self._aclose())


async def _written(answer: Receipt | Pending) -> Receipt:
    return await settled(answer) if type(answer) is Pending else answer


def _check_executor(background: Any) -> None:
    if not callable(getattr(background, "submit", None)):
        message = f"background must be an Executor, is {type(background).__name__}"
        raise InvalidOption(message, operation="get_or_fetch")


install_cache_service(CacheService)
