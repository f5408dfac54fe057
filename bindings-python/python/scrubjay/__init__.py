"""One cache for threads, asyncio and other languages.

A memory tier in each process, Redis or Valkey between them, one fetch for a thousand callers::

    from scrubjay import CacheService, cached

    cache = CacheService("redis://localhost:6379", "shop")
    user = cache.get_or_fetch("user:7", 300, lambda: load_user(7))
    user = await cache.aget_or_fetch("user:7", 300, load_user_async)
"""

from __future__ import annotations

import atexit

from ._cached import CachedFunction, cached
from ._errors import (
    Cancelled,
    Closed,
    DirtyElsewhere,
    FetchFailed,
    FetchTimeout,
    Internal,
    InvalidKey,
    InvalidOption,
    InvalidValue,
    LeaseExpired,
    NotFound,
    Overloaded,
    PartialError,
    RecursiveFetch,
    ScrubjayError,
    Unavailable,
    Unsupported,
)
from ._fetched import Fetched
from ._memoize import CacheInfo, MemoizedFunction, memoize
from ._memory import MemoryCache, MemoryStats
from ._scrubjay import Receipt, Stats, Write, __version__, shutdown
from ._service import CacheService
from ._through import Source, WriteThrough
from ._update import Explanation, HoldSeen, LeaseSeen, Updating
from ._write_behind import DrainReport, WriteBehind, WriteBehindOptions, WriteBehindStats
from ._writer import Rejected

__all__ = [
    "CacheInfo",
    "CacheService",
    "CachedFunction",
    "Cancelled",
    "Closed",
    "DirtyElsewhere",
    "DrainReport",
    "Explanation",
    "FetchFailed",
    "FetchTimeout",
    "Fetched",
    "HoldSeen",
    "Internal",
    "InvalidKey",
    "InvalidOption",
    "InvalidValue",
    "LeaseExpired",
    "LeaseSeen",
    "MemoizedFunction",
    "MemoryCache",
    "MemoryStats",
    "NotFound",
    "Overloaded",
    "PartialError",
    "Receipt",
    "RecursiveFetch",
    "Rejected",
    "ScrubjayError",
    "Source",
    "Stats",
    "Unavailable",
    "Unsupported",
    "Updating",
    "Write",
    "WriteBehind",
    "WriteBehindOptions",
    "WriteBehindStats",
    "WriteThrough",
    "__version__",
    "cached",
    "memoize",
]

# What is on its way to the shared tier at the end of the program gets this long, in seconds.
atexit.register(shutdown, 1.0)
del atexit, shutdown
