"""The queue of one model version: requests wait here until the rule cuts a batch for a free replica.

Every answer goes to the request that it belongs to: a batch is concatenated along axis 0 in the order of its
requests, and cut apart at the same rows. A batch whose replica died is run again, each of its requests alone,
so that the one that kills replicas harms no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from bisect import insort_right
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from tradewind import clock
from tradewind.serving.batching.interface import BatchingRule, Choice, Queue
from tradewind.serving.batching.latency import FORGETTING, ArrivalRate, Beside, LearnedLatency
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.metrics.meters import ModelMeter
from tradewind.serving.server.pending import Pending, answered, due_of, joined, refuse, row_shapes, wanted
from tradewind.serving.server.replicas.interface import (
    MachineLost,
    ModelFailed,
    Replica,
    ReplicaLost,
    TookTooLong,
)
from tradewind.serving.tensors import Tensors

_TRIES = 2
"""Replicas that one request may be in the hands of when they die."""
_MACHINES = 20
"""Replicas whose machines may be taken away with one request in hand."""
_LOOK = 0.05
"""Seconds between two looks at whether anybody still waits for a batch, when all shall end."""
_SOONEST = 0.001
"""Seconds: the least Retry-After that is worth saying, and the least wait before a rule is asked again."""
_REFUSED_AT_ONCE = 16
"""Refusals that are told before others have their turn: a batch, its answers and what comes do not wait until
all of a crowd were refused."""
_TURNS = 2
"""Turns of the loop until answers that were handed out are sent: one to write them, one to have that done."""
_ON_THE_WAY = 0.05
"""The share of a request's time that is left to the way between caller and server, which is not seen."""
_BESIDE = 0.25
"""The most of a request's time that is kept free for what happens beside its batch."""
_BRIEF = 0.0005
"""Seconds: a model that takes longer than this is run beside the event loop, for others wait meanwhile."""
_BELIEVED = 5.0
"""Runs in the event loop's thread that took longer, among those remembered (`FORGETTING`), before they are
put down to the model. A few are the machine's, which had another process run meanwhile; and a model that is
run beside the loop for their sake costs several times as much, just when the processor is short."""


class Limits(Struct, frozen=True):
    """What may wait."""

    requests: int = 1024
    """Requests waiting at most; the next is refused with the time after which there will be room."""
    bytes: int = 256 * 1024 * 1024
    """Of their tensors."""


USUAL = Limits()
"""What may wait where nobody said."""


