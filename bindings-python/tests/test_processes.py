"""Fork, exit, signals, subinterpreters: what happens around a process."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeCache, Redis, eventually, free_port
from scrubjay import CacheService

FORK = multiprocessing.get_context("fork")


def run(program: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a program in an interpreter of its own."""
    command = [sys.executable, "-X", "faulthandler", "-W", "error", "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def clean(result: subprocess.CompletedProcess[str]) -> str:
    """The output of a program that ended well."""
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def all_calls(cache: CacheService, results: Any) -> None:
    """In the child of a fork: every kind of call, by threads and by tasks."""
    import asyncio

    try:
        assert cache.get("parents", "empty") == results.expected
        assert cache.get_or_fetch("k", 60, lambda: {"pid": os.getpid()})["pid"] > 0
        cache.set("mine", 1)
        assert cache.get_many(["mine"]) == {"mine": 1}
        assert cache.get_or_fetch_many(["a", "b"], 60, lambda keys: dict.fromkeys(keys, 1)) == {"a": 1, "b": 1}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda n: cache.get_or_fetch(f"n{n}", 60, lambda: n), range(20))) == list(
                range(20)
            )

        async def main() -> None:
            async def fetch() -> int:
                await asyncio.sleep(0.001)
                return 5

            assert await asyncio.gather(*[cache.aget_or_fetch("async", 60, fetch) for _ in range(20)]) == [5] * 20
            await cache.adelete("async")

        asyncio.run(main())
        results.queue.put("ok")
    except BaseException as error:
        results.queue.put(repr(error))
        raise


class Results:
    def __init__(self, expected: object) -> None:
        self.queue: Any = FORK.Queue()
        self.expected = expected


def children(cache: CacheService, expected: object, count: int = 3) -> None:
    results = Results(expected)
    processes = [FORK.Process(target=all_calls, args=(cache, results)) for _ in range(count)]
    for process in processes:
        process.start()
    assert [results.queue.get(timeout=60) for _ in processes] == ["ok"] * count
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def test_fork_after_use_in_memory(cache: CacheService) -> None:
    cache.set("parents", 1)
    cache.get_or_fetch("k", 60, lambda: {"pid": os.getpid()})
    children(cache, "empty")
    assert cache.get("parents") == 1


def test_fork_after_use_over_redis(redis: Redis, make_cache: MakeCache) -> None:
    import asyncio

    cache = make_cache(redis.url)
    cache.set("parents", 1)
    cache.get_or_fetch("k", 60, lambda: {"pid": os.getpid()})
    assert asyncio.run(cache.aget("parents")) == 1
    children(cache, 1)
    assert cache.get("mine") == 1
    cache.set("after", 2)
    assert cache.get("after") == 2


def test_fork_before_use(redis: Redis, make_cache: MakeCache) -> None:
    children(make_cache(redis.url), "empty")


def test_fork_while_threads_are_inside_of_calls(redis: Redis, make_cache: MakeCache) -> None:
    cache = make_cache(redis.url, max_staleness=0)
    cache.set("parents", 1)
    over = threading.Event()

    def work(n: int) -> None:
        while not over.is_set():
            cache.get_or_fetch(f"w{n}", 60, lambda: n)
            cache.set(f"x{n}", n)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(5):
            children(cache, 1, count=2)
    finally:
        over.set()
        for worker in workers:
            worker.join()


def test_a_fork_inside_of_a_fetch(cache: CacheService) -> None:
    """The child returns through the call of its parent, whose lease is not its own."""
    parent = os.getpid()
    read, write = os.pipe()

    def fetch() -> int:
        return os.fork()

    child = cache.get_or_fetch("k", 60, fetch)
    if os.getpid() != parent:
        status = 1
        try:
            ok = child == 0 and cache.get_or_fetch("k", 60, lambda: 7) == 7
            os.write(write, b"ok" if ok else b"no")
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 10) == b"ok"
    os.close(read)
    assert cache.get("k") == child


