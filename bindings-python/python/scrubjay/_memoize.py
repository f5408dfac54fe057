"""`memoize`: ``functools.lru_cache`` with a time to live."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple, ParamSpec, Protocol, TypedDict, TypeVar, overload

from ._errors import InvalidOption
from ._scrubjay import Memoised

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_Ttl = float | timedelta
_MOST = 1 << 32


class CacheInfo(NamedTuple):
    """How often a memoised function was spared, and how often it ran."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class CacheParameters(TypedDict):
    """What a function was memoised with."""

    maxsize: int | None
    ttl: _Ttl
    typed: bool


class MemoizedFunction(Protocol[R_co]):
    """A function under `memoize`: called as before."""

    @property
    def __wrapped__(self) -> Callable[..., R_co]:
        """The function itself."""
        ...

    def __call__(self, *args: Any, **kwargs: Any) -> R_co:
        """Return the kept result for these arguments, or run the function."""
        ...

    def cache_info(self) -> CacheInfo:
        """Return how often the function was spared, and how often it ran."""
        ...

    def cache_clear(self) -> None:
        """Forget all results, and begin to count anew."""
        ...

    def cache_parameters(self) -> CacheParameters:
        """Return what the function was memoised with."""
        ...

    def __get__(self, instance: Any, owner: type | None = None) -> MemoizedFunction[R_co]: ...


@overload
def memoize(maxsize: Callable[..., R]) -> MemoizedFunction[R]: ...
@overload
def memoize(
    maxsize: int | None = 128, ttl: _Ttl = 3600, typed: bool = False
) -> Callable[[Callable[..., R]], MemoizedFunction[R]]: ...
def memoize(maxsize: Any = 128, ttl: Any = 3600, typed: Any = False) -> Any:
    """Keep the results of a function in this process, the objects themselves, as ``functools.lru_cache`` does.

    ``@memoize``, ``@memoize()`` and ``@memoize(maxsize=…, ttl=…, typed=…)`` are all meant. Arguments must be
    hashable; they tell calls apart as with ``lru_cache``. The function has ``cache_info()``, ``cache_clear()``,
    ``cache_parameters()`` and ``__wrapped__``. Of calls that miss at one time each runs the function: `cached` is
    for those that should run it once.

    Args:
        maxsize: how many results are kept; 0 keeps none, None is no bound.
        ttl: how long a result is kept, 0.001 s to 365 days, in seconds or as a ``timedelta``.
        typed: whether arguments of different types are different though they are equal, like 3 and 3.0.

    Raises:
        InvalidOption: an argument is outside its limits, which the message names; or the function is a coroutine
            function: what it returns can be awaited once only. `cached` keeps what such a function brings.
    """
    if callable(maxsize) and ttl == 3600 and typed is False:
        return _memoize(maxsize, 128, ttl, typed)

    def decorate(function: Callable[..., R]) -> MemoizedFunction[R]:
        memoised: MemoizedFunction[R] = _memoize(function, maxsize, ttl, typed)
        return memoised

    return decorate


def _memoize(function: Any, maxsize: Any, ttl: Any, typed: Any) -> Any:
    if maxsize is not None and (type(maxsize) is not int or not 0 <= maxsize <= _MOST):
        raise _refused(f"maxsize must be a number from 0 to {_MOST}, or None, is {maxsize!r}")
    if not callable(function):
        raise _refused(f"function must be callable, is {type(function).__name__}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise _refused("function must not be a coroutine function: use cached(cache) for such")
    memoised = Memoised(function, maxsize, ttl, bool(typed), CacheInfo)
    functools.update_wrapper(memoised, function)
    memoised.cache_parameters = lambda: {"maxsize": maxsize, "ttl": ttl, "typed": bool(typed)}
    return memoised


def _refused(message: str) -> InvalidOption:
    return InvalidOption(message, operation="memoize")
