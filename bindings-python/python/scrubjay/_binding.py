"""What a function is called with, by the names and positions of its parameters."""

from __future__ import annotations

import inspect
from typing import Any

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Binding:
    """Binds the arguments of calls of one function, defaults included.

    Most calls give all arguments by position, for which asking `inspect.Signature` would take longer than a hit.
    """

    __slots__ = ("_count", "_fast", "_named", "_rest", "names", "signature", "skip")

    def __init__(self, signature: inspect.Signature, is_method: bool) -> None:
        self.signature = signature
        parameters = signature.parameters.values()
        positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
        self.names = tuple(parameter.name for parameter in positional)
        self.skip = 1 if is_method else 0
        """How many parameters stand for what a method is called on."""
        self._rest = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
        self._named = [
            p for p in parameters if p.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
        ]
        self._count = len(self.names)
        self._fast = not self._named and self._rest is None

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return all arguments by the names of their parameters."""
        if not kwargs and self._fast and len(args) == self._count:
            return dict(zip(self.names, args, strict=True))
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what tells this call from others: arguments by position, and those that have a name only."""
        if not kwargs and self._fast and len(args) == self._count:
            return args[self.skip :], {}
        arguments = self.arguments(args, kwargs)
        positional = [arguments[name] for name in self.names[self.skip :]]
        if self._rest is not None:
            positional.extend(arguments[self._rest])
        named: dict[str, Any] = {}
        for parameter in self._named:
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                named.update(arguments[parameter.name])
            else:
                named[parameter.name] = arguments[parameter.name]
        return tuple(positional), named

    def label(self, index: int) -> str:
        """Return the name of an argument by position, for errors."""
        names = self.names[self.skip :]
        return names[index] if index < len(names) else f"{self._rest}[{index - len(names)}]"
