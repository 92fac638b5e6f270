"""The simulation: a story by hand, graphs, moves, and actions that cannot be done."""

import math

import pytest
from renting_stage import LARGE, SMALL, offer

from tradewind.advice.renting.interface import GiveBack, Move, Place, Rent, RentingDecision
from tradewind.advice.renting.one_each import OneEach
from tradewind.advice.renting.run_time_estimates import Injected
from tradewind.advice.renting.simulation import rented_for, without_home
from tradewind.advice.renting.tasks import Task
from tradewind.errors import Misuse, Permanent
from tradewind.market.resources import Resources

OFFERS = (SMALL, LARGE)


def task(name, arrival=0.0, run_time=1000.0, vcpus=1.0, after=()):
    return Task(
        id=name,
        arrival=arrival,
        resources=Resources(vcpus=vcpus, memory_gib=1),
        run_time=run_time,
        after=after,
    )


class Script:
    """Answers by the moment."""

    name = "script"

    def __init__(self, *steps, wake_at=math.inf):
        self.steps, self.wake_at = dict(steps), wake_at

    def recall(self):
        return ()

    def decide(self, view, memory):
        wake = self.wake_at if view.now < self.wake_at else math.inf
        return RentingDecision(tuple(self.steps.get(view.now, ())), "", wake), (*memory, view)


def run(tasks, renter, **arguments):
    arguments.setdefault("launch", (100.0, 100.0))
    return rented_for(tasks, OFFERS, renter, Injected(tasks, 0.0), **arguments)


def test_a_task_that_moves_keeps_its_work_and_pauses():
    script = Script(
        (0.0, [Rent("small", ("a",)), Rent("large")]),
        (500.0, [Move("a", "i1"), GiveBack("i0")]),
        wake_at=500.0,
    )
    outcome = run([task("a")], script, moving=60.0)
    # 400 s of work by 500, then a minute's pause and the other 600 s.
    assert (outcome.tasks[0].started, outcome.tasks[0].ended, outcome.tasks[0].moves) == (100.0, 1160.0, 1)
    assert [(lease.started, lease.ended) for lease in outcome.leases] == [(0.0, 500.0), (0.0, 1160.0)]
    assert outcome.cost == pytest.approx((500 * 0.1 + 1160 * 0.2) / 3600)


def test_a_task_works_on_until_the_instance_that_it_moves_to_is_ready():
    script = Script(
        (0.0, [Rent("small", ("a",))]),
        (500.0, [Rent("large", ("a",))]),
        (600.0, [GiveBack("i0")]),
        wake_at=500.0,
    )
    outcome = run([task("a")], script, moving=60.0)
    assert outcome.tasks[0].ended == 600 + 60 + 500
    assert [lease.ended for lease in outcome.leases] == [600.0, 1160.0]


def test_a_task_that_ends_before_it_could_move_does_not():
    script = Script((0.0, [Rent("small", ("a",))]), (1050.0, [Rent("large", ("a",))]), wake_at=1050.0)
    outcome = run([task("a")], script)
    assert (outcome.tasks[0].ended, outcome.moves) == (1100.0, 0)


def test_a_task_that_has_not_started_goes_elsewhere_for_nothing():
    script = Script(
        (0.0, [Rent("small", ("a",)), Rent("large", ("b",))]),
        (120.0, [Rent("small", ("c",))]),
        (130.0, [Move("c", "i1"), GiveBack("i2")]),
        wake_at=130.0,
    )
    outcome = run([task("a"), task("b"), task("c", arrival=120.0)], script)
    own = next(each for each in outcome.tasks if each.id == "c")
    assert (own.pending, own.ended, own.moves) == (10.0, 1130.0, 0)
    # Ten seconds rented, a minute owed.
    assert float(outcome.invoice.charges[2].amount) * 60 == pytest.approx(0.1, rel=1e-9)


