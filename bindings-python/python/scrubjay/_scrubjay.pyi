"""The native half of the package. Only `CacheService`, `Receipt`, `Stats` and `Write` are for users."""

from asyncio import Future
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final, Literal, Self, TypeVar, final

from typing_extensions import disjoint_base

__all__ = [
    "KINDS",
    "MISS",
    "UNDECODABLE",
    "Batch",
    "Behind",
    "Cache",
    "Failure",
    "Handed",
    "LoopQueue",
    "Memo",
    "Memoised",
    "Memory",
    "Pending",
    "Ready",
    "Receipt",
    "Signal",
    "Stats",
    "Template",
    "Turn",
    "Write",
    "__version__",
    "abegin_store",
    "abegin_update",
    "aend_store",
    "aend_update",
    "aexplain",
    "begin_store",
    "begin_update",
    "canonical_json",
    "check_write",
    "default_key",
    "end_store",
    "end_update",
    "explain",
    "install_cache_service",
    "install_memory_cache",
    "shutdown",
    "swept",
]

__version__: Final[str]
KINDS: Final[tuple[tuple[str, int, bool], ...]]
MISS: Final[Signal]
UNDECODABLE: Final[Signal]

_K = TypeVar("_K", str, bytes)
_Ttl = float | timedelta | None
_Tags = Iterable[str] | None
_How = tuple[_Ttl, str | None, _Tags]
_Entries = Mapping[str, Any] | Mapping[bytes, Any] | Iterable[tuple[str | bytes, Any]]

