"""A Redis of our own: on a free port, without persistence, ended with what needed it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

START_LIMIT_SECONDS = 10
# Who may not subscribe is told of no writes: a reader that knows only what it asked for.
DEAF = ("--user", "deaf", "on", "nopass", "~*", "&*", "+@all", "-subscribe", "-ssubscribe")


@contextlib.contextmanager
def optional() -> Iterator[str | None]:
    """The URL of a fresh server; None where no redis-server is installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="scrubjay-redis-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        server = subprocess.Popen([*command, "--dir", folder, *DEAF], stdout=subprocess.DEVNULL)
        try:
            wait_until_up(server, port)
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def wait_until_up(server: subprocess.Popen, port: int) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(16).startswith(b"+PONG"):
                return
    raise SystemExit(f"redis-server did not answer on port {port} within {START_LIMIT_SECONDS} s")


@contextlib.contextmanager
def required() -> Iterator[str]:
    """The URL of a fresh server, or the end of the program."""
    with optional() as url:
        if url is None:
            raise SystemExit("redis-server is needed: apt-get install redis-server")
        yield url
