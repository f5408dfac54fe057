"""What a value costs an event loop by its size: the parse of its JSON, and bytes as they are.

SCALE: 1 = the full figure. Prints a table of medians, in milliseconds. Ours decodes straight into objects, and has
checked depth and syntax before, when the value came.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from scrubjay import CacheService

ROUNDS = max(5, round(41 * float(os.environ.get("SCALE", "1"))))
SIZES = {"1 KiB": 1 << 10, "64 KiB": 64 << 10, "1 MiB": 1 << 20, "8 MiB": (8 << 20) - 1024}


def rows(size: int) -> list[dict[str, Any]]:
    """Rows of a table as services keep them, up to a size in JSON."""

    def row(number: int) -> dict[str, Any]:
        return {
            "id": number,
            "name": f"user {number}",
            "email": f"user{number}@example.org",
            "score": number * 1.5,
            "active": number % 2 == 0,
            "tags": ["a", "b"],
        }

    count = max(1, size // (len(json.dumps(row(100_000), separators=(",", ":"))) + 1))
    return [row(number) for number in range(count)]


def median(work: Callable[[], Any]) -> float:
    """The median time of a call, in milliseconds; the time of freeing what it made is not counted."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter_ns()
        made = work()
        times.append((time.perf_counter_ns() - begun) / 1e6)
        del made
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    gc.disable()
    # Decodes at each hit.
    cache = CacheService("memory://", isolate=True, l1_bytes=1 << 28)
    columns = ("size", "json.loads", "parsed from the cache", "bytes from the cache")
    print("".join(f"{name:>22}" for name in columns))
    for name, size in SIZES.items():
        value = rows(size)
        text = json.dumps(value, separators=(",", ":"))
        cache.set("json", value)
        cache.set("raw", text.encode())
        times = [
            median(lambda text=text: json.loads(text)),
            median(lambda: cache.get("json")),
            median(lambda: cache.get("raw")),
        ]
        print(f"{name:>22}" + "".join(f"{figure:>22.3f}" for figure in times))
    cache.close()


if __name__ == "__main__":
    main()
