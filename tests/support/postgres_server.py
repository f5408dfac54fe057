"""A Postgres for a test, on a free port."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "postgres.sh"


@contextlib.contextmanager
def required(*settings: str) -> Iterator[str]:
    """Start one, and give its URL."""
    folder = Path(tempfile.mkdtemp(prefix="scrubjay-pg-", dir="/tmp"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    server = subprocess.Popen(
        ["bash", str(SCRIPT), str(folder), str(port), *settings], start_new_session=True
    )
    try:
        wait(server, port, folder)
        yield f"postgres://postgres@127.0.0.1:{port}/postgres"
    finally:
        if server.poll() is None:
            os.kill(server.pid, signal.SIGINT)
            server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def wait(server: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            log = folder / "log"
            raise SystemExit(
                f"postgres has not started: {log.read_text() if log.exists() else server.returncode}"
            )
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=1) as line,
        ):
            # A StartupMessage: it answers only when it takes connections, else with an error that it is starting.
            body = (196608).to_bytes(
                4, "big"
            ) + b"user\0postgres\0database\0postgres\0\0"
            line.sendall((len(body) + 4).to_bytes(4, "big") + body)
            if line.recv(1) == b"R":
                return
        time.sleep(0.02)
    raise SystemExit("postgres does not answer")
