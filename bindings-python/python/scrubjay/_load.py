"""Running fetches: what the caller does when it is its turn.

No frame of the native half lies below a fetch: the interpreter may end a daemon thread inside of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import ContextVar, Token, copy_context
from typing import Any

from ._errors import InvalidOption, NotFound
from ._fetched import Fetched
from ._scrubjay import MISS, Turn

HELD: ContextVar[tuple[int, ...]] = ContextVar("scrubjay_held", default=())
"""The leases of the fetches inside which the current code runs. The native half reads it."""

REMEMBERS = "__scrubjay_remembers__"
"""The attribute of a fetch that says which of its errors are remembered."""

_REFRESHES: set[asyncio.Task[None]] = set()
"""Refreshes that run behind their callers: a loop holds its tasks only weakly."""


def lead(turn: Turn, fetch: Callable[[], Any]) -> Any:
    """Run a fetch in this thread and tell what came of it."""
    outside = hold(turn.lease)
    try:
        value = fetch()
    except Exception as error:
        stale = failed(turn, error, fetch)
        if stale is MISS:
            raise
        return stale
    except BaseException:
        turn.abandon()
        raise
    finally:
        release(outside)
    if inspect.isawaitable(value):
        turn.abandon()
        raise refused(value, "get_or_fetch")
    return fulfil(turn, value)


async def alead(turn: Turn, fetch: Callable[[], Any]) -> Any:
    """Run a fetch in this task and tell what came of it."""
    outside = hold(turn.lease)
    try:
        value = fetch()
        if inspect.isawaitable(value):
            value = await value
    except Exception as error:
        stale = failed(turn, error, fetch)
        if stale is MISS:
            raise
        return stale
    except BaseException:
        turn.abandon()
        raise
    finally:
        release(outside)
    return fulfil(turn, value)


def fulfil(turn: Turn, fetched: Any) -> Any:
    """Tell what a fetch has brought; what the caller is to be given."""
    if type(fetched) is Fetched:
        return turn.fulfil(fetched.value, fetched.ttl, fetched.tags, fetched.keep)
    return turn.fulfil(fetched)


def refreshed(turn: Turn, fetch: Callable[[], Any], background: Executor | None) -> Any:
    """Refresh a value ahead of its end: behind the caller, or by the caller itself.

    Whatever comes of it, the caller has a value to go on with.
    """
    if background is not None:
        if not submit(background, lambda: lead(turn, fetch)):
            turn.abandon()
        return turn.value
    try:
        return lead(turn, fetch)
    except Exception:
        return turn.value


def submit(background: Executor, refresh: Callable[[], Any]) -> bool:
    """Run a refresh on an executor. False when that was shut down.

    A refresh that fails has told those that wait; nobody else is to be told.
    """
    try:
        background.submit(copy_context().run, refresh)
    except RuntimeError:
        return False
    return True


def refresh_behind(refresh: Coroutine[Any, Any, Any]) -> None:
    """Run a refresh in a task of its own."""

    async def run() -> None:
        try:
            await refresh
        except Exception:
            return  # told to those that wait; nobody else is to be told

    task = asyncio.get_running_loop().create_task(run(), name="scrubjay-refresh")
    _REFRESHES.add(task)
    task.add_done_callback(_REFRESHES.discard)


def hold(*leases: int) -> Token[tuple[int, ...]] | None:
    """Note that what runs from here on runs inside the fetches of these leases; 0 is none."""
    shared = tuple(lease for lease in leases if lease)
    return HELD.set((*HELD.get(), *shared)) if shared else None


def release(outside: Token[tuple[int, ...]] | None) -> None:
    """Undo a `hold`."""
    if outside is not None:
        # A coroutine that is closed by somebody else ends in that one's context.
        with contextlib.suppress(ValueError):
            HELD.reset(outside)


def failed(turn: Turn, error: Exception, fetch: Any = None) -> Any:
    """Tell that the fetch of a turn failed. A value past its ttl to serve instead, or `MISS`."""
    remembers = getattr(fetch, REMEMBERS, None)
    try:
        message = str(error) or type(error).__name__
    except Exception:
        message = type(error).__name__
    if remembers is None:
        return turn.fail(error, message, isinstance(error, NotFound))
    remembered = False
    try:
        remembered = bool(remembers(error))
    finally:
        # Whatever the predicate does, those who wait are told.
        stale = turn.fail(error, message, isinstance(error, NotFound), remembered)
    return stale


def refused(value: Any, operation: str) -> InvalidOption:
    """Refuse what an asynchronous fetch returned to a call that blocks."""
    if inspect.iscoroutine(value):
        value.close()
    message = f"fetch must not return an awaitable here: await a{operation} instead"
    return InvalidOption(message, operation=operation)
