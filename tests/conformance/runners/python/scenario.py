"""Scenarios: one file of the corpus each."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path
from typing import Any

from steps import Runner, Step
from values import Failed, build, parse
from worlds import World

__all__ = ["Failed", "run_file"]

LIMIT = 120.0
"""The seconds after which a scenario is said to hang."""

_FIELDS = {"name", "about", "options", "steps"}
_PREFIXES = itertools.count(1)


def run_file(file: Path, url: str, world: type[World]) -> tuple[str, str]:
    """Run a scenario. Its name, and what is wrong with it; empty when all is well."""
    name = file.stem
    try:
        scenario = parse(file.read_text(encoding="utf-8"))
        if not isinstance(scenario, dict):
            raise Failed("a scenario is an object")
        if unknown := scenario.keys() - _FIELDS:
            raise Failed(f"unknown fields {sorted(unknown)}")
        name = scenario.get("name") or name
        return name, _limited(scenario, url, world())
    except Exception as problem:
        return name, _told(problem)


def _limited(scenario: dict[str, Any], url: str, world: World) -> str:
    said = [f"it did not end within {LIMIT} s"]

    def run() -> None:
        try:
            world.run(_run(scenario, url, world))
            said[0] = ""
        except BaseException as problem:
            said[0] = _told(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    return said[0]


async def _run(scenario: dict[str, Any], url: str, world: World) -> None:
    prefix = f"python-{os.getpid()}-{next(_PREFIXES)}"
    runner = Runner(world, {"url": url, "prefix": prefix})
    try:
        try:
            await runner.open("a", build(scenario.get("options") or {}))
        except Exception as problem:
            raise Failed(f"open: {_told(problem)}") from problem
        await runner.steps([Step(step) for step in scenario.get("steps") or []])
    finally:
        await runner.close_all()


def _told(problem: BaseException) -> str:
    return str(problem) if isinstance(problem, Failed) else f"{type(problem).__name__}: {problem}"
