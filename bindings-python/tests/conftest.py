"""What the tests share: caches with a namespace of their own, and a real Redis."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scrubjay import CacheService

_PREFIXES = itertools.count(1)

MakeCache = Callable[..., CacheService]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Redis:
    """A redis-server that the tests may stop and start."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("redis-server")
        assert binary, "the tests need redis-server: apt-get install redis-server"
        arguments = [
            binary,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self._folder),
        ]
        self._process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        eventually(lambda: self.command("PING") == "+PONG")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it neither answer nor end, until `thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def pause(self) -> None:
        """Have it take what is sent, and carry out no write, nor what comes behind one on its connection."""
        assert self.command("CLIENT", "PAUSE", "60000", "WRITE") == "+OK"

    def unpause(self) -> None:
        assert self.command("CLIENT", "UNPAUSE") == "+OK"

    def command(self, *words: str) -> str:
        """The first line of the answer to a command; empty while the server does not answer."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(request.encode())
                return connection.recv(4096).decode(errors="replace").split("\r\n")[0]
        except OSError:
            return ""


def eventually(condition: Callable[[], bool], within: float = 20) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that a test may stop."""
    server = Redis(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make_cache() -> Iterator[MakeCache]:
    opened: list[CacheService] = []

    def make(url: str = "memory://", **options: Any) -> CacheService:
        prefix = f"py-{os.getpid()}-{next(_PREFIXES)}"
        cache = CacheService(url, **{"prefix": prefix, **options})
        opened.append(cache)
        return cache

    yield make
    for cache in opened:
        cache.close()


@pytest.fixture
def cache(make_cache: MakeCache) -> CacheService:
    return make_cache()


@pytest.fixture(params=["memory", "redis"])
def any_cache(request: pytest.FixtureRequest, make_cache: MakeCache) -> CacheService:
    if request.param == "memory":
        return make_cache()
    redis: Redis = request.getfixturevalue("redis")
    return make_cache(redis.url)
