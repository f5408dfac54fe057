"""`cached`: a function whose results are kept."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, overload

from ._errors import InvalidOption, InvalidValue
from ._scrubjay import Receipt, Template, canonical_json, default_key

if TYPE_CHECKING:
    from ._service import CacheService

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")


class CachedFunction(Protocol[P, R_co]):
    """A function under `cached`: called as before, and with a way to its keys."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return the kept result for these arguments, or run the function."""
        ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str | bytes:
        """Return the key under which the result for these arguments is kept."""
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
    ttl: float | timedelta | None = None,
    key: str | Callable[..., str | bytes] | None = None,
    *,
    codec: str | None = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    background: Executor | None = None,
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]:
    """Keep the results of a function, plain or ``async``, by `get_or_fetch` or `aget_or_fetch`.

    Args:
        cache: where results are kept.
        ttl: how long a result is fresh, in seconds; None for the default of the cache.
        key: a template like ``"user:{user_id}"`` of the arguments by name; ``{user.id}`` is an attribute of
            one, ``{{`` and ``}}`` are braces. Strings, numbers, booleans and None can stand in a key; what is
            not ``A-Z a-z 0-9 _ . -`` in them is escaped, so that no two arguments meet in one key. Or a
            function of the same arguments that returns the key. The default is made of the function's module,
            qualified name and arguments as JSON, without ``self`` or ``cls`` of a method: give a key where
            instances have different results.
        codec: what results are stored as, "json" or "msgpack"; the default is that of the cache.
        tags: the tags of results: templates of the arguments as for ``key``, like ``["users", "team:{team}"]``,
            or a function of the same arguments that returns the tags.
        background: where a plain function refreshes results near their end, see `get_or_fetch`.

    Raises:
        InvalidOption: the key is no template, or names no argument of the function.
    """

    def decorate(function: Callable[P, R]) -> CachedFunction[P, R]:
        if isinstance(function, classmethod | staticmethod):
            return type(function)(decorate(function.__func__))  # type: ignore[return-value]
        make_key = _key_maker(function, key)
        make_tags = _tag_maker(function, tags)
        wrapper: Any
        if inspect.iscoroutinefunction(function):
            if background is not None:
                raise _refused("background is for plain functions: tasks refresh in tasks of their own")

            @functools.wraps(function)
            async def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                fetch = functools.partial(function, *args, **kwargs)
                return await cache.aget_or_fetch(
                    make_key(*args, **kwargs), ttl, fetch, codec=codec, tags=make_tags(*args, **kwargs)
                )
        else:

            @functools.wraps(function)
            def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                fetch = functools.partial(function, *args, **kwargs)
                return cache.get_or_fetch(
                    make_key(*args, **kwargs),
                    ttl,
                    fetch,
                    codec=codec,
                    tags=make_tags(*args, **kwargs),
                    background=background,
                )

        def invalidate(*args: P.args, **kwargs: P.kwargs) -> Receipt:
            return cache.delete(make_key(*args, **kwargs))

        async def ainvalidate(*args: P.args, **kwargs: P.kwargs) -> Receipt:
            return await cache.adelete(make_key(*args, **kwargs))

        wrapper.cache_key = make_key
        wrapper.invalidate = invalidate
        wrapper.ainvalidate = ainvalidate
        return wrapper  # type: ignore[no-any-return]

    return decorate


def _key_maker(
    function: Callable[..., Any], key: str | Callable[..., str | bytes] | None
) -> Callable[..., str | bytes]:
    if not callable(function):
        raise _refused(f"a function is needed, not a value of type {type(function).__name__}")
    if key is not None and not isinstance(key, str):
        if not callable(key):
            raise _refused(f"key must be a template or a function, is {type(key).__name__}")
        return key
    try:
        signature = inspect.signature(function)
    except ValueError:
        raise _refused("key must be a function here: nothing tells the names of the arguments") from None
    if key is None:
        return _default_keys(function, signature)
    return _templates(key, signature, "key")


def _tag_maker(
    function: Callable[..., Any], tags: Iterable[str] | Callable[..., Iterable[str]]
) -> Callable[..., Iterable[str]]:
    if callable(tags):
        return tags
    if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
        raise _refused(f"tags must be an iterable of templates or a function, is {type(tags).__name__}")
    texts = tuple(tags)
    for text in texts:
        if not isinstance(text, str):
            raise _refused(f"tags must be an iterable of templates or a function, one is {type(text).__name__}")
    if not any("{" in text or "}" in text for text in texts):
        return lambda *_args, **_kwargs: texts
    signature = inspect.signature(function)
    makers = [_templates(text, signature, "tags") for text in texts]
    return lambda *args, **kwargs: [make_tag(*args, **kwargs) for make_tag in makers]


def _templates(text: str, signature: inspect.Signature, what: str) -> Callable[..., str]:
    template = Template(text, what == "tags")
    paths = {name: name.split(".") for name in template.names}
    for name, path in paths.items():
        if path[0] not in signature.parameters:
            raise _refused(f"{what} has a placeholder {{{name}}} that names no argument")

    def make_key(*args: Any, **kwargs: Any) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = {}
        for name, (first, *attributes) in paths.items():
            argument = bound.arguments[first]
            for attribute in attributes:
                argument = getattr(argument, attribute)
            arguments[name] = argument
        return template.render(arguments)

    return make_key


def _default_keys(function: Callable[..., Any], signature: inspect.Signature) -> Callable[..., str]:
    module = getattr(function, "__module__", None)
    qualname: str | None = getattr(function, "__qualname__", None)
    if module is None or qualname is None or qualname.endswith("<lambda>"):
        raise _refused("key must be given for a lambda, a partial and an object: they have no name of their own")
    name = f"{module}.{qualname}"
    first = next(iter(signature.parameters), None)
    outside = qualname.rpartition(".")[0]
    is_method = first in ("self", "cls") and outside != "" and not outside.endswith("<locals>")

    def make_key(*args: Any, **kwargs: Any) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        if is_method and first is not None:
            del arguments[first]
        try:
            return default_key(name, canonical_json(arguments))
        except InvalidValue as error:
            raise _refused(f"key must be given, not all arguments have a JSON form: {error.message}") from None

    return make_key


def _refused(message: str) -> InvalidOption:
    return InvalidOption(message, operation="cached")
