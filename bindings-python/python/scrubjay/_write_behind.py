"""Write-behind: the cache has a value at once, the source gets it a little later, from a worker."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypedDict

from ._errors import InvalidOption
from ._loop import settled
from ._scrubjay import MISS, Behind, Handed, Pending, Receipt, Turn, Write
from ._writer import How, Writer, awork, awrite_through, check_writer, is_coroutine_function, work, write_through
from ._writer import numbers as numbers_of

if TYPE_CHECKING:
    from ._service import CacheService

Seconds = float | timedelta
Ttl = float | timedelta | None
Tags = Iterable[str] | None


class WriteBehindOptions(TypedDict, total=False):
    """The options of `CacheService.write_behind`. Durations are seconds, or `timedelta`."""

    ack: Literal["journal", "redis", "memory"]
    """When a write is acknowledged: it is in a file of this process, synced to the disk (the default); in a stream
    of the cache's Redis; or, only if asked for, in the memory of this process."""
    directory: str | os.PathLike[str] | None
    """Where the journals are, on a local disk; required by ``"journal"``."""
    max_bytes: int
    """How much may wait, overhead counted: 4 KiB to 64 GiB, by default 64 MiB."""
    max_age: Seconds | None
    """How old the oldest write may be; by default there is no bound."""
    on_full: Literal["block", "write_through", "reject"]
    """What becomes of a write beyond these bounds: it waits (the default), its caller makes it by the writer when
    the earlier ones of its key are done, or it is `Overloaded`."""
    block_for: Seconds
    """How long a write waits at most, then it is `Overloaded`; by default 5 s."""
    max_attempts: int
    """After so many failures of a write alone it is a dead letter; 0 for never, by default 20."""
    retry_base: Seconds
    """The pause after the first failure, by default 0.1 s. It doubles with each."""
    retry_max: Seconds
    """The longest pause, by default 30 s."""
    visibility: Seconds
    """A write that was handed out and not answered for is due again after so long: by default 60 s."""
    partitions: int
    """With ``"redis"``: over so many partitions keys are spread, by default 16. The first process decides."""


class DrainReport(NamedTuple):
    """What a `flush` or a `close` came to."""

    written: int
    """Writes that the source got meanwhile."""
    left: int
    """Writes that it has not got. After a close the journal, or the stream, has them for whoever opens it next."""
    dead: int
    """Dead letters, which stay where they are."""


class WriteBehindStats(NamedTuple):
    """The counters of one write-behind in this process."""

    depth: int
    """Writes that wait for the source, those handed out included; dead letters are not."""
    bytes: int
    """What they and the dead letters weigh."""
    oldest_age_ms: int
    """How long the oldest of them has waited."""
    in_flight: int
    """Writes that are handed out and not answered for."""
    accepted: int
    """Writes acknowledged to callers."""
    written: int
    """Writes that the source has."""
    coalesced: int
    """Writes that a newer one of their key took the place of."""
    retried: int
    """Failures of writes that were, or will be, tried again."""
    dead: int
    """Dead letters."""
    adopted: int
    """Writes taken over from dead processes."""
    rejected: int
    """Writes refused, or that waited in vain, because too much waited."""
    journal_errors: int
    """Commits, or attempts to open a journal anew, that failed."""
    journal_failed: int
    """1 while writes are not acknowledged because the journal, or the stream, cannot be written."""


