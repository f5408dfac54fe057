"""Random arguments, which the other workers make of the same numbers."""

from __future__ import annotations

import math
from typing import Any

PIECES = (
    "a", "b", "1", '"', "\\", "\n", "\0", "é", "中", "🐦", "\ue000", ",", "}", "]", ")", ":", " ", "!", "#", "=",
)  # fmt: skip
WORDS = ("", "1", "1.5", "true", "null", "[]", "{}", 'x""', "NaN", "<>")
DEEPEST = 3


class Random:
    """Mulberry32: a few operations on 32 bits, the same everywhere."""

    def __init__(self, seed: int) -> None:
        self.state = seed & 0xFFFFFFFF

    def next(self) -> int:
        """Return 32 bits."""
        self.state = (self.state + 0x6D2B79F5) & 0xFFFFFFFF
        t = self.state
        t = ((t ^ (t >> 15)) * (t | 1)) & 0xFFFFFFFF
        t = t ^ ((t + (((t ^ (t >> 7)) * (t | 61)) & 0xFFFFFFFF)) & 0xFFFFFFFF)
        return (t ^ (t >> 14)) & 0xFFFFFFFF

    def below(self, count: int) -> int:
        """Return a number from 0 to count - 1."""
        return self.next() % count


def arguments(random: Random) -> list[Any]:
    """Return the arguments of a call."""
    return [value(random, 0) for _ in range(random.below(4))]


def value(random: Random, depth: int) -> Any:
    """Return one argument."""
    match random.below(12 if depth < DEEPEST else 8):
        case 0:
            return None
        case 1:
            return random.below(2) == 1
        case 2 | 3:
            return random.below(5) - 2
        case 4:
            magnitude = random.next() * 2**32 + random.next()
            return -magnitude if random.below(2) else magnitude
        case 5:
            return number(random)
        case 6:
            return text(random) if random.below(2) else WORDS[random.below(len(WORDS))]
        case 7:
            return bytes(random.below(256) for _ in range(random.below(4)))
        case 8 | 9:
            return [value(random, depth + 1) for _ in range(random.below(4))]
        case _:
            entries = {}
            for _ in range(random.below(4)):
                name = text(random)
                entries[name] = value(random, depth + 1)
            return entries


def number(random: Random) -> float:
    """Return a float that JavaScript does not take for an integer."""
    mantissa = random.next() or 1
    if random.below(4) == 0:
        return math.ldexp(mantissa, 60 + random.below(900))
    fraction = math.ldexp(mantissa, -random.below(64))
    return fraction + 0.5 if fraction == math.floor(fraction) else fraction


def text(random: Random) -> str:
    """Return a short text of pieces that mean something in keys."""
    return "".join(PIECES[random.below(len(PIECES))] for _ in range(random.below(4)))


def reordered(argument: Any) -> Any:
    """Return the same argument, maps in another order."""
    if isinstance(argument, list):
        return [reordered(item) for item in argument]
    if isinstance(argument, dict):
        return {name: reordered(argument[name]) for name in reversed(argument)}
    return argument


def meaning(argument: Any) -> str:
    """Return what an argument is, each part behind its type and length."""
    match argument:
        case list():
            parts = [meaning(item) for item in argument]
        case dict():
            parts = [part for name in sorted(argument) for part in (meaning(name), meaning(argument[name]))]
        case float():
            parts = [argument.hex()]
        case bytes():
            parts = [argument.hex()]
        case _:
            parts = [str(argument)]
    return type(argument).__name__ + "".join(f"<{len(part)}:{part}>" for part in parts)
