"""Write-behind: values in the cache at once, in a real SQLite a little later."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeCache, Redis, eventually
from scrubjay import (
    CacheService,
    Closed,
    InvalidKey,
    InvalidOption,
    InvalidValue,
    NotFound,
    Overloaded,
    Receipt,
    Rejected,
    Write,
    WriteBehind,
)
from scrubjay._loop import withdraw
from scrubjay._scrubjay import Pending


class Database:
    """A table of values and how often they were changed, which refuses what it has already."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.batches: list[list[Write]] = []
        self.failures: list[Exception] = []
        with self.connect() as connection:
            connection.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, value TEXT, sequence INTEGER NOT NULL)")
            connection.execute("CREATE TABLE changes (id TEXT PRIMARY KEY, key TEXT, change INTEGER)")

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30, isolation_level="IMMEDIATE")

    def write(self, writes: list[Write]) -> None:
        self.batches.append(writes)
        if self.failures:
            raise self.failures.pop(0)
        with self.connect() as connection:
            for write in writes:
                if write.kind == "delta":
                    row = (write.id, write.key, write.value)
                    connection.execute("INSERT INTO changes VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row)
                else:
                    value = None if write.kind == "delete" else str(write.value)
                    connection.execute(
                        "INSERT INTO rows VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value,"
                        " sequence = excluded.sequence WHERE rows.sequence < excluded.sequence",
                        (write.key, value, write.sequence),
                    )

    async def awrite(self, writes: list[Write]) -> None:
        await asyncio.sleep(0)
        self.write(writes)

    def rows(self) -> dict[str, Any]:
        with self.connect() as connection:
            return dict(connection.execute("SELECT key, value FROM rows WHERE value IS NOT NULL"))

    def change_of(self, key: str) -> int:
        with self.connect() as connection:
            return int(connection.execute("SELECT TOTAL(change) FROM changes WHERE key = ?", (key,)).fetchone()[0])


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "rows.db")


@pytest.fixture(params=["journal", "memory", "redis"])
def level(request: pytest.FixtureRequest, make_cache: MakeCache, tmp_path: Path) -> Callable[..., WriteBehind]:
    """Opens write-behinds of one level of acknowledgement."""
    redis: Redis | None = request.getfixturevalue("redis") if request.param == "redis" else None
    cache = make_cache(redis.url) if redis else make_cache()

    def make(writer: Any = None, **options: Any) -> WriteBehind:
        directory = {"directory": tmp_path / "journals"} if request.param == "journal" else {}
        return cache.write_behind("stock", writer, **{"ack": request.param, **directory, **options})

    make.cache = cache  # type: ignore[attr-defined]
    return make


def pull(behind: WriteBehind, count: int) -> list[Write]:
    """So many writes, however many batches that takes: an acknowledged one may come a moment later."""
    writes: list[Write] = []
    while len(writes) < count:
        batch = behind.next_batch(max_items=count - len(writes), wait=20)
        assert batch, "they do not come"
        writes += batch
    return writes


@pytest.fixture
def behind(cache: CacheService) -> WriteBehind:
    return cache.write_behind("stock", ack="memory", retry_base=0.001)


def test_the_cache_has_it_at_once_and_the_source_later(level: Any, database: Database) -> None:
    with level(database.write) as stock:
        receipt = stock.set("stock:7", 41, 60)
        assert isinstance(receipt, Receipt)
        assert not receipt.pending
        stock.set("stock:7", 40, ttl=timedelta(minutes=1))
        stock.set(b"stock:8", 3)
        stock.delete("stock:8")
        for _ in range(3):
            stock.delta("sold:7", 2)
        assert level.cache.get("stock:7") == 40
        assert level.cache.get("stock:8") is None
        report = stock.flush(20)
        assert report.left == 0
    assert database.rows() == {"stock:7": "40"}
    assert database.change_of("sold:7") == 6
    assert stock.stats().accepted == 7
    assert stock.close() == (0, 0, 0)
    with pytest.raises(Closed):
        stock.set("stock:7", 1)


def test_the_same_for_tasks(level: Any, database: Database) -> None:
    async def main() -> None:
        async with level(database.awrite) as stock:
            assert isinstance(await stock.aset("stock:7", 41, 60), Receipt)
            await asyncio.gather(*(stock.aset(f"stock:{n}", n, tags=["stock"]) for n in range(100, 150)))
            await stock.adelete("stock:100")
            await stock.adelta("sold:7", 2)
            assert (await stock.aflush(20)).left == 0
        assert not stock._tasks

    asyncio.run(main())
    assert database.rows() == {"stock:7": "41", **{f"stock:{n}": str(n) for n in range(101, 150)}}
    assert database.change_of("sold:7") == 2


