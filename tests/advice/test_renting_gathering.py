"""Groups that cost less together."""

import numpy as np
import pytest
from renting_stage import SMALL, asked, held, offer, placed

from tradewind.advice.renting.gathering import Part, best_group, together
from tradewind.advice.renting.lifetime_cost import Load

CHEAP = offer("cheap", 8, 0.3)


def part(name, seconds, instance=None):
    """A task of two cores, which alone costs 0.1 an hour."""
    loads = (Load(0.1, np.array([float(seconds)])),)
    cost = 0.1 * (seconds + (0 if instance else 90)) / 3600
    return Part((asked(name, 2.0),), loads, cost, instance)


def test_four_that_end_together_are_cheaper_on_one():
    group = best_group([part(name, 5000) for name in "abcd"], (SMALL, CHEAP), 60.0)
    assert group is not None and group.offer == CHEAP
    assert {task.id for task in group.tasks} == set("abcd")
    assert group.saved == pytest.approx((4 * 0.1 - 0.3) * 5090 / 3600)


def test_three_are_not_nor_four_of_which_one_is_long():
    assert best_group([part(name, 5000) for name in "abc"], (CHEAP,), 60.0) is None
    assert best_group([*(part(name, 500) for name in "abc"), part("d", 50_000)], (CHEAP,), 60.0) is None


def test_what_is_held_is_paid_until_the_larger_is_ready_and_its_tasks_pause():
    instance = held("i0", SMALL, placed("a", 2.0, left=5000))
    cost = together([part("a", 5000, instance), part("b", 3000)], CHEAP, 60.0)
    # The launch of the larger, 90 s of the smaller, then the longest: 5000 - 90 + 60.
    assert cost == pytest.approx((0.3 * 90 + 0.1 * 90 + 0.3 * 4970) / 3600)
    short = held("i0", SMALL, placed("a", 2.0, left=50))
    assert together([part("a", 50, short), part("b", 3000)], CHEAP, 60.0) == pytest.approx(
        (0.3 * 90 + 0.1 * 50 + 0.3 * 3000) / 3600
    )
