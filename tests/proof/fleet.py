"""One cold key, a process of each language, hundreds of callers in each, all at once: the source is asked once.

How many loads there were is counted by the core of each process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import redis_server  # noqa: E402
import runners  # noqa: E402
from agents import Agent  # noqa: E402

CALLERS = 250
ROUNDS = 200


def together(agents: list[Agent], step: dict) -> list[str]:
    """Has all do a step at the same time; what went wrong."""
    for agent in agents:
        agent.begin(step)
    return [trouble for agent in agents if (trouble := agent.verdict(step))]


def play(agents: list[Agent], url: str, number: int) -> tuple[int, list[str]]:
    """The loads of a round, and what went wrong in it."""
    about = f"round {number}"
    options = {"url": url, "prefix": f"fleet-{number}", "l2_timeout": 20}
    wrong = together(agents, {"op": "open", "options": options, "about": about})
    # A connection takes its time: all are there before the callers come.
    wrong += together(agents, {"op": "get", "key": "nothing", "expect_miss": True, "about": about})
    value = {"round": number}
    callers = {"op": "concurrent", "key": "cold", "count": CALLERS, "fetch": {"value": value}, "expect": value}
    wrong += together(agents, {**callers, "about": about})
    loads = 0
    for agent in agents:
        for count in (0, 1):
            # Whoever has another number than these is found out by the sum.
            loads += count * (not agent.all([{"op": "stats", "expect": {"loads": count}, "about": about}]))
    return loads, wrong + together(agents, {"op": "close", "about": about})


def main() -> int:
    rounds = max(int(ROUNDS * float(os.environ.get("SCALE", "1"))), 5)
    agents = [Agent(language, command) for language, command in runners.commands(sys.argv[1:]).items()]
    failures = []
    with redis_server.required() as url:
        for number in range(rounds):
            loads, wrong = play(agents, url, number)
            failures += wrong if loads == 1 else [*wrong, f"round {number}: {loads} loads"]
        for agent in agents:
            agent.end()
    for failure in failures[:20]:
        print(failure[:400])
    languages = ", ".join(agent.language for agent in agents)
    print(f"{rounds} rounds, {CALLERS} callers in each of: {languages}")
    print(f"{rounds - len(failures)} passed, {len(failures)} failed: one load of a cold key in the whole fleet")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
