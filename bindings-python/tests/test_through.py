"""Write-through: the source first, then the cache, in the order of the source, which is a SQLite database here."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, assert_type

import pytest
from conftest import MakeCache, Redis, eventually
from scrubjay import (
    CacheService,
    Closed,
    InvalidKey,
    InvalidOption,
    InvalidValue,
    NotFound,
    PartialError,
    Receipt,
    RecursiveFetch,
    Source,
    Unsupported,
    WriteThrough,
)


class Full(Exception):
    """An error of the source."""


class Users:
    """A table, with a connection for each thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.loads = 0
        self.before_store: Callable[[], Any] = lambda: None
        with self._connection() as database:
            database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=30)
        try:
            with database:
                yield database
        finally:
            database.close()

    def name(self, user: int) -> str | None:
        with self._connection() as database:
            row = database.execute("SELECT name FROM users WHERE id = ?", (user,)).fetchone()
        return None if row is None else str(row[0])

    def load(self, user: int) -> str:
        self.loads += 1
        name = self.name(user)
        if name is None:
            raise NotFound
        return name

    def load_many(self, users: list[int]) -> dict[int, str]:
        self.loads += 1
        return {user: name for user in users if (name := self.name(user)) is not None}

    def store(self, user: int, name: str) -> None:
        self.before_store()
        with self._connection() as database:
            database.execute("INSERT OR REPLACE INTO users VALUES (?, ?)", (user, name))

    def remove(self, user: int) -> None:
        with self._connection() as database:
            database.execute("DELETE FROM users WHERE id = ?", (user,))


class AsyncUsers:
    """The same for tasks."""

    def __init__(self, users: Users) -> None:
        self.users = users
        self.before_store: Callable[[], Any] | None = None

    async def load(self, user: int) -> str:
        await asyncio.sleep(0)
        return self.users.load(user)

    async def store(self, user: int, name: str) -> None:
        if self.before_store is not None:
            await self.before_store()
        self.users.store(user, name)

    async def remove(self, user: int) -> None:
        self.users.remove(user)


def key_of(user: int) -> str:
    return f"user:{user}"


@pytest.fixture
def table(tmp_path: Path) -> Users:
    return Users(tmp_path / "users.db")


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest, make_cache: MakeCache) -> CacheService:
    if request.param == "memory":
        return make_cache()
    redis: Redis = request.getfixturevalue("redis")
    return make_cache(redis.url)


@pytest.fixture
def users(cache: CacheService, table: Users) -> WriteThrough[Any, Any]:
    return cache.write_through(table, 60, key=key_of)


def test_a_value_goes_to_the_source_and_then_into_the_cache(
    cache: CacheService, table: Users, users: WriteThrough[Any, Any]
) -> None:
    assert users.get(7) is None
    assert users.get(7, "nobody") == "nobody"
    assert table.loads == 1, "that there is none is remembered"
    assert not users.set(7, "Ada").pending
    assert table.name(7) == "Ada"
    assert cache.get("user:7") == "Ada"
    assert users.get(7) == "Ada"
    table.store(8, "Grace")
    assert users.get_many([7, 8, 9]) == {7: "Ada", 8: "Grace"}
    assert table.loads == 2
    assert not users.delete(7).pending
    assert (table.name(7), cache.get("user:7"), users.get(7)) == (None, None, None)


def test_a_store_that_fails_leaves_the_key_invalidated(
    cache: CacheService, table: Users, users: WriteThrough[Any, Any]
) -> None:
    users.set(7, "Ada")
    error = Full("the disk is full")

    def fail() -> None:
        raise error

    table.before_store = fail
    with pytest.raises(Full) as caught:
        users.set(7, "Grace")
    assert caught.value is error
    assert cache.get("user:7") is None
    assert users.get(7) == "Ada"
    assert cache.get("user:7") == "Ada", "and loads are stored again"

    def interrupted() -> None:
        raise KeyboardInterrupt

    table.before_store = interrupted
    with pytest.raises(KeyboardInterrupt):
        users.set(7, "Grace")
    eventually(lambda: cache.explain("user:7")["hold"] is None)
    table.before_store = lambda: None
    users.set(7, "Grace")
    assert cache.get("user:7") == "Grace"


def test_writers_follow_one_another_and_loads_meanwhile_are_not_stored(
    cache: CacheService, table: Users, users: WriteThrough[Any, Any]
) -> None:
    table.store(7, "old")
    in_store, word = threading.Event(), threading.Event()

    def wait() -> None:
        table.before_store = lambda: None
        in_store.set()
        assert word.wait(20)

    table.before_store = wait
    first = threading.Thread(target=users.set, args=(7, "first"))
    first.start()
    assert in_store.wait(20)
    second = threading.Thread(target=users.set, args=(7, "second"))
    second.start()
    assert users.get(7) == "old"
    assert users.get(7) == "old"
    assert (table.loads, cache.get("user:7")) == (2, None)
    users.set(8, "another key waits for nobody")
    assert second.is_alive()
    word.set()
    first.join(20)
    second.join(20)
    assert (table.name(7), cache.get("user:7")) == ("second", "second")


