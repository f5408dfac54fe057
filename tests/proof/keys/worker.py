"""The worker of Python: prints a digest of the keys of each block of structures, and how many were unstable."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from scrubjay import CacheService, cached

sys.path.insert(0, str(Path(__file__).resolve().parent))

import structures

BLOCK = 1000


def main() -> None:
    """Make the keys."""
    random, runs = structures.Random(int(sys.argv[1])), int(sys.argv[2])
    get_key = cached(CacheService(), name="f")(lambda *args: args).get_key
    unstable = 0
    digest = hashlib.sha256()
    for run in range(1, runs + 1):
        arguments = structures.arguments(random)
        key = get_key(*arguments)
        unstable += key != get_key(*structures.reordered(arguments))
        digest.update(f"{key}\n".encode())
        if run % BLOCK == 0 or run == runs:
            print(digest.hexdigest())
            digest = hashlib.sha256()
    print(f"unstable {unstable}")


main()
