"""The variants of a server and their replicas: started, moved in number and given up, within this machine.

A replica that was asked for counts from then on, so that what is on its way is never forgotten: together
they keep within the limits, but for a model that turned out larger than its profile said, which goes again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from tradewind import clock
from tradewind.errors import TradewindError
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.models.answers import made_up
from tradewind.serving.server.engine import ModelEngine
from tradewind.serving.server.replicas.interface import ModelFailed, ReplicaLost
from tradewind.serving.server.tasks.library import VariantLibrary
from tradewind.serving.variants.scaling.interface import Limit, Plan
from tradewind.serving.variants.selection.interface import Standing
from tradewind.serving.variants.states import State
from tradewind.serving.variants.variant import Rated
from tradewind.serving.variants.watching import FORGET, Counts, Watched, probed, watched

HERE = "here"
"""The resource of every replica of a server: its own machine. Prices stay those of the profiles."""
_REST = 30.0
"""Seconds for which a variant that could not be opened is not tried again."""
_PAUSE = 2.0
"""Seconds at least between two replicas of a variant that queries, not a plan, have started."""
_PATIENCE = 10.0
"""Seconds, beside three times what it takes as a rule, for which a replica that comes is waited for."""
_SUSPECT = 1.3
"""A slowdown beyond which a variant that is sent nothing is looked at."""


class Member:
    """A variant with its replicas."""

    def __init__(self, rated: Rated) -> None:
        self.rated = Rated(replace(rated.variant, resource=HERE), rated.profile)
        self.resource = rated.variant.resource
        """That it was measured on."""
        self.watched = Watched()
        self.wanted = 0
        """Replicas that it should have."""
        self.opening: asyncio.Task[None] | None = None
        self.leaving = False
        self.used = -math.inf
        """When it was sent a query last."""
        self.began = -math.inf
        """When a replica was last asked for."""
        self.rest_until = -math.inf
        self.trouble = ""
        """Why it could not be opened."""
        self.banned = False
        """Whether somebody unloaded it."""

    @property
    def name(self) -> str:
        """The variant's."""
        return self.rated.variant.name


