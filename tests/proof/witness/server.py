"""A Redis that can be killed, stopped, and started again on its port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import redis_server
from resp import Connection


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped the process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return any(line.startswith("State:") and "T (stopped)" in line for line in status.splitlines())


def stop_process(pid: int) -> None:
    """SIGSTOP, and the proof that it worked."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while not is_stopped(pid):
        if time.monotonic() > deadline:
            raise SystemExit(f"process {pid} did not stop")
        time.sleep(0.001)


class Server:
    """The process, without persistence."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise SystemExit("redis-server is needed: apt-get install redis-server")
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        self.command_line = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.command_line += ["--save", "", "--appendonly", "no", "--logfile", str(self.log)]
        self.start()

    def start(self) -> None:
        """Starts it, empty."""
        self.process = subprocess.Popen(self.command_line, stdout=subprocess.DEVNULL)
        redis_server.wait_until_up(self.process, self.port)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stops it until `thaw`."""
        stop_process(self.process.pid)

    def thaw(self) -> None:
        """Has it go on."""
        os.kill(self.process.pid, signal.SIGCONT)

    def connect(self) -> Connection:
        """A connection of its own."""
        return Connection(self.port)

    def stop(self) -> None:
        """Ends it, whatever state it is in."""
        self.kill()
