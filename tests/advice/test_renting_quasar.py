"""Quasar: golden decisions by predicted quality."""

import pytest
from renting_stage import HUGE, LARGE, actions, asked, held, offer, placed, view

from tradewind.advice.renting.interface import Measured, Place, Rent
from tradewind.advice.renting.quasar import Quasar
from tradewind.errors import Misuse
from tradewind.testing.renting import RenterLaws

SLOW, FAST = offer("slow.2", 2, 0.10), offer("fast.2", 2, 0.15)
KIND_A = (("kind", "a"),)
KIND_B = (("kind", "b"),)


class TestLaws(RenterLaws):
    renter = Quasar()


def measured(*rows):
    return tuple(Measured((("kind", kind),), name, speed) for kind, name, speed in rows * 5)


def test_nothing_measured_the_cheapest_is_rented_and_the_roomiest_is_filled():
    assert actions(Quasar(), view(pending=[asked("t", 2.0)], offers=(FAST, SLOW))) == (
        Rent("slow.2", ("t",)),
    )
    seen = view(held("i0", LARGE, placed("a", 2.0)), held("i1", HUGE, placed("b", 2.0)), pending=[asked("t")])
    assert actions(Quasar(), seen) == (Place("t", "i1"),)


def test_the_platform_that_is_fast_for_the_kind_is_rented_though_it_costs_more():
    known = measured(("a", "slow.2", 1.0), ("a", "fast.2", 3.0), ("b", "slow.2", 1.0), ("b", "fast.2", 1.05))
    for features, chosen in ((KIND_A, "fast.2"), (KIND_B, "slow.2")):
        seen = view(pending=[asked("t", 2.0, features=features)], offers=(SLOW, FAST), measured=known)
        assert actions(Quasar(), seen) == (Rent(chosen, ("t",)),)


def test_an_instance_below_the_target_is_not_used():
    known = measured(("a", "slow.2", 1.0), ("a", "fast.2", 3.0))
    seen = view(
        held("i0", SLOW), pending=[asked("t", 2.0, features=KIND_A)], offers=(SLOW, FAST), measured=known
    )
    assert Rent("fast.2", ("t",)) in actions(Quasar(), seen)
    assert Place("t", "i0") in actions(Quasar(target=0.3), seen)


def test_a_speed_that_was_never_measured_is_predicted_from_other_kinds():
    families = ("f1.x", "f2.x", "f3.x")
    rows = [
        (kind, name, (1.0 + 2 * at) ** power)
        for power, kind in enumerate("abcdef")
        for at, name in enumerate(families)
    ]
    shown = [row for row in rows if row[:2] != ("e", "f3.x")]
    memory = Quasar(penalty=0.01).decide(view(measured=measured(*shown)), Quasar().recall())[1]
    predicted = dict(dict(memory.predicted)["e"])
    assert predicted["f3"] == pytest.approx(5.0**4, rel=0.35)


def test_a_target_that_is_none():
    with pytest.raises(Misuse, match="target"):
        Quasar(target=0.0)
