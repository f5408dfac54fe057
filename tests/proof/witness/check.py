"""The checker: it knows the truth and what the workers wrote down, and nothing of caches.

A read is as stale as the time between the first acknowledgement of a write newer than what it saw, and its own
begin. A write is acknowledged when `delete` or `set` has returned without `pending`; one that was pending, when it
has landed.

What it looks for:

- `stale`: a read staler than the bound that was claimed for it and `ALLOWANCE_MS`;
- `own`: a read that did not see a write of its own process that had returned before;
- `backwards`: a read that saw an older version than one that its process had been given before it began, though a
  newer one had been acknowledged; `ahead`: the same before that, so what had been given was ahead of its time;
- `wrong_key`: a value that names another key;
- `future`: a version that was not committed when the read ended;
- `left`, `left_shared`: when all is at rest, a process (the shared tier) has another version than the truth.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from records import (
    DELETE,
    FAILED,
    LANDED,
    LAST,
    LAST_SHARED,
    MISS,
    NEGATIVE,
    NO_BOUND,
    PENDING,
    SET,
    Record,
)
from truth import is_absent

# Node and Go read a clock that the core moves each 10 ms, the others one of the kernel that moves each 4 ms; and
# who moves it has to be given a processor.
ALLOWANCE_MS = 15
# After a process that was stopped goes on, so long may pass until its clock has been moved.
THAW_MS = 50
NEVER = 2**63
MS = 1_000_000


@dataclass
class Verdict:
    """What came out."""

    reads: int = 0
    writes: int = 0
    pending_writes: int = 0
    failed: int = 0
    misses: int = 0
    loads: int = 0
    unclaimed: int = 0
    excused: int = 0
    worst_ns: int = 0
    bounds: Counter = field(default_factory=Counter)
    violations: Counter = field(default_factory=Counter)
    # The first few, to look at.
    first: list[str] = field(default_factory=list)

    def blame(self, kind: str, read: Record, why: str) -> None:
        """Counts a violation."""
        self.violations[kind] += 1
        if self.violations[kind] <= 5:
            self.first.append(
                f"{kind}: worker {read.worker} op {read.op} key {read.key} ver {read.ver} flags {read.flags} "
                f"at {read.t_start}: {why}"
            )


class Versions:
    """The versions of one key: when they were committed, and when a newer one was acknowledged."""

    def __init__(self, key: int, committed: list[int]) -> None:
        # At 0 stands version 1, which was there before all.
        self.key, self.committed = key, committed
        self.acknowledged = [NEVER] * len(committed)
        self.writers = [-1] * len(committed)
        self.returned = [NEVER] * len(committed)

    def settle(self) -> None:
        """Computes since when each version has been stale; to be called when all writes are known."""
        newer = list(accumulate(reversed(self.acknowledged[1:]), min))
        newer.reverse()
        self.stale_since = [*newer, NEVER]
        # The same for the writes of one process alone, which count from when they returned.
        self.own_since: dict[int, list[int]] = {}
        for worker in {writer for writer in self.writers if writer >= 0}:
            own = [at if by == worker else NEVER for at, by in zip(self.returned, self.writers, strict=True)]
            newer = list(accumulate(reversed(own[1:]), min))
            newer.reverse()
            self.own_since[worker] = [*newer, NEVER]

    def last(self) -> int:
        return len(self.committed)

    def of_absence(self, until: int) -> int:
        """The youngest version committed by then that says that there is nothing; 0: none."""
        for ver in range(self.last(), 0, -1):
            if is_absent(self.key, ver) and self.committed[ver - 1] <= until:
                return ver
        return 0


def check(
    history: Iterable[tuple[int, int, int]], logs: Iterable[Iterable[Record]], thaws: dict[int, list[int]]
) -> Verdict:
    """Goes through the records of all workers; `thaws`: when a worker that had been stopped went on."""
    verdict = Verdict()
    committed: dict[int, list[int]] = {}
    for key, _, at in history:
        committed.setdefault(key, []).append(at)
    keys = {key: Versions(key, times) for key, times in committed.items()}
    reads: list[list[Record]] = []
    for log in logs:
        kept: list[Record] = []
        pending: list[Record] = []
        for record in log:
            if record.op in (DELETE, SET):
                verdict.writes += 1
                versions = keys[record.key]
                versions.writers[record.ver - 1] = record.worker
                versions.returned[record.ver - 1] = record.t_end
                if record.flags & PENDING:
                    verdict.pending_writes += 1
                    pending.append(record)
                else:
                    versions.acknowledged[record.ver - 1] = record.t_end
            elif record.op == LANDED:
                for write in [write for write in pending if write.t_end <= record.t_start]:
                    keys[write.key].acknowledged[write.ver - 1] = record.t_end
                    pending.remove(write)
            else:
                kept.append(record)
        if pending:
            verdict.violations["never_landed"] += len(pending)
        reads.append(kept)
    for versions in keys.values():
        versions.settle()
    for log in reads:
        checked = [read for read in log if check_one(read, keys[read.key], thaws.get(read.worker, []), verdict)]
        check_order(checked, keys, verdict)
    return verdict


def check_one(read: Record, versions: Versions, thaws: list[int], verdict: Verdict) -> bool:
    """Checks a read by itself; whether it saw a version."""
    if read.op in (LAST, LAST_SHARED):
        check_last(read, versions, verdict)
        return False
    verdict.reads += 1
    verdict.loads += read.flags >> 4 & 1
    if read.flags & (FAILED | MISS):
        verdict.failed += read.flags & FAILED > 0
        verdict.misses += read.flags & MISS > 0
        return False
    ver = read.ver
    if read.flags & NEGATIVE:
        ver = versions.of_absence(read.t_end)
        if ver == 0:
            verdict.blame("future", read, "there was always something")
            return False
    if read.named != read.key:
        verdict.blame("wrong_key", read, f"the value is that of key {read.named}")
        return False
    if not 1 <= ver <= versions.last() or versions.committed[ver - 1] > read.t_end:
        verdict.blame("future", read, "nobody had written that")
        return False
    staleness = max(read.t_start - versions.stale_since[ver - 1], 0)
    if read.bound == NO_BOUND:
        verdict.unclaimed += 1
    else:
        verdict.bounds[read.bound] += 1
        over = staleness - read.bound * 1000
        if over > ALLOWANCE_MS * MS and any(thaw <= read.t_start <= thaw + THAW_MS * MS for thaw in thaws):
            verdict.excused += 1
            return False
        verdict.worst_ns = max(verdict.worst_ns, staleness)
        if over > ALLOWANCE_MS * MS:
            verdict.blame("stale", read, f"{staleness / MS:.1f} ms, {over / MS:.1f} more than claimed")
    own = versions.own_since.get(read.worker)
    if own is not None and own[ver - 1] < read.t_start:
        verdict.blame("own", read, f"its own write of {(read.t_start - own[ver - 1]) / MS:.1f} ms ago is not seen")
    return not read.flags & NEGATIVE


def check_last(read: Record, versions: Versions, verdict: Verdict) -> None:
    """Checks a read that was made when all was at rest."""
    last = versions.last()
    kind = "left" if read.op == LAST else "left_shared"
    if read.op == LAST_SHARED and read.flags & MISS:
        # It may have nothing, but nothing else than the truth.
        return
    if read.flags & NEGATIVE:
        if not is_absent(read.key, last):
            verdict.blame(kind, read, f"the truth is {last}")
    elif read.flags & (MISS | FAILED) or read.ver != last or read.named != read.key:
        verdict.blame(kind, read, f"the truth is {last}")


def check_order(reads: list[Record], keys: dict[int, Versions], verdict: Verdict) -> None:
    """Checks that no read of a process is older than one that ended before it began."""
    newest: dict[int, tuple[int, int]] = {}
    ended: list[tuple[int, int, int]] = []
    for read in sorted(reads):
        while ended and ended[0][0] < read.t_start:
            at, key, ver = heapq.heappop(ended)
            if ver > newest.get(key, (0, 0))[0]:
                newest[key] = (ver, at)
        ver, at = newest.get(read.key, (0, 0))
        if read.ver < ver:
            kind = "backwards" if keys[read.key].stale_since[read.ver - 1] < read.t_start else "ahead"
            verdict.blame(kind, read, f"version {ver} had been given {(read.t_start - at) / MS:.2f} ms before")
        heapq.heappush(ended, (read.t_end, read.key, read.ver))
