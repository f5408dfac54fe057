"""What happens to the processes that use the cache."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

from stage import Stage

HOUR_SECONDS = 3600


def freeze(stage: Stage) -> dict[str, int]:
    """A worker is stopped for longer than the bound while the others write."""
    worker = stage.workers[stage.turn() % len(stage.workers)]
    others = [other for other in stage.workers if other is not worker]
    before = sum(other.reads() for other in others)
    worker.freeze()
    begun = time.monotonic()
    time.sleep(3 * stage.max_staleness + 0.3)
    went_on = sum(other.reads() for other in others) > before
    stopped = time.monotonic() - begun
    worker.thaw()
    return {"struck": went_on and stopped > stage.max_staleness, "stopped_ms": round(stopped * 1000)}


class Clock:
    """The clock of the day of the workers: what the library that is loaded before them adds to it."""

    LAYOUT = struct.Struct("<q32Q")

    def __init__(self, file: Path) -> None:
        file.write_bytes(bytes(self.LAYOUT.size))
        with file.open("r+b") as opened:
            self.shared = mmap.mmap(opened.fileno(), self.LAYOUT.size)

    def shift(self, seconds: int) -> None:
        """Moves it to so far from where it was at first."""
        self.shared[:8] = struct.pack("<q", seconds)

    def answers(self, workers: int) -> list[int]:
        """How often each worker has asked it while it was moved."""
        return list(self.LAYOUT.unpack(self.shared[:])[1 : workers + 1])


def shifted(stage: Stage, library: Path) -> dict[str, str]:
    """The environment of workers whose clock can be moved."""
    file = stage.folder / "clock"
    stage.clock = Clock(file)
    return {"LD_PRELOAD": str(library), "SCRUBJAY_CLOCK_SHIFT": str(file)}


def jump(stage: Stage) -> dict[str, int]:
    """The clock of the day jumps by an hour, in turn forwards and backwards."""
    workers = len(stage.workers)
    before = stage.clock.answers(workers)
    stage.clock.shift(HOUR_SECONDS if stage.turn() % 2 == 0 else -HOUR_SECONDS)
    time.sleep(1)
    answers = [now - then for now, then in zip(stage.clock.answers(workers), before, strict=True)]
    return {"struck": min(answers) > 0, "answers_shifted": sum(answers)}
