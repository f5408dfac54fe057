"""What coherence costs, and what an outage of Redis costs, in each language.

run.py FOLDER LANGUAGE...    SCALE: 1 = the full figure; writes FOLDER/coherence-LANGUAGE.json

A worker of each language holds the caches. It reads commands, a line each, and answers each with a line of JSON:

ready URL     opens its caches at the first time; answers when Redis tells of writes, and memory has the warm keys
hits ROUNDS   times hits in memory, of a cache with Redis and of one in memory alone in turn:
              {"on": [ns], "off": [ns]}
load SECONDS  callers of warm keys, in bursts, and of cold keys, whose fetch takes 5 ms, side by side:
              {"warm": {"p50_us", "p99_us", "slow_ppm"}, "cold": [[over_us, state], ...]}
              slow_ppm: how many of a million took more than 1 ms; over_us: how much longer than its own fetch a
              call took; state: that of the breaker when it began, or "alone" for one of a cache in memory alone,
              which shows what the load costs by itself

Here the server is stopped and killed between them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

SCALE = float(os.environ.get("SCALE", "1"))
HIT_ROUNDS = max(11, round(1001 * min(1.0, SCALE)))
ROUNDS = max(2, round(5 * SCALE))
# Long enough for the breaker to open, and for memory to learn that it is told nothing any more.
WINDOW = max(1.0, 2 * min(1.0, SCALE))


class Server:
    """A Redis that stops, and comes back."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                time.sleep(0.01)
        raise SystemExit("bench-coherence: redis-server did not answer within 10 s")

    def freeze(self) -> None:
        """Let it neither answer nor end."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it, with all that it has."""
        self.process.kill()
        self.process.wait()


class Worker:
    """A program that holds the caches."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command: str) -> dict:
        """Give a command, and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(command, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench-coherence: the worker ended at {command!r}")
        return json.loads(line)

    def end(self) -> None:
        """Let it end, without a complaint."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if self.process.wait(timeout=30) != 0:
            raise SystemExit("bench-coherence: the worker failed")


class Figures:
    """The figures of all rounds, by case, subject and metric."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, str, str, str], list[float]] = {}

    def add(self, case: str, subject: str, metric: str, unit: str, *figures: float) -> None:
        """Add the figures of one round, or of several."""
        self.all.setdefault((case, subject, metric, unit), []).extend(figures)

    def records(self) -> list[dict]:
        """Give the medians."""
        return [
            {
                "case": case,
                "subject": subject,
                "metric": metric,
                "value": round(statistics.median(figures), 2),
                "unit": unit,
                "repeats": len(figures),
            }
            for (case, subject, metric, unit), figures in self.all.items()
        ]


def percentile(figures: list[float], share: float) -> float:
    """Give what so many of the figures are below of."""
    return sorted(figures)[min(len(figures) - 1, int(len(figures) * share))]


def outage(figures: Figures, language: str, name: str, worker: Worker, server: Server) -> None:
    """One round: before, during, and back to where it began."""
    case = f"{language}/{name}"
    before = worker.ask(f"load {WINDOW}")
    server.freeze() if name == "stopped" else server.kill()
    during = worker.ask(f"load {WINDOW}")
    server.thaw() if name == "stopped" else server.start()
    worker.ask("ready")
    for subject, answer in ("before", before), ("scrubjay", during):
        for metric, unit in ("p50_us", "us"), ("p99_us", "us"), ("slow_ppm", "ppm"):
            figures.add(f"{case}-warm", subject, metric, unit, answer["warm"][metric])
    closed, alone = {"closed"}, {"alone"}
    for phase, subject, cold, states in (
        ("before", "scrubjay", before["cold"], closed),
        ("until-open", "scrubjay", during["cold"], closed),
        ("open", "scrubjay", during["cold"], {"open", "half_open"}),
        ("open", "without-redis", during["cold"], alone),
    ):
        calls = [over for over, state in cold if state in states]
        if calls:
            figures.add(f"{case}-cold-{phase}", subject, "p50_over_us", "us", percentile(calls, 0.5))
            figures.add(f"{case}-cold-{phase}", subject, "p99_over_us", "us", percentile(calls, 0.99))
            figures.add(f"{case}-cold-{phase}", subject, "most_over_us", "us", max(calls))


def measure(language: str, command: list[str]) -> list[dict]:
    """Measure one language."""
    figures, server = Figures(), Server()
    worker = Worker(command)
    try:
        worker.ask(f"ready {server.url}")
        hits = worker.ask(f"hits {HIT_ROUNDS}")
        figures.add(f"{language}/l1-hit", "scrubjay", "ns", "ns", *hits["on"])
        figures.add(f"{language}/l1-hit", "without-redis", "ns", "ns", *hits["off"])
        for _ in range(ROUNDS):
            for name in "stopped", "killed":
                outage(figures, language, name, worker, server)
        worker.end()
    finally:
        worker.process.kill()
        server.thaw()
        server.kill()
    return figures.records()


def main() -> None:
    """Measure all that were asked for."""
    folder, languages = Path(sys.argv[1]), sys.argv[2:]
    for language in languages:
        command = os.environ[f"WORKER_{language.upper()}"].split()
        print(f"=== {language}", flush=True)
        records = measure(language, command)
        for record in records:
            title = f"{record['case']:<34} {record['subject']:<14}"
            print(f"{title} {record['metric']:<13} {record['value']:>12,.1f} {record['unit']}", flush=True)
        (folder / f"coherence-{language}.json").write_text(json.dumps(records, indent=1) + "\n")


main()
