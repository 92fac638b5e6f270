"""First-fit autoscaling: golden decisions."""

from renting_stage import HUGE, INFINITE, LARGE, NOW, SMALL, actions, asked, held, placed, view

from tradewind.advice.renting.first_fit import FirstFit, least_waste
from tradewind.advice.renting.interface import GiveBack, Move, Place, Rent
from tradewind.testing.renting import RenterLaws


class TestLaws(RenterLaws):
    renter = FirstFit()


def test_tasks_go_to_the_first_instance_with_room_however_long_they_are():
    seen = view(
        held("i0", SMALL, placed("a", 1.5)),
        held("i1", LARGE, placed("b", 3.0)),
        pending=[asked("c", 1.0, 1e6)],
    )
    assert actions(FirstFit(), seen) == (Place("c", "i1"),)


def test_the_type_that_wastes_least_is_rented_and_of_equals_the_cheaper():
    tasks = [asked("a", 2.0), asked("b", 2.0)]
    # Two on a large waste no core; two smalls neither: 0.1 against 0.2 an instance.
    chosen, bins = least_waste((HUGE, LARGE, SMALL), tasks)
    assert (chosen, [[task.id for task in each] for each in bins]) == (SMALL, [["a"], ["b"]])
    chosen, bins = least_waste((HUGE, LARGE, SMALL), [asked("a", 4.0)])
    assert chosen == LARGE


def test_an_instance_is_given_back_after_ten_minutes_of_little_use_not_before():
    renter = FirstFit()
    seen = view(held("i0", HUGE, placed("a", 1.0)), held("i1", LARGE, placed("b", 3.0)))
    decision, memory = renter.decide(seen, ())
    assert decision.actions == () and memory == (("i0", NOW),) and decision.wake_at == NOW + 600
    decision, memory = renter.decide(seen, (("i0", NOW - 600),))
    assert decision.actions == (Move("a", "i1"), GiveBack("i0")) and memory == ()


def test_what_cannot_be_moved_stays():
    seen = view(held("i0", HUGE, placed("a", 1.0)), held("i1", LARGE, placed("b", 3.0)), moving=INFINITE)
    assert FirstFit().decide(seen, (("i0", NOW - 600),))[0].actions == ()


def test_a_rented_instance_carries_what_was_counted_on_it():
    seen = view(pending=[asked("a", 8.0), asked("b", 8.0)])
    assert actions(FirstFit(), seen) == (Rent("huge", ("a", "b")),)
