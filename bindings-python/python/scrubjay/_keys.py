"""Keys and tags of a call: from templates, from functions, and by default."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ._argument import plain, standing
from ._binding import Binding
from ._errors import InvalidOption
from ._scrubjay import CallKeys, Template

if TYPE_CHECKING:
    from ._service import CacheService

KeyMaker = Callable[..., str | bytes]
TagMaker = Callable[..., Iterable[str]]

_MISSING = object()


def key_maker(
    cache: CacheService, function: Callable[..., Any], key: str | KeyMaker | None, name: str | None
) -> KeyMaker:
    """Return what makes the key of a call."""
    if name is not None and key is not None:
        raise refused("name is for default keys: give either name or key")
    if key is not None and not isinstance(key, str):
        if not callable(key):
            raise refused(f"key must be a template or a function, is {type(key).__name__}")
        return key
    try:
        binding = _binding(function)
    except (ValueError, TypeError):
        raise refused("key must be a function here: nothing tells the names of the arguments") from None
    if key is None:
        return _default_keys(_name(cache, function, name), binding)
    return _template(key, binding, "key")


def tag_maker(function: Callable[..., Any], tags: Iterable[str] | TagMaker) -> TagMaker | None:
    """Return what makes the tags of a call, None where it has none."""
    if callable(tags):
        return tags
    if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
        raise refused(f"tags must be an iterable of templates or a function, is {type(tags).__name__}")
    texts = tuple(tags)
    for text in texts:
        if not isinstance(text, str):
            raise refused(f"tags must be an iterable of templates or a function, one is {type(text).__name__}")
    if not texts:
        return None
    if not any("{" in text or "}" in text for text in texts):
        return lambda *_args, **_kwargs: texts
    binding = _binding(function)
    makers = [_template(text, binding, "tags") for text in texts]
    return lambda *args, **kwargs: [make_tag(*args, **kwargs) for make_tag in makers]


def _binding(function: Callable[..., Any]) -> Binding:
    signature = inspect.signature(function)
    first = next(iter(signature.parameters), None)
    outside = getattr(function, "__qualname__", "").rpartition(".")[0]
    is_method = first in ("self", "cls") and outside != "" and not outside.endswith("<locals>")
    return Binding(signature, is_method)


def _template(text: str, binding: Binding, what: str) -> Callable[..., str]:
    template = Template(text, what == "tags")
    ways: list[tuple[str, str, tuple[str | int, ...]]] = []
    for shown, (first, *rest) in template.paths:
        # What a method is called on has a name, and no number.
        others = binding.names[binding.skip :]
        name = next(iter(others[first:]), None) if isinstance(first, int) else first
        if name not in binding.signature.parameters:
            raise refused(f"{what} has a placeholder {{{shown}}} that names no argument")
        ways.append((shown, str(name), tuple(rest)))

    def make(*args: Any, **kwargs: Any) -> str:
        arguments = binding.arguments(args, kwargs)
        return template.render(
            tuple([standing(_follow(arguments[name], way, shown, what)) for shown, name, way in ways])
        )

    return make


def _follow(value: Any, way: tuple[str | int, ...], shown: str, what: str) -> Any:
    for step in way:
        value = _step(value, step)
        if value is _MISSING:
            raise refused(f"{what} has a placeholder {{{shown}}} without a usable argument")
    return value


def _step(value: Any, step: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(str(step), _MISSING)
    if isinstance(step, str):
        return getattr(value, step, _MISSING)
    if isinstance(value, list | tuple):
        return value[step] if step < len(value) else _MISSING
    return _MISSING


def _default_keys(name: str, binding: Binding) -> Callable[..., str]:
    keys = CallKeys(name)

    def make(*args: Any, **kwargs: Any) -> str:
        positional, named = binding.call(args, kwargs)
        key = keys.key(positional, named)
        if key is None:
            told = tuple([plain(value, binding.label(index)) for index, value in enumerate(positional)])
            key = keys.key(told, {name: plain(value, name) for name, value in named.items()})
        if key is None:
            raise refused("key must be given: the arguments cannot be told")
        return key

    return make


_CLOSURES: weakref.WeakKeyDictionary[CacheService, set[str]] = weakref.WeakKeyDictionary()
"""The names of functions that were made inside of others, by the cache that has their results."""


def _name(cache: CacheService, function: Callable[..., Any], name: str | None) -> str:
    if name is not None:
        if not isinstance(name, str):
            raise refused(f"name must be text, is {type(name).__name__}")
        return name
    module = getattr(function, "__module__", None)
    qualname: str | None = getattr(function, "__qualname__", None)
    if module is None or qualname is None or qualname.endswith("<lambda>"):
        raise refused(
            "key must be given, or name, for a lambda, a partial and an object: they have no name of their own"
        )
    name = f"{module}.{qualname}"
    if "<locals>" in qualname and getattr(function, "__closure__", None):
        # Each of them may see other variables, and give other results.
        names = _CLOSURES.setdefault(cache, set())
        if name in names:
            raise refused(
                f"key must be given, or name: this cache has another function {qualname}, made by another call"
            )
        names.add(name)
    return name


def refused(message: str) -> InvalidOption:
    """Return the error of a wrong decoration, or of an argument that cannot stand in a key."""
    return InvalidOption(message, operation="cached")
