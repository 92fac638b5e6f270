"""What is held and what could be added, read off a view."""

import msgspec
import pytest
from hypothesis import given
from serving_worlds import lease, offer, view_of

from tradewind.errors import Misuse
from tradewind.market.leases import Revocation
from tradewind.market.offers import Terms
from tradewind.serving.provisioning.fleet import Fleet, burst, checked
from tradewind.testing.policies import LAW, NOW
from tradewind.testing.provisioning import serving_views


def test_a_lease_is_paid_for_up_to_the_end_of_its_hour():
    held = [lease(1, started=-4000.0), lease(2, started=-3600.0), lease(3, started=0.0)]
    hourly = Fleet(view_of((), held, hourly=True)).held
    assert [each.paid_until - NOW for each in hourly] == [3200.0, 0.0, 3600.0]
    assert [each.paid_until - NOW for each in Fleet(view_of((), held)).held] == [0.0, 0.0, 0.0]


def test_capacity_counts_who_answers_at_the_moment():
    held = [lease(1), lease(2, "medium", started=-30.0), lease(3, terms=Terms.SPOT)]
    view = view_of((), held)
    notice = (Revocation(held[2].id, NOW - 10, NOW + 60),)
    fleet = Fleet(
        msgspec.structs.replace(view, market=msgspec.structs.replace(view.market, revocations=notice))
    )
    assert [fleet.capacity(NOW + late) for late in (0.0, 59.0, 60.0, 90.0)] == [10.0, 10.0, 5.0, 14.0]
    assert [each.lease.id for each in fleet.staying] == [held[0].id, held[1].id]
    assert fleet.shunned == {held[2].pool}


def test_ways_are_by_what_a_request_costs_and_spot_above_on_demand_is_none():
    """0.1 / 5, 0.03 / 5 and 0.15 / 9; medium spot at 0.3 is above the 0.15 asked on demand."""
    offers = [
        offer("small", 0.1),
        offer("small", 0.03, Terms.SPOT, "east-1b"),
        offer("medium", 0.15),
        offer("medium", 0.3, Terms.SPOT),
        offer("large", 0.1, available=0),
    ]
    ways = Fleet(view_of(offers)).ways
    assert [(each.offer.type.name, each.offer.terms.value) for each in ways] == [
        ("small", "spot"), ("medium", "on_demand"), ("small", "on_demand"),
    ]  # fmt: skip
    assert ways[0].ceiling == 0.1 and ways[0].take(3).bid.limit == 0.1
    assert ways[0].take(3, 0.01).bid.limit == 0.03 and ways[1].take(2).bid.limit is None


def test_no_more_is_taken_than_there_is():
    way = Fleet(view_of([offer("small", 0.03, Terms.SPOT, available=2)])).ways[0]
    assert way.take(5).bid.count == 2


def test_burst_is_the_busiest_five_seconds_over_the_mean():
    assert burst(view_of(rates=[2.0, 4.0], peaks=[3.0, 6.0])) == 1.5
    assert burst(view_of(rates=[0.0], peaks=[0.0])) == 1.0


def test_checked_names_field_and_bounds():
    with pytest.raises(Misuse, match=r"between 0 and 1"):
        checked("mark", "share", 2.0, 0.0, 1.0)
    with pytest.raises(Misuse):
        checked("mark", "share", float("nan"), 0.0)
    assert checked("mark", "share", 0.5, 0.0, 1.0) == 0.5


@LAW
@given(serving_views())
def test_ways_are_of_use(view):
    for way in Fleet(view).ways:
        assert way.rate > 0 and (not way.spot or way.price <= way.ceiling)
