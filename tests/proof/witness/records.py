"""What a worker writes down of each operation: 40 bytes, the same in every language.

```
0  t_start  u64   ns of CLOCK_BOOTTIME
8  t_end    u64
16 ver      i64   the version that was seen or written; -1: none
24 key      u32   the number of the key that was asked for
28 named    u32   the number of the key that the value names
32 bound    u32   the staleness claimed for this read in µs; 2^32-1: none was claimed
36 worker   u16
38 op       u8
39 flags    u8
```
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LAYOUT = struct.Struct("<QQqIIIHBB")
NO_BOUND = 2**32 - 1

# The reads.
GET, GET_OR_FETCH, GET_MANY, GET_OR_FETCH_MANY = 1, 2, 3, 4
# A write of the truth and the `delete` or `set` that followed; it ends when that has returned.
DELETE, SET = 5, 6
# Every write of this worker that returned before `t_start` has reached the shared tier at `t_end`.
LANDED = 7
# A read when all is at rest: by each process, and of the shared tier alone.
LAST, LAST_SHARED = 8, 9

PENDING, NEGATIVE, FAILED, MISS, LOADED = 1, 2, 4, 8, 16


class Record(NamedTuple):
    """An operation."""

    t_start: int
    t_end: int
    ver: int
    key: int
    named: int
    bound: int
    worker: int
    op: int
    flags: int


def read(path: Path) -> Iterator[Record]:
    """The operations of a worker, in the order in which they ended."""
    raw = path.read_bytes()
    whole = len(raw) - len(raw) % LAYOUT.size
    return map(Record._make, LAYOUT.iter_unpack(raw[:whole]))


def count(path: Path) -> int:
    """How many operations a worker has written down so far."""
    return path.stat().st_size // LAYOUT.size if path.exists() else 0
