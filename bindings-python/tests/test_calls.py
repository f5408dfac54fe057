"""The plain calls, for threads and for tasks, in memory and over Redis."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import scrubjay
from conftest import MakeCache
from scrubjay import CacheService, Closed, InvalidKey, InvalidOption, InvalidValue, Receipt, ScrubjayError

Call = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, any_cache: CacheService) -> Call:
    """Calls a method by its plain name, or its twin for tasks."""

    def plain(name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(any_cache, name)(*args, **kwargs)

    def twin(name: str, *args: Any, **kwargs: Any) -> Any:
        async def main() -> Any:
            return await getattr(any_cache, "a" + name)(*args, **kwargs)

        return asyncio.run(main())

    return plain if request.param == "sync" else twin


def test_what_is_set_is_got(call: Call) -> None:
    assert call("get", "k") is None
    assert call("get", "k", 5) == 5
    receipt = call("set", "k", {"a": [1, 2.5, None, True, "é"]})
    assert isinstance(receipt, Receipt)
    assert receipt.pending is False
    assert len(receipt.token) == 32
    assert int(receipt.token, 16) > 0
    assert call("get", "k") == {"a": [1, 2.5, None, True, "é"]}
    call("delete", "k")
    assert call("get", "k", "gone") == "gone"


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}, b"", 0.0])
def test_empty_values_are_hits(call: Call, value: Any) -> None:
    call("set", "k", value)
    got = call("get", "k", "a miss")
    assert got == value
    assert type(got) is type(value)


def test_text_and_its_bytes_are_one_key(call: Call) -> None:
    call("set", "ké", 1)
    assert call("get", "ké".encode()) == 1
    call("set", b"\xff\x00", 2)
    assert call("get", b"\xff\x00") == 2


def test_many(call: Call) -> None:
    call("set_many", {"a": 1, "b": b"two"})
    call("set_many", [("c", None), (b"\xff", 4)], 60, codec="msgpack")
    keys = iter(["a", "b", "c", b"\xff", "d"])
    assert call("get_many", keys) == {"a": 1, "b": b"two", "c": None, b"\xff": 4}
    assert call("delete_many", ["a", "c"]).pending is False
    assert call("get_many", ["a", "b", "c"]) == {"b": b"two"}
    assert call("get_many", []) == {}
    assert call("set_many", {}).pending is False
    assert call("delete_many", ()).pending is False


def test_one_bad_entry_stores_none(call: Call) -> None:
    with pytest.raises(InvalidValue, match=r"\$\.x"):
        call("set_many", {"a": 1, "b": {"x": {1, 2}}})
    assert call("get", "a") is None


def test_clear(call: Call) -> None:
    call("set_many", {"a": 1, "b": 2})
    assert call("clear").pending is False
    assert call("get_many", ["a", "b"]) == {}


def test_close_is_idempotent(call: Call) -> None:
    assert call("close").pending is False
    assert call("close").pending is False
    for name, *args in [
        ("get", "k"), ("set", "k", 1), ("delete", "k"), ("get_many", ["k"]), ("set_many", {"k": 1}),
        ("delete_many", ["k"]), ("clear",), ("get_or_fetch", "k", 1, int), ("get_or_fetch_many", ["k"], 1, dict),
    ]:  # fmt: skip
        with pytest.raises(Closed):
            call(name, *args)


@pytest.mark.parametrize("ttl", [0.001, 1, 60.5, timedelta(days=365), timedelta(milliseconds=1), None])
def test_ttls_within_the_limits(call: Call, ttl: Any) -> None:
    call("set", "k", 1, ttl)
    call("set_many", {"k": 1}, ttl=ttl)
    assert call("get_or_fetch", "other", ttl, lambda: 2) == 2


@pytest.mark.parametrize(
    "ttl",
    [
        0,
        -1,
        0.0009,
        31536001,
        10**400,
        float("nan"),
        float("inf"),
        True,
        "60",
        [60],
        timedelta(0),
        timedelta.max,
        1j,
    ],
)
def test_ttls_outside_the_limits(call: Call, ttl: Any) -> None:
    for name, *args in [
        ("set", "k", 1, ttl),
        ("set_many", {"k": 1}, ttl),
        ("get_or_fetch", "k", ttl, lambda: pytest.fail("the fetch ran")),
        ("get_or_fetch_many", ["k"], ttl, lambda _: pytest.fail("the fetch ran")),
    ]:
        with pytest.raises(InvalidOption, match="ttl must be") as caught:
            call(name, *args)
        assert caught.value.operation == name


@pytest.mark.parametrize(
    "key", ["", "x" * 1025, b"", b"x" * 1025, 5, None, True, bytearray(b"k"), ["k"], "\ud800"]
)
def test_wrong_keys(call: Call, key: Any) -> None:
    for name, *args in [
        ("get", key), ("set", key, 1), ("delete", key), ("get_many", [key]), ("set_many", [(key, 1)]),
        ("delete_many", ["k", key]), ("get_or_fetch", key, 1, int), ("get_or_fetch_many", [key], 1, dict),
    ]:  # fmt: skip
        with pytest.raises(InvalidKey, match="key must be"):
            call(name, *args)


@pytest.mark.parametrize("codec", ["raw", "pickle", 1, "\ud800"])
def test_wrong_codecs(call: Call, codec: Any) -> None:
    for name, *args in [("set", "k", 1), ("set_many", {"k": 1}), ("get_or_fetch", "k", 1, int)]:
        with pytest.raises(InvalidOption, match="codec must be"):
            call(name, *args, codec=codec)


@pytest.mark.parametrize("keys", ["abc", b"abc", 5, None])
def test_keys_must_be_an_iterable_of_keys(call: Call, keys: Any) -> None:
    for name, *args in [("get_many", keys), ("delete_many", keys), ("get_or_fetch_many", keys, 1, dict)]:
        with pytest.raises(InvalidOption, match="keys must be an iterable"):
            call(name, *args)


@pytest.mark.parametrize("entries", [5, "ab", [1], [("k",)], [("k", 1, 2)], None])
def test_entries_must_be_pairs(call: Call, entries: Any) -> None:
    with pytest.raises(InvalidOption, match="entries must be a mapping"):
        call("set_many", entries)


def test_the_error_of_an_iterable_is_its_own(call: Call) -> None:
    def keys() -> Any:
        yield "a"
        raise KeyError("broken")

    with pytest.raises(KeyError):
        call("get_many", keys())


@pytest.mark.parametrize("codec", [None, "json", "msgpack"])
def test_codecs_mean_the_same(call: Call, codec: Any) -> None:
    value = {"i": 2**63, "f": 1.0, "n": None, "l": [True, "é", -1]}
    call("set", "k", value, codec=codec)
    got = call("get", "k")
    assert got == value
    assert type(got["f"]) is float
    call("set", "b", b"\x00\xff", codec=codec)
    assert call("get", "b") == b"\x00\xff"


def test_a_value_is_a_copy_that_readers_share(call: Call) -> None:
    value = {"list": [1]}
    call("set", "k", value)
    value["list"].append(2)
    got = call("get", "k")
    assert got == {"list": [1]}
    assert got is not value
    assert call("get", "k") == {"list": [1]}


def test_fetched_values_are_copies_too(call: Call) -> None:
    value = {"list": [1]}
    assert call("get_or_fetch", "k", 60, lambda: value) == value
    value["list"].append(2)
    assert call("get_or_fetch", "k", 60, lambda: None) == {"list": [1]}


def test_stats_have_the_fields_of_all_languages(cache: CacheService) -> None:
    cache.get("k")
    cache.set("k", 1)
    cache.get("k")
    stats = cache.stats()
    assert (stats.misses, stats.hits_l1, stats.entries, stats.breaker_state) == (1, 1, 1, "closed")
    assert list(stats.as_dict()) == [
        "hits_l1", "hits_l2", "misses", "stale_served", "loads", "load_errors", "waits", "evictions", "expired",
        "invalidations", "pending", "decode_misses", "l2_errors", "driven_by_core", "driven_by_caller", "push_sessions",
        "coherence_lag_ms", "entries", "bytes",
        "breaker_state",
    ]  # fmt: skip
    assert all(getattr(stats, name) == value for name, value in stats.as_dict().items())
    assert repr(stats).startswith("Stats(hits_l1=1, ")


def test_receipts_tell_writes_apart(cache: CacheService) -> None:
    first, second = cache.set("k", 1), cache.set("k", 2)
    assert first == first
    assert first != second
    assert len({first, second}) == 2
    assert repr(first) == f"Receipt(pending=False, token='{first.token}')"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"ttl": 0}, ["ttl", "0.001"]),
        ({"ttl": float("nan")}, ["ttl"]),
        ({"ttl": "60"}, ["ttl"]),
        ({"ttl": True}, ["ttl"]),
        ({"ttl": object()}, ["ttl", "object"]),
        ({"jitter": 0.6}, ["jitter", "0.5"]),
        ({"l1_bytes": -1}, ["l1_bytes"]),
        ({"l1_bytes": 10**400}, ["l1_bytes"]),
        ({"max_value": 1}, ["max_value", "1024"]),
        ({"origin_concurrency": 0}, ["origin_concurrency"]),
        ({"breaker": 1}, ["breaker"]),
        ({"codec": "raw"}, ["codec"]),
        ({"prefix": "ä"}, ["prefix"]),
        ({"prefix": 5}, ["prefix"]),
        ({"url": "http://x"}, ["url"]),
        ({"url": None}, ["url"]),
        ({"nonsense": 1}, ["nonsense"]),
        ({"password": "\ud800"}, ["password"]),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(InvalidOption) as caught:
        CacheService(**options)
    for name in names:
        assert name.lower() in str(caught.value).lower()


def test_durations_may_be_timedeltas(make_cache: MakeCache) -> None:
    cache = make_cache(ttl=timedelta(minutes=1), negative_ttl=timedelta(seconds=1), stale_for=None)
    cache.set("k", 1)
    assert cache.get("k") == 1


def test_an_error_has_all_its_parts(cache: CacheService) -> None:
    with pytest.raises(InvalidKey) as caught:
        cache.get("")
    error = caught.value
    assert isinstance(error, ScrubjayError | ValueError)
    assert (error.kind, error.code, error.retryable, error.operation) == ("InvalidKey", 2, False, "get")
    assert str(error) == f"get: InvalidKey: {error.message}"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.operation) == (InvalidKey, str(error), "get")


def test_every_kind_has_its_class() -> None:
    kinds = {
        "InvalidOption": 1, "InvalidKey": 2, "InvalidValue": 3, "NotFound": 4, "FetchFailed": 5, "FetchTimeout": 6,
        "LeaseExpired": 7, "RecursiveFetch": 8, "Overloaded": 9, "Closed": 10, "Cancelled": 11, "Unavailable": 12,
        "Partial": 13, "DirtyElsewhere": 14, "Unsupported": 15, "Internal": 16,
    }  # fmt: skip
    classes = [value for value in vars(scrubjay).values() if isinstance(value, type)]
    found = {error.kind: error.code for error in classes if issubclass(error, ScrubjayError) and error.kind}
    assert found == kinds
    assert scrubjay.FetchTimeout.retryable
    assert issubclass(scrubjay.FetchTimeout, TimeoutError)


def test_a_cache_is_not_pickled_and_shows_no_secret() -> None:
    with CacheService("redis://user:secret@localhost:1/0", "shop") as cache:
        assert "secret" not in repr(cache)
        assert "shop" in repr(cache)
        for copied in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled or copied"):
                copied(cache)


def test_a_subclass_may_have_its_own_arguments() -> None:
    class Sessions(CacheService):
        def __init__(self, shop: str) -> None:
            super().__init__(prefix=f"sessions-{shop}", ttl=60)

    class Unopened(CacheService):
        def __init__(self) -> None:
            pass

    with Sessions("north") as sessions:
        sessions.set("k", 1)
        assert sessions.get("k") == 1
    with pytest.raises(Closed, match="super"):
        Unopened().get("k")


def test_it_is_opened_once(cache: CacheService) -> None:
    with pytest.raises(InvalidOption, match="open already"):
        cache.__init__()  # type: ignore[misc]


def test_with_closes() -> None:
    with CacheService() as cache:
        cache.set("k", 1)
    with pytest.raises(Closed):
        cache.get("k")

    async def main() -> CacheService:
        async with CacheService() as cache:
            await cache.aset("k", 1)
        return cache

    with pytest.raises(Closed):
        asyncio.run(main()).get("k")
