"""Running writers: what a worker of a write-behind does with the writes that it is handed.

No frame of the native half lies below a writer: the interpreter may end a daemon thread inside of one.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ._errors import Closed, InvalidOption, Overloaded
from ._loop import settled
from ._scrubjay import Behind, Handed, Pending, Turn, Write


class Rejected(Exception):
    """What a writer raises, or returns a list of, for writes that failed: the source has the others of the batch.

    Args:
        writes: one of the batch, or several; each failed by itself.
        message: why, for the list of dead letters; 1 KiB of it is kept.
        permanent: do not try again: they are dead letters.
    """

    def __init__(self, writes: Write | Iterable[Write], message: str = "", *, permanent: bool = False) -> None:
        self.writes = [writes] if isinstance(writes, Write) else list(writes)
        self.message = message
        self.permanent = permanent
        super().__init__(message or f"{len(self.writes)} writes were rejected")


Outcome = list[Rejected] | tuple[Rejected, ...] | None
Writer = Callable[[list[Write]], Outcome | Awaitable[Outcome]]
How = tuple[int | None, int | None, Any, Any]
"""What a batch may be: max_items, max_bytes, linger and wait."""


def check_writer(writer: Any) -> None:
    """Refuse what cannot be called."""
    if not callable(writer):
        message = f"writer must be a function, is {type(writer).__name__}"
        raise InvalidOption(message, operation="write_behind")


def is_coroutine_function(writer: Any) -> bool:
    """Whether a writer is for tasks."""
    return inspect.iscoroutinefunction(writer) or inspect.iscoroutinefunction(getattr(writer, "__call__", None))  # noqa: B004


def work(behind: Behind, writer: Writer, how: How) -> None:
    """Bring writes to the source in this thread, until the write-behind is closed."""
    while True:
        try:
            batch = behind.next_batch(how)
        except Closed:
            return
        if type(batch) is not Handed:
            continue
        writes: list[Write] = []
        try:
            writes = batch.take()
            outcome = _plain(writer(list(writes)))
            rejected = _rejections(outcome)
        except Exception as error:
            failed(behind, writes, error)
        except BaseException:
            # The thread is to end: that is held against none of them.
            behind.give_back(numbers(writes))
            raise
        else:
            answer(behind, writes, rejected)


async def awork(behind: Behind, writer: Writer, how: How) -> None:
    """Bring writes to the source in this task, until the write-behind is closed."""
    while True:
        try:
            batch = behind.anext_batch(how)
            if type(batch) is Pending:
                batch = await settled(batch)
        except Closed:
            return
        if type(batch) is not Handed:
            continue
        writes: list[Write] = []
        try:
            writes = batch.take()
            outcome = writer(list(writes))
            if inspect.isawaitable(outcome):
                outcome = await outcome
            rejected = _rejections(outcome)
        except Exception as error:
            failed(behind, writes, error)
        except BaseException:
            behind.give_back(numbers(writes))
            raise
        else:
            answer(behind, writes, rejected)


def write_through(behind: Behind, turn: Turn, writer: Writer) -> None:
    """Make a write for which there is no room, in this thread. What the writer raises is raised."""
    try:
        rejected = _rejections(_plain(writer([_write_of(behind, turn)])))
    except BaseException:
        turn.abandon()
        raise
    _end(behind, turn, rejected)


async def awrite_through(behind: Behind, turn: Turn, writer: Writer) -> None:
    """As `write_through`, in this task."""
    try:
        outcome = writer([_write_of(behind, turn)])
        if inspect.isawaitable(outcome):
            outcome = await outcome
        rejected = _rejections(outcome)
    except BaseException:
        turn.abandon()
        raise
    _end(behind, turn, rejected)


def _write_of(behind: Behind, turn: Turn) -> Write:
    write = behind.write_of(turn)
    if write is None:
        raise Overloaded("the time of the caller to write is over: see visibility", operation="write_behind")
    return write


def _end(behind: Behind, turn: Turn, rejected: list[Rejected]) -> None:
    if rejected:
        turn.abandon()
        raise rejected[0]
    behind.written(turn)


def numbers(writes: Iterable[Write]) -> list[int]:
    """The numbers by which the native half knows writes."""
    return [write.number for write in writes]


def answer(behind: Behind, writes: list[Write], rejected: Iterable[Rejected]) -> None:
    """Tell that the source has the writes of a batch, but for those that were rejected."""
    failures = [(write.number, rejection) for rejection in rejected for write in rejection.writes]
    without = {number for number, _ in failures}
    behind.ack([write.number for write in writes if write.number not in without])
    for number, rejection in failures:
        behind.nack([number], str(rejection), rejection.permanent)


def failed(behind: Behind, writes: list[Write], error: Exception) -> None:
    """Tell what a writer raised."""
    if isinstance(error, Rejected):
        answer(behind, writes, [error])
    else:
        behind.nack(numbers(writes), text_of(error), False)


def text_of(error: Exception) -> str:
    """What is kept of an error."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _plain(outcome: Any) -> Any:
    if inspect.isawaitable(outcome):
        if inspect.iscoroutine(outcome):
            outcome.close()
        message = "writer must not return an awaitable here: use arun, or aset"
        raise InvalidOption(message, operation="write_behind")
    return outcome


def _rejections(outcome: Any) -> list[Rejected]:
    if outcome is None:
        return []
    # Not any iterable: a cursor is one, too, and so are writes that somebody returned to have them tried again.
    if isinstance(outcome, list | tuple) and all(isinstance(rejection, Rejected) for rejection in outcome):
        return list(outcome)
    message = f"writer must return None or a list of Rejected, returned {type(outcome).__name__}"
    raise InvalidOption(message, operation="write_behind")
