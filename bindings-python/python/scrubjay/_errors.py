"""What can go wrong: one class for each kind, the same kinds as in every language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ._scrubjay import KINDS

_NUMBERS = {name: (code, retryable) for name, code, retryable in KINDS}
_CLASSES: dict[str, type[ScrubjayError]] = {}


class ScrubjayError(Exception):
    """The parent of every error of a cache.

    Its text is ``operation: Kind: message``. It never holds values, passwords or whole keys.
    """

    kind: ClassVar[str] = ""
    """The name of the kind, the same in every language, like ``"InvalidOption"``."""
    code: ClassVar[int] = 0
    """The stable number of the kind."""
    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without a change on the caller's side."""

    message: str
    """The sentence for the reader, without operation and kind."""
    operation: str
    """The call that failed, by its name in the API; empty for an error that your own code made."""

    def __init__(self, message: str = "", *, operation: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation

    def __init_subclass__(cls, kind: str = "", **arguments: Any) -> None:
        """Give a class its kind; a class of your own below one of these keeps that of its parent."""
        super().__init_subclass__(**arguments)
        if kind:
            cls.kind = kind
            cls.code, cls.retryable = _NUMBERS[kind]
            _CLASSES[kind] = cls

    def __str__(self) -> str:
        return ": ".join(part for part in (self.operation, self.kind, self.message) if part)


class InvalidOption(ScrubjayError, ValueError, kind="InvalidOption"):
    """An option, a URL or an argument is wrong. The message names it and its limit."""


class InvalidKey(ScrubjayError, ValueError, kind="InvalidKey"):
    """A key is empty, longer than 1 KiB, or neither text nor bytes."""


class InvalidValue(ScrubjayError, ValueError, kind="InvalidValue"):
    """A value cannot be stored: too large, too deep, or without a JSON form. The message names the path."""


class NotFound(ScrubjayError, LookupError, kind="NotFound"):
    """What was asked for does not exist.

    A fetch raises it to say so: that is remembered for ``negative_ttl``, and callers get ``NotFound``.
    """


class FetchFailed(ScrubjayError, kind="FetchFailed"):
    """The fetch of another caller failed, and its own exception cannot be given to this one."""


class FetchTimeout(ScrubjayError, TimeoutError, kind="FetchTimeout"):
    """The fetch did not end within ``fetch_hard_timeout``."""


class LeaseExpired(ScrubjayError, kind="LeaseExpired"):
    """A fetch ended after its time was over. Its value was not stored."""


class RecursiveFetch(ScrubjayError, RuntimeError, kind="RecursiveFetch"):
    """A fetch asked, directly or through other fetches, for the key that it is loading."""


class Overloaded(ScrubjayError, kind="Overloaded"):
    """A bound on queues, waiters or loads in flight was reached."""


class Closed(ScrubjayError, kind="Closed"):
    """The cache was closed."""


class Cancelled(ScrubjayError, kind="Cancelled"):
    """The caller gave up waiting."""


class Unavailable(ScrubjayError, ConnectionError, kind="Unavailable"):
    """The shared tier could not be reached, in a call that cannot do without it."""


class PartialError(ScrubjayError, kind="Partial"):
    """Some keys of a call on many failed; the others have their value."""

    failed: Mapping[Any, Exception]
    """The exception of each key that has no value."""
    values: Mapping[Any, Any]
    """The values of the other keys."""

    def __init__(
        self,
        message: str = "",
        *,
        operation: str = "",
        failed: Mapping[Any, Exception] | None = None,
        values: Mapping[Any, Any] | None = None,
    ) -> None:
        super().__init__(message, operation=operation)
        self.failed = failed or {}
        self.values = values or {}


class DirtyElsewhere(ScrubjayError, kind="DirtyElsewhere"):
    """A pending write of this key lies in another process."""


class Unsupported(ScrubjayError, kind="Unsupported"):
    """This platform or server cannot do what was asked for."""


class Internal(ScrubjayError, kind="Internal"):
    """A defect of Scrubjay: please report it."""


def of_kind(kind: str, operation: str, message: str) -> ScrubjayError:
    """Make the error that the native half names by its kind."""
    return _CLASSES[kind](message, operation=operation)
