"""The conformance runner of the Python package.

    python tests/conformance/runners/python --corpus tests/conformance --redis redis://localhost:6379 --out r.json
    python tests/conformance/runners/python --agent

The first form runs every scenario in memory and over the Redis, each by the plain methods and by those of
asyncio: a scenario is ok when it is with both. The second reads steps from standard input, one JSON object a
line, does them by the plain methods, and answers each with ``{"ok": true}`` or ``{"ok": false, "why": "…"}``.
The first step opens a cache with its url and prefix.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, TextIO

from scenario import Failed, run_file
from steps import Runner, Step
from values import parse
from worlds import Plain, Tasks, at_once


def main() -> int:
    """Run, and return the exit status."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--corpus", type=Path, help="folder of the scenarios")
    options.add_argument("--redis", default="", help="URL of a Redis")
    options.add_argument("--out", type=Path, help="file for the results")
    options.add_argument("--agent", action="store_true", help="read steps from standard input")
    given = options.parse_args()
    if given.agent:
        agent(sys.stdin, sys.stdout)
        return 0
    files = sorted(given.corpus.glob("*.json")) if given.corpus else []
    if not files:
        print(f"no scenario in {given.corpus}", file=sys.stderr)
        return 2
    backends = (("memory", "memory://"), ("redis", given.redis))
    results = [result(file, backend, url) for file in files for backend, url in backends]
    if given.out:
        given.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    failed = sum(not each["ok"] for each in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def result(file: Path, backend: str, url: str) -> dict[str, Any]:
    """Run one scenario on one backend, in both worlds, and print its line."""
    name, problems = file.stem, []
    for world in (Plain, Tasks):
        name, problem = run_file(file, url, world)
        if problem:
            problems.append(f"{world.name}: {problem}")
    why = "; ".join(problems)
    print(f"conformance python {backend} {name} {'FAILED: ' + why if why else 'ok'}", flush=True)
    return {"language": "python", "backend": backend, "scenario": name, "ok": not why, "why": why}


def agent(lines: TextIO, answers: TextIO) -> None:
    """Do steps that another program sends."""
    runner = Runner(Plain(), {})
    for line in lines:
        if not line.strip():
            continue
        verdict: dict[str, Any] = {"ok": True}
        try:
            at_once(runner.step(Step(parse(line))))
        except Failed as problem:
            verdict = {"ok": False, "why": str(problem)}
        except Exception as problem:
            verdict = {"ok": False, "why": f"{type(problem).__name__}: {problem}"}
        answers.write(json.dumps(verdict) + "\n")
        answers.flush()
    at_once(runner.close_all())


if __name__ == "__main__":
    sys.exit(main())
