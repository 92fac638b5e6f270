"""The laws of renters: what must hold of whatever they decide, for any stream of tasks.

A test class of `RenterLaws` with a `renter` of its own runs them all; hypothesis makes the tasks up.
"""

from __future__ import annotations

import copy
import math
import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.advice.renting.interface import Renter, RentingAction, RentingView
from tradewind.advice.renting.lower_bound import lower_bound
from tradewind.advice.renting.run_time_estimates import Injected
from tradewind.advice.renting.simulation import Outcome, rented_for
from tradewind.advice.renting.tasks import Task
from tradewind.market.instances import InstanceType
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.testing.policies import LAW

_encode = msgspec.json.Encoder(order="deterministic").encode
_SHAPES = (
    ("c.small", 2.0, 4.0, 0, 0.10), ("c.large", 8.0, 16.0, 0, 0.36),
    ("g.small", 4.0, 16.0, 1, 0.50), ("g.large", 16.0, 64.0, 4, 1.70),
)  # fmt: skip
OFFERS = tuple(
    Offer(
        InstanceType(
            name, Resources(vcpus=vcpus, memory_gib=memory, gpus=gpus, gpu_kind="T4" if gpus else "")
        ),
        "here-1a", Price(price, Terms.ON_DEMAND), wait=90.0,
    )
    for name, vcpus, memory, gpus, price in _SHAPES
)  # fmt: skip
"""Four types: two of cores, two with GPUs; the larger is cheaper by the core."""


def stream_of(number: int) -> tuple[Task, ...]:
    """The stream of this number: up to 24 tasks in bursts, some of which come after others."""
    drawn = random.Random(number)
    tasks: list[Task] = []
    now = 0.0
    for at in range(drawn.randint(1, 24)):
        now += drawn.choice((0.0, 0.0, 30.0, drawn.expovariate(1 / 400)))
        asked = Resources(
            vcpus=drawn.choice((0.5, 1.0, 2.0, 3.3)), memory_gib=drawn.choice((0.5, 3.0, 8.0)),
            gpus=drawn.choice((0.0, 0.0, 0.3, 0.55, 1.0, 2.0)),
        )  # fmt: skip
        after = tuple(sorted({task.id for task in drawn.sample(tasks, min(len(tasks), drawn.randint(0, 2)))}))
        tasks.append(
            Task(
                id=f"t{at}", arrival=now, resources=asked, run_time=math.ceil(drawn.lognormvariate(6, 1.5)),
                after=after if drawn.random() < 0.3 else (), features=(("kind", drawn.choice("ab")),),
            )
        )  # fmt: skip
    return tuple(tasks)


streams = st.integers(0, 10**6).map(stream_of)
MANY = settings(LAW, max_examples=12)


class RenterLaws:
    """Mixed into a test class that has a `renter`."""

    renter: Renter

    def _run(self, tasks: tuple[Task, ...], **arguments: Any) -> Outcome:
        estimator = Injected(tasks, arguments.pop("error", 1.0), seed=1)
        return rented_for(tasks, OFFERS, self.renter, estimator, seed=3, **arguments)

    @MANY
    @given(streams)
    def test_every_task_runs_once_for_its_time_after_those_that_it_comes_after(
        self, tasks: tuple[Task, ...]
    ) -> None:
        """Nobody waits for ever, nothing is lost, and the order of a graph holds."""
        outcome = self._run(tasks)
        ran = {each.id: each for each in outcome.tasks}
        assert len(outcome.tasks) == len(tasks) == len(ran)
        for task in tasks:
            own = ran[task.id]
            assert own.since == max([task.arrival, *(ran[before].ended for before in task.after)])
            assert own.pending >= 0
            paused = own.ended - own.started - task.run_time
            assert -1e-6 <= paused <= 60.0 * own.moves + 1e-6

    @MANY
    @given(streams)
    def test_no_instance_carries_more_than_it_has(self, tasks: tuple[Task, ...]) -> None:
        """Summed up anew from every view, and GPU by GPU by trying."""

        def watch(view: RentingView, _: object) -> None:
            for held in view.held:
                on_it = [placed.task.resources for placed in held.tasks] + [
                    task.resources for task in held.coming
                ]
                has = held.offer.type.resources
                assert sum(each.vcpus for each in on_it) <= has.vcpus + 1e-6
                assert sum(each.memory_gib for each in on_it) <= has.memory_gib + 1e-6
                assert _fit_devices([each.gpus for each in on_it if each.gpus], [1.0] * int(has.gpus))

        self._run(tasks, watch=watch)

    @MANY
    @given(streams)
    def test_instance_seconds_times_price_are_the_bill(self, tasks: tuple[Task, ...]) -> None:
        """A started second each, a minute at least; and no bill is below the bound."""
        outcome = self._run(tasks)
        prices = {offer.type.name: Decimal(repr(offer.price.per_hour)) for offer in OFFERS}
        owed = Decimal(0)
        for lease in outcome.leases:
            assert lease.ended is not None
            seconds = max(60, math.ceil(lease.ended - lease.started - 1e-6))
            owed += seconds * prices[lease.instance.type.name] / 3600
        assert abs(outcome.invoice.total - owed) < Decimal("1e-12")
        assert outcome.cost >= lower_bound(tasks, OFFERS) - 1e-9

    @MANY
    @given(streams)
    def test_equal_arguments_give_equal_answers_and_nothing_is_altered(self, tasks: tuple[Task, ...]) -> None:
        """A decision is a function of the view and the memory alone."""
        memories: list[Any] = [self.renter.recall()]

        def watch(view: RentingView, actions: tuple[RentingAction, ...]) -> None:
            memory, shown = memories[-1], _encode(view)
            kept = copy.deepcopy(memory)
            one, after = self.renter.decide(view, memory)
            two, again = self.renter.decide(view, kept)
            assert one == two and after == again and one.actions == actions
            assert _encode(view) == shown and memory == kept
            memories.append(after)

        self._run(tasks, watch=watch)

    @MANY
    @given(streams)
    def test_where_tasks_cannot_be_moved_none_is(self, tasks: tuple[Task, ...]) -> None:
        """And the run is the same twice."""
        one, two = (self._run(tasks, moving=math.inf, error=0.0) for _ in range(2))
        assert one.moves == 0
        assert one.tasks == two.tasks and one.leases == two.leases

    def test_one_task_runs_on_one_instance(self) -> None:
        """The cheapest that has room, for its time and the launch; a policy may keep it for a while."""
        task = Task(id="only", arrival=5.0, resources=Resources(vcpus=2.0, memory_gib=3.0), run_time=1000.0)
        outcome = self._run((task,), launch=(90.0, 90.0))
        assert [lease.instance.type.name for lease in outcome.leases] == ["c.small"]
        assert outcome.tasks[0].started == pytest.approx(95.0)
        assert outcome.tasks[0].ended == pytest.approx(1095.0)
        assert outcome.cost >= 1090 * 0.10 / 3600 - 1e-12


def _fit_devices(shares: list[float], devices: list[float]) -> bool:
    """Whether shares fit the devices, by trying every way."""
    if not shares:
        return True
    first, rest = shares[0], shares[1:]
    if first >= 1:
        whole = [at for at, free in enumerate(devices) if free >= 1 - 1e-9]
        if len(whole) < int(first):
            return False
        # Whole devices are alike.
        return _fit_devices(
            rest, [0.0 if at in whole[: int(first)] else free for at, free in enumerate(devices)]
        )
    return any(
        _fit_devices(rest, [*devices[:at], free - first, *devices[at + 1 :]])
        for at, free in enumerate(devices)
        if free >= first - 1e-9
    )
