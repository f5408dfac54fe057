"""The lines that a worker and its parent exchange, and the one log that all of them make.

A worker says, each on a line that is written at once and whole:

    ready               it has opened its cache
    a KIND KEY VERSION  a write was acknowledged to its caller: ``s``, a value, or ``d``, a change
    f KIND              a write was refused, with an error of this kind
    w WRITE …           a batch for the truth, each write ``KIND,KEY,VERSION,PROCESS,SEQUENCE``; it answers ``ok``
    s {…}               the counters of its write-behind
    q                   its callers write no more, as it was told
    c LEFT DEAD         it has closed, as it was told

and is told ``ok``, ``quiet``, ``close`` and ``end``. Pipes keep what a killed process has said. A line that has
no end was never said: the truth has not got that batch, and nobody was told that it has.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

# A worker that does not do what it is told within this has hung.
LIMIT_SECONDS = 60


class Process:
    """A worker process."""

    def __init__(
        self, language: str, command: list[str], config: dict, environment: dict[str, str] | None
    ) -> None:
        self.language, self.config = language, config
        self.popen = subprocess.Popen(
            [*command, json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **(environment or {})},
        )
        self.begun = b""
        self.ready = self.quiet = self.over = False
        # Whether it may end.
        self.ending = False
        self.closed: tuple[int, int] | None = None
        self.stats: dict[str, int] = {}
        self.said = 0

    def tell(self, word: str) -> None:
        """Give it a word. One that is dying does not hear it."""
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(word.encode() + b"\n")

    def resident(self) -> int:
        """How much memory it has, in bytes."""
        for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0


class Truth:
    """What writes are brought to: a log of all that workers have said, in the order in which it was heard.

    All is heard by one thread. What a killed worker said is heard before anything else happens, so no batch of it
    comes after one of a worker that has taken over from it.
    """

    def __init__(self, path: Path, *, seconds_for_write: float = 0) -> None:
        self._log = path.open("w", buffering=1 << 16)
        self._selector = selectors.DefaultSelector()
        self._late: list[tuple[float, int, Process]] = []
        self.seconds_for_write = seconds_for_write
        self.processes: list[Process] = []
        self.acknowledged = self.written = self.refused = self.batches = 0

    def add(self, process: Process) -> None:
        """Listen to a worker."""
        self._selector.register(process.popen.stdout, selectors.EVENT_READ, process)
        self.processes.append(process)

    def listen(self, seconds: float) -> None:
        """Hear what is said within some time."""
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            while self._late and self._late[0][0] <= now:
                heapq.heappop(self._late)[2].tell("ok")
            wait = min(until, self._late[0][0] if self._late else until) - now
            for key, _ in self._selector.select(max(wait, 0)):
                self._hear(key.data)
            if time.monotonic() >= until:
                return

    def until(self, what: str, condition: Callable[[], bool], seconds: float = LIMIT_SECONDS) -> None:
        """Listen until something is so, or the end of the program."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {seconds} s: {what}")
            self.listen(0.005)

    def kill(self, process: Process) -> None:
        """Kill a worker with SIGKILL, and hear all that it has said."""
        process.ending = True
        process.popen.send_signal(signal.SIGKILL)
        status = process.popen.wait()
        # The proof that the fault struck: it had not ended by itself.
        if status != -signal.SIGKILL:
            raise SystemExit(f"a worker of {process.language} ended by itself, with {status}")
        self._forget(process)

    def end(self, process: Process) -> None:
        """Have a worker end, and hear all that it has said."""
        process.ending = True
        process.tell("end")
        try:
            process.popen.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.popen.kill()
            process.popen.wait()
            self._forget(process)
            raise SystemExit(f"a worker of {process.language} does not end") from None
        self._forget(process)

    def close(self) -> None:
        """End what still runs."""
        for process in list(self.processes):
            process.ending = True
            process.popen.kill()
            process.popen.wait()
            self._forget(process)
        self._log.close()

    def _forget(self, process: Process) -> None:
        while not process.over:
            self._hear(process)
        self.processes.remove(process)
        process.popen.stdin.close()
        process.popen.stdout.close()
        self._late = [entry for entry in self._late if entry[2] is not process]
        heapq.heapify(self._late)

    def _hear(self, process: Process) -> None:
        said = os.read(process.popen.stdout.fileno(), 1 << 20)
        if not said:
            process.over = True
            self._selector.unregister(process.popen.stdout)
            if not process.ending:
                raise SystemExit(f"a worker of {process.language} ended by itself, with {process.popen.wait()}")
            return
        *lines, process.begun = (process.begun + said).split(b"\n")
        for line in lines:
            self._take(process, line.decode())

    def _take(self, process: Process, line: str) -> None:
        word, _, rest = line.partition(" ")
        process.said += 1
        if word == "a":
            self.acknowledged += 1
            self._log.write(line + "\n")
        elif word == "w":
            self._log.write(line + "\n")
            writes = rest.count(" ") + 1
            self.batches += 1
            self.written += writes
            if self.seconds_for_write:
                at = time.monotonic() + writes * self.seconds_for_write
                heapq.heappush(self._late, (at, self.batches, process))
            else:
                process.tell("ok")
        elif word == "f":
            self.refused += 1
            self._log.write(line + "\n")
        elif word == "s":
            process.stats = json.loads(rest)
        elif word == "c":
            left, dead = rest.split()
            process.closed = (int(left), int(dead))
        elif line == "ready":
            process.ready = True
        elif line == "q":
            process.quiet = True
        else:
            raise SystemExit(f"a worker of {process.language} said {line!r}")

    def flush(self) -> None:
        """Have the log in its file."""
        self._log.flush()
