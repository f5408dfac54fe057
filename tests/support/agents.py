"""Runners that do the steps they are sent, one process each: see `--agent` in tests/README.md."""

from __future__ import annotations

import json
import subprocess


class Agent:
    """A runner that does the steps it is sent."""

    def __init__(self, language: str, command: list[str]) -> None:
        self.language = language
        self.process = subprocess.Popen(
            [*command, "--agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def begin(self, step: dict) -> None:
        """Sends a step; `verdict` is to follow."""
        self.process.stdin.write(json.dumps(step) + "\n")
        self.process.stdin.flush()

    def verdict(self, step: dict) -> str | None:
        """What went wrong with the step that was sent, if anything did."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the {self.language} agent ended at {json.dumps(step)[:200]}")
        verdict = json.loads(line)
        return None if verdict["ok"] else f"{self.language}: {step.get('about')}: {verdict.get('why')}"

    def all(self, steps: list[dict]) -> list[str]:
        """Does the steps; what went wrong, by the step."""
        wrong = []
        for step in steps:
            self.begin(step)
            wrong.append(self.verdict(step))
        return [trouble for trouble in wrong if trouble]

    def end(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit(f"the {self.language} agent did not end") from None
