"""Every language writes, every language reads and deletes: all ordered pairs on one Redis, memory tier on.

Each pair is two processes. The rows are those of tests/vectors/values.json, which docs/types.md shows as a table; they
go by each codec. A deleted value must be gone in the writer's process within `max_staleness`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "support"))

import redis_server  # noqa: E402
import runners  # noqa: E402
from agents import Agent  # noqa: E402

MAX_STALENESS_SECONDS = 0.25
CODECS = ("json", "msgpack")


def check_table(rows: list[dict]) -> list[str]:
    """The table of docs/types.md has these rows and no others."""
    text = (ROOT / "docs" / "types.md").read_text()
    documented = re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)
    names = [row["name"] for row in rows]
    wrong = [f"docs/types.md lacks the row {name}" for name in names if name not in documented]
    return wrong + [f"values.json lacks the row {name}" for name in documented if name not in names]


def pair(writer: Agent, reader: Agent, url: str, vectors: dict, codec: str) -> tuple[int, list[str]]:
    name = f"{writer.language} to {reader.language}, {codec}"
    prefix = f"interop-{writer.language}-{reader.language}-{codec}"
    options = {"url": url, "prefix": prefix, "max_staleness": MAX_STALENESS_SECONDS}
    opening = {"op": "open", "options": options, "about": f"{name}: open"}
    wrong = writer.all([opening]) + reader.all([opening])
    values = [(f"row:{row['name']}", row["name"], row["value"]) for row in vectors["rows"]]
    values += [(key["key"], key["name"], key["name"]) for key in vectors["keys"]]

    def steps(**what: object) -> list[dict]:
        return [{"key": key, "about": f"{name}: {about}", **what} for key, about, _ in values]

    written = [{**step, "value": value} for step, (_, _, value) in zip(steps(op="set", codec=codec), values, strict=True)]
    read = [{**step, "expect": value} for step, (_, _, value) in zip(steps(op="get"), values, strict=True)]
    fetched = [
        {**step, "op": "get_or_fetch", "fetch": {"error": "must not run"}, "expect_fetches": 0} for step in read
    ]
    deleted = steps(op="delete", expect_pending=False)
    gone = steps(op="get", expect_miss=True)
    waits = [{"op": "eventually", "within": MAX_STALENESS_SECONDS, "step": step, "about": step["about"]} for step in gone]
    wrong += writer.all(written) + reader.all(read) + reader.all(fetched) + writer.all(read)
    wrong += reader.all(deleted) + reader.all(gone) + writer.all(waits)
    closing = [{"op": "close", "about": f"{name}: close"}]
    wrong += writer.all(closing) + reader.all(closing)
    return len(values), wrong


def main() -> None:
    vectors = json.loads((ROOT / "tests" / "vectors" / "values.json").read_text())
    failures = check_table(vectors["rows"])
    commands = runners.commands(sys.argv[1:])
    writers = {language: Agent(language, command) for language, command in commands.items()}
    readers = {language: Agent(language, command) for language, command in commands.items()}
    passed = 0
    with redis_server.required() as url:
        for writer in writers.values():
            for reader in readers.values():
                wrong: list[str] = []
                for codec in CODECS:
                    count, trouble = pair(writer, reader, url, vectors, codec)
                    wrong += trouble
                verdict = "ok" if not wrong else f"FAILED ({len(wrong)})"
                print(f"{writer.language:>6} to {reader.language:<6} {count} values and keys, 2 codecs: {verdict}", flush=True)
                passed += not wrong
                failures += wrong
        for agent in [*writers.values(), *readers.values()]:
            agent.end()
    for failure in failures[:40]:
        print(failure[:600])
    print(f"interop: {passed} pairs passed, {len(failures)} checks failed")
    sys.exit(1 if failures else 0)


main()