def test_a_function_writes_for_tasks_in_its_thread(level: Any, database: Database) -> None:
    async def main() -> None:
        async with level(database.write) as stock:
            await stock.aset("k", 1)

    asyncio.run(main())
    assert database.rows() == {"k": "1"}


def test_what_a_writer_gets(behind: WriteBehind) -> None:
    behind.set("a", {"n": [1, 2.5, None]})
    behind.set(b"\xff", b"bytes")
    behind.delete("c")
    writes = {write.key_bytes: write for write in pull(behind, 3)}
    assert writes[b"a"].value == {"n": [1, 2.5, None]}
    assert (writes[b"a"].key, writes[b"a"].kind, writes[b"a"].attempt, writes[b"a"].error) == ("a", "set", 1, "")
    assert (writes[b"\xff"].key, writes[b"\xff"].value) == ("\udcff", b"bytes")
    assert (writes[b"c"].kind, writes[b"c"].value) == ("delete", None)
    assert writes[b"a"].process == writes[b"c"].process
    assert writes[b"a"].sequence < writes[b"c"].sequence
    assert writes[b"a"].id == f"{writes[b'a'].process}-{writes[b'a'].sequence}"
    assert writes[b"a"].enqueued_ms > 1_700_000_000_000
    assert "bytes" not in repr(writes[b"\xff"])
    assert behind.next_batch(wait=0.001) == []
    assert behind.ack(writes.values()) == 3
    assert behind.ack(writes[b"a"]) == 0


def test_pulling_by_hand(behind: WriteBehind) -> None:
    behind.set("a", 1)
    behind.set("b", 2)
    behind.set("c", 3)
    first = pull(behind, 2)
    assert [write.key for write in first] == ["a", "b"]
    assert behind.nack(first[0], "no such row", permanent=True) == 1
    behind.give_back(first[1])
    others = pull(behind, 2)
    assert {(write.key, write.attempt) for write in others} == {("b", 1), ("c", 1)}
    behind.ack(others)
    (letter,) = behind.dead_letters()
    assert (letter.key, letter.error) == ("a", "no such row")
    assert behind.dead_letters(letter) == []
    assert behind.replay([]) == behind.drop([]) == 0
    assert behind.replay() == 1
    (again,) = behind.next_batch()
    behind.nack([again], "still not", permanent=True)
    eventually(lambda: [letter.error for letter in behind.dead_letters()] == ["still not"])
    assert behind.drop(behind.dead_letters()) == 1
    assert behind.stats().dead == behind.stats().depth == 0


def test_pulling_by_hand_in_tasks(behind: WriteBehind) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(behind.anext_batch())
        await behind.aset("a", 1)
        behind.nack(await waiting, "no", permanent=True)
        (letter,) = await behind.adead_letters()
        assert await behind.areplay(letter) == 1
        behind.nack(await behind.anext_batch(), "no", permanent=True)
        assert await behind.adrop() == 1
        assert await behind.anext_batch(wait=0.001) == []
        waiting = asyncio.create_task(behind.anext_batch())
        await asyncio.sleep(0)
        assert await behind.aclose() == (0, 0, 0)
        with pytest.raises(Closed):
            await waiting

    asyncio.run(main())


def test_a_writer_that_fails(behind: WriteBehind, database: Database) -> None:
    database.failures = [OSError("the database is gone"), ValueError("\ud800")]
    worker = threading.Thread(target=behind.run, args=(database.write,))
    behind.set("a", 1)
    behind.set("b", 2)
    worker.start()
    assert behind.flush(20).left == 0
    assert database.rows() == {"a": "1", "b": "2"}
    assert behind.stats().retried >= 2
    behind.close()
    worker.join(20)
    assert not worker.is_alive()


@pytest.mark.parametrize("raises", [True, False])
def test_a_writer_that_rejects_some(behind: WriteBehind, database: Database, raises: bool) -> None:
    def write(writes: list[Write]) -> list[Rejected]:
        wrong = [write for write in writes if write.value == "wrong"]
        database.write([write for write in writes if write.value != "wrong"])
        rejection = Rejected(wrong, "no number", permanent=True)
        if raises and wrong:
            raise rejection
        return [rejection]

    for key, value in {"a": 1, "b": "wrong", "c": 3, "d": "wrong"}.items():
        behind.set(key, value)
    worker = threading.Thread(target=behind.run, args=(write,))
    worker.start()
    assert behind.flush(20).left == 0
    assert database.rows() == {"a": "1", "c": "3"}
    assert [(letter.key, letter.error) for letter in behind.dead_letters()] == [
        ("b", "no number"),
        ("d", "no number"),
    ]
    behind.close()
    worker.join(20)


