"""Steps: one operation each, and what is expected of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fetches import Fetches, Origin, concurrent
from scrubjay import CacheService, PartialError, ScrubjayError
from values import Failed, build, build_entries, same, show
from worlds import World

_FIELDS = {
    "op", "about", "cache", "options", "key", "keys", "value", "entries", "ttl", "codec", "tags", "fetch",
    "count", "leader", "step", "within", "remember", "token", "token_of", "expect", "expect_miss",
    "expect_error", "expect_names", "expect_pending", "expect_fetches", "expect_missing", "expect_failed",
}  # fmt: skip
_FETCH_FIELDS = {"value", "values", "error", "not_found", "during", "recursive", "tags", "ttl"}

_MISS = object()


class Step:
    """A step as it is written. A field that no step has fails it."""

    def __init__(self, fields: Any) -> None:
        if not isinstance(fields, dict):
            raise Failed("a step is an object")
        unknown = [*(fields.keys() - _FIELDS), *((fields.get("fetch") or {}).keys() - _FETCH_FIELDS)]
        if unknown:
            raise Failed(f"unknown fields {sorted(unknown)}")
        self.fields = fields
        self.op: str = fields.get("op", "")
        self.cache: str = fields.get("cache") or "a"
        self.during = [Step(step) for step in (fields.get("fetch") or {}).get("during") or []]
        self.inner = Step(fields["step"]) if "step" in fields else None

    def __contains__(self, field: str) -> bool:
        return field in self.fields

    def get(self, field: str) -> Any:
        """The field as it is written, None where it is not."""
        return self.fields.get(field)

    def value(self, field: str) -> Any:
        """The value that a field means."""
        if field not in self.fields:
            raise Failed(f"there is no {field}")
        return build(self.fields[field])

    def put(self) -> dict[str, Any]:
        """How a value is to be stored."""
        return {"ttl": build(self.get("ttl")), "codec": self.get("codec"), "tags": self.get("tags")}


class Runner:
    """The caches of one scenario, and what does its steps."""

    def __init__(self, world: World, defaults: dict[str, Any]) -> None:
        self.world = world
        self._defaults = defaults
        self._lock = threading.Lock()
        self._caches: dict[str, CacheService] = {}
        self._tokens: dict[str, str] = {}
        self._operations: dict[str, Callable[[CacheService, Step], Awaitable[None]]] = {
            "get": self._get,
            "set": self._set,
            "delete": self._delete,
            "clear": self._clear,
            "invalidate_tags": self._invalidate_tags,
            "close": self._close,
            "get_many": self._get_many,
            "set_many": self._set_many,
            "delete_many": self._delete_many,
            "get_or_fetch": self._get_or_fetch,
            "get_or_fetch_many": self._get_or_fetch_many,
            "concurrent": self._concurrent,
            "stats": self._stats,
            "update": self._update,
            "explain": self._explain,
            "observe": self._observe,
        }

    async def steps(self, steps: list[Step]) -> None:
        """Do steps in their order; the first that fails is told."""
        for number, step in enumerate(steps, 1):
            try:
                await self.step(step)
            except Failed as problem:
                raise Failed(f"step {number}, {step.op}: {problem}") from problem
            except Exception as problem:
                raise Failed(f"step {number}, {step.op}: {type(problem).__name__}: {problem}") from problem

    async def step(self, step: Step) -> None:
        """Do one step."""
        if step.op == "open":
            await self._expect_error(step, self.open(step.cache, build(step.get("options") or {})))
            return None
        if step.op == "eventually":
            return await self._eventually(step)
        operation = self._operations.get(step.op)
        if operation is None:
            raise Failed(f"unknown operation {step.op!r}")
        with self._lock:
            cache = self._caches.get(step.cache)
        if cache is None:
            raise Failed(f"no cache {step.cache!r} is open")
        return await operation(cache, step)

    async def open(self, name: str, options: dict[str, Any]) -> None:
        """Open a cache under a name, with the defaults of the scenario where the options do not say."""
        cache = CacheService(**{**self._defaults, **options})
        with self._lock:
            before = self._caches.get(name)
            self._caches[name] = cache
        if before is not None:
            await self.world.call(before, "close")

    async def close_all(self) -> None:
        """Close what is open."""
        for cache in self._caches.values():
            await self.world.call(cache, "close")

    async def poll(self, within: float, attempt: Callable[[], Awaitable[None]]) -> None:
        """Try every 5 ms until it succeeds; the problem of the first attempt that began after the time is told.

        An earlier one saw what was allowed then, however long it took to say so.
        """
        deadline = time.monotonic() + within
        while True:
            began = time.monotonic()
            try:
                return await attempt()
            except Exception as problem:
                if began > deadline:
                    raise Failed(f"not within {within} s: {problem}") from problem
            await self.world.sleep(0.005)

    # What is expected.

    async def _expect_error(self, step: Step, result: Awaitable[Any]) -> Any:
        """The result of an operation that succeeds, or None when the error that was expected came."""
        error: BaseException
        try:
            value = await result
        except Exception as raised:
            error = raised
        except asyncio.CancelledError as raised:
            error = raised
        else:
            if step.get("expect_error"):
                raise Failed(f"{step.get('expect_error')} was expected, nothing went wrong")
            return value
        self.expect_error(step, error)
        return None

    def expect_error(self, step: Step, error: BaseException | None) -> None:
        """Compare how an operation ended."""
        expected = step.get("expect_error")
        if not expected:
            if error is not None:
                raise error
            return
        if error is None:
            raise Failed(f"{expected} was expected, nothing went wrong")
        if kind_of(error) != expected:
            raise Failed(f"{expected} was expected, not {kind_of(error)}: {error}")
        for name in step.get("expect_names") or []:
            if name not in str(error):
                raise Failed(f"{name!r} is not in the message: {error}")

    def expect_value(self, step: Step, actual: Any) -> None:
        """Compare a value."""
        if "expect" in step and not same(step.value("expect"), actual):
            raise Failed(f"expected {show(step.value('expect'))}, got {show(actual)}")

    def _expect_entries(self, step: Step, actual: Any) -> None:
        """Compare a dict with the pairs expected: these keys, no others."""
        if "expect" not in step:
            return
        expected = build_entries(step.get("expect"))
        if not same(expected, actual):
            raise Failed(f"expected {show(expected)}, got {show(actual)}")

    def expect_fetches(self, step: Step, runs: int) -> None:
        """Compare how often the fetch ran."""
        if "expect_fetches" in step and runs != step.get("expect_fetches"):
            raise Failed(f"the fetch ran {runs} times, expected {step.get('expect_fetches')}")

    async def _write(self, step: Step, cache: CacheService, method: str, *args: Any, **kwargs: Any) -> None:
        receipt = await self._expect_error(step, self.world.call(cache, method, *args, **kwargs))
        if receipt is not None and "expect_pending" in step and receipt.pending is not step.get("expect_pending"):
            raise Failed(f"pending is {receipt.pending}")
        if receipt is not None and "remember" in step:
            self._tokens[step.get("remember")] = receipt.token

    # The operations.

    async def _get(self, cache: CacheService, step: Step) -> None:
        actual = await self._expect_error(step, self.world.call(cache, "get", step.value("key"), _MISS))
        if step.get("expect_error"):
            return
        if step.get("expect_miss"):
            if actual is not _MISS:
                raise Failed(f"a miss was expected, got {show(actual)}")
        elif actual is _MISS:
            raise Failed("a value was expected, it is a miss")
        else:
            self.expect_value(step, actual)

    async def _set(self, cache: CacheService, step: Step) -> None:
        await self._write(step, cache, "set", step.value("key"), step.value("value"), **step.put())

    async def _delete(self, cache: CacheService, step: Step) -> None:
        await self._write(step, cache, "delete", step.value("key"))

    async def _clear(self, cache: CacheService, step: Step) -> None:
        await self._write(step, cache, "clear")

    async def _invalidate_tags(self, cache: CacheService, step: Step) -> None:
        await self._write(step, cache, "invalidate_tags", step.value("tags"))

    async def _close(self, cache: CacheService, step: Step) -> None:
        await self._write(step, cache, "close")

    async def _get_many(self, cache: CacheService, step: Step) -> None:
        actual = await self._expect_error(step, self.world.call(cache, "get_many", step.value("keys")))
        if not step.get("expect_error"):
            self._expect_entries(step, actual)

    async def _set_many(self, cache: CacheService, step: Step) -> None:
        entries = [(build(key), build(value)) for key, value in step.get("entries") or []]
        await self._write(step, cache, "set_many", entries, **step.put())

    async def _delete_many(self, cache: CacheService, step: Step) -> None:
        await self._write(step, cache, "delete_many", step.value("keys"))

    async def _get_or_fetch(self, cache: CacheService, step: Step) -> None:
        fetches = Fetches(self, cache, step)
        call = self.world.call(cache, "get_or_fetch", step.value("key"), fetch=fetches.fetch, **step.put())
        value, error = await outcome(call)
        fetches.check()
        self.expect_fetches(step, fetches.runs)
        self.expect_error(step, error)
        if error is None:
            self.expect_value(step, value)

    async def _concurrent(self, cache: CacheService, step: Step) -> None:
        await concurrent(self, cache, step)

    async def _stats(self, cache: CacheService, step: Step) -> None:
        actual = cache.stats().as_dict()
        for field, expected in (step.get("expect") or {}).items():
            if field not in actual or not same(expected, actual[field]):
                raise Failed(f"{field} is {actual.get(field)}, expected {expected}")

    async def _update(self, cache: CacheService, step: Step) -> None:
        fetches = Fetches(self, cache, step)
        options = {name: build(value) for name, value in (step.get("options") or {}).items()}
        call = self.world.call(
            cache, "update", step.value("keys"), fetches.fetch, tags=step.get("tags"), **options
        )
        updated, error = await outcome(call)
        fetches.check()
        self.expect_fetches(step, fetches.runs)
        self.expect_error(step, error)
        if error is None and "expect_pending" in step and updated[1].pending is not step.get("expect_pending"):
            raise Failed(f"pending is {updated[1].pending}")

    async def _explain(self, cache: CacheService, step: Step) -> None:
        seen = await self._expect_error(step, self.world.call(cache, "explain", step.value("key")))
        if seen is None:
            return
        hold = seen["hold"]
        actual = {**seen, "writers": hold["writers"] if hold else 0, "loading": seen["lease"] is not None}
        for field, expected in (step.get("expect") or {}).items():
            if field not in actual or not same(expected, actual[field]):
                raise Failed(f"{field} is {actual.get(field)}, expected {expected}")

    async def _observe(self, cache: CacheService, step: Step) -> None:
        token = self._tokens.get(step.get("token_of")) if "token_of" in step else step.get("token")
        if token is None:
            raise Failed("there is no token")

        async def observe() -> None:
            cache.observe(token, step.value("keys"))

        await self._expect_error(step, observe())

    async def _get_or_fetch_many(self, cache: CacheService, step: Step) -> None:
        fetches = Fetches(self, cache, step)
        call = self.world.call(
            cache, "get_or_fetch_many", step.value("keys"), fetch=fetches.fetch_many, **step.put()
        )
        actual, error = await outcome(call)
        fetches.check()
        if isinstance(error, PartialError):
            actual = dict(error.values)
        if "expect_failed" in step:
            if not isinstance(error, PartialError):
                raise Failed(f"a partial failure was expected, got {error!r}")
            expected = set(step.value("expect_failed"))
            if set(error.failed) != expected:
                raise Failed(f"failed are {sorted(error.failed)}, expected {sorted(expected)}")
            if not step.get("expect_error"):
                error = None
        self.expect_error(step, error)
        if "expect_missing" in step and fetches.asked != step.value("expect_missing"):
            raise Failed(f"the fetch was asked for {fetches.asked}, expected {step.value('expect_missing')}")
        self._expect_entries(step, actual)

    async def _eventually(self, step: Step) -> None:
        inner = step.inner
        if inner is None:
            raise Failed("there is no step to repeat")
        if "cache" not in inner:
            inner.cache = step.cache
        await self.poll(step.get("within") or 10.0, lambda: self.step(inner))


async def outcome(call: Awaitable[Any]) -> tuple[Any, Exception | None]:
    """How a call ended: its value, or its exception."""
    try:
        return await call, None
    except Exception as error:
        return None, error


def kind_of(error: BaseException) -> str:
    """The kind of an exception, as the corpus names it."""
    if isinstance(error, Origin):
        return "FetchFailed"
    if isinstance(error, ScrubjayError):
        return error.kind
    if isinstance(error, asyncio.CancelledError):
        return "Cancelled"
    return type(error).__name__
