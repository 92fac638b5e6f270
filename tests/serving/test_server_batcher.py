"""Answers go to who asked, whatever happens to the replicas meanwhile."""

from __future__ import annotations

import asyncio
import gc
import math

import numpy as np
import pytest

from tradewind import clock
from tradewind.serving.batching.interface import WAIT, Choice
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.batcher import USUAL, Batcher, Limits
from tradewind.serving.server.metrics.meters import ModelMeter
from tradewind.serving.server.replicas.interface import MachineLost, ModelFailed, ReplicaLost
from tradewind.serving.server.stepping import resumed


class AsMany:
    """Takes up to `least` or more requests once as many wait, or once the first has waited `window`."""

    name, order = "as_many", "arrival"

    def __init__(self, least=1, window=0.02, order="arrival", drops=False):
        self.least, self.window, self.order, self.drops = least, window, order, drops

    def recall(self):
        return None

    def decide(self, queue, memory):
        if self.drops and queue.deadlines[0] < queue.now:
            return Choice(drop=1), memory
        flush = queue.arrivals[0] + self.window
        if len(queue.sizes) < self.least and queue.now < flush:
            return Choice(wake_at=flush), memory
        rows = take = 0
        for size in queue.sizes:
            if take and rows + size > queue.largest:
                break
            rows, take = rows + size, take + 1
        return (Choice(take=take) if queue.idle else WAIT), memory


class Twice:
    """Doubles its input after `seconds`; -1 in it fails, -9 kills the replica."""

    inline = spent = False
    signature, platform, memory = None, "test", 0

    def __init__(self, seconds=0.0, deadly=True):
        self.seconds, self.deadly, self.dead = seconds, deadly, False
        self.batches: list[int] = []

    async def open(self):
        return None

    async def run(self, inputs):
        x = inputs["x"]
        self.batches.append(len(x))
        await asyncio.sleep(self.seconds)
        if self.dead or (self.deadly and (x == -9).any()):
            self.dead = True
            raise ReplicaLost("killed by SIGSEGV")
        return self.run_here(inputs)

    def run_here(self, inputs):
        if (inputs["x"] == -1).any():
            raise ModelFailed("ValueError: minus one")
        return {"y": inputs["x"] * 2}

    async def close(self):
        return None


def batcher_of(*replicas, rule=None, objective=None, limits=USUAL, largest=8, batched=True, lost=None):
    meter = ModelMeter("m", "1", objective)
    found = Batcher(
        rule or AsMany(),
        meter,
        largest=largest,
        batched=batched,
        objective=objective,
        limits=limits,
        lost=lost or (lambda replica: None),
    )
    for each in replicas:
        found.join(each)
    return found, meter


def rows(*values):
    return {"x": np.array(values, np.float64).reshape(len(values), 1)}


async def ask(batcher, *values, deadline=None):
    outputs = await batcher.answer(rows(*values), len(values), deadline)
    return outputs["y"].ravel().tolist()


@pytest.mark.parametrize("order", ["arrival", "deadline"])
def test_every_answer_goes_to_its_caller(order) -> None:
    async def main():
        batcher, meter = batcher_of(Twice(0.001), Twice(0.002), rule=AsMany(3, 0.003, order), largest=5)
        sizes = [1, 2, 3, 1, 4, 7, 1, 1, 2, 5] * 12
        values = [[100 * n + k for k in range(size)] for n, size in enumerate(sizes)]
        answers = await asyncio.gather(*(ask(batcher, *each) for each in values))
        assert answers == [[2 * v for v in each] for each in values]
        assert meter.answers == len(sizes) and meter.rows == sum(sizes) and meter.in_progress == 0
        return [n for each in batcher._idle for n in each.batches]

    batches = clock.run(main())
    assert sum(batches) == 27 * 12
    assert all(size <= 5 or size == 7 for size in batches)  # a request of seven goes alone
    assert len(batches) < 12 * 10


