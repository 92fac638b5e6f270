"""The bound: by hand, and never above what a renter pays (a law of every renter)."""

import pytest
from renting_stage import LARGE, SMALL, offer

from tradewind.advice.renting.lower_bound import dual_feasible, lower_bound
from tradewind.advice.renting.tasks import Task
from tradewind.errors import Misuse
from tradewind.market.resources import Resources


def task(name, vcpus, hours=1.0, gpus=0.0):
    return Task(id=name, arrival=0.0, resources=Resources(vcpus=vcpus, gpus=gpus), run_time=3600 * hours)


def test_it_buys_the_cheapest_cores_that_tasks_fit_on():
    # Twelve core-hours at 0.05 a core.
    tasks = [task("a", 2.0, 3), task("b", 2.0, 2), task("c", 1.0, 2)]
    assert lower_bound(tasks, (SMALL, LARGE)) == pytest.approx(12 * 0.05)
    assert lower_bound([], (SMALL,)) == 0.0


def test_tasks_above_one_half_never_share():
    # By cores three fit on two instances of 4; none of them shares one.
    tasks = [task(name, 2.4) for name in "abc"]
    assert lower_bound(tasks, (LARGE,)) == pytest.approx(3 * 0.2)


def test_devices_are_bins_one_by_one():
    four = offer("g", 64, 4.0, gpus=4)
    assert lower_bound([task(str(at), 1.0, gpus=0.6) for at in range(5)], (four,)) == pytest.approx(5.0)
    assert lower_bound([task(str(at), 1.0, gpus=0.4) for at in range(5)], (four,)) == pytest.approx(2.5)
    assert lower_bound([task("a", 1.0, gpus=2)], (four,)) == pytest.approx(2.0)


def test_speeds_count():
    assert lower_bound([task("a", 2.0)], (SMALL,), speed=lambda *_: 0.5) == pytest.approx(0.2)


def test_a_task_without_a_home_is_named():
    with pytest.raises(Misuse, match="room for big"):
        lower_bound([task("a", 1.0), task("big", 99.0)], (SMALL,))


@pytest.mark.parametrize("number", range(7))
def test_dual_feasible_functions_are_that(number):
    """No set of shares that fits a bin comes to more than one: every split of it into equal steps."""
    for count in range(1, 40):
        assert count * dual_feasible(1 / count, number) <= 1 + 1e-9
    for first in range(1, 60):
        one, other = first / 60, 1 - first / 60
        assert dual_feasible(one, number) + dual_feasible(other, number) <= 1 + 1e-9
        third = (1 - one) / 2
        assert dual_feasible(one, number) + 2 * dual_feasible(third, number) <= 1 + 1e-9
