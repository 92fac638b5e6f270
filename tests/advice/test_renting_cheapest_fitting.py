"""The cheapest that fits, and consolidation: golden decisions."""

from renting_stage import HUGE, LARGE, SMALL, actions, asked, held, placed, view

from tradewind.advice.renting.cheapest_fitting import CheapestFitting
from tradewind.advice.renting.interface import GiveBack, Move, Place, Rent
from tradewind.testing.renting import RenterLaws


class TestLaws(RenterLaws):
    renter = CheapestFitting()


def test_the_largest_first_into_one_instance_of_the_cheapest_type_that_holds_them():
    seen = view(pending=[asked("a", 1.0), asked("b", 3.0), asked("c", 10.0), asked("d", 3.0)])
    assert actions(CheapestFitting(), seen) == (Rent("huge", ("c", "b", "d")), Rent("small", ("a",)))


def test_an_instance_is_emptied_into_another_even_if_its_task_is_nearly_done():
    seen = view(
        held("i0", SMALL, placed("a", 1.0, left=1.0)),
        held(
            "i1",
            LARGE,
            placed("b", 3.0),
        ),
    )
    assert actions(CheapestFitting(), seen) == (Move("a", "i1"), GiveBack("i0"))
    assert actions(CheapestFitting(consolidate=False), seen) == ()


def test_an_instance_that_is_too_large_is_replaced():
    assert actions(CheapestFitting(), view(held("i0", HUGE, placed("a", 3.0)))) == (Rent("large", ("a",)),)


def test_pending_tasks_go_to_the_first_with_room_and_the_idle_go_back():
    seen = view(held("i0", SMALL), held("i1", SMALL), pending=[asked("a", 2.0)])
    assert actions(CheapestFitting(), seen) == (Place("a", "i0"), GiveBack("i1"))
