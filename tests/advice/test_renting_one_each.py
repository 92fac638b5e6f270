"""An instance for each task."""

from renting_stage import HUGE, SMALL, actions, asked, held, placed, view

from tradewind.advice.renting.interface import GiveBack, Rent
from tradewind.advice.renting.one_each import OneEach
from tradewind.testing.renting import RenterLaws


class TestLaws(RenterLaws):
    renter = OneEach()


def test_it_shares_nothing_and_keeps_nothing():
    seen = view(held("i0", HUGE, placed("a")), held("i1", SMALL), pending=[asked("b", 2.0), asked("c", 3.0)])
    assert actions(OneEach(), seen) == (GiveBack("i1"), Rent("small", ("b",)), Rent("large", ("c",)))
