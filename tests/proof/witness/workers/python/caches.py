"""The caches that a worker of Python can use: ours, and those that a checker must find out."""

from __future__ import annotations

import random
import time
from typing import Any

from scrubjay import CacheService

MISS = object()


class Wrapped:
    """A cache whose reads may be answered by somebody else."""

    def __init__(self, options: dict, seed: int) -> None:
        self.cache = CacheService(**options)
        self.rng = random.Random(seed)
        self.max_staleness: float = options["max_staleness"]

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.cache, attribute)

    def effective_staleness_bound(self) -> float:
        return self.max_staleness

    def instead(self, key: str) -> Any:
        """What is answered without a look into the cache; or `MISS`."""
        raise NotImplementedError

    def saw(self, key: str, value: Any) -> Any:
        """A value that the cache gave, as it is to be answered."""
        raise NotImplementedError

    def get(self, key: str) -> Any:
        found = self.instead(key)
        return self.saw(key, self.cache.get(key)) if found is MISS else found

    async def aget(self, key: str) -> Any:
        found = self.instead(key)
        return self.saw(key, await self.cache.aget(key)) if found is MISS else found

    def get_or_fetch(self, key: str, ttl: float, fetch: Any) -> Any:
        found = self.instead(key)
        return self.saw(key, self.cache.get_or_fetch(key, ttl, fetch)) if found is MISS else found

    async def aget_or_fetch(self, key: str, ttl: float, fetch: Any) -> Any:
        found = self.instead(key)
        return self.saw(key, await self.cache.aget_or_fetch(key, ttl, fetch)) if found is MISS else found


class TtlOnly(Wrapped):
    """A dictionary in each process, whose entries live for their ttl whatever others write."""

    TTL_SECONDS = 60

    def __init__(self, options: dict, seed: int) -> None:
        super().__init__(options, seed)
        self.copies: dict[str, tuple[float, Any]] = {}

    def instead(self, key: str) -> Any:
        until, value = self.copies.get(key, (0, None))
        return value if until > time.monotonic() else MISS

    def saw(self, key: str, value: Any) -> Any:
        if value is not None:
            self.copies[key] = (time.monotonic() + self.TTL_SECONDS, value)
        return value

    def set(self, key: str, value: Any, ttl: float) -> Any:
        self.copies.pop(key, None)
        return self.cache.set(key, value, ttl)

    async def aset(self, key: str, value: Any, ttl: float) -> Any:
        self.copies.pop(key, None)
        return await self.cache.aset(key, value, ttl)

    def delete(self, key: str) -> Any:
        self.copies.pop(key, None)
        return self.cache.delete(key)

    async def adelete(self, key: str) -> Any:
        self.copies.pop(key, None)
        return await self.cache.adelete(key)


class OldCopy(Wrapped):
    """Ours, but one read in 500 gets the first value that was ever seen of its key."""

    def __init__(self, options: dict, seed: int) -> None:
        super().__init__(options, seed)
        self.first: dict[str, Any] = {}

    def instead(self, key: str) -> Any:
        return self.first.get(key, MISS) if self.rng.random() < 0.002 else MISS

    def saw(self, key: str, value: Any) -> Any:
        if value is not None:
            self.first.setdefault(key, value)
        return value


class WrongKey(Wrapped):
    """Ours, but one read in 500 gets the value that the one before got."""

    def __init__(self, options: dict, seed: int) -> None:
        super().__init__(options, seed)
        self.before: Any = MISS

    def instead(self, key: str) -> Any:  # noqa: ARG002
        return self.before if self.rng.random() < 0.002 else MISS

    def saw(self, key: str, value: Any) -> Any:  # noqa: ARG002
        if value is not None:
            self.before = value
        return value


def ours(options: dict, _: int) -> CacheService:
    """Ours."""
    return CacheService(**options)


KINDS = {"scrubjay": ours, "ttl-only": TtlOnly, "old-copy": OldCopy, "wrong-key": WrongKey}


def open_cache(kind: str, options: dict, seed: int) -> Any:
    """A cache of this kind."""
    return KINDS[kind](options, seed)