class VariantFleet:
    """Keeps variants open on `models`, whose library is `library`, within `limit`. On one event loop."""

    def __init__(
        self,
        models: ModelEngine,
        library: VariantLibrary,
        limit: Limit,
        said: Callable[[str], None] = lambda text: None,
        *,
        forget: float = FORGET,
    ) -> None:
        self.models, self.limit = models, limit
        self._forget = forget
        self.members: dict[str, Member] = {}
        self._library, self._said = library, said
        self._tasks: set[asyncio.Task[None]] = set()
        self._looked = -math.inf

    def add(self, rated: Rated) -> None:
        """Take in a variant, or its new profile. Where its artefact is gone it stays out, which is said."""
        member = self.members.get(rated.name)
        if member is not None and member.rated.variant == replace(rated.variant, resource=HERE):
            member.rated = Rated(member.rated.variant, rated.profile)
            return
        try:
            self._library.add(rated.variant)
        except TradewindError as problem:
            self._said(f"variant {rated.name!r} is left out: {problem}")
            return
        self.members[rated.name] = Member(rated)

    def up(self, member: Member) -> int:
        """Replicas of it that answer."""
        served = self.models.served(member.name)
        return 0 if served is None or member.leaving else served.fleet.up

    def usable(self, member: Member, now: float) -> bool:
        """Whether queries may go to it."""
        return not member.banned and member.rest_until <= now

    def standing(self, member: Member, now: float) -> Standing:
        """It as it stands."""
        seen, served = member.watched, self.models.served(member.name)
        starting = math.inf
        if member.opening is not None or (served is not None and served.fleet.starting):
            starting = max(0.0, member.began + member.rated.profile.load - now)
        if served is None or not served.fleet.up:
            return Standing(member.rated, slowdown=seen.slowdown, starting=starting, unloading=member.leaving)
        batcher = served.batcher
        replicas = served.fleet.up
        return Standing(
            member.rated,
            State.ACTIVE if seen.state is State.INACTIVE else seen.state,
            replicas,
            min(replicas, batcher.replicas - batcher.busy),
            round(batcher.waiting * seen.rows),
            seen.rate,
            seen.batch,
            seen.slowdown,
            starting,
            member.leaving,
        )

    def standings(self, now: float) -> tuple[Standing, ...]:
        """All that may be used, as they stand."""
        return tuple(self.standing(each, now) for each in self.members.values() if self.usable(each, now))

    def memory_of(self, member: Member) -> int:
        """Bytes of one replica: what its replicas hold, or what its profile says while it has none."""
        served = self.models.served(member.name)
        if served is None or not served.fleet.up or not served.memory:
            return member.rated.profile.memory
        return math.ceil(served.memory / served.fleet.up)

    def fits(self, wanted: Mapping[str, int]) -> bool:
        """Whether so many replicas have room; those not named stay as they are."""
        counts = {name: wanted.get(name, each.wanted) for name, each in self.members.items()}
        memory = sum(n * self.memory_of(self.members[name]) for name, n in counts.items() if n)
        return sum(counts.values()) <= self.limit.replicas and memory <= self.limit.memory

    async def ensure(self, member: Member) -> None:
        """Have a replica of it up. Refusal where it cannot be opened, or there is no room for it."""
        if member.opening is None:
            if not self.up(member):
                member.opening = self._spawn(self._open(member))
            else:
                return
        await asyncio.shield(member.opening)

    def grow(self, member: Member) -> None:
        """One replica more of it, if there is room and none was asked for a moment ago."""
        now = clock.now()
        if member.opening is not None or member.leaving or now < member.began + _PAUSE:
            return
        if self.fits({member.name: member.wanted + 1}):
            self._set(member, member.wanted + 1)

    def _set(self, member: Member, count: int) -> None:
        """Have so many replicas of it from now on."""
        if count == member.wanted and (count == 0 or self.models.served(member.name) is not None):
            return
        if count > member.wanted:
            member.began = clock.now()
        member.wanted = count
        if count == 0:
            if not member.leaving:
                member.leaving = True
                self._spawn(self._let_go(member))
            return
        self._library.resize(member.name, count)
        if member.opening is None:
            member.opening = self._spawn(self._open(member))

    async def _open(self, member: Member) -> None:
        """As many replicas as are wanted, one at least; in the end it is open, or at rest."""
        try:
            while member.leaving:
                await asyncio.sleep(0.01)
            if not member.wanted:
                await self._make_room(member)
                member.wanted, member.began = 1, clock.now()
                self._library.resize(member.name, 1)
            count, fresh = 0, not self.up(member)
            while member.wanted not in (0, count):  # it may change meanwhile
                count = member.wanted
                await self.models.resize(member.name, count)
            served = self.models.served(member.name)
            if fresh and served is not None and served.batcher.learned.weight:
                # What its warm-up took says what a caller may expect, before there is one.
                took = served.batcher.learned.latency.of(1)
                member.watched = probed(replace(member.watched, slowdown=1.0), member.rated, 1, took)
            if not self.fits({}):  # it is larger than its profile said
                await self._make_room(member, more=0)
            member.trouble = ""
        except BaseException as problem:
            told = str(problem) if isinstance(problem, TradewindError) else repr(problem)
            full = isinstance(problem, Refusal) and problem.kind is RefusalKind.NO_ROOM
            if not full and self.up(member):  # what there is goes on
                member.wanted = self.up(member)
                self._library.resize(member.name, member.wanted)
                self._said(f"variant {member.name!r} could not be given more replicas: {told}")
                return
            member.wanted = 0
            if not full and not isinstance(problem, asyncio.CancelledError):
                member.rest_until = clock.now() + _REST
                member.trouble = told
                self._said(f"variant {member.name!r} could not be opened: {told}; next try in {_REST:g} s")
            await self.models.let_go(member.name)
            if full or isinstance(problem, asyncio.CancelledError):
                raise
            raise Refusal(
                RefusalKind.NOT_READY, f"variant {member.name!r} cannot be opened: {told}", retry_after=_REST
            ) from problem
        finally:
            member.opening = None

    async def _make_room(self, member: Member, more: int = 1) -> None:
        """Give up what was used least lately, until there is room for `more` of a variant."""
        while not self.fits({member.name: member.wanted + more}):
            idle = [
                each for each in self.members.values()
                if each is not member and each.wanted and not each.leaving and each.opening is None
                and not self._busy(each)
            ]  # fmt: skip
            if not idle:
                raise Refusal(
                    RefusalKind.NO_ROOM,
                    f"there is no room for variant {member.name!r}, and the others are in use",
                    retry_after=1.0,
                )
            oldest = min(idle, key=lambda each: (each.used, each.name))
            self._set(oldest, oldest.wanted - 1)
            while oldest.leaving:
                await asyncio.sleep(0.01)

    def _busy(self, member: Member) -> bool:
        served = self.models.served(member.name)
        return served is not None and bool(served.batcher.busy or served.batcher.waiting)

    async def _let_go(self, member: Member) -> None:
        try:
            await self.models.let_go(member.name)
        finally:
            member.leaving = False

    def follow(self, plan: Plan) -> None:
        """Have as many replicas of each as a plan says.

        What there is to be more of comes first, and nothing goes before that is up: who asks meanwhile is
        answered. Where there is no room for both, it goes first.
        """
        wanted = {name: n for name, n in plan.replicas.items() if name in self.members}
        more = {name: n for name, n in wanted.items() if n > self.members[name].wanted}
        if more and not self.fits(more):
            self._shrink(wanted)
        for name, count in more.items():
            member = self.members[name]
            for n in range(count, member.wanted, -1):
                if self.fits({name: n}):
                    self._set(member, n)
                    break
        if not self._coming():
            self._shrink(wanted)

    def _shrink(self, wanted: Mapping[str, int]) -> None:
        for name, count in wanted.items():
            member = self.members[name]
            if count < member.wanted and member.opening is None:
                self._set(member, count)

    def _coming(self) -> bool:
        """Whether a replica that was asked for does not answer yet."""
        return any(
            each.opening is not None or (each.wanted and self.up(each) < each.wanted)
            for each in self.members.values()
            if clock.now() < each.began + _PATIENCE + 3 * each.rated.profile.load
        )

    def unload(self, member: Member) -> None:
        """Give it up, and send it nothing until `allow`."""
        member.banned = True
        self._set(member, 0)

    def allow(self, member: Member) -> None:
        """It may be used again, whatever was wrong with it."""
        member.banned, member.rest_until = False, -math.inf

    async def look(self) -> float:
        """See how each is doing, and try those that nobody is sent to; the seconds since the last look."""
        now = clock.now()
        seconds = min(10.0, max(1e-3, now - self._looked))
        self._looked = now
        counted = {meter.name: meter for meter in self.models.meters}
        suspects = []
        for member in self.members.values():
            served, meter = self.models.served(member.name), counted.get(member.name)
            if served is not None and not member.wanted and not member.leaving and member.opening is None:
                member.wanted = max(1, served.fleet.up)  # a call came as it was given up, and opened it again
            if meter is None:
                continue
            batches = {n: (int(known[0]), known[2]) for n, known in meter.batch_sizes.items()}
            counts = Counts(meter.begun, meter.answers, meter.rows, meter.total.sum, batches)
            waiting = served.batcher.waiting if served is not None else 0
            member.watched = watched(
                member.watched, counts, member.rated, replicas=self.up(member), waiting=waiting,
                seconds=seconds, forget=self._forget,
            )  # fmt: skip
            if member.watched.quiet and member.watched.slowdown > _SUSPECT and self.up(member):
                suspects.append(member)
        await asyncio.gather(*(self._probe(each) for each in suspects))
        return seconds

    async def _probe(self, member: Member) -> None:
        """Run a batch that nobody asked for, to see whether a variant is as slow as it was."""
        served = self.models.served(member.name)
        if served is None or served.batcher.busy or served.batcher.waiting or not served.fleet.replicas:
            return
        replica = served.fleet.replicas[0]
        await served.batcher.leave(replica)
        took = clock.stopwatch()
        try:
            await replica.run(made_up(served.signature, 1))
        except ModelFailed:  # it does not like zeros: the next caller must find out
            member.watched = probed(member.watched, member.rated, 1, 0.0)
        except ReplicaLost:
            served.fleet.lost(replica)
            return
        else:
            member.watched = probed(member.watched, member.rated, 1, took())
        if replica in served.fleet.replicas:
            served.batcher.join(replica)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told already, to whoever waited and to the operator

    async def close(self) -> None:
        """End what is under way."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))


def cheapest(members: Sequence[Member]) -> list[Member]:
    """In the order of what a row costs on a replica that is always busy with its largest batches."""
    return sorted(
        members, key=lambda each: (each.rated.profile.per_request(each.rated.variant.max_batch), each.name)
    )