class Batcher:
    """Queues the requests of one model version and runs them, batch by batch, on its replicas.

    `largest` rows go into a batch; 0 or 1 for a model whose requests cannot be put together. `objective` is
    the seconds within which an answer should come, None if nobody said.
    """

    def __init__(
        self,
        rule: BatchingRule,
        meter: ModelMeter,
        *,
        largest: int,
        batched: bool,
        objective: float | None = None,
        limits: Limits = USUAL,
        lost: Callable[[Replica], None] = lambda replica: None,
    ) -> None:
        self._rule, self._memory, self._meter = rule, rule.recall(), meter
        self._largest, self._batched = max(1, largest), batched
        self._objective, self._limits, self._lost = objective, limits, lost
        self._waiting: deque[Pending] | list[Pending] = deque() if rule.order == "arrival" else []
        self._by_deadline = rule.order != "arrival"
        self._idle: list[Replica] = []
        self._running: dict[asyncio.Task[None], tuple[Replica, list[Pending]]] = {}
        self._leaving: set[int] = set()
        self._learned = LearnedLatency()
        self._rate = ArrivalRate()
        self._finished = self._last_rows = 0
        self._last_seconds = 0.0
        self._bytes = self._rows = 0
        self._dropped: deque[Pending] = deque()
        """Those that will be refused as soon as there is time."""
        self._beside = Beside()
        self._held_up = 0.0
        """Runs in this thread that took long, of those remembered."""
        self.retried = 0
        """Requests that were lost with a replica and given to another."""
        self._alarm: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Replicas with a batch in hand."""
        return len(self._running)

    @property
    def replicas(self) -> int:
        """Replicas that are up."""
        return len(self._idle) + len(self._running)

    @property
    def largest(self) -> int:
        """Rows of a batch at most."""
        return self._largest if self._batched else 1

    @property
    def learned(self) -> LearnedLatency:
        """What batches were seen to take."""
        return self._learned

    def learn(self, rows: int, seconds: float) -> None:
        """Take in what a batch took, such as one of the warm-up."""
        self._learned = self._learned.observed(rows, seconds)

    def join(self, replica: Replica) -> None:
        """A replica that can run batches from now on."""
        self._idle.append(replica)
        self._turn()

    async def leave(self, replica: Replica) -> None:
        """Give a replica no more batches; returns when it has none in hand."""
        if replica in self._idle:
            self._idle.remove(replica)
            return
        for task, (each, batch) in list(self._running.items()):
            if each is replica:
                self._leaving.add(id(replica))
                while not task.done() and (replica.inline or wanted(batch) or not self._closed):
                    await asyncio.wait([task], timeout=_LOOK)
                self._leaving.discard(id(replica))

    async def answer(
        self, inputs: Tensors, rows: int, deadline: float | None, within: float | None = None
    ) -> Tensors:
        """The outputs for one request, due `within` seconds in place of the objective; raises Refusal.

        Where nothing waits and the replica runs batches in this very thread, it is run without a detour.
        """
        now = clock.now()
        self._meter.began()
        pending = self._pending(inputs, rows, now, deadline, within)
        self._rate = self._rate.arrived(now, rows)
        try:
            if self._quick(rows):
                replica = self._idle[-1]
                choice = self._decided(self._queue(now, (pending,)))
                if choice.take:
                    return self._run_here(replica, pending, now)
            return await self._queued(pending, now)
        except Refusal as refusal:
            self._meter.refused(refusal.kind)
            raise
        except asyncio.CancelledError:
            self._forget(pending)
            self._meter.cancelled()
            raise

    def _quick(self, rows: int) -> bool:
        """Whether a request may be run at once in this thread, which meanwhile does nothing else."""
        return (
            not self._waiting
            and bool(self._idle)
            and self._idle[-1].inline
            and self._learned.latency.of(rows) <= _BRIEF
        )

    def _pending(
        self, inputs: Tensors, rows: int, now: float, deadline: float | None, within: float | None
    ) -> Pending:
        due = math.inf
        wanted = self._objective if within is None else within
        if wanted is not None:
            # A model slower than its objective still answers who asks alone.
            due = now + max(wanted, 2.0 * self._learned.latency.of(rows))
        if deadline is not None and deadline <= due:
            if deadline <= now:
                raise Refusal(RefusalKind.DEADLINE_PASSED, "the deadline had passed when the request came")
            return Pending(inputs, rows, now, deadline, hard=True)
        return Pending(inputs, rows, now, due, hard=False)

    def _run_here(self, replica: Replica, pending: Pending, now: float) -> Tensors:
        """Run one request in this thread, with no task and no future."""
        took = clock.stopwatch()
        try:
            outputs = replica.run_here(pending.inputs)
        except ModelFailed as problem:
            raise Refusal(RefusalKind.FAILED, str(problem)) from problem
        seconds = took()
        long = seconds > _BRIEF
        self._held_up = FORGETTING * self._held_up + long
        self._observed(pending.rows, seconds, now + seconds, learns=not long or self._held_up > _BELIEVED)
        self._meter.answered(0.0, seconds, seconds, pending.rows)
        return outputs

    async def _queued(self, pending: Pending, now: float) -> Tensors:
        if self._closed:
            raise Refusal(RefusalKind.NOT_READY, "the model is being unloaded", retry_after=1.0)
        if len(self._waiting) >= self._limits.requests or (
            self._waiting and self._bytes + pending.bytes > self._limits.bytes
        ):
            raise Refusal(
                RefusalKind.OVERLOADED,
                f"{len(self._waiting)} requests wait already",
                retry_after=self._drained_in(),
            )
        loop = asyncio.get_running_loop()
        pending.answer = loop.create_future()
        self._put(pending)
        self._turn()
        if not pending.hard:
            return await answered(pending)
        alarm = loop.call_later(max(0.0, pending.due - now), self._expire, pending)
        try:
            return await answered(pending)
        finally:
            alarm.cancel()

    def _expire(self, pending: Pending) -> None:
        """Answer a caller whose deadline has come, wherever its request is."""
        self._forget(pending)
        refuse(pending, Refusal(RefusalKind.DEADLINE_PASSED, "there was no answer by its deadline"))

    def _drained_in(self) -> float:
        """Seconds until what waits now will have been run."""
        rows = self._rows
        batch = min(max(rows, 1), self.largest)
        return max(_SOONEST, self._learned.latency.of(batch) * rows / batch / max(1, self.replicas))

    def _put(self, pending: Pending, first: bool = False) -> None:
        self._bytes += pending.bytes
        self._rows += pending.rows
        if isinstance(self._waiting, deque):
            self._waiting.appendleft(pending) if first else self._waiting.append(pending)
        elif not self._waiting or self._waiting[-1].due <= pending.due:
            self._waiting.append(pending)
        else:
            insort_right(self._waiting, pending, key=due_of)

    def _forget(self, pending: Pending) -> None:
        with contextlib.suppress(ValueError):
            self._waiting.remove(pending)
            self._bytes -= pending.bytes
            self._rows -= pending.rows

    def _queue(self, now: float, waiting: Sequence[Pending]) -> Queue:
        # What is ready by its deadline is late when it has been sent, and later still where it is wanted.
        given = waiting[0].due - waiting[0].arrived
        beside = min(self._beside.most + _ON_THE_WAY * given, _BESIDE * given) if given < math.inf else 0.0
        return Queue(
            now=now,
            arrivals=[each.arrived for each in waiting],
            deadlines=[each.due - beside for each in waiting],
            sizes=[each.rows for each in waiting],
            idle=len(self._idle),
            running=len(self._running),
            largest=self.largest,
            latency=self._learned.latency,
            rate=self._rate.of(now),
            finished=self._finished,
            last_rows=self._last_rows,
            last_seconds=self._last_seconds,
        )

    def _decided(self, queue: Queue) -> Choice:
        choice, self._memory = self._rule.decide(queue, self._memory)
        return choice

    def _turn(self) -> None:
        """Ask the rule until it wants to wait, and do what it says."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._waiting and self._idle:
            now = clock.now()
            head = self._waiting[0]
            if head.alone or head.again:
                self._start(self._cut(1 if head.alone else self._begun()))
                continue
            choice = self._decided(self._queue(now, self._waiting))
            for _ in range(choice.drop):
                self._drop(self._pop())
            if choice.take:
                self._start(self._cut(choice.take))
            elif not choice.drop:
                if choice.wake_at < math.inf:
                    loop = asyncio.get_running_loop()
                    self._alarm = loop.call_later(max(_SOONEST / 10, choice.wake_at - now), self._turn)
                return

    def _begun(self) -> int:
        """How many at the head were begun before and go into one batch."""
        count = rows = 0
        for each in self._waiting:
            rows += each.rows
            if not each.again or each.alone or (count and rows > self.largest):
                break
            count += 1
        return count

    def _pop(self) -> Pending:
        pending = self._waiting.popleft() if isinstance(self._waiting, deque) else self._waiting.pop(0)
        self._bytes -= pending.bytes
        self._rows -= pending.rows
        return pending

    def _drop(self, pending: Pending) -> None:
        if not self._dropped:
            asyncio.get_running_loop().call_soon(self._refuse_dropped)
        self._dropped.append(pending)

    def _refuse_dropped(self) -> None:
        for _ in range(min(len(self._dropped), _REFUSED_AT_ONCE)):
            self._refuse_late(self._dropped.popleft())
        if self._dropped:
            asyncio.get_running_loop().call_soon(self._refuse_dropped)

    def _refuse_late(self, pending: Pending) -> None:
        if pending.hard:
            refusal = Refusal(RefusalKind.DEADLINE_PASSED, "it could not be answered by its deadline")
        else:
            refusal = Refusal(
                RefusalKind.OVERLOADED,
                f"it could not be answered within {pending.due - pending.arrived:.3g} s",
                retry_after=self._drained_in(),
            )
        refuse(pending, refusal)

    def _cut(self, take: int) -> list[Pending]:
        """The next `take` requests, or as many of them as go together."""
        batch = [self._pop()]
        shape = row_shapes(batch[0].inputs)
        while len(batch) < take and self._waiting:
            following = self._waiting[0]
            if following.alone or row_shapes(following.inputs) != shape:
                break
            batch.append(self._pop())
        return [each for each in batch if each.answer is not None and not each.answer.done()]

    def _start(self, batch: list[Pending]) -> None:
        if not batch:
            return
        replica = self._idle.pop()
        task = asyncio.get_running_loop().create_task(self._run(replica, batch, clock.stopwatch()))
        self._running[task] = (replica, batch)

    async def _run(self, replica: Replica, batch: list[Pending], since_cut: Callable[[], float]) -> None:
        """Run a batch and hand its answers out; the replica is idle again after it, or lost."""
        began = clock.now()
        rows = sum(each.rows for each in batch)
        took = clock.stopwatch()
        alive = True
        try:
            outputs = await replica.run(joined(batch))
            seconds = took()
            self._observed(rows, seconds, began + seconds)
            self._hand_out(batch, outputs, began, seconds)
            self._sent(since_cut, seconds, _TURNS)
        except ModelFailed as problem:
            self._failed(batch, str(problem))
        except ReplicaLost as problem:
            alive = False
            self._run_again(batch, problem)
        except Exception as problem:
            self._failed(batch, f"{type(problem).__name__}: {problem}")
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._running.pop(task, None)
            if not alive or replica.spent:
                self._lost(replica)
            elif id(replica) not in self._leaving:
                self._idle.append(replica)
            self._turn()

    def _observed(self, rows: int, seconds: float, ended: float, learns: bool = True) -> None:
        if learns:
            self.learn(rows, seconds)
        self._finished += 1
        self._last_rows, self._last_seconds = rows, seconds
        self._meter.batch(rows, seconds, ended)

    def _sent(self, since_cut: Callable[[], float], seconds: float, turns: int) -> None:
        """Learn, once answers have been sent, what their batch took beside what its replica took."""
        if turns:
            asyncio.get_running_loop().call_soon(self._sent, since_cut, seconds, turns - 1)
        else:
            self._beside = self._beside.observed(since_cut() - seconds)

    def _hand_out(self, batch: list[Pending], outputs: Tensors, began: float, seconds: float) -> None:
        at = 0
        now = clock.now()
        for each in batch:
            part = outputs
            if len(batch) > 1:
                part = {name: array[at : at + each.rows] for name, array in outputs.items()}
                at += each.rows
            if each.answer is not None and not each.answer.done():
                each.answer.set_result(part)
                self._meter.answered(began - each.arrived, seconds, now - each.arrived, each.rows)

    def _failed(self, batch: list[Pending], reason: str) -> None:
        """One request of a batch may have spoilt it: each is run alone, and only one alone is told."""
        if len(batch) == 1:
            refuse(batch[0], Refusal(RefusalKind.FAILED, reason))
            return
        self._put_back(batch)

    def _run_again(self, batch: list[Pending], problem: ReplicaLost) -> None:
        blameless = isinstance(problem, MachineLost)
        again = []
        for each in batch:
            each.machines += blameless
            each.tries += not blameless
            if len(batch) == 1 and isinstance(problem, TookTooLong):
                refuse(each, Refusal(RefusalKind.FAILED, f"the model did not come to an end: {problem}"))
            elif each.tries < _TRIES and each.machines < _MACHINES:
                again.append(each)
            else:
                refuse(each, Refusal(RefusalKind.FAILED, f"the model died on it twice: {problem}"))
        self.retried += len(again)
        self._put_back(again, alone=not blameless)

    def _put_back(self, batch: list[Pending], alone: bool = True) -> None:
        for each in reversed(batch):
            each.alone = each.alone or alone
            each.again = True
            self._put(each, first=True)

    async def close(self) -> None:
        """Refuse what comes from now on; returns when everything that anybody waits for was answered."""
        self._closed = True
        while (self._running or self._waiting) and self.replicas:
            if self._running:
                in_hand = (batch for _, batch in self._running.values())
                if not any(map(wanted, in_hand)) and not wanted(self._waiting):
                    break
                await asyncio.wait(list(self._running), timeout=_LOOK)
            else:
                await asyncio.sleep(_SOONEST)
        while self._waiting:
            refuse(self._pop(), Refusal(RefusalKind.NOT_READY, "the model was unloaded", retry_after=1.0))
        if self._alarm is not None:
            self._alarm.cancel()
