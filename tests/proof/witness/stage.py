"""All the processes of a scenario: the truth, the server, the network before it, the workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import records
import truth
from proxy import Proxy
from server import Server, stop_process

# A worker that does not answer within this has hung.
LIMIT_SECONDS = 90


class Worker:
    """A worker process."""

    def __init__(self, language: str, command: list[str], config: dict, environment: dict[str, str]) -> None:
        self.language, self.number, self.log = language, config["worker"], Path(config["log"])
        self.process = subprocess.Popen(
            [*command, json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        # When it went on after it had been stopped, in ns.
        self.thaws: list[int] = []

    def tell(self, word: str) -> None:
        """Gives it a word; `heard` is to follow."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def heard(self, word: str) -> None:
        """Waits until it has done what the word says."""
        if (line := self.process.stdout.readline().strip()) != word:
            raise SystemExit(f"the worker of {self.language} answered {line!r} to {word!r}")

    def reads(self) -> int:
        """About how many reads it has done: its few writes are counted too."""
        return records.count(self.log)

    def freeze(self) -> None:
        """Stops it until `thaw`."""
        stop_process(self.process.pid)

    def thaw(self) -> None:
        """Has it go on."""
        self.thaws.append(truth.now())
        os.kill(self.process.pid, signal.SIGCONT)


class Stage:
    """Everything that a scenario needs, ended with it."""

    def __init__(
        self, folder: Path, scenario: dict, commands: dict[str, list[str]], languages: list[str], seed: int
    ) -> None:
        self.folder, self.seed = folder, seed
        self.settings = scenario["settings"]
        self.ends: list[Callable[[], None]] = []
        self.workers: list[Worker] = []
        self.turns = 0
        try:
            self._start(scenario, commands, scenario.get("languages") or languages)
        except BaseException:
            self.end()
            raise

    def _start(self, scenario: dict, commands: dict[str, list[str]], languages: list[str]) -> None:
        database, socket = self.folder / "truth.db", self.folder / "truth.sock"
        truth.create(database, self.settings["keys"])
        self.database = database
        source = truth.Server(database, socket)
        self.ends.append(source.stop)
        self.server = Server(self.folder / "redis")
        self.ends.append(self.server.stop)
        port = self.server.port
        self.proxy = None
        if scenario.get("proxy"):
            self.proxy = Proxy(port, self.seed)
            self.ends.append(self.proxy.stop)
            port = self.proxy.port
        options = {"url": f"redis://127.0.0.1:{port}", "prefix": "witness", **scenario["options"]}
        self.max_staleness = options["max_staleness"]
        environment = scenario["environment"](self) if "environment" in scenario else {}
        for number, language in enumerate(languages):
            config = {
                **self.settings,
                "kind": scenario.get("kind", "scrubjay"),
                "options": options,
                "truth": str(socket),
                "log": str(self.folder / f"{number}-{language}.log"),
                "worker": number,
                "workers": len(languages),
                "seed": self.seed * 100 + number,
                "observes": number == languages.index("python"),
                # For clocks that count from somewhere else.
                "boottime_offset": truth.now() - time.monotonic_ns(),
            }
            slot = {"SCRUBJAY_CLOCK_SLOT": str(number)}
            worker = Worker(language, commands[language], config, environment | slot)
            self.workers.append(worker)
            self.ends.append(worker.process.kill)
        for worker in self.workers:
            worker.heard("ready")

    def all(self, word: str) -> None:
        """Gives all workers a word, and waits until all have done it."""
        deadline = time.monotonic() + LIMIT_SECONDS
        for worker in self.workers:
            worker.tell(word)
        for worker in self.workers:
            worker.heard(word)
        if time.monotonic() > deadline:
            raise SystemExit(f"the workers took more than {LIMIT_SECONDS} s for {word!r}")

    def turn(self) -> int:
        """A number that grows by one with each call: for what takes turns."""
        self.turns += 1
        return self.turns - 1

    def look(self) -> None:
        """Makes sure that all workers are there."""
        for worker in self.workers:
            if worker.process.poll() is not None:
                raise SystemExit(f"the worker of {worker.language} ended with {worker.process.returncode}")

    def reads(self) -> int:
        """About how many reads there have been."""
        return sum(worker.reads() for worker in self.workers)

    def wait(self, reads: int) -> None:
        """Waits until there have been so many reads."""
        while self.reads() < reads:
            self.look()
            time.sleep(0.02)

    def rest(self) -> None:
        """Brings all to rest, and has all workers read every key once more."""
        self.all("quiet")
        # The bound that is promised, and what a clock may lag behind.
        time.sleep(self.max_staleness + 0.05)
        self.all("rest")
        self.all("last")
        for worker in self.workers:
            worker.process.stdin.close()
        for worker in self.workers:
            if worker.process.wait(LIMIT_SECONDS) != 0:
                raise SystemExit(f"the worker of {worker.language} ended with {worker.process.returncode}")

    def end(self) -> None:
        """Ends all processes."""
        for worker in self.workers:
            # One that is stopped cannot be waited for.
            worker.process.kill()
            worker.process.wait()
        for end in reversed(self.ends):
            end()
