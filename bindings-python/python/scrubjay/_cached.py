"""`cached`: a function whose results are kept."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, overload

from ._fetched import Fetched
from ._keys import KeyMaker, TagMaker, key_maker, refused, tag_maker
from ._load import REMEMBERS
from ._scrubjay import Receipt

if TYPE_CHECKING:
    from ._service import CacheService

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")

Errors = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], object]
Ttl = float | timedelta | None


class CachedFunction(Protocol[P, R_co]):
    """A function under `cached`: called as before, and with a way to its keys.

    Of a method these take what it is called on first: ``Users.load.invalidate(users, 7)``.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return the kept result for these arguments, or run the function."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Forget the kept result, run the function, and keep what it returns; to be awaited as the function is.

        What was loaded before this call, here or in another process, is neither returned nor kept. Where the
        function fails nothing is kept.
        """
        ...

    def get_key(self, *args: P.args, **kwargs: P.kwargs) -> str | bytes:
        """Return the key under which the result for these arguments is kept."""
        ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str | bytes:
        """As `get_key`."""
        ...

    def get_tags(self, *args: P.args, **kwargs: P.kwargs) -> list[str]:
        """Return the tags of the result for these arguments."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Delete the result for these arguments."""
        ...

    async def ainvalidate(self, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Delete the result for these arguments, from a task."""
        ...

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(
        self: CachedFunction[Concatenate[S, Q], R], instance: S, owner: type | None = None
    ) -> Callable[Q, R]: ...


def cached(
    cache: CacheService,
    ttl: Ttl | Callable[..., Ttl] = None,
    key: str | Callable[..., str | bytes] | None = None,
    *,
    name: str | None = None,
    codec: str | None = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    unless: Callable[[Any], object] | None = None,
    cache_errors: Errors | None = None,
    background: Executor | None = None,
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]:
    """Keep the results of a function, plain or ``async``, by `get_or_fetch` or `aget_or_fetch`.

    Args:
        cache: where results are kept.
        ttl: how long a result is fresh, in seconds; None for the default of the cache. Or a function of the same
            arguments that returns one. The function itself may return `Fetched` where only the result tells.
        key: a template like ``"user:{user_id}"`` of the arguments by name, or by position: ``{0}`` is the first
            behind ``self``. ``{user.id}`` is an attribute of one, or the value in a mapping, ``{ids[0]}`` an
            element, ``{{`` and ``}}`` are braces. Strings, numbers, booleans, None, bytes, enums, dates, UUIDs,
            Decimals and paths can stand in a key; what is not ``A-Z a-z 0-9 _ . -`` in them is escaped, so that no
            separator in one imitates one of the template. A template does not tell 7 from "7". Or a function of
            the same arguments that returns the key. By default the key is made of the function's module, qualified
            name and arguments, without ``self`` or ``cls`` of a method (give a key where instances have different
            results): no two different calls share one, and it is the same in every process, language and release.
        name: what default keys begin with, instead of the module and the qualified name of the function, which may
            change when code is moved. The same name and arguments have the same key in every language.
        codec: what results are stored as, "json" or "msgpack"; the default is that of the cache.
        tags: the tags of results: templates of the arguments as for ``key``, like ``["users", "team:{team}"]``,
            or a function of the same arguments that returns the tags.
        unless: a function of the result: where it is true, the result is not kept. Those who wait for it get it
            too; what was kept before stays.
        cache_errors: which exceptions of the function are remembered, for the ``negative_ttl`` of the cache: a
            class, a tuple of classes, or a function of the exception. Callers within that time get `FetchFailed`
            with the message of the exception, in every language, and the function is not run. Without it no
            exception is remembered but `NotFound`, which always is.
        background: where a plain function refreshes results near their end, see `get_or_fetch`.

    Raises:
        InvalidOption: the key is no template, or names no argument of the function; or the function is a
            generator function, plain or ``async``: what it gives can be taken once only.
    """

    def decorate(function: Callable[P, R]) -> CachedFunction[P, R]:
        if isinstance(function, classmethod | staticmethod):
            return type(function)(decorate(function.__func__))  # type: ignore[return-value]
        _check(function)
        make_key = key_maker(cache, function, key, name)
        make_tags = tag_maker(function, tags)
        if unless is not None and not callable(unless):
            raise refused(f"unless must be a function of the result, is {type(unless).__name__}")
        call = _Call(make_key, make_tags, ttl, _remembers(cache_errors))
        wrapper: Any
        refresh: Any
        if _is_async(function):
            if background is not None:
                raise refused("background is for plain functions: tasks refresh in tasks of their own")
            run = function if unless is None else _asift(function, unless)

            @functools.wraps(function)
            async def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                key, ttl, tags = call.place(args, kwargs)
                return await cache.aget_or_fetch(key, ttl, call.fetch(run, args, kwargs), codec=codec, tags=tags)

            async def refresh(*args: P.args, **kwargs: P.kwargs) -> Any:
                key, ttl, tags = call.place(args, kwargs)
                await cache.adelete(key)
                return await cache.aget_or_fetch(key, ttl, call.fetch(run, args, kwargs), codec=codec, tags=tags)
        else:
            run = function if unless is None else _sift(function, unless)

            @functools.wraps(function)
            def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                key, ttl, tags = call.place(args, kwargs)
                fetch = call.fetch(run, args, kwargs)
                return cache.get_or_fetch(key, ttl, fetch, codec=codec, tags=tags, background=background)

            def refresh(*args: P.args, **kwargs: P.kwargs) -> Any:
                key, ttl, tags = call.place(args, kwargs)
                cache.delete(key)
                return cache.get_or_fetch(key, ttl, call.fetch(run, args, kwargs), codec=codec, tags=tags)

        def get_tags(*args: P.args, **kwargs: P.kwargs) -> list[str]:
            return [] if make_tags is None else list(make_tags(*args, **kwargs))

        def invalidate(*args: P.args, **kwargs: P.kwargs) -> Receipt:
            return cache.delete(make_key(*args, **kwargs))

        async def ainvalidate(*args: P.args, **kwargs: P.kwargs) -> Receipt:
            return await cache.adelete(make_key(*args, **kwargs))

        wrapper.get_key = wrapper.cache_key = make_key
        wrapper.get_tags = get_tags
        wrapper.refresh = refresh
        wrapper.invalidate = invalidate
        wrapper.ainvalidate = ainvalidate
        return wrapper  # type: ignore[no-any-return]

    return decorate


class _Call:
    """What a decoration says of all calls of its function."""

    __slots__ = ("_make_key", "_make_tags", "_remembers", "_ttl")

    def __init__(
        self,
        make_key: KeyMaker,
        make_tags: TagMaker | None,
        ttl: Ttl | Callable[..., Ttl],
        remembers: Callable[[Exception], object] | None,
    ) -> None:
        self._make_key = make_key
        self._make_tags = make_tags
        self._ttl = ttl
        self._remembers = remembers

    def place(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[str | bytes, Ttl, Iterable[str] | None]:
        """Return under which key, for how long and with which tags a result is kept."""
        ttl = self._ttl(*args, **kwargs) if callable(self._ttl) else self._ttl
        tags = None if self._make_tags is None else self._make_tags(*args, **kwargs)
        return self._make_key(*args, **kwargs), ttl, tags

    def fetch(self, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any]:
        """Return what runs the function."""
        fetch = functools.partial(run, *args, **kwargs)
        if self._remembers is not None:
            setattr(fetch, REMEMBERS, self._remembers)
        return fetch


def _check(function: Any) -> None:
    if not callable(function):
        raise refused(f"a function is needed, not a value of type {type(function).__name__}")
    for found in (function, getattr(function, "__call__", None)):  # noqa: B004
        if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
            raise refused(
                "a generator function cannot be cached: what it gives is taken once; return a list instead"
            )


def _is_async(function: Any) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _sifted(result: Any, unless: Callable[[Any], object]) -> Any:
    value = result.value if type(result) is Fetched else result
    return Fetched(value, keep=False) if unless(value) else result


def _sift(function: Callable[..., Any], unless: Callable[[Any], object]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        return _sifted(function(*args, **kwargs), unless)

    return run


def _asift(function: Callable[..., Any], unless: Callable[[Any], object]) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        return _sifted(await function(*args, **kwargs), unless)

    return run


def _remembers(errors: Errors | None) -> Callable[[Exception], object] | None:
    if errors is None:
        return None
    classes = errors if isinstance(errors, tuple) else (errors,)
    if all(isinstance(each, type) and issubclass(each, Exception) for each in classes):
        return lambda error: isinstance(error, classes)  # type: ignore[arg-type]
    if not callable(errors) or isinstance(errors, type):
        raise refused("cache_errors must be exception classes, or a function of an exception")
    return errors