def test_process_pools(cache: CacheService) -> None:
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=FORK) as pool:
        assert list(pool.map(_pooled, range(10))) == [n * n for n in range(10)]
    assert cache.get("k") is None


_POOLED = CacheService(prefix="pooled")


def _pooled(n: int) -> int:
    return _POOLED.get_or_fetch(f"n{n}", 60, lambda: n * n)


def test_gunicorn_with_preload(redis: Redis, tmp_path: Path) -> None:
    application = tmp_path / "application.py"
    application.write_text(
        textwrap.dedent("""
        import os
        from scrubjay import CacheService

        cache = CacheService(os.environ["CACHE_URL"], "gunicorn")
        cache.set("preloaded", 1)  # used before the fork
        assert cache.get("preloaded") == 1

        def application(environ, start_response):
            path = environ["PATH_INFO"]
            value = cache.get_or_fetch(path, 60, lambda: {"path": path})
            assert value == {"path": path} and cache.get("preloaded") == 1
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(os.getpid()).encode()]
        """)
    )
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "4", "-b", f"127.0.0.1:{port}", "application"]
    environment = {**os.environ, "CACHE_URL": redis.url}
    log = (tmp_path / "log").open("w+")
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log, stdout=log)
    try:
        pids = set()

        def ask() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{len(pids)}", timeout=10) as response:
                    pids.add(response.read())
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
            return len(pids) == 4

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            eventually(lambda: any(pool.map(lambda _: ask(), range(16))), within=60)
        server.terminate()
        assert server.wait(30) == 0, (tmp_path / "log").read_text()
    finally:
        server.kill()
        server.wait()
        log.close()


@pytest.mark.parametrize("url", ["memory://", "redis"])
def test_ctrl_c_ends_a_wait(redis: Redis, url: str) -> None:
    program = """
        import os, signal, sys, threading, time
        from scrubjay import CacheService

        # Whoever runs the tests in the background may have it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        cache = CacheService(sys.argv[1], "ctrl-c")
        release = threading.Event()
        thread = threading.Thread(target=lambda: cache.get_or_fetch("k", 60, lambda: release.wait(60) and "value"))
        thread.start()
        while not cache.stats().loads:
            time.sleep(0.001)
        def interrupt():
            while cache.stats().waits < 1:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            cache.get_or_fetch("k", 60, lambda: "mine")
        except KeyboardInterrupt:
            print("interrupted")
        # The thread is fit for more.
        assert cache.get_or_fetch("other", 60, lambda: 1) == 1
        release.set()
        thread.join()
        assert cache.get("k") == "value"
        cache.clear()
    """
    assert clean(run(program, redis.url if url == "redis" else url)) == "interrupted\n"


def test_ctrl_c_inside_of_a_fetch_hands_over() -> None:
    program = """
        import os, signal, threading, time
        from scrubjay import CacheService

        signal.signal(signal.SIGINT, signal.default_int_handler)
        cache = CacheService()
        def fetch():
            threading.Thread(target=interrupt).start()
            while True:
                time.sleep(0.01)
        def interrupt():
            others.start()
            while cache.stats().waits < 1:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
        others = threading.Thread(target=lambda: print(cache.get_or_fetch("k", 60, lambda: "next")))
        try:
            cache.get_or_fetch("k", 60, fetch)
        except KeyboardInterrupt:
            others.join()
            print("interrupted")
    """
    assert clean(run(program)) == "next\ninterrupted\n"


def test_a_signal_handler_may_use_the_cache_in_a_wait() -> None:
    program = """
        import os, signal, threading, time
        from scrubjay import CacheService

        cache = CacheService()
        release = threading.Event()
        thread = threading.Thread(target=lambda: cache.get_or_fetch("k", 60, lambda: release.wait(60) and "value"))
        def handler(*_):
            cache.set("handled", cache.get_or_fetch("nested", 60, lambda: 7))
            release.set()
        signal.signal(signal.SIGUSR1, handler)
        thread.start()
        while not cache.stats().loads:
            time.sleep(0.001)
        def send():
            while cache.stats().waits < 1:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGUSR1)
        threading.Thread(target=send).start()
        print(cache.get_or_fetch("k", 60, lambda: "mine"), cache.get("handled"))
    """
    assert clean(run(program)) == "value 7\n"


