"""Tributary, decision by decision."""

import msgspec
import pytest
from serving_worlds import lease, offer, view_of

from tradewind.errors import Misuse
from tradewind.estimates.load.interface import LoadForecast
from tradewind.estimates.outlook import NEVER, Outlook, Scenario
from tradewind.market.decisions import Release, Take
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease
from tradewind.market.offers import Terms
from tradewind.market.tariffs import Refund, Tariff
from tradewind.serving.provisioning.tributary import Tributary
from tradewind.testing.policies import NOW, outlook_of
from tradewind.testing.provisioning import ProvisioningLaws

A, B = Pool("small", "east-1a"), Pool("small", "east-1b")
OFFERS = [
    offer("small", 0.1),
    offer("small", 0.03, Terms.SPOT, "east-1a"),
    offer("small", 0.03, Terms.SPOT, "east-1b"),
]


class Foreseeing(Tributary):
    """Given an outlook where the view has none."""

    def decide(self, view, memory):
        if view.outlook is None:
            view = msgspec.structs.replace(view, outlook=outlook_of(7, view.now))
        return super().decide(view, memory)


class TestLaws(ProvisioningLaws):
    def policy(self):
        return Foreseeing(correlated=True)


def outlook(low, high, together=True):
    """Chances of revocation of a bid 0.001 above the price, and of one 0.05 above it, in both zones."""
    chances = ((low, low), (high, high))
    both = tuple(Scenario(0.5, ((end, end),) * 2, ((0.03,),) * 2) for end in (60.0, NEVER))
    apart = tuple(
        Scenario(0.5, ((one, one), (other, other)), ((0.03,),) * 2)
        for one, other in ((60.0, NEVER), (NEVER, 60.0))
    )  # fmt: skip
    return Outlook(
        NOW, (A, B), (0.001, 0.05), (600.0, 3600.0), (chances, chances), (0.0,), both if together else apart
    )


def seen(rate, chances, leases=(), offers=OFFERS, at=0.0, refund=Refund.LAST_UNIT):
    view = view_of(offers, leases, [1.0], at=at, hourly=True)
    mean = (rate,) * 60
    tariffs = {Terms.ON_DEMAND: Tariff(3600.0), Terms.SPOT: Tariff(3600.0, refund)}
    return msgspec.structs.replace(
        view,
        market=msgspec.structs.replace(view.market, tariffs=tariffs),
        forecast=LoadForecast(NOW + at, 60.0, mean, (0.5,), (mean,)),
        outlook=chances,
    )


def taken(decision):
    return [
        (str(each.bid.pool), each.bid.terms.value, each.bid.count, each.bid.limit)
        for each in decision.actions
        if isinstance(each, Take)
    ]


def test_more_than_is_needed_where_it_is_risky_and_cheap():
    """5 requests a second are one replica; with a chance of 0.4 each, 1 - 0.4^2 = 0.84 < 0.9 <= 1 - 0.4^3
    takes three markets, and there are two: bids in one market are nested. So a safer bid is added."""
    policy = Tributary(headroom=1.0, confidence=0.8)
    decision, _ = policy.decide(seen(5.0, outlook(0.4, 0.4)), policy.recall())
    assert sorted(each[0] for each in taken(decision)) == ["small@east-1a", "small@east-1b"]
    assert sum(each[2] for each in taken(decision)) == 2
    safe, _ = policy.decide(seen(5.0, outlook(0.1, 0.1)), policy.recall())
    assert sum(each[2] for each in taken(safe)) == 1


def test_with_the_refund_a_risky_bid_costs_no_more_for_what_it_is_expected_to_bring():
    """0.6 of the price for 0.6 of the replica: a tie, which goes to what secures more. Where the hour is paid
    for, half of it on average, the risky bid costs 0.8 for 0.6."""
    policy = Tributary(headroom=1.0, confidence=0.5)
    for refund in (Refund.LAST_UNIT, Refund.NOTHING):
        view = seen(5.0, outlook(0.4, 0.0), refund=refund)
        assert taken(policy.decide(view, policy.recall())[0]) == [("small@east-1a", "spot", 1, 0.1)]
    # The safe bid's chance of 0.1 is made good by the refund in full: on demand never is.
    cheap = [offer("small", 0.031), *OFFERS[1:]]
    view = seen(5.0, outlook(0.4, 0.1), offers=cheap)
    assert taken(policy.decide(view, policy.recall())[0])[0][1] == "spot"
    view = seen(5.0, outlook(0.4, 0.1), offers=cheap, refund=Refund.NOTHING)
    assert taken(policy.decide(view, policy.recall())[0])[0][1] == "on_demand"


def test_a_common_shock_is_worth_nothing_as_a_hedge():
    """Two zones that always go together secure no more than one: on demand is what is left."""
    chances = outlook(0.4, 0.4)
    apart = Tributary(headroom=1.0, confidence=0.8)
    linked = Tributary(headroom=1.0, confidence=0.8, correlated=True)
    assert {each[1] for each in taken(apart.decide(seen(5.0, chances), None)[0])} == {"spot"}
    assert "on_demand" in {each[1] for each in taken(linked.decide(seen(5.0, chances), None)[0])}
    free = linked.decide(seen(5.0, outlook(0.4, 0.4, together=False)), None)[0]
    assert {each[1] for each in taken(free)} == {"spot"}
    assert (apart.name, linked.name) == ("tributary", "tributary_correlated")


def spot(number, started, limit=0.1):
    base = lease(number, started=started, terms=Terms.SPOT)
    return Lease(base.id, base.instance, base.terms, base.started, limit)


def test_what_is_not_needed_goes_just_before_its_hour_ends():
    policy = Tributary(headroom=1.0, confidence=0.5)
    held = [spot(1, -3597.0), spot(2, -1800.0)]
    decision, _ = policy.decide(seen(5.0, outlook(0.1, 0.1), held), None)
    assert decision.actions == (Release(held[0].id),)
    early, _ = policy.decide(seen(5.0, outlook(0.1, 0.1), [spot(1, -3500.0), held[1]]), None)
    assert early.actions == ()
    kept, _ = policy.decide(seen(10.0, outlook(0.1, 0.1), held), None)
    assert kept.actions == ()


def test_it_wakes_before_the_hour_ends():
    policy = Tributary(headroom=1.0, confidence=0.5)
    decision, _ = policy.decide(seen(5.0, outlook(0.1, 0.1), [spot(1, -3600.0 + 150.0)]), None)
    assert decision.wake_at - NOW == pytest.approx(150.0 - 130.0)


def test_it_wants_both_forecasts():
    policy = Tributary()
    with pytest.raises(Misuse, match="outlook"):
        policy.decide(view_of(OFFERS, (), [1.0]), None)
    with pytest.raises(Misuse, match="confidence"):
        Tributary(confidence=1.0)