def test_an_idle_inline_replica_answers_without_waiting() -> None:
    async def main():
        replica = Twice()
        replica.inline = True
        batcher, meter = batcher_of(replica)
        coroutine = ask(batcher, 4.0)
        with pytest.raises(StopIteration) as stopped:
            coroutine.send(None)
        assert stopped.value.value == [8.0]
        assert meter.answers == 1 and meter.batch_rows.count == 1
        failing = ask(batcher, -1)
        with pytest.raises(Refusal) as refused:
            failing.send(None)
        assert refused.value.kind is RefusalKind.FAILED and "minus one" in str(refused.value)

    clock.run(main())


def test_a_quick_model_stays_in_this_thread_though_others_take_the_processor_at_times(monkeypatch) -> None:
    def simulated():
        began = clock.now()
        return lambda: clock.now() - began

    monkeypatch.setattr(clock, "stopwatch", simulated)

    class Held(Twice):
        """Takes 0.1 ms, and 50 ms where its input is above 100."""

        inline = True

        def run_here(self, inputs):
            asyncio.get_running_loop().jump(0.05 if inputs["x"][0, 0] > 100 else 0.0001)
            return super().run_here(inputs)

    async def main():
        batcher, _ = batcher_of(Held())
        for n in range(500):
            await ask(batcher, 101 if n % 25 == 24 else n % 100)
        assert batcher.learned.latency.of(1) == pytest.approx(0.0001, rel=0.01) and batcher._quick(1)
        for _ in range(7):  # now it is the model itself
            await ask(batcher, 101)
        assert not batcher._quick(1)

    clock.simulate(main())


def test_a_refused_request_leaves_nothing_that_only_the_collector_finds() -> None:
    async def main():
        batcher, _ = batcher_of(rule=AsMany(drops=True), objective=0.001)
        gc.collect()
        gc.disable()
        for _ in range(30):  # as the wires do it: by hand up to the first wait
            work = batcher.answer(rows(1), 1, None)
            waits_for = work.send(None)
            await asyncio.sleep(0.002)
            batcher.join(Twice())
            with pytest.raises(Refusal):
                await resumed(work, waits_for)
            batcher._idle.clear()
        del work, waits_for
        assert gc.collect() < 30

    try:
        clock.simulate(main())
    finally:
        gc.enable()


