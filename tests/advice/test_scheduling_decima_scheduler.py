"""Decima as a scheduler."""

from tradewind.advice.scheduling.decima.network import Network, first_weights
from tradewind.advice.scheduling.decima.scheduler import Decima
from tradewind.advice.scheduling.interface import JobView, SchedulingView
from tradewind.testing.schedulers import SchedulerLaws


class TestLaws(SchedulerLaws):
    def scheduler(self):
        return Decima(Network(first_weights(2)))


def test_one_candidate_and_one_executor_leave_no_choice():
    lone = JobView(4, 0.0, 3, (9,), (0,), (True,), (1.0,), ((),))
    choice = Decima(Network(first_weights(0))).choose(SchedulingView(0.0, 8, 1, -1, (lone,)))
    assert (choice.job, choice.stage, choice.limit) == (4, 0, 4)


def test_heads_decide():
    # A head that sees only work prefers the most of it, and one that sees only the limit's share the highest.
    weights = {name: 0 * each for name, each in first_weights(0).items()}
    for name, column in (("stage_head", 0), ("limit_head", 6 + 24 + 3)):
        weights[f"{name}.0.weight"][0, column] = 1.0
        weights[f"{name}.1.weight"][0, 0] = 1.0
        weights[f"{name}.2.weight"][0, 0] = 1.0
    jobs = tuple(
        JobView(number, 0.0, 0, (tasks,), (0,), (True,), (1.0,), ((),))
        for number, tasks in enumerate((5, 9, 7))
    )
    view = SchedulingView(0.0, 8, 3, -1, jobs)
    choice = Decima(Network(weights)).choose(view)
    assert (choice.job, choice.stage, choice.limit) == (1, 0, 3)
    weights["limit_head.2.weight"][0, 0] = -1.0
    assert Decima(Network(weights)).choose(view).limit == 1