def test_a_graph_runs_in_its_order_and_nobody_sees_a_task_early():
    seen = []
    tasks = [
        task("a", run_time=50),
        task("b", run_time=70),
        task("c", arrival=10.0, run_time=5, after=("a", "b")),
    ]
    outcome = run(
        tasks, OneEach(), watch=lambda view, _: seen.append((view.now, [each.id for each in view.pending]))
    )
    assert outcome.tasks[-1].since == 170.0 and outcome.tasks[-1].started == 270.0
    assert [now for now, names in seen if "c" in names] == [170.0]


def test_a_slow_platform_takes_longer_and_its_speed_is_shown():
    views = []
    tasks = [task("a", run_time=100), task("b", arrival=900.0, run_time=100)]
    outcome = run(tasks, OneEach(), speed=lambda *_: 0.5, watch=lambda view, _: views.append(view))
    assert outcome.tasks[0].ended - outcome.tasks[0].started == 200.0
    assert [(each.instance_type, each.speed) for each in views[-1].measured][:1] == [("small", 0.5)]


def test_delays_lie_in_their_span_and_depend_on_the_seed_alone():
    tasks = [task(f"t{at}", run_time=10) for at in range(30)]
    one, two, three = (
        rented_for(tasks, OFFERS, OneEach(), Injected(tasks, 0.0), seed=seed) for seed in (1, 1, 2)
    )
    assert one.pending.tolist() == two.pending.tolist() != three.pending.tolist()
    assert 60 <= one.pending.min() < 75 and 105 < one.pending.max() <= 120


@pytest.mark.parametrize(
    "step,problem",
    [
        ([Rent("none")], "nobody offers"),
        ([Rent("small", ("a", "b", "c"))], "no room"),
        ([Place("a", "i7")], "not held"),
        ([Rent("small", ("a",)), GiveBack("i0")], "tasks on it"),
        ([Rent("small", ("a",)), Place("a", "i0")], "not pending"),
        ([Rent("small"), Move("a", "i0")], "is nowhere"),
        ([Rent("small", ("a",)), Move("a", "i0")], "already"),
    ],
)
def test_an_action_that_cannot_be_done_is_refused(step, problem):
    with pytest.raises(Misuse, match=f"renter script.*{problem}"):
        run([task("a"), task("b"), task("c")], Script((0.0, step)))


def test_working_tasks_stay_where_tasks_cannot_be_moved():
    script = Script((0.0, [Rent("small", ("a",)), Rent("large")]), (500.0, [Move("a", "i1")]), wake_at=500.0)
    with pytest.raises(Misuse, match="cannot be moved"):
        run([task("a")], script, moving=math.inf)


def test_a_renter_that_forgets_a_task_or_wakes_in_the_past_is_told():
    with pytest.raises(Permanent, match="1 tasks wait for ever"):
        run([task("a")], Script())

    class Late(Script):
        def decide(self, view, memory):
            return RentingDecision((), "", view.now), memory

    with pytest.raises(Misuse, match="wake_at"):
        run([task("a")], Late())


def test_a_task_that_no_type_has_room_for_is_named():
    assert without_home([task("a"), task("b", vcpus=99)], OFFERS) == ("b",)
    with pytest.raises(Misuse, match="room for b"):
        run([task("a"), task("b", vcpus=99)], OneEach())


@pytest.mark.parametrize("arguments", [{"launch": (5.0, 1.0)}, {"moving": -1.0}, {"moving": float("nan")}])
def test_wrong_arguments(arguments):
    with pytest.raises(Misuse):
        run([task("a")], OneEach(), **arguments)


def test_what_a_renter_keeps_is_ended_and_paid_for():
    outcome = rented_for(
        [task("a", run_time=10)],
        (offer("only", 2, 3.6),),
        Script((0.0, [Rent("only", ("a",))])),
        Injected([task("a")], 0.0),
        launch=(50.0, 50.0),
    )
    assert outcome.cost == pytest.approx(60 * 3.6 / 3600)
    assert outcome.leases[0].ended == 60.0
