"""What the log of a run proves: it alone is read here.

- **lost**: an acknowledged value of which the truth has neither it nor a newer one of the key; an acknowledged
  change that the truth has not got.
- **reordered**: a version of a key that came to the truth after a newer one, unless the same write, by its process
  and sequence, had come before.
- **unmarked**: a version that came to the truth twice, by two different names.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Verdict:
    """What was found."""

    acknowledged: int = 0
    written: int = 0
    duplicates: int = 0
    lost: int = 0
    reordered: int = 0
    unmarked: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)

    @property
    def violations(self) -> int:
        """All of them."""
        return self.lost + self.reordered + self.unmarked

    def note(self, what: str) -> None:
        """Keep the first ones for the reader."""
        if len(self.first) < 12:
            self.first.append(what)


@dataclass
class Key:
    """What is known of one key."""

    changes: bool
    # The newest that was acknowledged; of a key of changes all of them.
    acknowledged: set[int] = field(default_factory=set)
    newest: int = 0
    # The names of the writes that the truth has, and the versions.
    names: dict[tuple[str, str], int] = field(default_factory=dict)
    versions: set[int] = field(default_factory=set)


class Checker:
    """Looks at the lines of a log as they come."""

    def __init__(self, path: Path) -> None:
        self._log = path.open()
        self._keys: dict[str, Key] = {}
        self._seen = Verdict()

    def verdict(self) -> Verdict:
        """Look at what is new, and judge all."""
        for line in self._log:
            self._look(line)
        verdict = copy.deepcopy(self._seen)
        for name, key in self._keys.items():
            missing = key.acknowledged - key.versions
            if not key.changes:
                missing = {version for version in missing if version > key.newest}
            verdict.lost += len(missing)
            for version in sorted(missing)[:2]:
                verdict.note(f"lost: {name} {version}, of which the truth has {key.newest}")
        return verdict

    def close(self) -> None:
        """Let go of the file."""
        self._log.close()

    def _look(self, line: str) -> None:
        word, *rest = line.split()
        if word == "a":
            kind, name, version = rest
            self._seen.acknowledged += 1
            key = self._keys.setdefault(name, Key(kind == "d"))
            if not key.changes:
                key.acknowledged.clear()
            key.acknowledged.add(int(version))
        elif word == "f":
            self._seen.refused[rest[0]] = self._seen.refused.get(rest[0], 0) + 1
        elif word == "w":
            for write in rest:
                kind, name, version, process, sequence = write.split(",")
                self._seen.written += 1
                key = self._keys.setdefault(name, Key(kind == "d"))
                apply(self._seen, key, name, int(version), (process, sequence))


def apply(verdict: Verdict, key: Key, name: str, version: int, identity: tuple[str, str]) -> None:
    """The truth has got a write."""
    if key.names.get(identity) == version:
        verdict.duplicates += 1
    elif identity in key.names:
        verdict.unmarked += 1
        verdict.note(f"one name for two writes: {name} {key.names[identity]} and {version} are {identity}")
    elif version in key.versions:
        verdict.unmarked += 1
        verdict.note(f"twice by two names: {name} {version}, the second time {identity}")
    elif version < key.newest:
        verdict.reordered += 1
        verdict.note(f"reordered: {name} {version} came after {key.newest}")
    key.names[identity] = version
    key.versions.add(version)
    key.newest = max(key.newest, version)