@final
class Receipt:
    """What became of a write."""

    @property
    def pending(self) -> bool:
        """True when the shared tier was not reached yet: the keys are invalidated there as soon as it is."""

    @property
    def token(self) -> str:
        """Where the write stands in the order of writes: 32 hexadecimal digits."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Stats:
    """A snapshot of the counters of one cache since it was opened."""

    @property
    def hits_l1(self) -> int:
        """Reads answered by the memory tier."""

    @property
    def hits_l2(self) -> int:
        """Reads answered by the shared tier."""

    @property
    def misses(self) -> int:
        """Reads that found nothing."""

    @property
    def stale_served(self) -> int:
        """Values served past their ttl because the fetch failed or was slow."""

    @property
    def loads(self) -> int:
        """Fetches that callers were asked to run."""

    @property
    def load_errors(self) -> int:
        """Fetches that failed or ran into their timeout."""

    @property
    def waits(self) -> int:
        """Callers that waited for the fetch, or the read of the shared tier, of another one."""

    @property
    def evictions(self) -> int:
        """Entries that left the memory tier for want of room."""

    @property
    def expired(self) -> int:
        """Entries that left the memory tier at the end of their life."""

    @property
    def invalidations(self) -> int:
        """Keys deleted, and clears."""

    @property
    def pending(self) -> int:
        """Invalidations that the shared tier has not got yet."""

    @property
    def decode_misses(self) -> int:
        """Stored values that could not be read and were treated as absent."""

    @property
    def l2_errors(self) -> int:
        """Operations on the shared tier that failed or ran into their timeout."""

    @property
    def driven_by_core(self) -> int:
        """Reads of the connection to the shared tier that brought something, made by the core."""

    @property
    def driven_by_caller(self) -> int:
        """The same, made by a thread or an event loop that waited for an answer."""

    @property
    def push_sessions(self) -> int:
        """Sessions with the server in which it told of writes: one more each time that some were missed."""

    @property
    def coherence_lag_ms(self) -> int:
        """How long ago the last answered question was sent whether all was told; 0 without a session."""

    @property
    def breaker_state(self) -> str:
        """Whether the shared tier is cut off: "closed" (it is used), "open" (it is not) or "half_open"."""

    @property
    def entries(self) -> int:
        """Entries in the memory tier."""

    @property
    def bytes(self) -> int:
        """Bytes in the memory tier, overhead counted."""

    def as_dict(self) -> dict[str, Any]:
        """The counters by name."""

@disjoint_base
class Cache:
    """The native half of `CacheService`.

    Methods without an underscore block the calling thread, other threads run on; those that begin with
    ``_a`` answer at once, if need be with a `Pending`.
    """

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Cache: ...
    def get(self, key: str | bytes, default: Any = None) -> Any:
        """The value stored under a key, or ``default``. None, 0, "" and the like are values.

        Never fails because the shared tier is down: that is a miss.

        Raises:
            InvalidKey, Closed: as their names say.
        """

    def set(
        self, key: str | bytes, value: Any, ttl: _Ttl = None, *, codec: str | None = None, tags: _Tags = None
    ) -> Receipt:
        """Store a value.

        Args:
            key: 1 to 1024 bytes; text is its UTF-8.
            value: None, bool, int, float, str, and lists, tuples and dicts (with text keys) of them, stored as
                JSON; or bytes, bytearray, memoryview, stored as they are and read as bytes.
            ttl: how long the value is fresh, 0.001 s to 365 days; None for the default of the cache.
            codec: what the value is stored as, "json" or "msgpack"; the default is that of the cache.
            tags: the tags of the entry, at most 16, each 1 to 128 bytes, by which `invalidate_tags` ends it.

        Raises:
            InvalidValue: the value is larger than ``max_value``, or something in it, named by its path, has no
                JSON form: NaN, keys that are no text, other types, more than 64 levels.
            InvalidKey, InvalidOption, Closed: as their names say.
        """

    def delete(self, key: str | bytes) -> Receipt:
        """Delete a key. A fetch of it that runs in this process stores nothing.

        Raises:
            InvalidKey, Closed: as their names say.
        """

    def get_many(self, keys: Iterable[_K]) -> dict[_K, Any]:
        """The values of those keys that are stored, read in one round trip."""

    def set_many(
        self, entries: _Entries, ttl: _Ttl = None, *, codec: str | None = None, tags: _Tags = None
    ) -> Receipt:
        """Store many values in one round trip: all are checked before the first is stored."""

    def delete_many(self, keys: Iterable[str | bytes]) -> Receipt:
        """Delete many keys in one round trip."""

    def invalidate_tags(self, tags: Iterable[str]) -> Receipt:
        """Invalidate every entry that has one of these tags, however many there are.

        When it returns without ``pending``, no load that began before is stored in any tier.
        """

    def clear(self) -> Receipt:
        """Empty the cache: every key of its prefix, in the shared tier too."""

    def close(self) -> Receipt:
        """Close the cache: waiters and later calls get `Closed`.

        Waits at most 5 s for invalidations on their way; ``pending`` says that some did not land.
        """

    def stats(self) -> Stats:
        """The counters of the cache since it was opened."""

    def effective_staleness_bound(self) -> float:
        """How old a hit may be at most, in seconds, by what is known now.

        ``max_staleness`` where memory answers beside a Redis, 0 without memory or without a Redis. Infinity: no
        bound can be told, for the server has no scripts.
        """

    def observe(self, token: str, keys: str | bytes | Iterable[str | bytes]) -> None:
        """Read your own writes in another process: later reads find the write of ``token``, or a later one.

        Waits for nothing, so it is the same call in threads and in event loops.

        Args:
            token: that of a receipt: 32 hexadecimal digits. It travels in a cookie or a header, say.
            keys: one key, or an iterable of keys.

        Raises:
            InvalidOption: ``token`` is not one.
            InvalidKey, Closed: as their names say.
        """

    def _open(self, options: dict[str, Any]) -> None: ...
    def _aget(self, key: str | bytes, default: Any = None) -> Any: ...
    def _aset(
        self, key: str | bytes, value: Any, ttl: _Ttl = None, *, codec: str | None = None, tags: _Tags = None
    ) -> Receipt | Pending: ...
    def _adelete(self, key: str | bytes) -> Receipt | Pending: ...
    def _aget_many(self, keys: list[Any]) -> list[Any] | Pending: ...
    def _aset_many(
        self, entries: _Entries, ttl: _Ttl = None, *, codec: str | None = None, tags: _Tags = None
    ) -> Receipt | Pending: ...
    def _adelete_many(self, keys: Iterable[str | bytes]) -> Receipt | Pending: ...
    def _ainvalidate_tags(self, tags: Iterable[str]) -> Receipt | Pending: ...
    def _aclear(self) -> Receipt | Pending: ...
    def _aclose(self) -> Receipt | Pending: ...
    def _begin(self, key: str | bytes, how: _How, fetch: Callable[..., Any]) -> Any: ...
    def _abegin(self, key: str | bytes, how: _How, fetch: Callable[..., Any], bypass_cache: bool) -> Any: ...
    def _begin_many(
        self, keys: list[Any], how: _How, fetch: Callable[..., Any]
    ) -> tuple[list[Any], Batch, list[tuple[int, Any]]]: ...
    def _abegin_many(self, keys: list[Any], how: _How, fetch: Callable[..., Any]) -> list[Any] | Pending: ...
    def _held(
        self, keys: list[Any], how: _How, fetch: Callable[..., Any] | None, coroutines: bool
    ) -> list[Any]: ...
    @staticmethod
    def _listed(keys: Iterable[_K]) -> list[_K]: ...
    @staticmethod
    def _unique(keys: Iterable[_K]) -> list[_K]: ...
    def _note_undecodable(self, key: str | bytes) -> None: ...

@disjoint_base
class Memory:
    """The native half of `MemoryCache`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def get(self, key: Any, default: Any = None) -> Any:
        """The value stored under a key, or ``default``."""

    def set(self, key: Any, value: Any, ttl: Any = None) -> None:
        """Store a value for a time of its own, in seconds or as a ``timedelta``; None for that of the cache.

        Raises:
            InvalidOption: the ttl is not 0.001 s to 365 days.
            InvalidValue: the value is larger than the cache.
        """

    def pop(self, key: Any, *default: Any) -> Any:
        """Remove a key and return its value, or ``default`` where one is given.

        Raises:
            KeyError: there is neither.
        """

    def popitem(self) -> tuple[Any, Any]:
        """Remove the entry that was stored first, and return its key and value.

        Raises:
            KeyError: the cache is empty.
        """

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value of a key; where there is none, ``default``, which is stored."""

    def clear(self) -> None:
        """Remove every entry."""

    def expire(self, time: Any = None) -> list[tuple[Any, Any]]:
        """Remove what has expired, now or at a time of the timer, and return it as pairs of key and value.

        Nobody needs to call it: what expires goes by itself.
        """

    def getsizeof(self, value: Any, /) -> Any:
        """What a value counts: 1 unless the cache was given a ``getsizeof``."""

    @property
    def maxsize(self) -> float | None:
        """How many entries there may be; with ``getsizeof``, how large they may be together."""

    @property
    def max_bytes(self) -> int | None:
        """How many bytes the entries may weigh."""

    @property
    def currsize(self) -> int:
        """How many entries there are; with ``getsizeof``, how large they are together."""

    @property
    def ttl(self) -> Any:
        """How long an entry lives."""

    @property
    def timer(self) -> Callable[[], Any]:
        """What tells the time."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def __missing__(self, key: Any) -> Any: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...
    def __delitem__(self, key: Any, /) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def _open(self, maxsize: Any, ttl: Any, timer: Any, getsizeof: Any, max_bytes: Any) -> None: ...
    def _values(self) -> Iterator[Any]: ...
    def _items(self) -> Iterator[tuple[Any, Any]]: ...
    def _lives(self) -> Iterator[tuple[Any, Any, Any]]: ...
    def _restore(self, key: Any, value: Any, life: Any) -> None: ...
    def _timer(self) -> Callable[[], Any] | None: ...
    def _getsizeof(self) -> Callable[[Any], Any] | None: ...
    def _stats(self) -> tuple[int, int, int, int, int, int]: ...

