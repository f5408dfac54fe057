"""What the tests of loading share: many callers, and how to wait for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from conftest import eventually
from scrubjay import (
    CacheService,
)

CALLERS = 1000


class Origin(Exception):
    """The error of a fetch."""


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """What each of so many threads got, or its exception."""
    results: list[Any] = [None] * count

    def run(index: int) -> None:
        try:
            results[index] = call()
        except BaseException as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def when_all_wait(cache: CacheService, count: int = CALLERS) -> None:
    eventually(lambda: cache.stats().waits >= count - 1, within=60)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)
