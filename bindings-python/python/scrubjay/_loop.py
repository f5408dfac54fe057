"""How an event loop learns of answers: its own queue, kept in an attribute of the loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import Any

from ._errors import Unsupported
from ._scrubjay import Failure, Handed, LoopQueue, Pending, Turn


def attach(loop: asyncio.AbstractEventLoop) -> LoopQueue:
    """Make the queue of a loop. It is part of the loop: when the loop goes, so does the queue.

    The loop watches the descriptor of the queue. A loop that cannot watch descriptors gets a thread of its
    own, which waits for answers and wakes the loop once for each batch.
    """
    queue = LoopQueue(True)
    try:
        loop.add_reader(queue.fileno(), queue.deliver)
    except NotImplementedError:
        queue = LoopQueue(False)
        _attach_thread(loop, queue)
    try:
        loop._scrubjay_queue = queue  # type: ignore[attr-defined]
    except AttributeError:
        message = f"event loops of type {type(loop).__name__} take no attributes"
        raise Unsupported(message, operation="attach") from None
    return queue


def _attach_thread(loop: asyncio.AbstractEventLoop, queue: LoopQueue) -> None:
    # The thread must not keep the loop alive, or neither would ever go.
    loop_or_none = weakref.ref(loop)
    weakref.finalize(loop, queue.close).atexit = False

    def forward() -> None:
        while queue.take():
            loop = loop_or_none()
            if loop is None:
                return
            try:
                loop.call_soon_threadsafe(queue.deliver)
            except RuntimeError:
                return  # the loop was closed
            del loop

    threading.Thread(target=forward, name="scrubjay-loop", daemon=True).start()


async def settled(pending: Pending) -> Any:
    """Wait for an answer that is still to come. What failed is raised."""
    try:
        answer = await pending.future
    except BaseException:
        withdraw(pending)
        raise
    if type(answer) is Failure:
        raise answer.take()
    return answer


def withdraw(pending: Pending) -> None:
    """Wait no longer. A lead that came in this very moment goes on to the next caller."""
    pending.withdraw()
    future = pending.future
    if future.done() and not future.cancelled():
        give_back(future.result())


def give_back(answer: Any) -> None:
    """Abandon what an answer asks its caller to do."""
    if type(answer) is Turn or type(answer) is Handed:
        answer.abandon()
    elif type(answer) is Pending:
        withdraw(answer)
    elif type(answer) is list:
        for part in answer:
            if type(part) is Turn or type(part) is Pending:
                give_back(part)
