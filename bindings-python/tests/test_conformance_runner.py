"""The runner of the conformance corpus: that it fails what is to fail, in either of its worlds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import Redis

RUNNER = Path(__file__).parents[2] / "tests/conformance/runners/python"

GOOD: list[dict[str, Any]] = [
    {"op": "set", "key": "k", "value": {"a": [1, 1.5, None, {"$int": "9" * 30}]}, "expect_pending": False},
    {"op": "get", "key": "k", "expect": {"a": [1, 1.5, None, {"$int": "9" * 30}]}},
    {
        "op": "set",
        "key": "x",
        "value": [{"$float": "NaN"}],
        "expect_error": "InvalidValue",
        "expect_names": ["$[0]"],
    },
    {
        "op": "concurrent",
        "key": "c",
        "count": 20,
        "leader": "cancel",
        "fetch": {"value": 2},
        "expect": 2,
        "expect_fetches": 2,
    },
    {
        "op": "concurrent",
        "key": "d",
        "count": 20,
        "leader": "panic",
        "fetch": {"value": 2},
        "expect": 2,
        "expect_fetches": 2,
    },
    {
        "op": "concurrent",
        "key": "e",
        "count": 20,
        "fetch": {"error": "x"},
        "expect_error": "FetchFailed",
        "expect_fetches": 1,
    },
    {"op": "get_or_fetch", "key": "r", "fetch": {"recursive": "r"}, "expect_error": "RecursiveFetch"},
    {
        "op": "get_or_fetch",
        "key": "v",
        "fetch": {"value": 1, "during": [{"op": "delete", "key": "v"}]},
        "expect": 1,
    },
    {"op": "get", "key": "v", "expect_miss": True},
    {
        "op": "get_or_fetch_many",
        "keys": ["k", "m"],
        "fetch": {"error": "x"},
        "expect_failed": ["m"],
        "expect_missing": [["m"]],
    },
    {"op": "eventually", "step": {"op": "stats", "expect": {"decode_misses": 0}}},
]
BAD: dict[str, list[dict[str, Any]]] = {
    "an unknown operation": [{"op": "nonsense"}],
    "an unknown field": [{"op": "get", "key": "k", "nonsense": 1}],
    "another value": [{"op": "set", "key": "k", "value": 1}, {"op": "get", "key": "k", "expect": True}],
    "a miss": [{"op": "get", "key": "k", "expect": None}],
    "no error": [{"op": "get", "key": "k", "expect_error": "InvalidKey"}],
    "another error": [{"op": "get", "key": "", "expect_error": "InvalidValue"}],
    "another message": [{"op": "get", "key": "", "expect_error": "InvalidKey", "expect_names": ["nonsense"]}],
    "too many fetches": [{"op": "get_or_fetch", "key": "k", "fetch": {"value": 1}, "expect_fetches": 0}],
    "a step inside a fetch": [
        {
            "op": "get_or_fetch",
            "key": "k",
            "fetch": {"value": 1, "during": [{"op": "get", "key": "k", "expect": 1}]},
        }
    ],
}


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUNNER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def test_scenarios(redis: Redis, tmp_path: Path) -> None:
    for name, steps in {"good": GOOD, **BAD}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"name": name.replace(" ", "-"), "steps": steps}))
    out = tmp_path / "out"
    result = run("--corpus", str(tmp_path), "--redis", redis.url, "--out", str(out))
    lines = result.stdout.splitlines()
    assert lines[-1] == f"2 passed, {2 * len(BAD)} failed", result
    assert result.returncode == 1
    assert "conformance python memory good ok" in lines
    assert "conformance python redis good ok" in lines
    for line in lines[:-1]:
        assert line.endswith(" ok") or ("FAILED: sync: " in line and "; async: " in line)
    results = json.loads(out.read_text())
    assert len(results) == 2 * (1 + len(BAD))
    assert {entry["scenario"] for entry in results if entry["ok"]} == {"good"}
    assert set(results[0]) == {"language", "backend", "scenario", "ok", "why"}


def test_no_scenarios(tmp_path: Path) -> None:
    assert run("--corpus", str(tmp_path), "--redis", "redis://localhost:1").returncode == 2


def test_agent(redis: Redis) -> None:
    steps = [
        {"op": "open", "options": {"url": redis.url, "prefix": "agent"}},
        {"op": "set", "key": "k", "value": 1},
        {"op": "get", "key": "k", "expect": 2},
        {"op": "nonsense"},
        {"op": "get", "key": "k", "expect": 1},
    ]
    result = run("--agent", input="".join(json.dumps(step) + "\n" for step in steps) + "no json\n")
    verdicts = [json.loads(line)["ok"] for line in result.stdout.splitlines()]
    assert verdicts == [True, True, False, False, True, False]
    assert result.returncode == 0