def test_of_a_batch_that_fails_only_the_culprit_is_dead(cache: CacheService, database: Database) -> None:
    def write(writes: list[Write]) -> None:
        if any(write.value == "poison" for write in writes):
            raise ValueError("poison")
        database.write(writes)

    with cache.write_behind("stock", write, ack="memory", max_attempts=2, retry_base=0.001) as stock:
        database.write([])
        stock.set("a", 1)
        stock.flush(20)
        for n in range(20):
            stock.set(f"k{n}", "poison" if n == 7 else n)
        assert stock.flush(20).left == 0
        assert len(database.rows()) == 20
        (letter,) = stock.dead_letters()
        assert (letter.key, letter.error) == ("k7", "ValueError: poison")


@pytest.mark.parametrize("returned", ["writes", "cursor", "coroutine"])
def test_what_a_writer_must_not_return(cache: CacheService, returned: str) -> None:
    async def coroutine() -> None: ...

    def write(writes: list[Write]) -> Any:
        return {"writes": writes, "cursor": iter(writes)}[returned] if returned != "coroutine" else coroutine()

    with cache.write_behind("stock", write, ack="memory", max_attempts=1) as stock:
        stock.set("a", 1)
        eventually(lambda: stock.stats().dead == 1)
        assert "writer must" in stock.dead_letters()[0].error


def test_a_full_one_has_its_caller_write(cache: CacheService, database: Database) -> None:
    ran = []

    def write(writes: list[Write]) -> list[Rejected] | None:
        ran.append((threading.get_ident(), [write.key for write in writes]))
        if writes[0].value == "wrong":
            return [Rejected(writes, "no")]
        database.write(writes)
        return None

    stock = cache.write_behind("stock", write, ack="memory", on_full="write_through", max_age=0.001)
    gate = threading.Event()
    entered = threading.Event()

    def hold(writes: list[Write]) -> None:
        entered.set()
        gate.wait(20)
        database.write(writes)

    # Another worker has the oldest write in hand, so all that come after find it too old.
    stock._closed = True
    threading.Thread(target=stock.run, args=(hold,), daemon=True).start()
    assert stock.set("old", 0) is not None
    assert entered.wait(20)
    eventually(lambda: stock.stats().oldest_age_ms > 1)
    assert stock.set("k", 1, 60) is None
    assert ran == [(threading.get_ident(), ["k"])]
    assert database.rows() == {"k": "1"}
    eventually(lambda: cache.get("k") == 1)
    with pytest.raises(Rejected, match="no"):
        stock.set("k", "wrong")
    assert stock.delete("k") is None
    assert stock.delta("n", 2) is None
    assert database.rows() == {}
    assert database.change_of("n") == 2
    gate.set()
    assert stock.close(20).left == 0
    assert database.rows() == {"old": "0"}


def test_a_full_one_has_its_task_write(cache: CacheService, database: Database) -> None:
    async def main() -> None:
        entered, gate = asyncio.Event(), asyncio.Event()

        async def write(writes: list[Write]) -> None:
            if writes[0].key == "old":
                entered.set()
                await gate.wait()
            if writes[0].key == "cancel":
                asyncio.current_task().cancel()  # type: ignore[union-attr]
                await asyncio.sleep(60)
            database.write(writes)

        stock = cache.write_behind("stock", write, ack="memory", on_full="write_through", max_age=0.001)
        with pytest.raises(InvalidOption, match="aset"):
            stock.set("k", 1)
        await stock.aset("old", 0)
        await entered.wait()
        while stock.stats().oldest_age_ms <= 1:
            await asyncio.sleep(0.001)
        assert await stock.aset("k", 1) is None
        with pytest.raises(asyncio.CancelledError):
            await stock.aset("cancel", 1)
        asyncio.current_task().uncancel()  # type: ignore[union-attr]
        assert stock.stats().depth == 1
        assert database.rows() == {"k": "1"}
        gate.set()
        assert (await stock.aclose(20)).left == 0

    asyncio.run(main())


def test_too_much(cache: CacheService) -> None:
    rejecting = cache.write_behind("stock", ack="memory", on_full="reject", max_bytes=4096)
    with pytest.raises(InvalidValue, match="max_bytes"):
        rejecting.set("k", "x" * 5000)
    rejecting.set("k", "x" * 3000)
    with pytest.raises(Overloaded):
        rejecting.set("l", "x" * 3000)
    blocking = cache.write_behind("other", ack="memory", max_bytes=4096, block_for=0.01)
    blocking.set("k", "x" * 3000)
    with pytest.raises(Overloaded):
        blocking.set("l", "x" * 3000)
    assert blocking.stats().rejected == 1