@disjoint_base
class Memo:
    """A function and its results."""

    def __new__(
        cls,
        function: Callable[..., Any],
        maxsize: int | None,
        ttl: Any,
        typed: bool,
        info: Callable[[int, int, int | None, int], Any],
    ) -> Self: ...
    def cache_info(self) -> Any:
        """How often the function was spared, and how often it ran."""

    def cache_clear(self) -> None:
        """Forget all results, and begin to count anew."""

    def __get__(self, instance: Any, _owner: Any = None, /) -> Any: ...
    def __copy__(self) -> Memo: ...
    def __deepcopy__(self, _memo: Any) -> Memo: ...

@final
class Memoised(Memo):
    """A memoised function, to be called."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any: ...
    cache_parameters: Callable[[], Any]

@final
class Ready(Coroutine[Any, Any, Any]):
    """A coroutine that has its value already."""

    def __await__(self) -> Ready: ...
    def __iter__(self) -> Ready: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any, /) -> Any: ...
    def throw(self, /, *error: Any) -> Any: ...
    def close(self) -> None: ...

@final
class Turn:
    """The caller is to run its fetch, and to say what came of it."""

    @property
    def lease(self) -> int: ...
    @property
    def refreshes(self) -> bool: ...
    @property
    def value(self) -> Any: ...
    def fulfil(self, value: Any, ttl: _Ttl = None, tags: _Tags = None) -> Any: ...
    def fail(self, exception: BaseException, message: str, not_found: bool) -> Any: ...
    def abandon(self) -> None: ...

@final
class Failure:
    """What a call failed with, for one caller to raise."""

    def take(self) -> Exception:
        """The exception, ready to be raised; once."""

@final
class Pending:
    """An answer that is still to come, on an event loop."""

    @property
    def future(self) -> Future[Any]: ...
    def withdraw(self) -> None: ...

@final
class Batch:
    """Answers that are still to come, in a blocked thread."""

    def next(self) -> tuple[int, Any]: ...
    def close(self) -> None: ...

@final
class LoopQueue:
    """The completion queue of one event loop."""

    def __new__(cls, watched: bool) -> LoopQueue: ...
    def fileno(self) -> int: ...
    def deliver(self) -> list[Any]: ...
    def take(self) -> bool: ...
    def close(self) -> None: ...

@final
class Signal:
    """What is no value."""

@final
class Template:
    """A parsed template of keys."""

    def __new__(cls, template: str, is_tag: bool = False) -> Template: ...
    @property
    def names(self) -> list[str]: ...
    def render(self, arguments: dict[str, Any]) -> str: ...

def default_key(name: str, arguments: str) -> str: ...
def canonical_json(value: Any) -> str: ...
def install_cache_service(class_: type, /) -> None: ...
def install_memory_cache(class_: type, /) -> None: ...
def shutdown(timeout: float) -> None: ...
def swept() -> list[Any] | None: ...

_UpdateHow = tuple[float | timedelta | None, float | timedelta | None, bool, Iterable[str] | None]
_PutHow = tuple[float | timedelta | None, str | None, Iterable[str] | None]

def begin_update(cache: Cache, keys: Iterable[str | bytes], how: _UpdateHow) -> Turn: ...
def abegin_update(cache: Cache, keys: Iterable[str | bytes], how: _UpdateHow) -> Turn | Pending: ...
def end_update(cache: Cache, turn: Turn) -> Receipt: ...
def aend_update(cache: Cache, turn: Turn) -> Receipt | Pending: ...
def check_write(write: Callable[..., Any], coroutines: bool) -> None: ...
def explain(cache: Cache, key: str | bytes) -> Any: ...
def aexplain(cache: Cache, key: str | bytes) -> Any: ...
def begin_store(
    cache: Cache, key: str | bytes, stored: tuple[Any] | None, put: _PutHow, how: _UpdateHow
) -> Turn: ...
def abegin_store(
    cache: Cache, key: str | bytes, stored: tuple[Any] | None, put: _PutHow, how: _UpdateHow
) -> Turn | Pending: ...
def end_store(cache: Cache, turn: Turn) -> Receipt: ...
def aend_store(cache: Cache, turn: Turn) -> Receipt | Pending: ...

_Seconds = float | timedelta | None
_BatchHow = tuple[int | None, int | None, _Seconds, _Seconds]

@final
class Write:
    """A write for the source, as its writer gets it."""

    @property
    def key(self) -> str:
        """The key as text. Bytes that are no UTF-8 are lone surrogates in it, as in names of files."""

    @property
    def key_bytes(self) -> bytes:
        """The bytes of the key."""

    @property
    def kind(self) -> Literal["set", "delete", "delta"]:
        """What is to be done: "set", "delete" or "delta"."""

    @property
    def value(self) -> Any:
        """The value, or the change; None for a delete."""

    @property
    def id(self) -> str:
        """The identity of the write, `process-sequence`: who meets it twice has written it already."""

    @property
    def process(self) -> int:
        """The first half of the identity: who wrote."""

    @property
    def sequence(self) -> int:
        """The second half. It grows with each write: a source that keeps it can refuse what is older."""

    @property
    def number(self) -> int:
        """Its number in this process."""

    @property
    def attempt(self) -> int:
        """How often it was handed out, this time included."""

    @property
    def enqueued_ms(self) -> int:
        """When it was acknowledged, in milliseconds since 1970; where writes were merged, the first of them."""

    @property
    def error(self) -> str:
        """Why it is a dead letter; empty otherwise."""

@final
class Handed:
    """A batch on its way to a worker."""

    def take(self) -> list[Write]: ...
    def abandon(self) -> None: ...

@final
class Behind:
    """What a `WriteBehind` holds."""

    DRAIN: ClassVar[float]
    def __new__(cls, cache: Cache, options: dict[str, Any]) -> Behind: ...
    def set(
        self, key: str | bytes, value: Any, ttl: _Ttl = None, codec: str | None = None, tags: _Tags = None
    ) -> Receipt | Turn: ...
    def aset(
        self, key: str | bytes, value: Any, ttl: _Ttl = None, codec: str | None = None, tags: _Tags = None
    ) -> Receipt | Turn | Pending: ...
    def delete(self, key: str | bytes) -> Receipt | Turn: ...
    def adelete(self, key: str | bytes) -> Receipt | Turn | Pending: ...
    def delta(self, key: str | bytes, change: Any) -> Receipt | Turn: ...
    def adelta(self, key: str | bytes, change: Any) -> Receipt | Turn | Pending: ...
    def write_of(self, turn: Turn) -> Write | None: ...
    def written(self, turn: Turn) -> None: ...
    def next_batch(self, how: _BatchHow) -> Handed | Signal: ...
    def anext_batch(self, how: _BatchHow) -> Handed | Signal | Pending: ...
    def ack(self, numbers: list[int]) -> int: ...
    def nack(self, numbers: list[int], error: str, permanent: bool) -> int: ...
    def give_back(self, numbers: list[int]) -> None: ...
    def dead_letters(self, after: int, limit: int) -> Handed: ...
    def adead_letters(self, after: int, limit: int) -> Handed | Pending: ...
    def replay(self, numbers: list[int]) -> int: ...
    def areplay(self, numbers: list[int]) -> int | Pending: ...
    def drop_letters(self, numbers: list[int]) -> int: ...
    def adrop_letters(self, numbers: list[int]) -> int | Pending: ...
    def flush(self, timeout: _Seconds) -> tuple[int, int, int]: ...
    def aflush(self, timeout: _Seconds) -> tuple[int, int, int] | Pending: ...
    def close(self, timeout: _Seconds) -> tuple[int, int, int]: ...
    def aclose(self, timeout: _Seconds) -> tuple[int, int, int] | Pending: ...
    def stats(self) -> dict[str, int]: ...
