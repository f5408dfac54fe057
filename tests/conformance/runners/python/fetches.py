"""Fetches: what a step says that its fetch does, and many callers of one."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

from scrubjay import CacheService, Fetched, NotFound
from values import Failed, build, build_entries
from worlds import Panic

if TYPE_CHECKING:
    from steps import Runner, Step

PATIENCE = 20.0
"""The seconds for which a leader waits for the others to wait for it."""


class Origin(Exception):
    """The error of a fetch, as a program would have its own."""


class Fetches:
    """The fetch of one step."""

    def __init__(self, runner: Runner, cache: CacheService, step: Step) -> None:
        spec = step.get("fetch")
        if not isinstance(spec, dict):
            raise Failed("there is no fetch")
        if not {"value", "values", "error", "not_found", "recursive"} & spec.keys():
            raise Failed("the fetch has no result")
        self._runner = runner
        self._cache = cache
        self._step = step
        self._spec = spec
        self._lock = threading.Lock()
        # One error for all runs: the callers must be given this very one.
        self._failure: Exception | None = None
        if "error" in spec:
            self._failure = Origin(spec["error"])
        elif spec.get("not_found"):
            self._failure = NotFound("so says the step")
        self.broken: BaseException | None = None
        self.runs = 0
        self.asked: list[list[Any]] = []
        self.fetch = runner.world.fetch(self.load)
        self.fetch_many = runner.world.fetch(self._load_many)

    def count(self) -> None:
        """Note a run."""
        with self._lock:
            self.runs += 1

    def check(self) -> None:
        """Fail when a step inside of the fetch failed."""
        if self.broken is not None:
            raise Failed(f"inside the fetch: {self.broken}")

    async def load(self) -> Any:
        """Do what the step says."""
        self.count()
        await self._during()
        if "recursive" in self._spec:
            key = build(self._spec["recursive"])
            return await self._runner.world.call(
                self._cache, "get_or_fetch", key, fetch=self.fetch, **self._step.put()
            )
        if self._failure is not None:
            raise self._failure
        return self._brought(build(self._spec.get("value")))

    def _brought(self, value: Any) -> Any:
        if "tags" in self._spec or "ttl" in self._spec:
            return Fetched(value, ttl=build(self._spec.get("ttl")), tags=self._spec.get("tags"))
        return value

    async def _load_many(self, missing: list[Any]) -> dict[Any, Any]:
        self.count()
        self.asked.append(list(missing))
        await self._during()
        if self._failure is not None:
            raise self._failure
        found = build_entries(self._spec.get("values") or [])
        return {key: self._brought(value) for key, value in found.items()}

    async def _during(self) -> None:
        try:
            await self._runner.steps(self._step.during)
        except Exception as problem:
            self.broken = problem


class Caller:
    """One of many callers, and how it ended."""

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.led = False


async def concurrent(runner: Runner, cache: CacheService, step: Step) -> None:
    """Let many callers ask for one key at once. The first fetch goes on when all others wait for it."""
    leader = step.get("leader") or ""
    if leader not in ("", "cancel", "panic"):
        raise Failed(f"unknown leader {leader!r}")
    fetches = Fetches(runner, cache, step)
    callers = [Caller() for _ in range(step.get("count") or 0)]
    before = cache.stats().waits
    first = threading.Lock()

    async def all_wait() -> None:
        waits = cache.stats().waits - before
        if waits < len(callers) - 1:
            raise Failed(f"{waits} callers wait, expected {len(callers) - 1}")

    async def run(caller: Caller) -> None:
        async def load() -> Any:
            if not first.acquire(blocking=False):
                return await fetches.load()
            caller.led = True
            try:
                await runner.poll(PATIENCE, all_wait)
            except Failed as problem:
                fetches.broken = problem
            if leader:
                fetches.count()
            if leader == "cancel":
                await runner.world.cancelled()
            if leader == "panic":
                raise Panic
            return await fetches.load()

        key, fetch = step.value("key"), runner.world.fetch(load)
        try:
            caller.value = await runner.world.call(cache, "get_or_fetch", key, fetch=fetch, **step.put())
        except BaseException as error:
            caller.error = error

    await runner.world.at_once([functools.partial(run, caller) for caller in callers])
    fetches.check()
    runner.expect_fetches(step, fetches.runs)
    _expect_outcomes(runner, step, leader, callers)


def _expect_outcomes(runner: Runner, step: Step, leader: str, callers: list[Caller]) -> None:
    shared: BaseException | None = None
    for number, caller in enumerate(callers):
        if caller.led and leader == "cancel":
            if not runner.world.is_cancellation(caller.error):
                raise Failed(f"the cancelled leader got {caller.value!r}, {caller.error!r}")
            continue
        if caller.led and leader == "panic":
            if not isinstance(caller.error, Panic):
                raise Failed(f"the leader that died got {caller.value!r}, {caller.error!r}")
            continue
        try:
            if caller.error is not None and not isinstance(caller.error, Exception):
                raise Failed(f"it ended with {caller.error!r}")
            runner.expect_error(step, caller.error)
            if caller.error is None:
                runner.expect_value(step, caller.value)
        except Exception as problem:
            raise Failed(f"caller {number}: {problem}") from problem
        shared = shared or caller.error
        if "error" in step.get("fetch") and step.get("expect_error") and caller.error is not shared:
            raise Failed(f"caller {number} got another error object")
