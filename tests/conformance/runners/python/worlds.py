"""The two ways to use a cache: plain calls in threads, and coroutines in tasks.

Steps are written once, as coroutines. In the plain world nothing that they await ever suspends, so a thread runs
them from begin to end, and no event loop is there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from scrubjay import CacheService

T = TypeVar("T")
Fetch = Callable[..., Coroutine[Any, Any, Any]]


class Panic(BaseException):
    """How a leader dies that neither fails nor is cancelled."""


class World(Protocol):
    """A way to use a cache."""

    name: str

    async def call(self, cache: CacheService, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method by the name that it has in all languages."""

    def fetch(self, fetch: Fetch) -> Callable[..., Any]:
        """Make a fetch of a coroutine function."""

    async def sleep(self, seconds: float) -> None:
        """Let others run."""

    async def at_once(self, callers: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Run all these callers at the same time. They do not fail."""

    async def cancelled(self) -> None:
        """Be cancelled here and now, as it is done in this world."""

    def is_cancellation(self, error: BaseException | None) -> bool:
        """Whether a caller that was cancelled saw that."""

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a scenario."""


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("a step of the plain world waited for an event loop")


class Plain:
    """Plain calls, in threads."""

    name = "sync"

    async def call(self, cache: CacheService, method: str, *args: Any, **kwargs: Any) -> Any:
        """Block."""
        return getattr(cache, method)(*args, **kwargs)

    def fetch(self, fetch: Fetch) -> Callable[..., Any]:
        """Run it in the thread that calls it."""
        return lambda *args: at_once(fetch(*args))

    async def sleep(self, seconds: float) -> None:
        """Sleep as a thread."""
        time.sleep(seconds)  # noqa: ASYNC251  (no loop is there)

    async def at_once(self, callers: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Give each a thread."""
        threads = [
            threading.Thread(target=lambda caller=caller: at_once(caller()), daemon=True) for caller in callers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async def cancelled(self) -> None:
        """Be interrupted, as by Ctrl-C."""
        raise KeyboardInterrupt

    def is_cancellation(self, error: BaseException | None) -> bool:
        """Whether it was interrupted."""
        return isinstance(error, KeyboardInterrupt)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run it in this thread."""
        return at_once(main)


class Tasks:
    """Coroutines, in tasks of one event loop."""

    name = "async"

    async def call(self, cache: CacheService, method: str, *args: Any, **kwargs: Any) -> Any:
        """Await the twin."""
        twin: Awaitable[Any] = getattr(cache, "a" + method)(*args, **kwargs)
        return await twin

    def fetch(self, fetch: Fetch) -> Callable[..., Any]:
        """Give it as it is."""
        return fetch

    async def sleep(self, seconds: float) -> None:
        """Sleep as a task."""
        await asyncio.sleep(seconds)

    async def at_once(self, callers: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Give each a task."""
        await asyncio.wait([asyncio.create_task(caller()) for caller in callers])

    async def cancelled(self) -> None:
        """Be cancelled as a task."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()

    def is_cancellation(self, error: BaseException | None) -> bool:
        """Whether it was cancelled."""
        return isinstance(error, asyncio.CancelledError)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run it on a loop of its own."""
        return asyncio.run(main)
