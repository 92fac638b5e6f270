"""Models kept open under a limit of memory: opened when asked for, the least recently used evicted.

What is kept is anything with a size and an end: a model, a replica, a fleet of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.models.room import Room

_SOON = 1.0
"""Seconds after which models that are in use may be idle."""

Key = tuple[str, str]


class Kept(Protocol):
    """Something that takes memory until it is closed."""

    @property
    def memory(self) -> int:
        """Bytes that it holds, once it is open."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


K = TypeVar("K", bound=Kept)


class _Slot(Generic[K]):
    def __init__(self, thing: K, number: int) -> None:
        self.thing, self.number = thing, number
        self.retired = False
        self.gone = asyncio.Event()


class _Load(Generic[K]):
    def __init__(self, task: asyncio.Task[_Slot[K]]) -> None:
        self.task = task
        self.waiting = 0


class _Turn:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted = 0


class Loan(Generic[K]):
    """The right to use a thing, which is not closed meanwhile; given back once."""

    __slots__ = ("_shelf", "_slot", "thing")

    def __init__(self, shelf: Shelf[K], slot: _Slot[K]) -> None:
        self._shelf: Shelf[K] = shelf
        self._slot: _Slot[K] | None = slot
        self.thing = slot.thing

    def give_back(self) -> None:
        """Give the thing back; the second time does nothing."""
        slot, self._slot = self._slot, None
        if slot is not None:
            self._shelf._give_back(slot)


