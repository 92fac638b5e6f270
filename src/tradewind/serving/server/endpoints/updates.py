"""What carries an endpoint from one state to the next: creation, updates with their rollback, other weights.

Every step is kept before it is taken, except that traffic goes back to blue first and is kept then; so a
server that was killed goes on where it stood. The rules are in `rollout.update`; here they are carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from tradewind import clock
from tradewind.errors import TradewindError
from tradewind.serving.rollout.alarms import Seen, alarm
from tradewind.serving.rollout.endpoint_record import EndpointRecord, Side
from tradewind.serving.rollout.update import Memory, UpdateDecision, UpdateView, decide
from tradewind.serving.server.endpoints.endpoint import LiveEndpoint, SideAtWork
from tradewind.serving.server.metrics.meters import SECONDS

_POLL = 0.1
"""Seconds between two looks at an update that is under way."""
_AGAIN = 5.0
"""Seconds after which what could not be loaded is tried again."""
_LATE = 300.0
"""Seconds after which blue's replicas, wanted again, are told not to come up."""

Keep = Callable[[EndpointRecord], Awaitable[None]]


class Watch:
    """What was seen of a side in the last seconds."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._alarms = [alarm(name) for name in names]
        self._longest = max((each.window for each in self._alarms), default=0.0)
        self._samples: deque[tuple[float, Seen]] = deque()

    def ringing(self, now: float, seen: Seen) -> tuple[str, ...]:
        """The alarms that ring, `seen` being all that was seen so far."""
        if not self._alarms:
            return ()
        if not self._samples or self._samples[-1][1] != seen:
            self._samples.append((now, seen))
        while len(self._samples) > 1 and self._samples[1][0] <= now - self._longest:
            self._samples.popleft()
        return tuple(
            each.name for each in self._alarms if each.rings(seen - self._before(now - each.window), SECONDS)
        )

    def _before(self, moment: float) -> Seen:
        found = Seen()
        for at, seen in self._samples:
            if at > moment:
                break
            found = seen
        return found


class Updates:
    """Runs one task for each endpoint that is on its way. `keep` keeps a record, or raises TradewindError."""

    def __init__(
        self, make: Callable[[str, Side], SideAtWork], keep: Keep, said: Callable[[str], None]
    ) -> None:
        self._make, self._keep, self._said = make, keep, said

    async def bring_up(self, live: LiveEndpoint) -> None:
        """Load an endpoint: one that is created, or every one when the server starts; and go on with it."""
        record = live.record
        if record.update is not None and record.green is not None:
            await self.update(live)
            return
        while not live.blue.ready:
            try:
                await live.blue.open()
            except TradewindError as problem:
                created = record.status == "Creating"
                record.status = "Failed" if created else "OutOfService"
                record.failure = str(problem)
                self._said(f"endpoint {live.name}: {problem}")
                await self._kept(record)
                if created:
                    return
                await asyncio.sleep(_AGAIN)
        await self._in_service(live)

    async def resize(self, live: LiveEndpoint) -> None:
        """Keep the replicas that the record says."""
        while True:
            try:
                await live.blue.resize()
                break
            except TradewindError as problem:
                self._said(f"endpoint {live.name}: {problem}")
                await asyncio.sleep(_AGAIN)
        await self._in_service(live)

    async def _in_service(self, live: LiveEndpoint) -> None:
        record = live.record
        while live.blue.up() < 1.0 - 1e-9:
            await asyncio.sleep(_POLL)
        if record.status != "InService":
            if record.status in ("Creating", "OutOfService"):
                record.failure = ""
            record.status = "InService"
            record.modified = clock.now()
            await self._kept(record)

    async def update(self, live: LiveEndpoint) -> None:
        """Carry an update out, to its end on either side."""
        record = live.record
        assert record.update is not None and record.green is not None
        plan = record.update.plan
        green = live.green = self._make(live.name, record.green)
        watch = Watch(plan.alarms)
        troubles = {"green": "", "blue": ""}
        coming = [
            asyncio.create_task(self._opened(live, "blue", live.blue, troubles)),
            asyncio.create_task(self._opened(live, "green", green, troubles)),
        ]
        returning: float | None = None
        try:
            while True:
                now = clock.now()
                live.alarms = watch.ringing(now, green.seen())
                up = live.blue.up()
                late = returning is not None and now > returning + _LATE and up < record.update.blue - 1e-9
                view = UpdateView(
                    now, green.up(), up, troubles["green"],
                    troubles["blue"] or ("its replicas do not come up" if late else ""), live.alarms,
                )  # fmt: skip
                decision, memory = decide(view, record.update)
                if decision.endpoint in ("RollingBack", "UpdateRollbackFailed") and returning is None:
                    returning = now
                await self._take(live, decision, memory)
                if decision.over:
                    break
                await self._sized(live.blue, decision.blue)
                await self._sized(green, decision.green)
                await asyncio.sleep(max(0.0, min(_POLL, decision.ask_at - now)))
        finally:
            for task in coming:
                task.cancel()
            await asyncio.wait(coming)
        await self._end(live, green, decision)

    async def _opened(
        self, live: LiveEndpoint, name: str, side: SideAtWork, troubles: dict[str, str]
    ) -> None:
        """Load a side; green is tried once, blue, which is owed to callers, again and again."""
        memory = live.record.update
        assert memory is not None
        while not side.ready:
            try:
                if name == "green":
                    if not live.blue.ready:
                        # After a restart blue comes first: green is compared with it.
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._until_ready(live.blue, troubles), _LATE)
                    step = memory.plan.steps[memory.step]
                    await side.open(step.green, like=live.blue)
                else:
                    await side.open(max(memory.blue, 1e-9))
                troubles[name] = ""
            except TradewindError as problem:
                self._said(f"endpoint {live.name}, {name}: {problem}")
                troubles[name] = str(problem)
                if name == "green":
                    return
                await asyncio.sleep(_AGAIN)
            except Exception as problem:
                troubles[name] = f"{type(problem).__name__}: {problem}"
                self._said(f"endpoint {live.name}, {name}: {troubles[name]}")
                if name == "green":
                    return
                await asyncio.sleep(_AGAIN)

    async def _until_ready(self, side: SideAtWork, troubles: dict[str, str]) -> None:
        while not side.ready and not troubles["blue"]:
            await asyncio.sleep(_POLL / 4)

    async def _take(self, live: LiveEndpoint, decision: UpdateDecision, memory: Memory) -> None:
        record = live.record
        live.share = min(live.share, decision.share)
        if memory != record.update or decision.endpoint != record.status:
            record.update = memory
            if not decision.over:
                record.status = decision.endpoint
                record.failure = decision.reason
                record.modified = clock.now()
                await self._kept(record)
        live.share = decision.share

    async def _sized(self, side: SideAtWork, fraction: float) -> None:
        if side.ready and fraction > 0 and abs(side.fraction - fraction) > 1e-9:
            try:
                await side.resize(fraction)
            except TradewindError as problem:
                self._said(f"endpoint {side.endpoint}: {problem}")

    async def _end(self, live: LiveEndpoint, green: SideAtWork, decision: UpdateDecision) -> None:
        """One side has everything: the other goes."""
        record, gone = live.record, green
        if decision.over == "green":
            assert record.green is not None
            gone = live.blue
            record.blue, live.blue = record.green, green
        record.green, record.update, record.status = None, None, decision.endpoint
        record.failure, record.modified = decision.reason, clock.now()
        live.green, live.share, live.alarms = None, 0.0, ()
        await self._kept(record)
        if decision.reason:
            self._said(f"endpoint {live.name}: went back, for {decision.reason}")
        await gone.close()
        await self._sized(live.blue, 1.0)

    async def _kept(self, record: EndpointRecord) -> None:
        """Keep a record; again and again while the disk is full."""
        while True:
            try:
                await self._keep(record)
                return
            except TradewindError as problem:
                self._said(f"endpoint {record.name} cannot be kept: {problem}")
                await asyncio.sleep(_AGAIN)
