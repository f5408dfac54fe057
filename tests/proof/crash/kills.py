"""Workers that are killed at random moments, and others that take over from them."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from check import Checker, Verdict
from protocol import Process, Truth

# So many workers at a time, of the languages in turn.
WORKERS = 6
CALLERS = 4
PAUSE_MS = 4
# The truth is slow enough for something to wait for it.
SECONDS_FOR_WRITE = 0.002
# How long after a kill the next one comes, at most. A worker that is killed has said that it is ready.
LONGEST_PAUSE_SECONDS = 0.12
# After the last kill: the lease of a dead worker's partitions ends after 5 s, journals are looked for each 10 s.
SETTLE_SECONDS = 60


@dataclass
class Scenario:
    """What is played."""

    ack: str
    kills: int
    least: int
    languages: tuple[str, ...] = ()
    ack_first: bool = False


SCENARIOS = {
    "journal": Scenario("journal", 1000, 12),
    "redis": Scenario("redis", 1000, 12),
    "control-memory": Scenario("memory", 100, 8),
    "control-ack-first": Scenario("journal", 100, 8, ("rust",), ack_first=True),
}


class Fleet:
    """The workers of a run: six places, each with a process, and its successors when it is killed."""

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        url: str,
        commands: dict[str, list[str]],
        truth: Truth,
        rng: random.Random,
    ) -> None:
        self._scenario, self._folder, self._url = scenario, folder, url
        self._commands = {name: commands[name] for name in scenario.languages or commands}
        self._truth, self._rng = truth, rng
        self._started = 0
        self.kills = dict.fromkeys(self._commands, 0)

    def start(self, place: int, language: str | None = None) -> Process:
        """A worker, the next one in a place."""
        scenario, number = self._scenario, self._started
        self._started += 1
        languages = list(self._commands)
        language = language or languages[number % len(languages)]
        behind = {"name": "crash", "ack": scenario.ack, "max_attempts": 0}
        if scenario.ack == "journal":
            behind["directory"] = str(self._folder / "journals")
        shared = scenario.ack == "redis"
        config = {
            "url": self._url,
            "prefix": "crash",
            "behind": behind,
            # A stream orders what processes write to a key one after the other; a journal what one process writes.
            "name": f"k{place}" if shared else f"k{number}",
            "version": number * 1_000_000,
            # In a journal is what a process has written itself. With a stream some write, some work, some do both.
            "producers": CALLERS if not shared or place % 3 != 1 else 0,
            "works": not shared or place % 3 != 0,
            "pause_ms": PAUSE_MS,
            "padding": 20,
            "changes": False,
            "ack_first": scenario.ack_first,
            "stats_ms": 0,
        }
        process = Process(language, self._commands[language], config, None)
        self._truth.add(process)
        return process

    def play(self, kills: int) -> None:
        """Start all, kill some, and start others instead."""
        places = [self.start(place) for place in range(WORKERS)]
        for _ in range(kills):
            self._truth.listen(self._rng.random() * LONGEST_PAUSE_SECONDS)
            place = self._rng.randrange(WORKERS)
            victim = places[place]
            self._truth.until(f"a worker of {victim.language} is ready", lambda victim=victim: victim.ready)
            # At any point of its life: while it opens its journal, adopts another one, writes, or waits.
            self._truth.listen(self._rng.random() ** 2 * LONGEST_PAUSE_SECONDS)
            self._truth.kill(victim)
            self.kills[victim.language] += 1
            places[place] = self.start(place)
        # At the end all languages live: each has to bring some of what is left to the truth.
        self._truth.until("the last workers are ready", lambda: all(process.ready for process in places))
        for process in places:
            process.tell("quiet")
        self._truth.until("the last callers rest", lambda: all(process.quiet for process in places))


def run(
    name: str, scale: float, seed: int, folder: Path, url: str, commands: dict[str, list[str]]
) -> dict[str, object]:
    """Play a scenario, and check it."""
    scenario = SCENARIOS[name]
    begun, path = time.monotonic(), folder / "log"
    truth, rng = Truth(path, seconds_for_write=SECONDS_FOR_WRITE), random.Random(f"{seed} {name}")
    checker = Checker(path)
    fleet = Fleet(scenario, folder, url, commands, truth, rng)
    try:
        fleet.play(max(round(scenario.kills * scale), scenario.least))
        settle(truth, checker, patient=not name.startswith("control-"))
        left = list(truth.processes)
        for process in left:
            process.tell("close")
        truth.until("the last workers close", lambda: all(process.closed for process in left))
        for process in left:
            truth.end(process)
        truth.flush()
        verdict = checker.verdict()
    finally:
        truth.close()
        checker.close()
    journals = sorted(file.name for file in (folder / "journals").glob("*"))
    for file in journals:
        # What was made durable is with the truth, and nothing was set aside.
        verdict.note(f"a journal is left: {file}")
    return {
        "runs": sum(fleet.kills.values()),
        "reads": verdict.written,
        "violations": verdict.violations + len(journals),
        "seed": seed,
        "worst_staleness_ms": None,
        "kills": fleet.kills,
        "acknowledged": verdict.acknowledged,
        "lost": verdict.lost,
        "reordered": verdict.reordered,
        "unmarked_duplicates": verdict.unmarked,
        "duplicates": verdict.duplicates,
        "refused": verdict.refused,
        "journals_left": len(journals),
        "seconds": round(time.monotonic() - begun, 1),
        "first": verdict.first,
    }


def settle(truth: Truth, checker: Checker, *, patient: bool) -> Verdict:
    """Wait until the truth has all that was acknowledged.

    Not for long for a control, where it does not come: what the living have comes when they close.
    """
    deadline = time.monotonic() + (SETTLE_SECONDS if patient else 0.5)
    while True:
        truth.listen(0.2)
        truth.flush()
        verdict = checker.verdict()
        if not verdict.lost or time.monotonic() > deadline:
            return verdict


def trouble(name: str, result: dict, languages: list[str]) -> str | None:
    """Why a scenario has failed, if it has."""
    if name.startswith("control-"):
        return None if result["lost"] else "nothing was lost: the checker, or the kills, prove nothing"
    if result["violations"]:
        return (
            f"{result['lost']} lost, {result['reordered']} reordered, {result['unmarked_duplicates']} duplicates "
            f"without a mark, {result['journals_left']} journals left"
        )
    if missing := [language for language in languages if not result["kills"].get(language)]:
        return f"nobody of {', '.join(missing)} was killed"
    return None
