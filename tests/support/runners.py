"""The conformance runner of each language, as `make runners` built it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNNERS = ROOT / "tests" / "conformance" / "runners"
TARGET = ROOT / "target"


def commands(only: list[str]) -> dict[str, list[str]]:
    """What starts the runner of each language, or of these only."""
    pythons = sorted(TARGET.glob("python/clean-*/bin/python"))
    every = {
        "rust": [str(TARGET / "release" / "scrubjay-conformance")],
        "c": [str(TARGET / "conformance" / "c")],
        "go": [str(TARGET / "conformance" / "go")],
        "python": [str(pythons[-1]) if pythons else "no Python package: make python", str(RUNNERS / "python")],
        "node": ["node", str(RUNNERS / "node" / "main.mjs")],
    }
    unknown = [language for language in only if language not in every]
    if unknown:
        raise SystemExit(f"no such language: {', '.join(unknown)}; there are {', '.join(every)}")
    return {language: every[language] for language in only or every}
