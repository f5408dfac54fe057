"""Runs the corpus through every language, in memory and over a real Redis, and compares what was run.

A scenario that one language lacks is a failure, as is one that fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import redis_server  # noqa: E402
import runners  # noqa: E402

BACKENDS = ("memory", "redis")
TIME_LIMIT_SECONDS = 600


def run(language: str, command: list[str], url: str, out: Path) -> list[dict]:
    begun = time.monotonic()
    arguments = ["--corpus", str(HERE), "--redis", url, "--out", str(out)]
    ended = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, text=True, timeout=TIME_LIMIT_SECONDS)
    if not out.exists():
        raise SystemExit(f"the {language} runner ended with status {ended.returncode} and no results\n{ended.stdout}")
    results = json.loads(out.read_text())
    print(f"  {language}: {len(results)} runs in {time.monotonic() - begun:.1f} s", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("languages", nargs="*", help="only these languages")
    options = parser.parse_args()
    commands = runners.commands(options.languages)
    languages = list(commands)
    verdicts: dict[tuple[str, str, str], str] = {}
    with tempfile.TemporaryDirectory(prefix="scrubjay-conformance-") as scratch, redis_server.required() as url:
        for language in languages:
            out = Path(scratch) / f"{language}.json"
            for result in run(language, commands[language], url, out):
                verdict = "ok" if result["ok"] else f"FAILED: {result['why']}"
                verdicts[result["scenario"], result["backend"], language] = verdict
    scenarios = sorted(path.stem for path in HERE.glob("*.json"))
    width = max(map(len, scenarios))
    print(f"\n{'scenario':<{width}}  backend  " + "  ".join(f"{language:<6}" for language in languages))
    failures = []
    for scenario in scenarios:
        for backend in BACKENDS:
            cells = []
            for language in languages:
                verdict = verdicts.pop((scenario, backend, language), "was not run")
                cells.append(f"{'ok' if verdict == 'ok' else 'FAILED':<6}")
                if verdict != "ok":
                    failures.append(f"{scenario}, {backend}, {language}: {verdict}")
            print(f"{scenario:<{width}}  {backend:<7}  " + "  ".join(cells))
    failures += [f"{key}: there is no such scenario" for key in verdicts]
    total = len(scenarios) * len(BACKENDS) * len(languages)
    for failure in failures:
        print(failure)
    print(f"conformance: {total - len(failures)} passed, {len(failures)} failed")
    sys.exit(1 if failures else 0)


main()
