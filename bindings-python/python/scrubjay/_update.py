"""Writes to the source of a cache: nothing old is left when they are done."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict

from ._errors import InvalidOption, ScrubjayError
from ._loop import settled
from ._scrubjay import Pending, Receipt, Turn, abegin_update, aend_update, begin_update, check_write, end_update

if TYPE_CHECKING:
    from ._service import CacheService

Seconds = float | timedelta | None


class Updating:
    """An update as a block of code: made by `CacheService.updating`."""

    def __init__(
        self,
        cache: CacheService,
        keys: Iterable[str | bytes],
        intent_ttl: Seconds = None,
        hold: Seconds = None,
        strict: bool = False,
        tags: Iterable[str] | None = None,
    ) -> None:
        if not isinstance(strict, bool):
            message = f"strict must be True or False, is {type(strict).__name__}"
            raise InvalidOption(message, operation="update")
        self._cache = cache
        self._keys = keys
        self._how = (intent_ttl, hold, strict, tags)
        self._turn: Turn | None = None
        self.receipt: Receipt | None = None
        """What became of the invalidation, once the block has ended."""

    def __enter__(self) -> Self:
        self._check()
        self._turn = begin_update(self._cache, self._keys, self._how)
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, _: TracebackType | None
    ) -> None:
        turn = self._taken()
        if exception is None:
            self.receipt = end_update(self._cache, turn)
        elif isinstance(exception, Exception):
            # What the block raised is what its caller is to see.
            with contextlib.suppress(ScrubjayError):
                self.receipt = end_update(self._cache, turn)
        else:
            # The thread, or the process, is to end: not to wait for a server.
            turn.abandon()

    async def __aenter__(self) -> Self:
        self._check()
        turn = abegin_update(self._cache, self._keys, self._how)
        self._turn = await settled(turn) if type(turn) is Pending else turn
        return self

    async def __aexit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, _: TracebackType | None
    ) -> None:
        turn = self._taken()
        if exception is None:
            self.receipt = await _ended(self._cache, turn)
        elif isinstance(exception, Exception):
            with contextlib.suppress(ScrubjayError):
                self.receipt = await _ended(self._cache, turn)
        else:
            turn.abandon()

    def _check(self) -> None:
        if self._turn is not None:
            raise InvalidOption("updating is for one block at a time", operation="update")

    def _taken(self) -> Turn:
        turn, self._turn = self._turn, None
        assert turn is not None, "a block that ends has begun"
        return turn


async def _ended(cache: CacheService, turn: Turn) -> Receipt:
    answer = aend_update(cache, turn)
    return await settled(answer) if type(answer) is Pending else answer


def update(updating: Updating, write: Callable[[], Any]) -> tuple[Any, Receipt]:
    """Run a write in this thread, inside of an update."""
    check_write(write, False)
    with updating:
        value = write()
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            message = "write must not return an awaitable here: await aupdate instead"
            raise InvalidOption(message, operation="update")
    assert updating.receipt is not None, "a block that has ended has a receipt"
    return value, updating.receipt


async def aupdate(updating: Updating, write: Callable[[], Any]) -> tuple[Any, Receipt]:
    """Run a write in this task, inside of an update."""
    check_write(write, True)
    async with updating:
        value = write()
        if inspect.isawaitable(value):
            value = await value
    assert updating.receipt is not None, "a block that has ended has a receipt"
    return value, updating.receipt


class LeaseSeen(TypedDict):
    """A load that goes on."""

    here: bool
    """Whether this process loads, and not another one."""
    left: float
    """How long it has, in seconds, unless it is extended."""


class HoldSeen(TypedDict):
    """Writers that are at work."""

    writers: int
    """How many. One that died counts until its time is over."""
    left: float
    """When the last of them is given up, in seconds."""


class Explanation(TypedDict):
    """What a cache knows of one key. Times are seconds; None is what there is not."""

    tier: str | None
    """What would answer a read now: "l1", the memory of this process, "l2", the shared tier, or None: a miss."""
    reason: str
    """Why: "fresh", "absent", "expired", "invalidated", "held" (a writer is at work), "loading", "pending" (an
    invalidation has not landed), "damaged", "foreign" (of another release) or "unreachable"."""
    stale: bool
    """Whether there is a value past its time, for when a fetch fails or is slow."""
    age: float | None
    """How long ago the value was stored."""
    ttl: float | None
    """How long it stays fresh; negative where it is not any more."""
    stale_ttl: float | None
    """How long it may be served stale from now on, its fresh time included."""
    version: int | None
    """The number of its write in the sequence of the shared tier."""
    tags: list[str]
    """The tags of the value."""
    lease: LeaseSeen | None
    """Who loads it now."""
    hold: HoldSeen | None
    """The writers that are between their intent and their invalidation."""
    load_ms: int | None
    """How long its last load took, in milliseconds."""
    codec: str | None
    """"json", "msgpack" or "raw"."""
    bytes: int | None
    """The length of the value as it is stored."""
    negative: bool
    """Whether it is a remembered "not found"."""
    reachable: bool
    """Whether the shared tier could be asked, or there is none."""
