"""Write-behind around a process: fork, kill, exit, signals. Nothing acknowledged is lost."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path
from typing import Any

from conftest import eventually, free_port
from scrubjay import CacheService, Write
from test_processes import FORK, clean, run


def test_a_forked_child_has_a_journal_of_its_own(cache: CacheService, tmp_path: Path) -> None:
    by: list[tuple[int, str]] = []

    def write(writes: list[Write]) -> None:
        by.extend((os.getpid(), write.key) for write in writes)

    def child(queue: Any) -> None:
        stock.set("child", 1)
        assert cache.get("child") == 1
        assert stock.flush(20).left == 0
        # None of what the parent has in hand.
        queue.put((len(list(tmp_path.iterdir())), by, stock.stats().accepted))
        stock.set("left", 2)
        os.kill(os.getpid(), signal.SIGKILL)

    with cache.write_behind("stock", write, directory=tmp_path) as stock:
        stock.set("parent", 1)
        assert stock.flush(20).left == 0
        queue = FORK.Queue()
        process = FORK.Process(target=child, args=(queue,))
        process.start()
        files, childs, accepted = queue.get(timeout=30)
        process.join(30)
        assert (files, childs[-1], accepted) == (2, (process.pid, "child"), 1)
        # Its journal is taken over, and the parent writes on.
        eventually(lambda: stock.stats().written >= 2, within=30)
        stock.set("more", 1)
        assert stock.flush(20).left == 0
        assert {key for pid, key in by if pid == os.getpid()} == {"parent", "left", "more"}


APPLICATION = """
    import contextlib, os, sqlite3
    from scrubjay import CacheService

    cache = CacheService()
    is_victim = False

    def write(writes):
        if is_victim:
            raise OSError("this one's database is gone")
        with contextlib.closing(sqlite3.connect(os.environ["DATABASE"], timeout=30)) as connection, connection:
            rows = [(write.key, write.value, write.sequence) for write in writes]
            connection.executemany("INSERT INTO rows VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)

    # Opened before the fork, and not used there: SQLite cannot be carried across one.
    orders = cache.write_behind("orders", write, directory=os.environ["JOURNALS"], retry_max=0.2)

    def application(environ, start_response):
        global is_victim
        word = environ["PATH_INFO"].strip("/")
        if word == "fail":
            is_victim = True
        elif word != "who":
            orders.set(word, 1)  # acknowledged from here on
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
"""


def test_gunicorn_workers_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "application.py").write_text(textwrap.dedent(APPLICATION))
    database = tmp_path / "orders.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, value INTEGER, sequence INTEGER)")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "4", "-b", f"127.0.0.1:{port}", "application"]
    environment = {**os.environ, "DATABASE": str(database), "JOURNALS": str(tmp_path / "journals")}
    log = (tmp_path / "log").open("w+")
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log, stdout=log)

    def ask(word: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{word}", timeout=20) as response:
                return int(response.read())
        except OSError:
            assert server.poll() is None, (tmp_path / "log").read_text()
            return 0

    def rows() -> set[str]:
        with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
            return {key for (key,) in connection.execute("SELECT key FROM rows")}

    acknowledged: set[str] = set()
    by_pid: dict[int, set[str]] = {}

    def order(word: str) -> None:
        if pid := ask(word):
            acknowledged.add(word)
            by_pid.setdefault(pid, set()).add(word)

    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            eventually(lambda: len(set(pool.map(ask, ["who"] * 16)) - {0}) == 4, within=60)
            victim = ask("fail")
            count = 0
            # Until the victim, whose writer fails, has something to lose.
            while len(by_pid.get(victim, ())) < 5:
                list(pool.map(order, [f"order-{number}" for number in range(count, count + 32)]))
                count += 32
            eventually(lambda: acknowledged - by_pid[victim] <= rows())
            assert not by_pid[victim] & rows()
            os.kill(victim, signal.SIGKILL)
            list(pool.map(order, [f"late-{number}" for number in range(32)]))
            eventually(lambda: acknowledged <= rows(), within=60)
        server.terminate()
        assert server.wait(30) == 0, (tmp_path / "log").read_text()
    finally:
        server.kill()
        server.wait()
        log.close()


def test_an_exit_leaves_it_in_the_journal(tmp_path: Path) -> None:
    program = """
        import asyncio, sys, threading
        from scrubjay import CacheService

        stuck = threading.Event()

        def write(writes):
            stuck.set()
            threading.Event().wait()

        async def awrite(writes):
            await asyncio.sleep(3600)

        cache = CacheService()
        stock = cache.write_behind("stock", write, directory=sys.argv[1])
        tasks = cache.write_behind("tasks", awrite, directory=sys.argv[1])
        idle = cache.write_behind("idle", write, ack="memory")
        waiting = threading.Thread(target=idle.run, daemon=True)
        waiting.start()
        for n in range(50):
            stock.set(f"k{n}", n)

        async def main():
            await tasks.aset("task", 1)
            asyncio.create_task(idle.anext_batch())
            await asyncio.sleep(0)

        asyncio.run(main())
        assert stuck.wait(20)
        print("ends")
    """
    assert clean(run(program, str(tmp_path))) == "ends\n"
    stock = CacheService().write_behind("stock", directory=tmp_path)
    found: set[str] = set()
    while len(found) < 50:
        batch = stock.next_batch(wait=20)
        assert batch, "something is lost"
        found |= {write.key for write in batch}
    (task,) = CacheService().write_behind("tasks", directory=tmp_path).next_batch(wait=20)
    assert task.key == "task"


def test_ctrl_c_in_a_worker_loses_nothing() -> None:
    program = """
        import os, signal, threading, time
        from scrubjay import CacheService

        signal.signal(signal.SIGINT, signal.default_int_handler)
        stock = CacheService().write_behind("stock", ack="memory")

        def interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)

        # While it waits,
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            stock.run(lambda writes: None)
        except KeyboardInterrupt:
            print("interrupted")
        stock.set("k", 1)
        # and while it writes.
        try:
            stock.run(lambda writes: interrupt())
        except KeyboardInterrupt:
            print("interrupted")
        (write,) = stock.next_batch(wait=20)
        assert (write.key, write.attempt) == ("k", 1)
        stock.ack(write)
        assert stock.close() == (0, 0, 0)
    """
    assert clean(run(program)) == "interrupted\ninterrupted\n"
