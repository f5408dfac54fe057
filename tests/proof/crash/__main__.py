"""What is left of acknowledged writes when processes are killed, disks fill up, and sources are slow.

Workers in four languages write keys behind, with the level `journal` or `redis`, and bring the writes to a
truth; they are killed with SIGKILL at random moments, and others take over. Each acknowledgement goes to the
parent before the next write. Then no acknowledged write may be lost, none may come after a newer one of its key,
and what comes twice must bear the same name twice. The controls must lose some, or the kills prove nothing.

Beside that: a disk that is full, or whose sync fails, is reported; how fast rows get into Postgres, beside a
statement for each; and what waits for a slow source stays within its bound.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "support")]

import bound  # noqa: E402
import disk  # noqa: E402
import kills  # noqa: E402
import redis_server  # noqa: E402
import rows  # noqa: E402
import table  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
WORKERS = HERE / "workers"
LANGUAGES = ("rust", "python", "node", "go")
NAMES = [*kills.SCENARIOS, *disk.SCENARIOS, *bound.SCENARIOS, *rows.SCENARIOS]


def commands(languages: list[str]) -> dict[str, list[str]]:
    """What starts the worker of each language."""
    known = {
        "rust": [str(TARGET / "release" / "scrubjay-crash")],
        "python": [sys.executable, str(WORKERS / "worker.py")],
        "node": ["node", str(WORKERS / "worker.mjs")],
        "go": [str(TARGET / "crash" / "go")],
    }
    for language in languages:
        program = Path(known[language][-1])
        if not program.exists():
            raise SystemExit(f"the worker of {language} is missing: {program}")
    return {language: known[language] for language in languages}


def play(
    name: str, scale: float, seed: int, workers: dict[str, list[str]], folder: Path
) -> tuple[dict, str | None]:
    """Play a scenario: what came out, and why it has failed, if it has."""
    if name in kills.SCENARIOS:
        with redis_server.required() as url:
            result = kills.run(name, scale, seed, folder, url, workers)
        languages = kills.SCENARIOS[name].languages or workers
        return result, kills.trouble(name, result, list(languages))
    part = next(part for part in (disk, bound, rows) if name in part.SCENARIOS)
    result = part.run(name, scale, seed, folder, workers)
    return result, part.trouble(name, result)


def main() -> int:
    """Play the scenarios that were asked for."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or "1"))
    arguments.add_argument("--scale", type=float, default=float(os.environ.get("SCALE") or "1"))
    arguments.add_argument("--keep", type=Path, help="a folder for the logs, which stay there")
    arguments.add_argument("--languages", default="rust python node go")
    arguments.add_argument("scenarios", nargs="*", help=f"these alone, of: {' '.join(NAMES)}")
    options = arguments.parse_args()
    names = options.scenarios or os.environ.get("CRASHES", "").split() or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        raise SystemExit(f"no scenario is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    workers = commands(options.languages.split())
    results, failures = {}, []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="scrubjay-crash-") as temporary:
            folder = options.keep / name if options.keep else Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            results[name], why = play(name, options.scale, options.seed, workers, folder)
        print(f"{'FAILED' if why else 'ok':<7}{name}: {results[name]['seconds']} s", flush=True)
        if why:
            failures.append(f"{name}: {why}")
            print("\n".join([f"       {why}", *(f"       {line}" for line in results[name]["first"])]), flush=True)
    missing = [language for language in LANGUAGES if language not in workers]
    for result in results.values():
        result["languages_missing"] = missing
    target = TARGET / "proof"
    target.mkdir(parents=True, exist_ok=True)
    (target / "crash.json").write_text(json.dumps(results, indent=1) + "\n")
    table.show(results, options.seed)
    print("\n".join(failures))
    if missing:
        print(f"NOT ALL LANGUAGES TOOK PART: {', '.join(missing)} missing")
    print(f"{len(results) - len(failures)} passed, {len(failures)} failed: what is left of acknowledged writes")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