EXITS = {
    "with daemon threads that wait": """
        for n in range(20):
            threading.Thread(target=cache.get_or_fetch, args=("k", 60, lambda: time.sleep(1000)), daemon=True).start()
        while cache.stats().waits < 19:
            time.sleep(0.001)
    """,
    "with daemon threads that work": """
        def work(n):
            while True:
                cache.set(f"k{n}", n)
                cache.get_or_fetch(f"l{n}", 60, lambda: n)
                cache.get_many(["a", "b"])
                cache.delete(f"l{n}")
        for n in range(8):
            threading.Thread(target=work, args=(n,), daemon=True).start()
        time.sleep(0.2)
    """,
    "with tasks that wait": """
        async def stuck():
            await asyncio.Event().wait()
        async def main():
            for _ in range(20):
                tasks.append(asyncio.create_task(cache.aget_or_fetch("k", 60, stuck)))
            while cache.stats().waits < 19:
                await asyncio.sleep(0)
        tasks = []
        asyncio.run(main())
    """,
    "with a loop in a daemon thread": """
        async def stuck():
            begun.set()
            await asyncio.Event().wait()
        begun = threading.Event()
        threading.Thread(target=lambda: asyncio.run(cache.aget_or_fetch("k", 60, stuck)), daemon=True).start()
        begun.wait()
    """,
    "by sys.exit inside of a fetch": """
        cache.get_or_fetch("k", 60, lambda: sys.exit(0))
    """,
    "without close": """
        cache.set("k", 1)
        other = CacheService(url, "exit")
        other.get("k")
    """,
    "with calls at exit": """
        import atexit
        atexit.register(lambda: cache.set("k", 1))
        class Last:
            def __del__(self):
                try:
                    cache.get("k")
                except Exception:
                    pass
        last = Last()
    """,
}


@pytest.mark.parametrize("how", EXITS)
@pytest.mark.parametrize("tier", ["memory", "redis", "nowhere"])
def test_exit(redis: Redis, how: str, tier: str) -> None:
    url = {"memory": "memory://", "redis": redis.url, "nowhere": f"redis://127.0.0.1:{free_port()}"}[tier]
    head = f"""
        import asyncio, sys, threading, time
        from scrubjay import CacheService
        url = {url!r}
        cache = CacheService(url, "exit")
    """
    clean(run(textwrap.dedent(head) + textwrap.dedent(EXITS[how]), timeout=30))


def test_import_in_a_subinterpreter_says_no() -> None:
    program = """
        import sys
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
        else:
            import _xxsubinterpreters as interpreters
        import scrubjay
        other = interpreters.create()
        try:
            said = interpreters.run_string(other, "import scrubjay")
        except Exception as error:
            said = error
        print(getattr(said, "formatted", said))
        interpreters.destroy(other)
    """
    said = clean(run(program))
    # From Python 3.12 on the interpreter itself may say it.
    assert "ImportError" in said
    assert "subinterpreter" in said


def test_signals_do_not_slow_a_wait(cache: CacheService) -> None:
    """Signals that nothing handles in Python, or that do nothing, leave a wait as it was."""
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    release = threading.Event()
    thread = threading.Thread(target=cache.get_or_fetch, args=("k", 60, lambda: release.wait(60) and "value"))
    try:
        thread.start()
        eventually(lambda: cache.stats().loads == 1)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        threading.Thread(target=lambda: eventually(lambda: len(seen) > 5) or release.set()).start()
        assert cache.get_or_fetch("k", 60, lambda: "mine") == "value"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        release.set()
        thread.join()
