"""Stratus: golden decisions of packing, scaling and migration."""

import pytest
from renting_stage import HUGE, LARGE, SMALL, actions, asked, held, offer, placed, view

from tradewind.advice.renting.interface import GiveBack, Move, Place, Rent
from tradewind.advice.renting.stratus import Stratus, bin_of, scaled
from tradewind.testing.renting import RenterLaws


class TestLaws(RenterLaws):
    renter = Stratus()


@pytest.mark.parametrize(
    "seconds,number", [(0, 0), (59.9, 0), (60, 1), (120, 2), (239, 2), (240, 3), (3600, 6)]
)
def test_bins_double(seconds, number):
    assert bin_of(seconds) == number


def test_the_same_bin_is_first_and_in_it_the_nearest_end():
    seen = view(
        held("far", LARGE, placed("a", left=500)), held("near", LARGE, placed("b", left=900)),
        held("long", LARGE, placed("c", left=9000)), pending=[asked("t", seconds=950)],
    )  # fmt: skip
    assert actions(Stratus(threshold=0), seen) == (Place("t", "near"),)


def test_then_the_lowest_bin_above_and_there_where_most_is_free():
    seen = view(
        held("short", LARGE, placed("a", left=100)), held("little", LARGE, placed("b", 2.5, left=2000)),
        held("much", LARGE, placed("c", 1.0, left=3000)), held("longest", HUGE, placed("d", left=9e4)),
        pending=[asked("t", seconds=600)],
    )  # fmt: skip
    assert actions(Stratus(threshold=0), seen) == (Place("t", "much"),)


def test_then_the_greatest_bin_below():
    seen = view(
        held("shorter", LARGE, placed("a", left=100)), held("short", LARGE, placed("b", left=400)),
        pending=[asked("t", seconds=6000)],
    )  # fmt: skip
    assert actions(Stratus(threshold=0), seen) == (Place("t", "short"),)


def test_a_task_that_overran_is_binned_anew():
    late = placed("a", left=-800.0, ran=900.0)  # estimated at 100 s, and it has run for 900
    seen = view(
        held("over", LARGE, late),
        held("short", LARGE, placed("b", left=100)),
        pending=[asked("t", seconds=910)],
    )
    assert actions(Stratus(threshold=0), seen) == (Place("t", "over"),)


def test_scaling_takes_the_group_and_type_that_use_most_per_dollar_and_fills_it_up():
    cheap_large = offer("large", 4, 0.15)
    tasks = [asked("a", 2.0, 1000), asked("b", 2.0, 1100), asked("c", 1.0, 30)]
    chosen, group = scaled((SMALL, cheap_large), tasks)
    # Both long ones on the large: 4 cores for 0.15; one on a small: 2 cores for 0.10.
    assert (chosen, [task.id for task in group]) == (cheap_large, ["a", "b"])
    chosen, group = scaled((cheap_large,), [tasks[0], tasks[2]])
    assert [task.id for task in group] == ["a", "c"]


def test_little_used_instances_are_emptied_where_packing_finds_room():
    seen = view(held("i0", HUGE, placed("a", 1.0, left=500)), held("i1", LARGE, placed("b", 3.0, left=600)))
    assert actions(Stratus(), seen) == (Move("a", "i1"), GiveBack("i0"))
    assert actions(Stratus(threshold=0), seen) == ()


def test_nothing_fits_and_something_is_rented():
    assert actions(Stratus(), view(pending=[asked("a", 3.0)])) == (Rent("large", ("a",)),)
