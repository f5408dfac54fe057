"""The two ways to use a cache: plain calls in a thread, and coroutines in a task.

What readers do is written once, as coroutines. In a thread nothing that they await ever suspends.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any


class Plain:
    """Plain calls, in a thread of its own."""

    def __init__(self, cache: Any, truth: str) -> None:
        self.cache = cache
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(truth)
        self.truth = connection.makefile("rw", encoding="ascii")

    async def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self.cache, method)(*arguments)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251

    async def ask(self, line: str) -> list[int]:
        self.truth.write(line + "\n")
        self.truth.flush()
        return [int(ver) for ver in self.truth.readline().split()]

    def fetch(self, load: Callable[..., Any]) -> Callable[..., Any]:
        """A fetch of this world made of a coroutine function."""

        def fetch(*arguments: Any) -> Any:
            try:
                load(*arguments).send(None)
            except StopIteration as done:
                return done.value
            raise AssertionError("a fetch of a thread waited for an event loop")

        return fetch


class Tasks:
    """Coroutines, in any number of tasks."""

    def __init__(self, cache: Any, truth: str) -> None:
        self.cache, self.path = cache, truth
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.turn = asyncio.Lock()

    async def call(self, method: str, *arguments: Any) -> Any:
        return await getattr(self.cache, "a" + method)(*arguments)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def ask(self, line: str) -> list[int]:
        async with self.turn:
            if self.streams is None:
                self.streams = await asyncio.open_unix_connection(self.path)
            reader, writer = self.streams
            writer.write(line.encode() + b"\n")
            return [int(ver) for ver in (await reader.readline()).split()]

    def fetch(self, load: Callable[..., Any]) -> Callable[..., Any]:
        return load


World = Plain | Tasks
