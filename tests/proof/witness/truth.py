"""The truth: a SQLite database, and the process that all workers ask over a socket of this machine.

A line is a request, and so is its answer: `r 3 17` → the committed versions of keys 3 and 17; `w 3` → the version
that has just been committed for key 3. Reads and writes have a connection of their own, so a read sees what was
committed.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE truth (k INTEGER PRIMARY KEY, ver INTEGER NOT NULL, committed_at INTEGER NOT NULL);
CREATE TABLE history (k INTEGER, ver INTEGER, committed_at INTEGER NOT NULL, PRIMARY KEY (k, ver));
"""


def now() -> int:
    """The clock of all records, in ns."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def is_absent(key: int, ver: int) -> bool:
    """Whether this version of the key says that there is nothing."""
    return key % 4 == 3 and ver % 4 == 3


def create(path: Path, keys: int) -> None:
    """A truth in which every key has version 1."""
    with sqlite3.connect(path) as database:
        database.executescript(SCHEMA)
        first = [(key, 1, now()) for key in range(keys)]
        database.executemany("INSERT INTO truth VALUES (?, ?, ?)", first)
        database.executemany("INSERT INTO history VALUES (?, ?, ?)", first)
    database.close()


def history(path: Path) -> list[tuple[int, int, int]]:
    """Every (k, ver, committed_at), in order."""
    database = sqlite3.connect(path)
    rows = database.execute("SELECT k, ver, committed_at FROM history ORDER BY k, ver").fetchall()
    database.close()
    return rows


class Server:
    """The process, while it is needed."""

    def __init__(self, path: Path, socket: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(path), str(socket)], stdout=subprocess.PIPE, text=True
        )
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit("the truth did not start")

    def stop(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait()


async def serve(path: str, socket: str) -> None:
    """Answers until the process is ended."""
    reading = sqlite3.connect(path, isolation_level=None)
    writing = sqlite3.connect(path, isolation_level=None)

    def look(keys: list[int]) -> list[int]:
        found = (reading.execute("SELECT ver FROM truth WHERE k = ?", (key,)).fetchone() for key in keys)
        return [ver for (ver,) in found]

    def write(key: int) -> int:
        writing.execute("BEGIN IMMEDIATE")
        change = "UPDATE truth SET ver = ver + 1, committed_at = ? WHERE k = ? RETURNING ver, committed_at"
        [(ver, at)] = writing.execute(change, (now(), key)).fetchall()
        writing.execute("INSERT INTO history VALUES (?, ?, ?)", (key, ver, at))
        writing.execute("COMMIT")
        return ver

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            what, *keys = line.split()
            numbers = [int(key) for key in keys]
            answer = look(numbers) if what == b"r" else [write(numbers[0])]
            writer.write(b" ".join(b"%d" % ver for ver in answer) + b"\n")
        writer.close()

    server = await asyncio.start_unix_server(talk, socket)
    print("ready", flush=True)
    # Whoever started it may be gone without a word.
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(1)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:3]))
