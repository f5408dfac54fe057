"""Values of the corpus: JSON, and tagged values for what JSON does not have or that would be too long."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from typing import Any

# The corpus may hold integers longer than Python reads by default.
sys.set_int_max_str_digits(0)


class Failed(Exception):
    """A step, or a scenario, is not as it should be."""


def parse(text: str) -> Any:
    """Read JSON: integers of any size are exact, and NaN is not JSON."""

    def not_json(name: str) -> Any:
        raise Failed(f"{name} is not JSON")

    return json.loads(text, parse_constant=not_json)


def build(plain: Any) -> Any:
    """Make the value that a JSON value of the corpus means."""
    if isinstance(plain, list):
        return [build(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) == 1:
        [(tag, argument)] = plain.items()
        if tag.startswith("$"):
            return _tagged(tag, argument)
    return {key: build(value) for key, value in plain.items()}


def _tagged(tag: str, argument: Any) -> Any:
    match tag, argument:
        case "$bytes", str():
            return base64.b64decode(argument, validate=True)
        case "$int", str():
            return int(argument)
        case "$float", "NaN" | "Infinity" | "-Infinity":
            return float(argument)
        case "$nested", int():
            nested: list[Any] = []
            for _ in range(argument - 1):
                nested = [nested]
            return nested
        case "$repeat", [str(text), int(count)]:
            return text * count
        case "$bytes_repeat", [int(octet), int(count)]:
            return bytes([octet]) * count
    raise Failed(f"unknown value {tag}: {argument!r}")


def build_entries(pairs: Iterable[Any]) -> dict[Any, Any]:
    """Make a dict of a list of pairs."""
    return {build(key): build(value) for key, value in pairs}


def same(expected: Any, actual: Any) -> bool:
    """Whether a value that was read is the one expected. Numbers are compared exactly, whatever their type."""
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(expected) != len(actual):
            return False
        return all(same(one, other) for one, other in zip(expected, actual, strict=True))
    if isinstance(expected, dict):
        if not isinstance(actual, dict) or expected.keys() != actual.keys():
            return False
        return all(same(value, actual[key]) for key, value in expected.items())
    if _is_number(expected):
        return _is_number(actual) and bool(expected == actual)
    return type(expected) is type(actual) and bool(expected == actual)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def show(value: Any) -> str:
    """Write a value for a message, not too long."""
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"