class Shelf(Generic[K]):
    """Keeps things by name and version on one event loop, at most `limit` bytes of them.

    `open` opens one and returns it. `expected` says how many bytes it will take, as well as that is known
    before; they are free before it is opened, and what it really takes is charged afterwards, and expected
    the next time. `said` is told in words of what went wrong without anybody waiting for it.

    1. Whoever asks for what is being opened waits for that one opening, and gets its error.
    2. What is lent is never evicted.
    3. An opening that fails leaves what was there in its place, and nothing charged.
    """

    def __init__(
        self,
        limit: int,
        open: Callable[[str, str], Awaitable[K]],
        expected: Callable[[str, str], int] = lambda name, version: 0,
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.room = Room(limit)
        self._open, self._expected, self._said = open, expected, said
        self._there: dict[Key, _Slot[K]] = {}
        self._loads: dict[Key, _Load[K]] = {}
        self._turns: dict[Key, _Turn] = {}
        self._known: dict[Key, int] = {}
        self._admission = asyncio.Lock()
        self._closings: set[asyncio.Task[None]] = set()
        self._closed = False
        self.evictions = 0
        """Things closed to make room, so far."""

    def opened(self) -> tuple[Key, ...]:
        """What is open, by name and version."""
        return tuple(sorted(self._there))

    def loading(self) -> tuple[Key, ...]:
        """What is being opened because someone asked for it."""
        return tuple(sorted(self._loads))

    def peek(self, name: str, version: str) -> K | None:
        """What is open under a name, without using it; None if nothing is."""
        slot = self._there.get((name, version))
        return None if slot is None else slot.thing

    def lend_now(self, name: str, version: str) -> Loan[K] | None:
        """A lease of what is open already; None if it must be opened first."""
        slot = self._there.get((name, version))
        if slot is None:
            return None
        self.room.lend(slot.number)
        return Loan(self, slot)

    async def lend(self, name: str, version: str) -> Loan[K]:
        """A lease, for which the thing is opened if need be.

        Raises what `open` raises; Refusal with NO_ROOM where it does not fit even with all that is idle
        evicted, and with NOT_READY once the shelf is closed.
        """
        self._check()
        if (lease := self.lend_now(name, version)) is not None:
            return lease
        key = (name, version)
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = _Load(asyncio.ensure_future(self._loaded(key)))
            load.task.add_done_callback(_looked_at)
        load.waiting += 1
        try:
            slot = await asyncio.shield(load.task)
        except asyncio.CancelledError:
            task = load.task
            if not task.done():
                load.waiting -= 1
            elif not task.cancelled() and task.exception() is None:
                self._give_back(task.result())  # it was lent to this caller, who is gone
            elif task.cancelled() and self._closed:
                raise _closed() from None
            raise
        return Loan(self, slot)

    @asynccontextmanager
    async def lent(self, name: str, version: str = "") -> AsyncIterator[K]:
        """`lend`, and give back at the end."""
        lease = await self.lend(name, version)
        try:
            yield lease.thing
        finally:
            lease.give_back()

    async def renew(self, name: str, version: str) -> None:
        """Open a thing anew; until it is there, and if that fails, the old one is lent.

        Raises as `lend` does. Both need room for a while. The old one is closed when it is given back.
        """
        self._check()
        key = (name, version)
        slot = await self._opened(key)
        self._put(key, slot)
        self._give_back(slot)

    async def drop(self, name: str, version: str) -> None:
        """Close a thing once everyone has given it back; returns then, at once if it is not open."""
        key = (name, version)
        if key in self._loads:
            await asyncio.wait([self._loads[key].task])
        slot = self._there.pop(key, None)
        if slot is not None:
            self._retire(slot)
            await slot.gone.wait()

    async def close(self) -> None:
        """Close everything, once it is given back, and open nothing more."""
        self._closed = True
        loads = [each.task for each in self._loads.values()]
        for task in loads:
            task.cancel()
        if loads:
            await asyncio.wait(loads)
        slots = list(self._there.values())
        self._there.clear()
        for slot in slots:
            self._retire(slot)
        for slot in slots:
            await slot.gone.wait()
        while self._closings:
            await asyncio.wait(list(self._closings))

    def _check(self) -> None:
        if self._closed:
            raise _closed()

    async def _loaded(self, key: Key) -> _Slot[K]:
        """Open what is asked for, and lend it to all who wait: nobody can evict it before they have it."""
        try:
            slot = await self._opened(key)
        except BaseException:
            del self._loads[key]
            raise
        self._put(key, slot)
        for _ in range(self._loads.pop(key).waiting):
            self.room.lend(slot.number)
        self._give_back(slot)
        return slot

    async def _opened(self, key: Key) -> _Slot[K]:
        """A new thing with its bytes charged, in use once; of one name and version one at a time."""
        turn = self._turns.setdefault(key, _Turn())
        turn.wanted += 1
        try:
            async with turn.lock:
                return await self._opened_now(key)
        finally:
            turn.wanted -= 1
            if not turn.wanted:
                del self._turns[key]

    async def _opened_now(self, key: Key) -> _Slot[K]:
        expected = max(self._known.get(key, 0), self._expected(*key), 0)
        async with self._admission:
            await self._make_room(expected, key)
            number = self.room.take(expected)
        try:
            thing = await self._open(*key)
        except BaseException:
            self.room.forget(number)
            raise
        slot = _Slot(thing, number)
        try:
            self._known[key] = size = max(0, thing.memory)
            async with self._admission:
                await self._make_room(size - expected, key)
                self.room.resize(number, size)
        except BaseException:
            self.room.give_back(number)
            self._retire(slot)
            raise
        return slot

    async def _make_room(self, size: int, key: Key) -> None:
        """Evict until `size` bytes are free; called under the lock, so that nobody else takes them."""
        while (victims := self.room.victims(size)) is None:
            if not self._closings:
                raise self._refusal(size, key)
            await asyncio.wait(list(self._closings), return_when=asyncio.FIRST_COMPLETED)
        numbers = set(victims)
        going = [(which, slot) for which, slot in self._there.items() if slot.number in numbers]
        for which, slot in going:
            del self._there[which]
            self._retire(slot)
        self.evictions += len(going)
        for _, slot in going:
            await slot.gone.wait()

    def _refusal(self, size: int, key: Key) -> Refusal:
        name = f"model {key[0]!r}" + (f" version {key[1]}" if key[1] else "")
        if size > self.room.limit:
            told = f"{name} needs {size} bytes, and all models may take {self.room.limit}"
            return Refusal(RefusalKind.NO_ROOM, told)
        told = f"{name} needs {size} bytes more, {self.room.free} are free, and the other models are in use"
        return Refusal(RefusalKind.NO_ROOM, told, _SOON)

    def _put(self, key: Key, slot: _Slot[K]) -> None:
        old = self._there.get(key)
        if self._closed:
            self._retire(slot)
            return
        self._there[key] = slot
        if old is not None:
            self._retire(old)

    def _give_back(self, slot: _Slot[K]) -> None:
        if not self.room.give_back(slot.number) and slot.retired:
            self._start_closing(slot)

    def _retire(self, slot: _Slot[K]) -> None:
        """Lend it no more, and close it when the last has given it back."""
        if not slot.retired:
            slot.retired = True
            self.room.leave(slot.number)
            if not self.room.uses(slot.number):
                self._start_closing(slot)

    def _start_closing(self, slot: _Slot[K]) -> None:
        task = asyncio.ensure_future(self._end(slot))
        self._closings.add(task)
        task.add_done_callback(self._closings.discard)

    async def _end(self, slot: _Slot[Any]) -> None:
        try:
            await slot.thing.close()
        except Exception as problem:
            self._said(f"a model did not close cleanly: {type(problem).__name__}: {problem}")
        finally:
            self.room.forget(slot.number)
            slot.gone.set()


def _looked_at(task: asyncio.Task[Any]) -> None:
    """An error that nobody waits for any more is no warning: the next who asks gets its own."""
    if not task.cancelled():
        task.exception()


def _closed() -> Refusal:
    return Refusal(RefusalKind.NOT_READY, "the server is closing")
