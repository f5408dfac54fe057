"""A fetched value that says itself how it is to be stored."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Generic, TypeVar, final

T = TypeVar("T")


@final
class Fetched(Generic[T]):
    """What a fetch may return instead of its value, where only the value tells how it is to be stored.

    Callers get the value. A tag that is named here may have been invalidated while the fetch ran: if nothing is
    known of it in this process, the value is stored for 2 s and not in memory, and the next fetch knows.

    Args:
        value: the value.
        ttl: how long it is fresh, instead of what the call says.
        tags: tags beside those of the call.
        keep: whether it is stored at all. Those who wait for it get it in any case; what is stored already stays.
    """

    __slots__ = ("keep", "tags", "ttl", "value")

    def __init__(
        self,
        value: T,
        *,
        ttl: float | timedelta | None = None,
        tags: Iterable[str] | None = None,
        keep: bool = True,
    ) -> None:
        self.value = value
        self.ttl = ttl
        self.tags = tags
        self.keep = keep