def test_a_pending_deletion_is_not_found(behind: WriteBehind, cache: CacheService) -> None:
    behind.delete("k")
    with pytest.raises(NotFound):
        cache.get_or_fetch("k", 60, lambda: "old")
    behind.ack(behind.next_batch())
    assert cache.get_or_fetch("k", 60, lambda: "new") == "new"


def test_cancelled_calls_lose_nothing(behind: WriteBehind) -> None:
    async def main() -> None:
        for n in range(20):
            # Batches that came for tasks which are cancelled, before or in this very moment, go to others.
            waiting = asyncio.create_task(behind.anext_batch())
            await asyncio.sleep(0)
            waiting.cancel()
            await behind.aset(f"k{n}", n)
            with pytest.raises(asyncio.CancelledError):
                await waiting
            pending = behind._core.anext_batch((None, None, None, None))
            assert isinstance(pending, Pending)
            await asyncio.wait([pending.future])
            withdraw(pending)
            (write,) = await behind.anext_batch(wait=10)
            assert (write.key, write.attempt) == (f"k{n}", 1)
            behind.ack(write)

    asyncio.run(main())


def test_a_cancelled_worker_gives_back_what_it_was_at(behind: WriteBehind) -> None:
    async def main() -> None:
        entered = asyncio.Event()

        async def stuck(_: list[Write]) -> None:
            entered.set()
            await asyncio.sleep(60)

        worker = asyncio.create_task(behind.arun(stuck))
        await behind.aset("a", 1)
        await entered.wait()
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
        (write,) = await behind.anext_batch(wait=10)
        assert (write.key, write.attempt) == ("a", 1)
        behind.ack(write)

    asyncio.run(main())


def test_a_worker_is_outside_of_the_fetch_that_started_it(cache: CacheService) -> None:
    seen = []
    stock = cache.write_behind(
        "stock", lambda _: seen.append(cache.get_or_fetch("k", 60, lambda: 2)), ack="memory"
    )

    def fetch() -> int:
        stock.set("other", 1)
        return 1

    cache.get_or_fetch("k", 60, fetch)
    assert stock.close(20) == (1, 0, 0)
    assert seen


def test_reopened_journals(make_cache: MakeCache, tmp_path: Path, database: Database) -> None:
    first = make_cache().write_behind("stock", directory=tmp_path)
    for n in range(100):
        first.set(f"k{n}", n)
    assert first.close(0).left == 100
    with make_cache().write_behind("stock", database.write, directory=tmp_path) as second:
        eventually(lambda: len(database.rows()) == 100)
        assert second.stats().adopted == 100


def test_what_is_wrong_is_named(cache: CacheService, tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "directory is required"),
        ({"ack": "disk"}, "ack must be"),
        ({"ack": "redis"}, "needs a cache whose url names a Redis"),
        ({"ack": "memory", "max_bytes": 1}, "max_bytes must be 4096 to"),
        ({"ack": "memory", "retry_max": timedelta(days=2)}, "retry_max must be"),
        ({"ack": "memory", "visibility": float("nan")}, "visibility must be a number of seconds"),
        ({"ack": "memory", "speed": 1}, '"speed" is not an option'),
        ({"ack": "memory", "writer": 7}, "writer must be a function, is int"),
        ({"ack": "memory", "on_full": "write_through"}, "needs the writer"),
        ({"ack": "memory", "name": "a b"}, "name must be"),
    ]
    for options, message in wrong:
        with pytest.raises(InvalidOption, match=message):
            cache.write_behind(**{"name": "stock", **options})
    behind = cache.write_behind("stock", directory=tmp_path)
    with pytest.raises(InvalidKey):
        behind.set("", 1)
    with pytest.raises(InvalidValue):
        behind.set("k", float("nan"))
    with pytest.raises(InvalidOption, match="max_items must be"):
        behind.next_batch(max_items=0)
    with pytest.raises(InvalidOption, match="max_items must be 0 to 10000"):
        behind.next_batch(max_items=10_001)
    with pytest.raises(InvalidOption, match="timeout must be"):
        behind.flush(-1)
    with pytest.raises(InvalidOption, match="writer must be a function"):
        behind.run()

    async def write(_: list[Write]) -> None: ...

    with pytest.raises(InvalidOption, match="await arun"):
        behind.run(write)
    assert repr(behind) == "<scrubjay.WriteBehind name='stock'>"