class WriteBehind:
    """A write-behind over a cache: made by `CacheService.write_behind`.

    With a writer, the first write in a process starts its worker: a thread for a function, a task of the running
    loop for a coroutine function. Without one, `run` or `arun` one somewhere, in this process or another one, or
    pull batches by `next_batch`.

    A forked child has a journal and a worker of its own. What is acknowledged survives a program that ends without
    `close`: whoever opens the write-behind next brings it to the source.
    """

    def __init__(self, cache: CacheService, name: str, writer: Writer | None, options: dict[str, Any]) -> None:
        if writer is not None:
            check_writer(writer)
        elif options.get("on_full") == "write_through":
            message = 'on_full="write_through" needs the writer here: callers use it'
            raise InvalidOption(message, operation="write_behind")
        self._core = Behind(cache, {**options, "name": name})
        self._name = name
        self._writer = writer
        self._for_tasks = is_coroutine_function(writer)
        self._direct = options.get("on_full") == "write_through"
        self._used = self._closed = False
        self._pid = 0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._tasks: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<scrubjay.WriteBehind name={self._name!r}>"

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._astart()
        return self

    async def __aexit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.aclose()

    def set(
        self, key: str | bytes, value: Any, ttl: Ttl = None, *, codec: str | None = None, tags: Tags = None
    ) -> Receipt | None:
        """Store a value in the cache, and behind it in the source, which gets the newest of those that wait.

        Returns:
            The receipt, once the write is acknowledged; None where the caller has made the write itself
            (``on_full="write_through"``).

        Raises:
            Unavailable: the journal, or the stream, cannot be written, and nothing has happened.
            Overloaded: too much waits for the source.
            InvalidKey, InvalidValue, InvalidOption, Closed: nothing has happened.
        """
        return self._written(lambda: self._core.set(key, value, ttl, codec, tags))

    async def aset(
        self, key: str | bytes, value: Any, ttl: Ttl = None, *, codec: str | None = None, tags: Tags = None
    ) -> Receipt | None:
        """As `set`, for tasks. The write goes on when the task is cancelled."""
        return await self._awritten(lambda: self._core.aset(key, value, ttl, codec, tags))

    def delete(self, key: str | bytes) -> Receipt | None:
        """Delete a key from the cache, and behind it from the source. As `set`.

        Until the source has it, a ``get_or_fetch`` of the key raises `NotFound`.
        """
        return self._written(lambda: self._core.delete(key))

    async def adelete(self, key: str | bytes) -> Receipt | None:
        """As `delete`, for tasks."""
        return await self._awritten(lambda: self._core.adelete(key))

    def delta(self, key: str | bytes, change: Any) -> Receipt | None:
        """Have the source change what it has under a key, by what its writer understands. Each change is written.

        The cache lets go of the key, and stores nothing that is loaded before the source has it. As `set`.
        """
        return self._written(lambda: self._core.delta(key, change))

    async def adelta(self, key: str | bytes, change: Any) -> Receipt | None:
        """As `delta`, for tasks."""
        return await self._awritten(lambda: self._core.adelta(key, change))

    def _written(self, write: Callable[[], Receipt | Turn]) -> Receipt | None:
        if self._direct and self._for_tasks:
            message = "the writer is a coroutine function, which callers may have to await: use aset"
            raise InvalidOption(message, operation="write_behind")
        self._start()
        self._used = True
        answer = write()
        if type(answer) is not Turn:
            return answer
        assert self._writer is not None, "a turn is given where there is a writer only"
        write_through(self._core, answer, self._writer)
        return None

    async def _awritten(self, write: Callable[[], Receipt | Turn | Pending]) -> Receipt | None:
        self._astart()
        self._used = True
        answer = write()
        if type(answer) is Pending:
            answer = await settled(answer)
        if type(answer) is not Turn:
            return answer
        assert self._writer is not None, "a turn is given where there is a writer only"
        await awrite_through(self._core, answer, self._writer)
        return None

    def run(
        self,
        writer: Writer | None = None,
        *,
        max_items: int | None = None,
        max_bytes: int | None = None,
        linger: Seconds = 0,
    ) -> None:
        """Bring writes to the source in this thread, until the write-behind is closed.

        Args:
            writer: is given a list of `Write`, of different keys, and returns when the source has all of them. It
                may raise `Rejected`, or return a list of such, for those that failed; the source has the others
                then. Any other exception is one of the whole batch, which is tried again, if need be each alone.
                By default the writer of the write-behind.
            max_items: how many writes a batch has at most, 1 to 10,000; by default 100.
            max_bytes: how many bytes of keys and values; by default 1 MiB.
            linger: how long the first write of a batch waits for others.
        """
        writer = self._checked(writer)
        if is_coroutine_function(writer):
            raise InvalidOption("writer is a coroutine function: await arun instead", operation="write_behind")
        work(self._core, writer, (max_items, max_bytes, linger, None))

    async def arun(
        self,
        writer: Writer | None = None,
        *,
        max_items: int | None = None,
        max_bytes: int | None = None,
        linger: Seconds = 0,
    ) -> None:
        """As `run`, in this task. What a cancelled task was at is due again at once."""
        await awork(self._core, self._checked(writer), (max_items, max_bytes, linger, None))

    def _checked(self, writer: Writer | None) -> Writer:
        writer = self._writer if writer is None else writer
        check_writer(writer)
        assert writer is not None, "None cannot be called"
        return writer

    def next_batch(
        self,
        *,
        max_items: int | None = None,
        max_bytes: int | None = None,
        linger: Seconds = 0,
        wait: Seconds | None = None,
    ) -> list[Write]:
        """Return the next writes for the source, of different keys; none when none came within ``wait``.

        Make them, then `ack` or `nack` each, within ``visibility``: what is not answered for is handed out again.

        Raises:
            Closed: there will be no more.
        """
        return _taken(self._core.next_batch((max_items, max_bytes, linger, wait)))

    async def anext_batch(
        self,
        *,
        max_items: int | None = None,
        max_bytes: int | None = None,
        linger: Seconds = 0,
        wait: Seconds | None = None,
    ) -> list[Write]:
        """As `next_batch`, for tasks. A batch that comes for a task that is cancelled is handed out again."""
        answer = self._core.anext_batch((max_items, max_bytes, linger, wait))
        return _taken(await settled(answer) if type(answer) is Pending else answer)

    def ack(self, writes: Write | Iterable[Write]) -> int:
        """Tell that the source has these writes. Returns how many of them were waited for."""
        return self._core.ack(_numbers(writes))

    def nack(self, writes: Write | Iterable[Write], error: str = "", *, permanent: bool = False) -> int:
        """Tell that these writes failed, by one error: those of a batch that failed as a whole in one call.

        Several are tried again, each alone where that may tell whose fault it was. One alone is tried again after
        a pause, or is a dead letter where that is ``permanent`` or it failed ``max_attempts`` times.
        """
        return self._core.nack(_numbers(writes), error, permanent)

    def give_back(self, writes: Write | Iterable[Write]) -> None:
        """Give writes back that were not tried: they are due again at once, and none of them is to blame."""
        self._core.give_back(_numbers(writes))

    def dead_letters(self, after: Write | None = None, limit: int = 100) -> list[Write]:
        """Return the writes that failed for good, each with its ``error``; those after a given one."""
        return _taken(self._core.dead_letters(0 if after is None else after.number, limit))

    async def adead_letters(self, after: Write | None = None, limit: int = 100) -> list[Write]:
        """As `dead_letters`, for tasks."""
        answer = self._core.adead_letters(0 if after is None else after.number, limit)
        return _taken(await settled(answer) if type(answer) is Pending else answer)

    def replay(self, letters: Write | Iterable[Write] | None = None) -> int:
        """Have these dead letters, by default all, tried again. Returns how many."""
        chosen = _letters(letters)
        return 0 if chosen is None else self._core.replay(chosen)

    async def areplay(self, letters: Write | Iterable[Write] | None = None) -> int:
        """As `replay`, for tasks."""
        chosen = _letters(letters)
        return 0 if chosen is None else await _settled(self._core.areplay(chosen))

    def drop(self, letters: Write | Iterable[Write] | None = None) -> int:
        """Give these dead letters, by default all, up. The cache lets go of their keys. Returns how many."""
        chosen = _letters(letters)
        return 0 if chosen is None else self._core.drop_letters(chosen)

    async def adrop(self, letters: Write | Iterable[Write] | None = None) -> int:
        """As `drop`, for tasks."""
        chosen = _letters(letters)
        return 0 if chosen is None else await _settled(self._core.adrop_letters(chosen))

    def flush(self, timeout: Seconds | None = None) -> DrainReport:
        """Wait, by default 5 s at most, until the source has every write that was acknowledged before.

        Dead letters are not waited for. When the time is over, ``left`` of the report is not 0.
        """
        return DrainReport(*self._core.flush(timeout))

    async def aflush(self, timeout: Seconds | None = None) -> DrainReport:
        """As `flush`, for tasks."""
        if self._used:
            self._astart()
        return DrainReport(*await _settled(self._core.aflush(timeout)))

    def close(self, timeout: Seconds | None = None) -> DrainReport:
        """Take no more writes, wait, by default 5 s at most, until the source has those that there are, and end.

        The journal, or the stream, has what is left for whoever opens it next. A second close tells what there is.
        """
        begun = time.monotonic()
        report = DrainReport(*self._core.close(timeout))
        self._closed = True
        thread = self._thread
        if thread is not None and report.left == 0 and thread is not threading.current_thread():
            # It has nothing to do any more, unless its writer still runs.
            thread.join(max(0.0, _seconds(timeout) - (time.monotonic() - begun)))
        return report

    async def aclose(self, timeout: Seconds | None = None) -> DrainReport:
        """As `close`, for tasks."""
        begun = time.monotonic()
        if self._used and not self._closed:
            self._astart()
        report = DrainReport(*await _settled(self._core.aclose(timeout)))
        self._closed = True
        task = self._tasks.get(asyncio.get_running_loop())
        if task is not None and report.left == 0 and task is not asyncio.current_task():
            await asyncio.wait([task], timeout=max(0.0, _seconds(timeout) - (time.monotonic() - begun)))
        return report

    def stats(self) -> WriteBehindStats:
        """Return the counters, in this process."""
        return WriteBehindStats(**self._core.stats())

    def _start(self) -> None:
        """Start the worker of this process, where a function is to write and none runs."""
        if self._writer is None or self._for_tasks or self._closed:
            return
        if self._pid != os.getpid():
            # A lock that another thread held at the fork is held for ever here.
            self._pid, self._starting = os.getpid(), threading.Lock()
        # A thread of the parent is not alive in a forked child.
        if (self._thread is not None and self._thread.is_alive()) or not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None or not self._thread.is_alive():
                # Not in the context of who happens to write first: it may be inside of a fetch.
                arguments = (work, self._core, self._writer, _ANY)
                name = f"scrubjay-{self._name}"
                # A daemon: the end of the program does not wait for writes that are acknowledged.
                self._thread = threading.Thread(
                    target=contextvars.Context().run, args=arguments, name=name, daemon=True
                )
                self._thread.start()
        finally:
            self._starting.release()

    def _astart(self) -> None:
        """Start the worker of this process, or of the running loop."""
        if self._writer is None or self._closed:
            return
        if not self._for_tasks:
            self._start()
            return
        loop = asyncio.get_running_loop()
        task = self._tasks.get(loop)
        if task is None or task.done():
            worker = awork(self._core, self._writer, _ANY)
            task = loop.create_task(worker, name=f"scrubjay-{self._name}", context=contextvars.Context())
            self._tasks[loop] = task
            # A task holds its loop.
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        loop = task.get_loop()
        if self._tasks.get(loop) is task:
            del self._tasks[loop]


_ANY: How = (None, None, None, None)


def _seconds(timeout: Seconds | None) -> float:
    if timeout is None:
        return Behind.DRAIN
    return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)


async def _settled(answer: Any) -> Any:
    return await settled(answer) if type(answer) is Pending else answer


def _taken(answer: Any) -> list[Write]:
    if answer is MISS:
        return []
    assert type(answer) is Handed, "a batch"
    return answer.take()


def _numbers(writes: Write | Iterable[Write]) -> list[int]:
    return [writes.number] if isinstance(writes, Write) else numbers_of(writes)


def _letters(letters: Write | Iterable[Write] | None) -> list[int] | None:
    """The numbers of dead letters, empty for all of them; None where the caller names none."""
    return [] if letters is None else (_numbers(letters) or None)
