"""The caches that the schedules are played on: ours, and two ways to do it by hand."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from scrubjay import CacheService, Fetched

Load = Callable[[], Awaitable[list[int]]]
Store = Callable[[list[int]], Awaitable[None]]
TTL_SECONDS = 600


class Foreground:
    """`get_or_fetch`, and `delete` after each change."""

    # Whether the processes read their keys once more at the end.
    reads_back = False
    # Whether it is told the values that are written, by `store`.
    writes_values = False

    def __init__(self, url: str) -> None:
        # Without memory every read meets the shared tier, which is what is looked at.
        self.cache = CacheService(url, "proof", l1_bytes=0, l2_timeout=20)

    @classmethod
    async def connect(cls, url: str) -> Foreground:
        return cls(url)

    async def read(self, key: str, load: Load) -> list[int]:
        return await self.cache.aget_or_fetch(key, TTL_SECONDS, load)

    async def invalidate(self, key: str) -> None:
        receipt = await self.cache.adelete(key)
        if receipt.pending:
            raise RuntimeError("an invalidation was not acknowledged")

    async def settle(self) -> None:
        """What this process has sent before is done when this returns: commands of one connection are, in turn."""
        await self.cache.aget("nothing")

    async def values(self, keys: list[str]) -> list[list[int] | None]:
        found = await self.cache.aget_many(keys)
        return [found.get(key) for key in keys]

    async def close(self) -> None:
        await self.cache.aclose()


class Memory(Foreground):
    """As `Foreground`, with memory, whose copies live for 50 ms; then each process reads once more."""

    reads_back = True
    MAX_STALENESS_SECONDS = 0.05

    def __init__(self, url: str) -> None:
        self.cache = CacheService(url, "proof", max_staleness=self.MAX_STALENESS_SECONDS, l2_timeout=20)

    async def settle(self) -> None:
        await super().settle()
        # The bound that is promised, and a tick of the clock.
        await asyncio.sleep(self.MAX_STALENESS_SECONDS + 0.02)


class Batch(Foreground):
    """`get_or_fetch_many` of the key and one that nobody changes."""

    async def read(self, key: str, load: Load) -> list[int]:
        async def load_all(keys: list[str]) -> dict[str, list[int]]:
            seen = await load()
            return dict.fromkeys(keys, seen)

        found = await self.cache.aget_or_fetch_many([key, f"{key}:beside"], TTL_SECONDS, load_all)
        return found[key]


class Tag(Foreground):
    """Each key has a tag, which is invalidated after each change; the fetch names another one of its value."""

    async def read(self, key: str, load: Load) -> list[int]:
        async def tagged() -> Fetched[list[int]]:
            return Fetched(await load(), tags=["all"])

        return await self.cache.aget_or_fetch(key, TTL_SECONDS, tagged, tags=[f"of {key}", "all"])

    async def invalidate(self, key: str) -> None:
        # Every seventh ends the entries of all schedules that are being played.
        tag = "all" if int(key.rpartition(":")[2]) % 7 == 0 else f"of {key}"
        receipt = await self.cache.ainvalidate_tags([tag])
        if receipt.pending:
            raise RuntimeError("an invalidation was not acknowledged")


class TagInMemory(Memory, Tag):
    """The same with memory."""


class Clear(Memory):
    """Everything is cleared after each change."""

    async def invalidate(self, key: str) -> None:
        receipt = await self.cache.aclear()
        if receipt.pending:
            raise RuntimeError(f"the clear for {key} was not acknowledged")


class RefreshAhead(Memory):
    """Lives so short, beside the time of a load, that values are refreshed while they are served."""

    TTL_SECONDS = 0.15
    HITS = 8

    def __init__(self, url: str) -> None:
        self.cache = CacheService(url, "proof", max_staleness=0.05, l2_timeout=20, jitter=0, stale_for=0)

    async def read(self, key: str, load: Load) -> list[int]:
        for _ in range(self.HITS):
            seen = await self.cache.aget_or_fetch(key, self.TTL_SECONDS, load)
            await asyncio.sleep(0.004)
        return seen


class SoftTimeout(Memory):
    """Readers get the old value of a slow fetch, which goes on."""

    TTL_SECONDS = 0.06

    def __init__(self, url: str) -> None:
        self.cache = CacheService(
            url, "proof", max_staleness=0.05, l2_timeout=20, jitter=0, stale_for=60, fetch_soft_timeout=0.005
        )

    async def read(self, key: str, load: Load) -> list[int]:
        for _ in range(3):
            seen = await self.cache.aget_or_fetch(key, self.TTL_SECONDS, load)
        return seen


class WriteThrough(Memory):
    """Writers store through the cache, which gets their values."""

    writes_values = True

    async def store(self, key: str, row: list[int], store: Store) -> None:
        class Row:
            async def store(self, _key: str, row: list[int]) -> None:
                await store(row)

        receipt = await self.cache.write_through(Row(), TTL_SECONDS).aset(key, row)
        if receipt.pending:
            raise RuntimeError(f"the write of {key} was not acknowledged")


class CacheAside:
    """Read, and on a miss load and store; delete after each change."""

    reads_back = False
    writes_values = False

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.turn = reader, writer, asyncio.Lock()

    @classmethod
    async def connect(cls, url: str) -> CacheAside:
        at = urlsplit(url)
        return cls(*await asyncio.open_connection(at.hostname, at.port))

    async def command(self, *parts: str) -> str | None:
        """The reply to a command; those to arrays are never asked for."""
        async with self.turn:
            encoded = [part.encode() for part in parts]
            self.writer.write(
                b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in encoded)
            )
            head = (await self.reader.readline()).decode().rstrip()
            if head.startswith("-"):
                raise RuntimeError(head)
            if not head.startswith("$") or head == "$-1":
                return None if head.startswith("$") else head[1:]
            return (await self.reader.readexactly(int(head[1:]) + 2))[:-2].decode()

    async def read(self, key: str, load: Load) -> list[int]:
        found = await self.command("GET", key)
        if found is not None:
            return json.loads(found)
        seen = await load()
        await self.command("SET", key, json.dumps(seen), "EX", str(TTL_SECONDS))
        return seen

    async def invalidate(self, key: str) -> None:
        await self.command("DEL", key)

    async def settle(self) -> None:
        await self.command("PING")

    async def values(self, keys: list[str]) -> list[list[int] | None]:
        found = [await self.command("GET", key) for key in keys]
        return [None if value is None else json.loads(value) for value in found]

    async def close(self) -> None:
        self.writer.close()


class Setnx(CacheAside):
    """As `CacheAside`, but only who gets a lock loads."""

    async def read(self, key: str, load: Load) -> list[int]:
        token = secrets.token_hex(8)
        while True:
            found = await self.command("GET", key)
            if found is not None:
                return json.loads(found)
            if await self.command("SET", f"{key}:lock", token, "NX", "PX", "1000") == "OK":
                break
            await asyncio.sleep(0.004)
        seen = await load()
        await self.command("SET", key, json.dumps(seen), "EX", str(TTL_SECONDS))
        await self.command("DEL", f"{key}:lock")
        return seen


class TagAfter(CacheAside):
    """As `CacheAside` with a version of a tag beside the value, read when the value has been loaded."""

    async def read(self, key: str, load: Load) -> list[int]:
        found = await self.command("GET", key)
        if found is not None:
            version, seen = json.loads(found)
            if version == await self.command("GET", f"{key}:tag"):
                return seen
        seen = await load()
        version = await self.command("GET", f"{key}:tag")
        await self.command("SET", key, json.dumps([version, seen]), "EX", str(TTL_SECONDS))
        return seen

    async def invalidate(self, key: str) -> None:
        await self.command("INCR", f"{key}:tag")

    async def values(self, keys: list[str]) -> list[list[int] | None]:
        values: list[list[int] | None] = []
        for key in keys:
            found = await self.command("GET", key)
            version, seen = json.loads(found) if found is not None else (None, None)
            values.append(seen if version == await self.command("GET", f"{key}:tag") else None)
        return values


class StoreThenSet(CacheAside):
    """As `CacheAside`, but writers set the value that they have stored."""

    writes_values = True

    async def store(self, key: str, row: list[int], store: Store) -> None:
        await store(row)
        await self.command("SET", key, json.dumps(row), "EX", str(TTL_SECONDS))


Cache = Foreground | CacheAside

CACHES: dict[str, type[Cache]] = {
    "foreground": Foreground,
    "memory": Memory,
    "batch": Batch,
    "tag": Tag,
    "tag-in-memory": TagInMemory,
    "clear": Clear,
    "refresh-ahead": RefreshAhead,
    "soft-timeout": SoftTimeout,
    "write-through": WriteThrough,
    "control-cache-aside": CacheAside,
    "control-setnx": Setnx,
    "control-tag-after": TagAfter,
    "control-store-then-set": StoreThenSet,
}
