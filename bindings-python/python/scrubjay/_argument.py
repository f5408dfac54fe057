"""Arguments that the core does not know: what of them stands in a key.

The core reads the built-in types, exactly those. Here stands what tells the values of other types apart, and
everything else is refused: of an object whose state is not known nobody can say that it equals another one.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import uuid
import zoneinfo
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from ._errors import InvalidOption
from ._scrubjay import Typed

_MAX_DEPTH = 64
_PLAIN = frozenset({type(None), bool, int, float, str, bytes, Typed})


def plain(value: Any, name: str, depth: int = 0) -> Any:
    """Return ``value`` as built-in types and `Typed`.

    Raises:
        InvalidOption: naming the argument, and what in it no key can tell.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth > _MAX_DEPTH:
        raise _refused(f"the argument {name} is nested deeper than {_MAX_DEPTH} levels")
    depth += 1
    if kind is list or kind is tuple:
        return kind([plain(item, f"{name}[{index}]", depth) for index, item in enumerate(value)])
    # A `Typed` has the hash of its own object: what could be a key, or an element, still can.
    if kind is dict:
        return {
            plain(key, f"a key of {name}", depth): plain(item, f"{name}[{key!r:.40}]", depth)
            for key, item in value.items()
        }
    if kind is set or kind is frozenset:
        items = {plain(item, f"an element of {name}", depth) for item in value}
        return items if kind is set else Typed("frozenset", items)
    if isinstance(value, enum.Enum):
        # What flags are made of has a name in later versions only.
        told: Any = value.value if isinstance(value, enum.Flag) else value.name
        return Typed(_name_of(kind, name), plain(told, name, depth))
    tell = _TELL.get(kind)
    if tell is not None:
        return Typed(kind.__name__, plain(tell(value), name, depth))
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return Typed(_name_of(kind, name), plain(tuple(value), name, depth))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: plain(getattr(value, field.name), f"{name}.{field.name}", depth)
            for field in dataclasses.fields(value)
            if field.compare
        }
        return Typed(_name_of(kind, name), fields)
    if isinstance(value, type):
        return Typed("type", _name_of(value, name))
    raise _refused(f"the argument {name} is of type {kind.__module__}.{kind.__qualname__}, which no key can tell")


def standing(value: Any) -> Any:
    """Return ``value`` as it stands in a template: text for what has one that tells its values apart."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, enum.Enum) and not isinstance(value, str | int | float):
        return standing(value.value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if kind in _TEXTS or isinstance(value, pathlib.PurePath):
        return str(value)
    if kind is bytearray:
        return bytes(value)
    return value


def _moment(value: datetime.datetime | datetime.time) -> tuple[str, str | None, int]:
    # Two zones may have the same offset at one time and not at others.
    zone = value.tzinfo
    return (value.isoformat(), getattr(zone, "key", None) or value.tzname(), value.fold)


def _name_of(kind: type, name: str) -> str:
    if "<locals>" in kind.__qualname__:
        raise _refused(f"the argument {name} is of a class inside of a function, {kind.__qualname__}")
    return f"{kind.__module__}.{kind.__qualname__}"


_TEXTS: frozenset[type] = frozenset({
    decimal.Decimal, fractions.Fraction, uuid.UUID, zoneinfo.ZoneInfo,
    ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network,
    ipaddress.IPv4Interface, ipaddress.IPv6Interface,
    pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath,
})  # fmt: skip

_TELL: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys(_TEXTS, str),
    datetime.datetime: _moment,
    datetime.time: _moment,
    datetime.date: datetime.date.isoformat,
    datetime.timedelta: lambda value: (value.days, value.seconds, value.microseconds),
    datetime.timezone: str,
    bytearray: bytes,
    complex: lambda value: (value.real, value.imag),
    range: lambda value: (value.start, value.stop, value.step),
    OrderedDict: lambda value: list(value.items()),
    Counter: dict,
}


def _refused(message: str) -> InvalidOption:
    return InvalidOption(f"key must be given: {message}", operation="cached")
