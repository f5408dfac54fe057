"""What the readers and the writer of a worker do, and what they write down of it."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import records
from scrubjay import NotFound, PartialError, ScrubjayError
from truth import is_absent, now
from worlds import World


class FetchFailed(Exception):
    """How the truth fails now and then."""


def at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("a thread waited for an event loop")


def name(key: int) -> str:
    return f"key:{key}"


def ttl(key: int) -> float:
    """Some values end soon, so that they are refreshed and loaded again without any write."""
    return 0.3 if key % 8 == 5 else 60


class Worker:
    """One process of the witness."""

    def __init__(self, config: dict, cache: Any) -> None:
        self.config, self.cache = config, cache
        self.number, self.keys = config["worker"], config["keys"]
        self.log = Path(config["log"]).open("ab", buffering=1 << 16)  # noqa: SIM115
        self.reading = self.writing = True
        # Whether writes have returned that have not reached the shared tier.
        self.pending = False
        self.padding = "." * config["padding"]

    def note(self, op: int, key: int, begun: int, seen: tuple[int, int], flags: int, bound: int) -> None:
        ver, named = seen
        self.log.write(records.LAYOUT.pack(begun, now(), ver, key, named, bound, self.number, op, flags))

    def bound(self) -> int:
        """The staleness that the cache claims now, in µs."""
        bound = self.cache.effective_staleness_bound()
        return records.NO_BOUND if bound == math.inf else min(round(bound * 1e6), records.NO_BOUND - 1)

    def value(self, key: int, ver: int) -> dict:
        return {"k": key, "v": ver, "p": self.padding}

    # --- reading ---

    async def read_on(self, world: World, rng: random.Random) -> None:
        """Reads until it is told to stop, at the pace that it was told."""
        begun, done = now(), 0
        pace = self.config["pace"] / self.config["readers"]
        while self.reading:
            for _ in range(rng.randrange(1, 16)):
                done += await self.read(world, rng)
            ahead = done / pace - (now() - begun) / 1e9
            if ahead < -0.5:
                # What an outage has kept it from is not made up for.
                begun, done = now(), 0
            await world.sleep(max(ahead, 0))

    async def read(self, world: World, rng: random.Random) -> int:
        """One call; how many keys it read."""
        key = rng.randrange(self.keys)
        kind = rng.random()
        if kind < 0.45:
            await self.get(world, key)
            return 1
        if kind < 0.85:
            await self.get_or_fetch(world, key, rng)
            return 1
        keys = rng.sample(range(self.keys), rng.randrange(2, 7))
        if kind < 0.92:
            await self.get_many(world, keys, records.GET_MANY)
        else:
            await self.get_or_fetch_many(world, keys, rng, records.GET_OR_FETCH_MANY)
        return len(keys)

    async def get(self, world: World, key: int) -> None:
        bound, begun = self.bound(), now()
        try:
            found = await world.call("get", name(key))
        except ScrubjayError:
            self.note(records.GET, key, begun, (-1, key), records.FAILED, bound)
            return
        self.found(records.GET, key, begun, found, 0, bound)

    async def get_or_fetch(self, world: World, key: int, rng: random.Random) -> None:
        flags = 0

        async def load() -> dict:
            nonlocal flags
            flags = records.LOADED
            [ver] = await self.load(world, [key], rng)
            if is_absent(key, ver):
                raise NotFound
            return self.value(key, ver)

        bound, begun = self.bound(), now()
        try:
            found = await world.call("get_or_fetch", name(key), ttl(key), world.fetch(load))
        except NotFound:
            self.note(records.GET_OR_FETCH, key, begun, (-1, key), flags | records.NEGATIVE, bound)
        except (ScrubjayError, FetchFailed):
            self.note(records.GET_OR_FETCH, key, begun, (-1, key), flags | records.FAILED, bound)
        else:
            self.found(records.GET_OR_FETCH, key, begun, found, flags, bound)

    async def get_many(self, world: World, keys: list[int], op: int) -> None:
        bound, begun = self.bound(), now()
        found: dict = {}
        flags = 0
        try:
            found = await world.call("get_many", [name(key) for key in keys])
        except ScrubjayError:
            flags = records.FAILED
        for key in keys:
            self.found(op, key, begun, found.get(name(key)), flags, bound)

    async def get_or_fetch_many(self, world: World, keys: list[int], rng: random.Random, op: int) -> None:
        asked: set[int] = set()

        async def load(missing: list[str]) -> dict:
            numbers = [int(key.partition(":")[2]) for key in missing]
            asked.update(numbers)
            vers = await self.load(world, numbers, rng)
            # What is left out stays absent, and is remembered by nobody.
            return {
                name(key): self.value(key, ver)
                for key, ver in zip(numbers, vers, strict=True)
                if not is_absent(key, ver)
            }

        bound, begun = self.bound(), now()
        failed: set[str] = set()
        try:
            found = await world.call("get_or_fetch_many", [name(key) for key in keys], 60, world.fetch(load))
        except PartialError as error:
            found, failed = error.values, set(error.failed)
        except (ScrubjayError, FetchFailed):
            found, failed = {}, {name(key) for key in keys}
        for key in keys:
            flags = (records.LOADED if key in asked else 0) | (records.FAILED if name(key) in failed else 0)
            self.found(op, key, begun, found.get(name(key)), flags, bound)

    def found(self, op: int, key: int, begun: int, value: dict | None, flags: int, bound: int) -> None:
        if value is None:
            self.note(op, key, begun, (-1, key), flags | records.MISS, bound)
        else:
            self.note(op, key, begun, (value["v"], value["k"]), flags, bound)

    async def load(self, world: World, keys: list[int], rng: random.Random) -> list[int]:
        """A read of the truth, which takes its time before and after it looks, and fails now and then."""
        if rng.random() < 0.2:
            await world.sleep(rng.random() * 0.005)
        vers = await world.ask("r " + " ".join(map(str, keys)))
        if rng.random() < 0.2:
            await world.sleep(rng.random() * 0.005)
        if rng.random() < 0.02:
            await world.sleep(0.05)
        if rng.random() < self.config["fail"]:
            raise FetchFailed
        return vers

    # --- writing ---

    async def write_on(self, world: World, rng: random.Random) -> None:
        """Writes until it is told to stop."""
        while self.writing:
            await world.sleep(rng.expovariate(self.config["writes"]))
            await self.write(world, rng)

    async def write(self, world: World, rng: random.Random) -> None:
        """A new version in the truth; then the key is deleted, or set by the only one who writes it."""
        key = rng.randrange(self.keys)
        if key % 2 == 0:
            workers = self.config["workers"]
            key = (key // 2 // workers * workers + self.number) * 2
            if key >= self.keys:
                return
        begun = now()
        [ver] = await world.ask(f"w {key}")
        if rng.random() < 0.3:
            await world.sleep(rng.random() * 0.003)
        sets = key % 2 == 0 and rng.random() < 0.5 and not is_absent(key, ver)
        while True:
            try:
                if sets:
                    receipt = await world.call("set", name(key), self.value(key, ver), ttl(key))
                else:
                    receipt = await world.call("delete", name(key))
                break
            except ScrubjayError:
                # Nothing has happened then.
                await world.sleep(0.02)
        flags = records.PENDING if receipt.pending else 0
        self.note(records.SET if sets else records.DELETE, key, begun, (ver, key), flags, 0)
        self.pending |= receipt.pending

    async def watch_landing(self) -> None:
        """Writes down when what was pending has landed, and lets the log be seen."""
        while True:
            begun = now()
            if self.pending and self.cache.stats().pending == 0:
                self.pending = False
                self.note(records.LANDED, 0, begun, (-1, 0), 0, 0)
            self.log.flush()
            # Nobody needs it; but where it is moved, this shows that it was.
            time.time()
            await asyncio.sleep(0.02)

    async def landed(self) -> None:
        """Waits until nothing is pending."""
        while self.pending:
            await asyncio.sleep(0.02)

    # --- at rest ---

    async def read_last(self, world: World, shared: Any) -> None:
        """Reads every key once more; through the given cache: what the shared tier has."""
        keys = list(range(self.keys))
        if shared is not None:
            await self.get_many(world, keys, records.LAST_SHARED)
        else:
            for key in keys:
                await self.last(world, key)
        self.log.flush()

    async def last(self, world: World, key: int) -> None:
        """Reads a key; a fetch that fails is tried again."""

        async def load() -> dict:
            [ver] = await world.ask(f"r {key}")
            if is_absent(key, ver):
                raise NotFound
            return self.value(key, ver)

        begun = now()
        try:
            found = await world.call("get_or_fetch", name(key), ttl(key), world.fetch(load))
        except NotFound:
            self.note(records.LAST, key, begun, (-1, key), records.NEGATIVE, 0)
        else:
            self.found(records.LAST, key, begun, found, 0, 0)
