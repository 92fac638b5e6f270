"""Ours: golden decisions, each by its arithmetic."""

from renting_stage import HUGE, INFINITE, LARGE, SMALL, actions, asked, held, offer, placed, view

from tradewind.advice.renting.interface import GiveBack, Move, Place, Rent
from tradewind.advice.renting.tradewind import Tradewind
from tradewind.testing.renting import RenterLaws


class TestLaws(RenterLaws):
    renter = Tradewind(scenarios=8)


class TestLawsWithoutMoves(RenterLaws):
    renter = Tradewind(scenarios=8, moves=False)


def test_a_task_goes_where_it_ends_before_the_others_and_leaves_least_over():
    seen = view(
        held("i0", HUGE, placed("a", 8.0, left=5000)), held("i1", LARGE, placed("b", 3.0, left=1000)),
        pending=[asked("t", seconds=900)], moving=INFINITE,
    )  # fmt: skip
    assert actions(Tradewind(), seen) == (Place("t", "i1"),)


def test_a_small_task_never_keeps_a_large_instance():
    # On the huge one 5900 s at 0.8 more; alone 6090 s at 0.1. Stratus would pack it down.
    seen = view(
        held("i0", HUGE, placed("a", 8.0, left=100)), pending=[asked("t", seconds=6000)], moving=INFINITE
    )
    assert actions(Tradewind(), seen) == (Rent("small", ("t",)),)


def test_a_task_may_outlive_an_instance_where_that_is_cheaper_than_a_launch():
    # 30 s more at 0.8 cost 0.0067; alone it costs (90 + 130) s at 0.1: 0.0061. 20 s more cost 0.0044.
    here = held("i0", HUGE, placed("a", 8.0, left=100))
    assert actions(Tradewind(), view(here, pending=[asked("t", seconds=130)])) == (Rent("small", ("t",)),)
    assert actions(Tradewind(), view(here, pending=[asked("t", seconds=120)])) == (Place("t", "i0"),)


def test_tasks_that_end_together_are_rented_for_together_where_that_is_cheaper():
    cheap = offer("large", 4, 0.15)
    together = [asked("a", 2.0, 3000), asked("b", 2.0, 3100)]
    apart = [asked("a", 2.0, 300), asked("b", 2.0, 30_000)]
    assert actions(Tradewind(), view(pending=together, offers=(SMALL, cheap))) == (Rent("large", ("b", "a")),)
    assert set(actions(Tradewind(), view(pending=apart, offers=(SMALL, cheap)))) == {
        Rent("small", ("a",)), Rent("small", ("b",)),
    }  # fmt: skip


def test_an_instance_joins_a_new_task_on_a_larger_one_where_that_is_cheaper():
    cheap = offer("large", 4, 0.12)
    seen = view(
        held("i0", SMALL, placed("a", 2.0, left=9000)), pending=[asked("b", 2.0, 9000)], offers=(SMALL, cheap)
    )
    (rent,) = actions(Tradewind(), seen)
    assert rent.kind == "large" and set(rent.tasks) == {"a", "b"}
    assert actions(Tradewind(moves=False), seen) == (Rent("small", ("b",)),)


def test_an_instance_is_emptied_only_where_that_pays():
    other = held("i1", LARGE, placed("b", 3.0, left=5000))
    assert actions(Tradewind(), view(held("i0", SMALL, placed("a", left=4000)), other)) == (
        Move("a", "i1"), GiveBack("i0"),
    )  # fmt: skip
    # It would outlive the other by 5060 s at 0.2; where it is, it costs 10,000 s at 0.1.
    assert actions(Tradewind(), view(held("i0", SMALL, placed("a", left=10_000)), other)) == ()


def test_an_instance_that_is_too_large_is_replaced_if_the_rest_is_long_enough():
    assert actions(Tradewind(), view(held("i0", HUGE, placed("a", left=5000)))) == (Rent("small", ("a",)),)
    assert actions(Tradewind(), view(held("i0", HUGE, placed("a", left=60)))) == ()
    assert actions(Tradewind(moves=False), view(held("i0", HUGE, placed("a", left=5000)))) == ()


def test_a_task_leaves_its_launch_for_a_place_that_became_free():
    waiting = held("i1", SMALL, placed("t", left=500, ran=0.0), launching=True)
    seen = view(held("i0", LARGE, placed("a", 3.0, left=5000)), waiting, moving=INFINITE)
    assert actions(Tradewind(), seen) == (Move("t", "i0"), GiveBack("i1"))


def test_the_uncertain_is_worth_less_than_the_sure():
    """Of the same median, beside one that ends at 1000 s: the long tail of the unsure one is paid for."""
    here = held("i0", HUGE, placed("a", 8.0, left=1000))
    assert actions(Tradewind(), view(here, pending=[asked("t", seconds=900)], moving=INFINITE)) == (
        Place("t", "i0"),
    )
    unsure = asked("t", seconds=900, spread=1.5)
    assert actions(Tradewind(), view(here, pending=[unsure], moving=INFINITE)) == (Rent("small", ("t",)),)


def test_idle_instances_go_back():
    assert actions(Tradewind(), view(held("i0", SMALL))) == (GiveBack("i0"),)
