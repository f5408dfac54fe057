"""Writers that are killed between their commit and their invalidation: is the old value gone then?

The truth is a SQLite database. For each schedule a process of its own commits a new version of a key and is killed
with SIGKILL; readers load the key all the while, with fetches that take a while after they have looked. When the
intent has ended, no tier may hold anything but what the database has. In some scenarios the writer names the key,
in others a tag of it.

The controls delete the key, or invalidate the tag, after their commit, as a program without intents would, and are
killed at the same place: they must leave old values behind, or the schedules prove nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "support"))

import redis_server  # noqa: E402
from scrubjay import CacheService  # noqa: E402

SCHEDULES = 1_000
# What a control needs to show that the schedules are hard.
CONTROL_SCHEDULES = 100
# Writers at a time.
WINDOW = 40
READERS = 2
INTENT_TTL_SECONDS = 0.5
MAX_STALENESS_SECONDS = 0.05
LONGEST_FETCH_SECONDS = 0.02
PATIENCE_SECONDS = 60


class Truth:
    """The versions of all keys: each thread and process has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE IF NOT EXISTS truth (key TEXT PRIMARY KEY, version INTEGER NOT NULL)")

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = sqlite3.connect(self._path, timeout=PATIENCE_SECONDS)
            connection.execute("PRAGMA synchronous = OFF")
        return connection

    def create(self, keys: list[str]) -> None:
        with self._connection() as connection:
            connection.executemany("INSERT INTO truth VALUES (?, 1)", [(key,) for key in keys])

    def change(self, key: str) -> None:
        with self._connection() as connection:
            connection.execute("UPDATE truth SET version = version + 1 WHERE key = ?", (key,))

    def look(self, key: str) -> int:
        row = self._connection().execute("SELECT version FROM truth WHERE key = ?", (key,)).fetchone()
        return row[0]


def open_cache(url: str, **options: object) -> CacheService:
    return CacheService(url, "crash", max_staleness=MAX_STALENESS_SECONDS, l2_timeout=20, jitter=0, **options)


def tags_of(scenario: str, key: str) -> list[str]:
    """The tags of the entry of a key."""
    return [f"of {key}"] if "tags" in scenario else []


def write(scenario: str, url: str, path: Path, key: str, link: int) -> None:
    """The life of a writer, which ends by a signal."""
    truth, cache = Truth(path), open_cache(url)

    def commit() -> None:
        if scenario.endswith("-anywhere"):
            os.write(link, b"!")
        truth.change(key)
        if not scenario.endswith("-anywhere"):
            os.write(link, b"!")
            signal.pause()

    if scenario.startswith("control-"):
        commit()
        if tags := tags_of(scenario, key):
            cache.invalidate_tags(tags)
        else:
            cache.delete(key)
    else:
        tags = tags_of(scenario, key)
        cache.update([] if tags else [key], commit, tags=tags, intent_ttl=INTENT_TTL_SECONDS)
    signal.pause()


def start(scenario: str, url: str, path: Path, key: str) -> tuple[int, int]:
    """A process that writes a key: its number, and where it says that it may be killed."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(ours)
            write(scenario, url, path, key, theirs)
        finally:
            os._exit(1)
    os.close(theirs)
    return child, ours


def kill(child: int, link: int, delay: float) -> None:
    """Kill a writer when it says so, or some time later."""
    said = os.read(link, 1)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(link)
    # The proof that the fault struck.
    if said != b"!" or not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        raise RuntimeError(f"a writer ended with the status {status}")


def nurse(link: Connection) -> None:
    """Start and kill writers, in a process without threads: in a child of a fork their locks would stay locked."""
    while (job := link.recv()) is not None:
        scenario, url, path, keys = job
        rng = random.Random(f"{scenario} {keys[0]}")
        try:
            writers = [start(scenario, url, path, key) for key in keys]
            for child, pipe in writers:
                kill(child, pipe, rng.random() * 0.004 if scenario.endswith("-anywhere") else 0)
            link.send(None)
        except (OSError, RuntimeError) as problem:
            link.send(str(problem))


class Nursery:
    """Where writers are started and killed."""

    def __init__(self) -> None:
        self._link, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=nurse, args=(theirs,), daemon=True)
        self._process.start()

    def kill_writers(self, scenario: str, url: str, path: Path, keys: list[str]) -> None:
        self._link.send((scenario, url, path, keys))
        if not self._link.poll(PATIENCE_SECONDS):
            raise SystemExit(f"{scenario}: writers of {keys[0]} and later do not end")
        problem = self._link.recv()
        if problem is not None:
            raise SystemExit(f"{scenario}: {problem}")

    def end(self) -> None:
        self._link.send(None)
        self._process.join()


class Readers:
    """Threads that load the keys of a window, each over a cache of its own, until they are told to stop."""

    def __init__(self, scenario: str, url: str, truth: Truth, seed: int) -> None:
        self.scenario = scenario
        self.caches = [open_cache(url) for _ in range(READERS)]
        self.reads = 0
        self._truth = truth
        self._seed = seed

    @contextlib.contextmanager
    def reading(self, keys: list[str]) -> Iterator[None]:
        stop = threading.Event()
        counts = [0] * READERS
        threads = [
            threading.Thread(target=self._read, args=(number, keys, stop, counts), daemon=True)
            for number in range(READERS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)
            self.reads += sum(counts)

    def _read(self, number: int, keys: list[str], stop: threading.Event, counts: list[int]) -> None:
        rng = random.Random(f"{self._seed} {keys[0]} {number}")
        while not stop.is_set():
            key = rng.choice(keys)

            def load(key: str = key) -> int:
                seen = self._truth.look(key)
                time.sleep(rng.random() * LONGEST_FETCH_SECONDS)
                return seen

            self.caches[number].get_or_fetch(key, 600, load, tags=tags_of(self.scenario, key))
            counts[number] += 1

    def close(self) -> None:
        for cache in self.caches:
            cache.close()


def is_free(scenario: str, cache: CacheService, key: str) -> None:
    """Wait until no writer holds the key, or its tag: what the readers load is stored then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while cache.get(key) is None if tags_of(scenario, key) else cache.explain(key)["hold"] is not None:
        if time.monotonic() > deadline:
            raise SystemExit(f"{key} stays held")
        time.sleep(0.005)