def test_rows_of_other_shapes_are_not_put_together() -> None:
    async def main():
        replica = Twice(0.001)
        batcher, _ = batcher_of(replica, rule=AsMany(4, 0.01))

        async def wide(n, columns):
            outputs = await batcher.answer({"x": np.full((1, columns), float(n))}, 1, None)
            assert outputs["y"].shape == (1, columns) and (outputs["y"] == 2 * n).all()

        await asyncio.gather(*(wide(n, 1 + n // 2 % 2) for n in range(8)))
        assert replica.batches == [2, 2, 2, 2]

    clock.run(main())


def test_a_model_that_is_not_batched_is_asked_one_by_one() -> None:
    async def main():
        replica = Twice(0.001)
        batcher, _ = batcher_of(replica, rule=AsMany(4, 0.01), batched=False)
        assert await asyncio.gather(*(ask(batcher, n, n) for n in range(5))) == [
            [2.0 * n] * 2 for n in range(5)
        ]
        assert replica.batches == [2] * 5

    clock.run(main())


def test_one_bad_request_spoils_no_other() -> None:
    async def main():
        batcher, meter = batcher_of(Twice(0.001), rule=AsMany(5, 0.01))
        answers = await asyncio.gather(*(ask(batcher, n) for n in (1, 2, -1, 3, 4)), return_exceptions=True)
        assert [each for each in answers if not isinstance(each, Refusal)] == [[2.0], [4.0], [6.0], [8.0]]
        assert [each.kind for each in answers if isinstance(each, Refusal)] == [RefusalKind.FAILED]
        assert meter.refusals[RefusalKind.FAILED] == 1 and meter.in_progress == 0

    clock.run(main())


def test_what_a_dead_replica_had_in_hand_is_run_by_another() -> None:
    async def main():
        gone = []
        dying, living = Twice(0.001), Twice(0.001, deadly=False)
        dying.dead = True
        batcher, meter = batcher_of(living, dying, rule=AsMany(3, 0.01), lost=gone.append)
        assert await asyncio.gather(*(ask(batcher, n) for n in range(6))) == [[2.0 * n] for n in range(6)]
        assert gone == [dying] and batcher.replicas == 1 and meter.failures == 0

    clock.run(main())


def test_a_request_that_kills_replicas_kills_two_and_harms_no_other() -> None:
    async def main():
        gone = []
        batcher, _ = batcher_of(*(Twice(0.001) for _ in range(4)), rule=AsMany(5, 0.01), lost=gone.append)
        answers = await asyncio.gather(*(ask(batcher, n) for n in (1, -9, 2, 3, 4)), return_exceptions=True)
        assert [each for each in answers if not isinstance(each, Refusal)] == [[2.0], [4.0], [6.0], [8.0]]
        assert "died on it twice" in str(answers[1]) and len(gone) == 2 and batcher.replicas == 2

    clock.run(main())


def test_it_waits_for_a_replica_and_is_answered_when_one_joins() -> None:
    async def main():
        batcher, _ = batcher_of()
        waiting = asyncio.create_task(ask(batcher, 3))
        await asyncio.sleep(0.005)
        assert batcher.waiting == 1 and not waiting.done()
        batcher.join(Twice())
        assert await waiting == [6.0]

    clock.run(main())


def test_a_full_queue_says_when_to_come_again() -> None:
    async def main():
        batcher, meter = batcher_of(Twice(0.01), limits=Limits(requests=2), largest=1)
        tasks = [asyncio.create_task(ask(batcher, n)) for n in range(4)]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[:3] == [[0.0], [2.0], [4.0]]
        assert isinstance(answers[3], Refusal) and answers[3].kind is RefusalKind.OVERLOADED
        assert answers[3].retry_after > 0 and meter.refusals[RefusalKind.OVERLOADED] == 1
        assert await ask(batcher, 5) == [10.0]
        small, _ = batcher_of(Twice(0.01), limits=Limits(bytes=12), largest=1)
        tasks = [asyncio.create_task(ask(small, n)) for n in range(3)]
        assert (await asyncio.gather(*tasks, return_exceptions=True))[:2] == [[0.0], [2.0]]
        assert isinstance(tasks[2].exception(), Refusal)

    clock.run(main())


def test_what_cannot_be_in_time_is_dropped_in_the_words_of_who_set_the_time() -> None:
    async def main():
        rule = AsMany(drops=True)
        batcher, _ = batcher_of(Twice(0.03), rule=rule, objective=0.01, largest=1)
        first = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(0)
        due = asyncio.create_task(ask(batcher, 2))
        hard = asyncio.create_task(ask(batcher, 3, deadline=clock.now() + 0.005))
        late = await asyncio.gather(first, due, hard, return_exceptions=True)
        assert late[0] == [2.0]
        assert (late[1].kind, late[2].kind) == (RefusalKind.OVERLOADED, RefusalKind.DEADLINE_PASSED)
        assert late[1].retry_after > 0 and late[2].retry_after is None
        with pytest.raises(Refusal, match="had passed"):
            await ask(batcher, 1, deadline=clock.now() - 1)

    clock.run(main())


def test_the_queue_is_by_deadline_where_the_rule_wants_it() -> None:
    async def main():
        replica = Twice(0.002)
        seen = []
        batcher, _ = batcher_of(replica, rule=AsMany(order="deadline"), largest=1)

        async def asked(n, deadline):
            await ask(batcher, n, deadline=deadline)
            seen.append(n)

        now = clock.now()
        due = [math.inf, 3.0, 1.0, 2.0, math.inf]
        await asyncio.gather(*(asked(n, None if d == math.inf else now + d) for n, d in enumerate(due)))
        assert seen == [0, 2, 3, 1, 4]  # the first was taken before the others came

    clock.run(main())


def test_a_caller_that_leaves_frees_its_place() -> None:
    async def main():
        replica = Twice(0.02)
        batcher, meter = batcher_of(replica, limits=Limits(requests=1), largest=1)
        first = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(0)
        second = asyncio.create_task(ask(batcher, 2))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        third = asyncio.create_task(ask(batcher, 3))
        assert await asyncio.gather(first, third) == [[2.0], [6.0]]
        assert replica.batches == [1, 1] and meter.cancellations == 1 and meter.in_progress == 0

    clock.run(main())


def test_closing_answers_what_waits_and_refuses_what_comes() -> None:
    async def main():
        batcher, _ = batcher_of(Twice(0.003), rule=AsMany(100, 0.01), largest=2)
        tasks = [asyncio.create_task(ask(batcher, n)) for n in range(5)]
        await asyncio.sleep(0)
        await batcher.close()
        assert [task.result() for task in tasks] == [[2.0 * n] for n in range(5)]
        with pytest.raises(Refusal) as refused:
            await ask(batcher, 1)
        assert refused.value.kind is RefusalKind.NOT_READY
        empty, _ = batcher_of()
        waiting = asyncio.create_task(ask(empty, 1))
        await asyncio.sleep(0)
        await empty.close()
        with pytest.raises(Refusal, match="unloaded"):
            await waiting

    clock.run(main())


class Taken(Twice):
    """Its machine is taken away with the first batch."""

    async def run(self, inputs):
        await asyncio.sleep(0.001)
        raise MachineLost("taken back")


def test_a_batch_whose_machine_was_taken_away_is_run_elsewhere_whole_and_as_often_as_that_happens() -> None:
    async def main():
        good, lost = Twice(), []
        batcher, _ = batcher_of(rule=AsMany(3, window=0.05), objective=0.02, lost=lost.append)
        asked = [asyncio.ensure_future(ask(batcher, n)) for n in range(3)]
        for _ in range(5):
            taken = Taken()
            batcher.join(taken)
            while taken not in lost:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.03)  # too late by now, and answered all the same, for it was begun
        batcher.join(good)
        assert await asyncio.gather(*asked) == [[0], [2], [4]]
        assert good.batches == [3] and batcher.retried == 15

    clock.run(main())


def test_it_ends_some_time() -> None:
    async def main():
        batcher, _ = batcher_of(rule=AsMany(1))
        asked = asyncio.ensure_future(ask(batcher, 1))
        for _ in range(20):
            batcher.join(Taken())
            await asyncio.sleep(0.005)
        with pytest.raises(Refusal, match="taken back"):
            await asked

    clock.run(main())


def test_the_next_batch_does_not_wait_until_a_crowd_was_refused() -> None:
    class Crowded:
        """Refuses forty and takes what is left."""

        name, order = "crowded", "arrival"

        def recall(self):
            return None

        def decide(self, queue, memory):
            waiting = len(queue.sizes)
            return (Choice(drop=40, take=1) if waiting > 40 else Choice(take=1)), memory

    class Watching(Twice):
        async def run(self, inputs):
            self.refused = meter.refusals[RefusalKind.OVERLOADED]
            return await super().run(inputs)

    async def main():
        nonlocal meter
        replica = Watching(1.0)
        batcher, meter = batcher_of(replica, rule=Crowded(), objective=0.5)
        asked = [asyncio.create_task(ask(batcher, number)) for number in range(42)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert answers[0] == [0] and answers[41] == [82]
        assert all(each.kind is RefusalKind.OVERLOADED and each.retry_after > 0 for each in answers[1:41])
        assert replica.refused <= 16 and meter.refusals[RefusalKind.OVERLOADED] == 40
        assert batcher.waiting == 0 and meter.in_progress == 0

    meter = None
    clock.simulate(main())


def test_a_rule_sees_what_is_left_of_the_time_once_answers_have_to_be_sent() -> None:
    class Seeing(AsMany):
        def decide(self, queue, memory):
            seen.append(queue.deadlines[0] - queue.now)
            return super().decide(queue, memory)

    async def slow_to_send(batcher):
        await ask(batcher, 1)
        took = clock.stopwatch()
        while took() < 0.02:
            pass

    async def main():
        batcher, _ = batcher_of(Twice(), rule=Seeing(), objective=10.0)
        await slow_to_send(batcher)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await ask(batcher, 2)
        batcher, _ = batcher_of(Twice(), rule=Seeing(), objective=0.01)
        await slow_to_send(batcher)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await ask(batcher, 3)

    seen = []
    clock.run(main())
    assert seen[0] == pytest.approx(9.5, abs=0.01)  # a twentieth is left to the way
    assert 8.5 < seen[1] < 9.5 - 0.02
    assert seen[3] == pytest.approx(0.0075, abs=0.001)  # never more than a quarter of the time is kept free