def test_many_writers_and_readers(cache: CacheService, table: Users, users: WriteThrough[Any, Any]) -> None:
    def write(worker: int) -> None:
        for n in range(20):
            users.set(7, f"{worker}:{n}")

    def read() -> None:
        for _ in range(40):
            users.get(7)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    threads += [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert cache.get("user:7") == table.name(7)
    assert users.get(7) == table.name(7)


def test_writers_in_two_processes_leave_the_source_right(
    make_cache: MakeCache, redis: Redis, table: Users
) -> None:
    one = make_cache(redis.url)
    two = make_cache(redis.url, prefix=one._prefix)
    ones, twos = (each.write_through(table, 60, key=key_of) for each in (one, two))

    def meet() -> None:
        table.before_store = lambda: None
        twos.set(7, "second")

    table.before_store = meet
    ones.set(7, "first")
    assert (one.get("user:7"), two.get("user:7")) == (None, None), "nobody knows which came last"
    assert ones.get(7) == twos.get(7) == table.name(7) == "first"
    twos.set(7, "third")
    eventually(lambda: one.get("user:7") == "third")


def test_tasks(cache: CacheService, table: Users) -> None:
    async def main() -> None:
        source = AsyncUsers(table)
        users = cache.write_through(source, 60, key=key_of, tags=["users"])
        assert await users.aget(7) is None
        await users.aset(7, "Ada")
        assert (table.name(7), await cache.aget("user:7"), await users.aget(7)) == ("Ada", "Ada", "Ada")
        table.store(8, "Grace")
        assert await users.aget_many([7, 8, 9]) == {7: "Ada", 8: "Grace"}
        await cache.ainvalidate_tags(["users"])
        assert await cache.aget("user:7") is None, "it has its tag"

        begun, word = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            source.before_store = None
            begun.set()
            await word.wait()

        source.before_store = wait
        stuck = asyncio.create_task(users.aset(7, "stuck"))
        await begun.wait()
        gone, following = (asyncio.create_task(users.aset(7, name)) for name in ("gone", "following"))
        await asyncio.sleep(0)
        gone.cancel()
        stuck.cancel()
        for task in (gone, stuck):
            with pytest.raises(asyncio.CancelledError):
                await task
        await following
        assert (table.name(7), await cache.aget("user:7")) == ("following", "following")
        await users.adelete(7)
        assert (table.name(7), await users.aget(7, "nobody")) == (None, "nobody")
        for call in (lambda: users.set(7, "x"), lambda: users.get(7), lambda: users.delete(7)):
            with pytest.raises(InvalidOption, match="await"):
                call()
        plain = cache.write_through(table, 60, key=key_of)
        await plain.aset(7, "Ada")
        assert await plain.aget_many([7]) == {7: "Ada"}

    asyncio.run(main())


def test_what_is_wrong_is_told_before_the_source_is_asked(cache: CacheService, table: Users) -> None:
    for options in ({"ttl": -1}, {"tags": [""]}, {"intent_ttl": 0}, {"codec": "xml"}):
        with pytest.raises(InvalidOption):
            cache.write_through(table, key=key_of, **options).set(7, "Ada")
    for wrong in (
        lambda: cache.write_through(object()),
        lambda: cache.write_through(Source()),
        lambda: cache.write_through(table, tags="users"),
        lambda: cache.write_through(table, key="user:{id}"),  # type: ignore[call-overload]
        lambda: cache.write_through(table, strict=1),  # type: ignore[call-overload]
    ):
        with pytest.raises(InvalidOption):
            wrong()
    users = cache.write_through(table, 60, key=key_of)
    with pytest.raises(InvalidValue):
        users.set(7, {1: "no key"})
    with pytest.raises(InvalidKey):
        cache.write_through(table).set("", "Ada")
    assert table.name(7) is None
    cache.close()
    with pytest.raises(Closed):
        users.set(7, "Ada")
    assert table.name(7) is None


def test_what_a_source_lacks(cache: CacheService) -> None:
    class Names(Source[str, str]):
        def __init__(self) -> None:
            self.rows: dict[str, str] = {}

        def store(self, key: str, value: str) -> None:
            if value == "again":
                names.set(key, "never")
            self.rows[key] = value

    names = cache.write_through(Names(), 60)
    assert_type(names.set("k", "v"), Receipt)
    assert cache.get("k") == "v"
    for call in (lambda: names.get("k"), lambda: names.get_many(["k"]), lambda: names.delete("k")):
        with pytest.raises(Unsupported):
            call()
    with pytest.raises(RecursiveFetch):
        names.set("k", "again")

    class Lame:
        def load(self, key: str) -> str:
            if key == "bad":
                raise Full
            return key.upper()

    lame = cache.write_through(Lame(), 60)
    assert lame.get_many(["a", "b"]) == {"a": "A", "b": "B"}
    with pytest.raises(PartialError) as caught:
        lame.get_many(["a", "bad"])
    assert caught.value.values == {"a": "A"}
    assert isinstance(caught.value.failed["bad"], Full)
