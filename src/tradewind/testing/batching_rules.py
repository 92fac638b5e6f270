"""The laws of batching rules: what must hold of every decision about any queue, and of every run.

A test class of `BatchingRuleLaws` with a `rule` of its own runs them all; hypothesis makes the queues up.
"""

from __future__ import annotations

import copy
import math
import random
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradewind.serving.batching.interface import BatchingRule, Choice, Latency, Queue
from tradewind.serving.batching.simulation import SimulatedRun, simulate_queue

NOW = 1.5e6
"""The moment of the queues made up; its doubles are 2e-10 s apart."""
LAW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
RUNS = settings(LAW, max_examples=15)
LONGEST = 61.0
"""Seconds that a rule may let a request wait at most beside an idle replica."""


def queue_of(number: int, order: str, now: float = NOW, finished: int | None = None) -> Queue:
    """The queue of this number, in a rule's order: one request or many, rows of one or more, deadlines that
    nobody said, that are past and that are far, replicas idle or not."""
    drawn = random.Random(number)
    waiting = drawn.choice((1, 1, 2, 3, drawn.randint(1, 60)))
    span = drawn.choice((0.0, 0.01, 0.1))
    objective = drawn.choice((math.inf, 0.05, 0.05, None))
    rows = drawn.choice((1, 1, 40))
    each = []
    for _ in range(waiting):
        arrived = now - span * drawn.random()
        due = objective if objective is not None else drawn.choice((0.0, 0.02, 0.5, math.inf))
        each.append((arrived, arrived + due, drawn.randint(1, rows)))
    each.sort(key=(lambda one: one[0]) if order == "arrival" else (lambda one: one[1]))
    known = drawn.random() < 0.8
    return Queue(
        now,
        [one[0] for one in each],
        [one[1] for one in each],
        [one[2] for one in each],
        idle=drawn.choice((0, 1, 1, 1, 3)),
        running=drawn.choice((0, 0, 2)),
        largest=drawn.choice((1, 8, 32)),
        latency=Latency(drawn.choice((0.0, 0.0005, 0.005)), drawn.choice((0.0, 0.0045)), 1e-4)
        if known
        else Latency(0.0, 0.0),
        rate=drawn.uniform(0, 2000) if known else 0.0,
        finished=drawn.randint(0, 30) if finished is None else finished,
        last_rows=drawn.randint(1, 8),
        last_seconds=drawn.choice((0.001, 0.03)),
    )


def _run(rule: BatchingRule, number: int) -> SimulatedRun:
    """A short simulated run of any load, objective, sizes and replicas."""
    drawn = random.Random(number)
    random_of = np.random.default_rng(number)
    count = drawn.choice((1, 5, 300))
    arrivals = np.cumsum(random_of.exponential(drawn.choice((0.0, 2e-4, 2e-3, 0.2)), count))
    return simulate_queue(
        rule,
        arrivals,
        Latency(drawn.choice((0.0, 0.0005, 0.004)), 0.002),
        objective=drawn.choice((math.inf, 0.05, random_of.choice((0.01, 0.05, 0.5), count))),
        sizes=drawn.choice((None, random_of.integers(1, 12, count).tolist())),
        replicas=drawn.choice((1, 3)),
        largest=drawn.choice((1, 8, 32)),
        factors=random_of.lognormal(0.0, 0.1, 64),
    )


class BatchingRuleLaws:
    """Subclass it and return a rule from `rule`; each law is a test."""

    work_conserving = False
    """Whether it lets no replica idle while someone waits."""

    def rule(self) -> BatchingRule:
        """The rule under test, made anew."""
        raise NotImplementedError

    def decided(self, number: int) -> list[tuple[Queue, Choice]]:
        """A few queues one after another, each with the choice that it met."""
        rule = self.rule()
        memory: Any = rule.recall()
        found = []
        for at in range(1 + number % 4):
            queue = queue_of(10 * number + at, rule.order, NOW + at, finished=10 + at)
            choice, memory = rule.decide(queue, memory)
            found.append((queue, choice))
        return found

    def test_it_says_its_name_and_its_order(self) -> None:
        """The name is a word, and the order one of the seam's two."""
        rule = self.rule()
        assert rule.name
        assert rule.name.isidentifier()
        assert rule.order in {"arrival", "deadline"}

    @LAW
    @given(number=st.integers(0, 10**6))
    def test_equal_queues_get_equal_choices_and_are_not_altered(self, number: int) -> None:
        """Pure: the same choice and memory for the same, and neither argument changed."""
        rule, other = self.rule(), self.rule()
        memory: Any = rule.recall()
        for at in range(3):
            queue = queue_of(10 * number + at, rule.order, NOW + at, finished=at)
            before, memory_before = copy.deepcopy(queue), copy.deepcopy(memory)
            first = rule.decide(queue, memory)
            assert (queue, memory) == (before, memory_before)
            assert first == other.decide(before, memory_before)
            memory = first[1]

    @LAW
    @given(number=st.integers(0, 10**6))
    def test_a_batch_is_never_too_large_and_needs_an_idle_replica(self, number: int) -> None:
        """Whole requests within the largest batch, or one alone; no more than there are."""
        for queue, choice in self.decided(number):
            assert choice.take >= 0 <= choice.drop
            assert choice.drop + choice.take <= len(queue.sizes)
            assert not choice.take or queue.idle
            taken = queue.sizes[choice.drop : choice.drop + choice.take]
            assert sum(taken) <= queue.largest or len(taken) == 1

    @LAW
    @given(number=st.integers(0, 10**6))
    def test_where_it_waits_beside_an_idle_replica_it_says_until_when(self, number: int) -> None:
        """A wake-up that is later than now and finite; none at all where it promises not to wait."""
        for queue, choice in self.decided(number):
            if queue.idle and not choice.take and not choice.drop:
                assert queue.now < choice.wake_at < math.inf
                assert not self.work_conserving

    @LAW
    @given(number=st.integers(0, 10**6))
    def test_asked_whenever_it_wishes_it_lets_nobody_wait_for_ever(self, number: int) -> None:
        """With no further arrival, everyone is settled within `LONGEST` beside an idle replica."""
        rule = self.rule()
        memory: Any = rule.recall()
        queue = queue_of(number, rule.order)
        queue.idle, start = max(1, queue.idle), queue.now
        while queue.sizes:
            choice, memory = rule.decide(queue, memory)
            settled = choice.drop + choice.take
            if not settled:
                queue.now = choice.wake_at
            elif choice.take:
                queue.finished += 1
            queue.arrivals, queue.deadlines = queue.arrivals[settled:], queue.deadlines[settled:]
            queue.sizes = queue.sizes[settled:]
            queue.running = 0
            assert queue.now <= start + LONGEST

    @RUNS
    @given(number=st.integers(0, 10**6))
    def test_in_a_run_every_request_is_answered_once_or_refused(self, number: int) -> None:
        """Nobody is lost, answered twice, or served before they came."""
        run = _run(self.rule(), number)
        answered = np.isfinite(run.ends)
        assert int(answered.sum()) + run.dropped == len(run.arrivals)
        assert (run.starts[answered] >= run.arrivals[answered]).all()
        assert (run.ends[answered] > run.starts[answered]).all()

    @RUNS
    @given(number=st.integers(0, 10**6))
    def test_the_same_run_again_is_the_same(self, number: int) -> None:
        """Equal runs end in equal bytes."""
        one, two = _run(self.rule(), number), _run(self.rule(), number)
        assert one.ends.tobytes() == two.ends.tobytes()
        assert one.batch_rows.tobytes() == two.batch_rows.tobytes()