def window(
    kill_writers: Callable[[list[str]], None],
    truth: Truth,
    readers: Readers,
    observer: CacheService,
    keys: list[str],
) -> list[str]:
    """Play some schedules at once; the keys whose old value is left."""
    truth.create(keys)
    for cache in readers.caches:
        for key in keys:
            cache.get_or_fetch(key, 600, lambda key=key: truth.look(key), tags=tags_of(readers.scenario, key))
    with readers.reading(keys):
        kill_writers(keys)
        for key in keys:
            is_free(readers.scenario, observer, key)
    # The memory of others follows within its bound.
    time.sleep(2 * MAX_STALENESS_SECONDS)
    stale = []
    for key in keys:
        now = truth.look(key)
        left = [cache.get(key) for cache in [observer, *readers.caches]]
        # And what is loaded now is the truth, whoever loads it.
        tags = tags_of(readers.scenario, key)
        left.append(observer.get_or_fetch(key, 600, lambda key=key: truth.look(key), tags=tags))
        if any(value not in (None, now) for value in left):
            stale.append(key)
    return stale


def run(nursery: Nursery, scenario: str, schedules: int, seed: int) -> dict:
    with redis_server.required() as url, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth.db"
        truth, kill_writers = Truth(path), functools.partial(nursery.kill_writers, scenario, url, path)
        readers, observer = Readers(scenario, url, truth, seed), open_cache(url, l1_bytes=0)
        keys = [f"{seed}:{number}" for number in range(schedules)]
        stale = []
        for first in range(0, schedules, WINDOW):
            stale += window(kill_writers, truth, readers, observer, keys[first : first + WINDOW])
        changed = sum(truth.look(key) > 1 for key in keys)
        readers.close()
        observer.close()
        return {
            "runs": schedules,
            "reads": readers.reads,
            "committed": changed,
            "violations": len(stale),
            "seed": seed,
            "worst_staleness_ms": None,
            "first": stale[:5],
        }


SCENARIOS = {
    "update-killed": SCHEDULES,
    "update-killed-anywhere": SCHEDULES,
    "update-tags-killed": SCHEDULES,
    "update-tags-killed-anywhere": SCHEDULES,
    "control-delete-killed": CONTROL_SCHEDULES,
    "control-tags-killed": CONTROL_SCHEDULES,
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    arguments.add_argument("--scale", type=float, default=float(os.environ.get("SCALE", "1")))
    arguments.add_argument("--only", choices=sorted(SCENARIOS), help="one scenario alone")
    options = arguments.parse_args()
    results, wrong, nursery = {}, [], Nursery()
    for name in [options.only] if options.only else SCENARIOS:
        begun = time.monotonic()
        results[name] = run(nursery, name, max(int(SCENARIOS[name] * options.scale), WINDOW), options.seed)
        results[name]["seconds"] = round(time.monotonic() - begun, 1)
        if name.startswith("control-") == (results[name]["violations"] == 0):
            wrong.append(name)
    nursery.end()
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "proof"
    target.mkdir(parents=True, exist_ok=True)
    (target / "crash-update.json").write_text(json.dumps(results, indent=1) + "\n")
    columns = ("runs", "committed", "reads", "violations", "seconds")
    print(
        f"{'':<28}{'killed':>8}{'committed':>11}{'reads':>9}{'stale left':>12}{'seconds':>9}   seed {options.seed}"
    )
    for name, result in results.items():
        cells = [f"{result[column]:>{width}}" for column, width in zip(columns, (8, 11, 9, 12, 9), strict=True)]
        print(f"{name:<28}{''.join(cells)}")
    for name in wrong:
        print(f"{name}: {results[name]['violations']} stale values, the first of keys {results[name]['first']}")
    print(f"{len(results) - len(wrong)} passed, {len(wrong)} failed: old values left by writers that were killed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
