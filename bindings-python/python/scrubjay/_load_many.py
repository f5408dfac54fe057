"""`get_or_fetch_many`: one fetch for all keys that the caller is to load, then a wait for the others."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from . import _load
from ._errors import InvalidValue, PartialError
from ._loop import give_back, settled, withdraw
from ._scrubjay import MISS, UNDECODABLE, Failure, Pending, Turn

if TYPE_CHECKING:
    from ._service import CacheService

OPERATION = "get_or_fetch_many"

Key = Any
"""Text or bytes; to the caller, the one of the two that it gave."""

Led = list[tuple[Key, Turn]]


class Many:
    """One call: what is known of each key so far."""

    def __init__(
        self,
        cache: CacheService,
        how: tuple[Any, str | None, Any],
        fetch: Callable[[list[Any]], Any],
    ) -> None:
        self.cache = cache
        ttl, codec, tags = how
        # Walked through for each key that is begun anew.
        if isinstance(tags, Iterable) and not isinstance(tags, str | bytes):
            tags = list(tags)
        self.how = (ttl, codec, tags)
        self.fetch = fetch
        self.values: dict[Key, Any] = {}
        self.failed: dict[Key, Exception] = {}
        self.leads: Led = []
        self.refreshes: Led = []
        self.again: list[Key] = []

    def settle(self, key: Key, answer: Any) -> None:
        """Sort the answer of one key: a value, a failure, or something that is still to be done."""
        if type(answer) is Turn:
            if answer.refreshes:
                self.values[key] = answer.value
                self.refreshes.append((key, answer))
            else:
                self.leads.append((key, answer))
        elif type(answer) is Failure:
            self.failed[key] = answer.take()
        elif answer is UNDECODABLE:
            self.again.append(key)
        else:
            self.values[key] = answer

    def take_held(self, keys: list[Key], coroutines: bool) -> list[Key]:
        """Sort the keys that have a copy in memory; give those that have none."""
        held = self.cache._held(keys, self.how, self.fetch, coroutines)
        others = []
        for key, value in zip(keys, held, strict=True):
            if value is MISS:
                others.append(key)
            else:
                self.values[key] = value
        return others

    def result(self) -> dict[Key, Any]:
        """Give the values, or say what failed."""
        if not self.failed:
            return self.values
        first = next(iter(self.failed.values()))
        message = f"{len(self.failed)} keys failed, the first with: {first}"
        raise PartialError(message, operation=OPERATION, failed=self.failed, values=self.values) from first

    def take_leads(self) -> Led:
        """Take the keys for which this caller is to run its fetch now."""
        leads, self.leads = self.leads, []
        return leads

    def take_refreshes(self) -> Led:
        """Take the keys that have a value to go on with while they are refreshed."""
        refreshes, self.refreshes = self.refreshes, []
        return refreshes

    def behind(self) -> Many:
        """Make another call like this one, for what goes on when this one has returned its values."""
        return Many(self.cache, self.how, self.fetch)

    def load(self, leads: Led) -> None:
        """Run the fetch once for these keys, in this thread."""
        outside = _load.hold(*(turn.lease for _, turn in leads))
        try:
            fetched = self.fetch([key for key, _ in leads])
            if not inspect.isawaitable(fetched):
                return self._store(leads, fetched)
        except Exception as error:
            return self._fail(leads, error)
        finally:
            _load.release(outside)
            _abandon(leads)
        raise _load.refused(fetched, OPERATION)

    async def aload(self, leads: Led) -> None:
        """Run the fetch once for these keys, in this task."""
        outside = _load.hold(*(turn.lease for _, turn in leads))
        try:
            fetched = self.fetch([key for key, _ in leads])
            if inspect.isawaitable(fetched):
                fetched = await fetched
            self._store(leads, fetched)
        except Exception as error:
            self._fail(leads, error)
        finally:
            _load.release(outside)
            _abandon(leads)

    def _store(self, leads: Led, fetched: Any) -> None:
        if not isinstance(fetched, Mapping):
            message = f"fetch must return a mapping of keys to values, returned {type(fetched).__name__}"
            raise InvalidValue(message, operation=OPERATION)
        for key, turn in leads:
            value = fetched.get(key, MISS)
            if value is MISS:
                continue
            try:
                self.values[key] = _load.fulfil(turn, value)
            except Exception as error:
                self.failed[key] = error

    def _fail(self, leads: Led, error: Exception) -> None:
        for key, turn in leads:
            stale = _load.failed(turn, error)
            if stale is not MISS:
                self.values[key] = stale
            elif not turn.refreshes:
                self.failed[key] = error


def _abandon(leads: Led) -> None:
    """Give back the keys that the fetch left out, or all of them when it was cut off."""
    for _, turn in leads:
        turn.abandon()


def load_many(many: Many, keys: list[Key], background: Executor | None) -> dict[Key, Any]:
    """Answer a blocked caller."""
    given, keys = keys, many.take_held(keys, False)
    if given and not keys:
        return many.result()
    answers, others, early = many.cache._begin_many(keys, many.how, many.fetch)
    try:
        waiting = {index for index, answer in enumerate(answers) if answer is MISS}
        for index, answer in enumerate(answers):
            if index not in waiting:
                many.settle(keys[index], answer)
        while True:
            if leads := many.take_leads():
                many.load(leads)
            if many.again:
                key = many.again.pop()
                many.cache._note_undecodable(key)
                try:
                    many.settle(key, many.cache._begin(key, many.how, many.fetch))
                except Exception as error:
                    many.failed[key] = error
            elif waiting:
                index, answer = early.pop() if early else others.next()
                waiting.remove(index)
                many.settle(keys[index], answer)
            elif not many.leads:
                break
        refreshes = many.take_refreshes()
        if refreshes and background is None:
            many.load(refreshes)
        elif background is not None and refreshes:
            behind = many.behind()
            if not _load.submit(background, lambda: behind.load(refreshes)):
                _abandon(refreshes)
    finally:
        others.close()
        for _, answer in early:
            give_back(answer)
        _abandon(many.leads)
        _abandon(many.refreshes)
    return many.result()


async def aload_many(many: Many, keys: list[Key]) -> dict[Key, Any]:
    """Answer a task."""
    given, keys = keys, many.take_held(keys, True)
    if given and not keys:
        return many.result()
    answers = many.cache._abegin_many(keys, many.how, many.fetch)
    if type(answers) is Pending:
        answers = await settled(answers)
    waiting: dict[asyncio.Future[Any], tuple[Key, Pending]] = {}
    for key, answer in zip(keys, answers, strict=True):
        if type(answer) is Pending:
            waiting[answer.future] = (key, answer)
        else:
            many.settle(key, answer)
    try:
        while True:
            if refreshes := many.take_refreshes():
                _load.refresh_behind(many.behind().aload(refreshes))
            if leads := many.take_leads():
                await many.aload(leads)
            if many.again:
                await _begin_again(many, many.again.pop())
            elif waiting:
                # Whichever comes first: a lead that lay here unseen could be what another one waits for.
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for future in done:
                    key, _ = waiting.pop(future)
                    many.settle(key, future.result())
            elif not many.leads and not many.refreshes:
                break
    finally:
        for _, pending in waiting.values():
            withdraw(pending)
        _abandon(many.leads)
        _abandon(many.refreshes)
    return many.result()


async def _begin_again(many: Many, key: Key) -> None:
    many.cache._note_undecodable(key)
    try:
        answer = many.cache._abegin(key, many.how, many.fetch, True)
        many.settle(key, await settled(answer) if type(answer) is Pending else answer)
    except Exception as error:
        many.failed[key] = error
