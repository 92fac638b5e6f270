from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.market.catalog import Catalog, ListPrice
from tradewind.market.charges import Invoice
from tradewind.market.decisions import CapacityAbove, PriceAbove, PriceBelow
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Ending, Lease, LeaseId, Revocation
from tradewind.market.offers import Bid, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources

TYPE = InstanceType("p2.xlarge", Resources(vcpus=4, memory_gib=61, gpus=1, gpu_kind="K80"))
CHEAP = InstanceType("m5.large", Resources(vcpus=2, memory_gib=8))
CATALOG = Catalog(
    "test",
    [
        ListPrice(TYPE, "us-east-1", 0.9, "2020-07-10", "a list"),
        ListPrice(CHEAP, "us-east-1", 0.096, "2020-07-10", "a list"),
    ],
)
A, B, C = (Pool("p2.xlarge", f"us-east-1{letter}") for letter in "abc")
SERVER = Pool("m5.large", "us-east-1a")
START = 1_580_000_000.0


def at(seconds):
    return START + seconds


def market(**changes):
    """Three zones: A without capacity, B with two slots, C that falls away at 300 and comes back."""
    prices = {
        A: PriceHistory(A, [at(0), at(100), at(200), at(300)], [0.3, 0.9, 0.91, 0.5], end=at(1000)),
        B: PriceHistory(B, [at(0), at(50)], [0.4, 0.35], end=at(1000)),
        C: PriceHistory(C, [at(10)], [0.27], end=at(1000)),
    }
    capacities = {
        B: CapacityHistory.from_lifetimes(B, [("n1", at(0), at(300)), ("n2", at(20), at(600))], end=at(1000)),
        C: CapacityHistory.from_counts(C, np.array([at(0), at(300), at(400)]), [3, 0, 1], end=at(1000)),
    }
    settings = {"boot": 30.0, "on_demand": (A, SERVER)} | changes
    return RecordedMarket(MarketHistory("test", prices, capacities), CATALOG, **settings)


def lease_of(grant, limit=None, started=0.0):
    instance = Instance("i", grant.type, grant.pool.zone)
    return Lease(LeaseId("l"), instance, grant.terms, at(started), limit=limit)


def told(offers):
    return [(str(offer.pool), str(offer.terms), offer.price.per_hour, offer.available) for offer in offers]


def test_offers_are_ordered_and_follow_the_record():
    assert told(market().offers(at(15))) == [
        ("m5.large@us-east-1a", "on_demand", 0.096, None),
        ("p2.xlarge@us-east-1a", "on_demand", 0.9, None),
        ("p2.xlarge@us-east-1a", "spot", 0.3, None),
        ("p2.xlarge@us-east-1b", "spot", 0.4, 1),
        ("p2.xlarge@us-east-1c", "spot", 0.27, 3),
    ]
    spot = [offer.zone[-1] for offer in market().offers(at(350)) if offer.terms is Terms.SPOT]
    assert spot == ["a", "b"]
    assert {offer.wait for offer in market().offers(at(350))} == {30.0}


@pytest.mark.parametrize("seconds", [-1.0, 1000.5])
def test_no_spot_outside_of_the_record(seconds):
    assert [offer.terms for offer in market().offers(at(seconds))] == [Terms.ON_DEMAND] * 2
    assert market().grant(Bid(A, Terms.SPOT), at(seconds)) == ()
    assert market().grant(Bid(B, Terms.SPOT), at(seconds)) == ()


def test_the_last_recorded_moment_is_within():
    assert {offer.zone for offer in market().offers(at(1000)) if offer.terms is Terms.SPOT} == {
        "us-east-1a",
        "us-east-1c",
    }


def test_equal_questions_get_the_same_objects():
    here = market()
    first = here.offers(at(15))
    assert here.offers(at(16)) is first
    later = here.offers(at(60))
    assert later is not first
    unchanged = [offer for offer in later if offer.zone == "us-east-1c"]
    assert all(any(offer is other for other in first) for offer in unchanged)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-20, 1100), st.integers(0, 2)), min_size=1, max_size=12))
def test_what_was_asked_before_changes_no_offer(questions):
    here = market()
    held = here.grant(Bid(B, Terms.SPOT, 2), at(25))
    assert len(held) == 2
    for seconds, count in questions:
        assert here.offers(at(seconds), held[:count]) == market().offers(at(seconds), held[:count])


def test_what_is_held_takes_room():
    here = market()
    (first,) = here.grant(Bid(B, Terms.SPOT, 5), at(5))
    assert first.slot.id == "n1"
    assert [offer.available for offer in here.offers(at(25), (first,)) if offer.pool == B] == [1]
    (second,) = here.grant(Bid(B, Terms.SPOT, 5), at(25), (first,))
    assert second.slot.id == "n2"
    assert here.grant(Bid(B, Terms.SPOT, 5), at(26), (first, second)) == ()
    assert B not in {offer.pool for offer in here.offers(at(26), (first, second))}
    # A slot that ended no longer counts, even while its lease is still listed.
    assert B not in {offer.pool for offer in here.offers(at(301), (first, second))}
    assert [offer.available for offer in here.offers(at(301), (first,)) if offer.pool == B] == [1]


def test_the_oldest_slots_are_granted_first():
    grants = market().grant(Bid(B, Terms.SPOT, 2), at(25))
    assert [grant.slot.id for grant in grants] == ["n1", "n2"]
    assert [grant.price for grant in grants] == [0.4, 0.4]


@pytest.mark.parametrize(("limit", "count"), [(0.29, 0), (0.3, 2), (0.31, 2), (None, 2)])
def test_a_price_above_the_limit_grants_nothing(limit, count):
    assert len(market().grant(Bid(A, Terms.SPOT, 2, limit), at(5))) == count


def test_without_a_limit_the_on_demand_price_is_the_limit():
    assert len(market().grant(Bid(A, Terms.SPOT), at(150))) == 1
    assert market().grant(Bid(A, Terms.SPOT), at(250)) == ()


@pytest.mark.parametrize(("limit", "count"), [(None, 3), (0.9, 3), (0.89, 0)])
def test_on_demand_has_room_at_its_price(limit, count):
    grants = market().grant(Bid(A, Terms.ON_DEMAND, 3, limit), at(-500))
    assert [grant.price for grant in grants] == [0.9] * count
    assert all(grant.slot is None for grant in grants)


@pytest.mark.parametrize(
    ("bid", "message"),
    [
        (Bid(Pool("p2.xlarg", "us-east-1a"), Terms.SPOT), r"Did you mean 'p2\.xlarge@us-east-1a'"),
        (Bid(SERVER, Terms.SPOT), "not sold as spot"),
        (Bid(B, Terms.ON_DEMAND), "not sold as on_demand"),
        (Bid(A, Terms.RESERVED), "reserved is not sold here"),
        (Bid(A, Terms.SPOT, 0), "Ask for 1 or more"),
    ],
)
def test_what_is_not_sold_is_refused(bid, message):
    with pytest.raises(Misuse, match=message):
        market().grant(bid, at(5))


@pytest.mark.parametrize(
    ("limit", "started", "warned", "due"),
    [
        (0.3, 0.0, 0.0, 100.0),
        (0.5, 50.0, 50.0, 100.0),
        (0.9, 0.0, 80.0, 200.0),
        (None, 0.0, 80.0, 200.0),
        (0.5, 300.0, None, None),
        (5.0, 0.0, None, None),
    ],
)
def test_a_price_above_the_limit_revokes_and_an_equal_one_does_not(limit, started, warned, due):
    here = market()
    (grant,) = here.grant(Bid(A, Terms.SPOT, 1, 5.0), at(started))
    expected = None if due is None else Revocation(LeaseId("l"), at(warned), at(due))
    assert here.revocation(lease_of(grant, limit, started), grant) == expected


def test_a_slot_that_ends_revokes():
    here = market()
    for grant, due in zip(here.grant(Bid(B, Terms.SPOT, 2), at(25)), (300, 600), strict=True):
        assert here.revocation(lease_of(grant, 5.0, 25.0), grant) == Revocation(
            LeaseId("l"), at(due - 120), at(due)
        )


def test_all_of_a_pool_can_go_at_once_and_come_back():
    here = market()
    grants = here.grant(Bid(C, Terms.SPOT, 3), at(50))
    assert {here.revocation(lease_of(grant, 1.0, 50.0), grant).due for grant in grants} == {at(300)}
    assert here.grant(Bid(C, Terms.SPOT), at(350)) == ()
    (again,) = here.grant(Bid(C, Terms.SPOT, 3), at(450))
    assert here.revocation(lease_of(again, 1.0, 450.0), again) is None


def test_the_notice_is_the_markets_unless_told():
    here = market(notice=30.0)
    (grant,) = here.grant(Bid(B, Terms.SPOT), at(5))
    assert here.revocation(lease_of(grant, 1.0, 5.0), grant).warned == at(270)
    none = market(notice=0.0)
    revocation = none.revocation(lease_of(grant, 1.0, 5.0), grant)
    assert revocation.warned == revocation.due == at(300)


def test_on_demand_is_not_revoked():
    here = market()
    (grant,) = here.grant(Bid(A, Terms.ON_DEMAND), at(5))
    assert here.revocation(lease_of(grant), grant) is None


def test_watches_come_true_at_changes():
    here = market()
    high, low = PriceAbove(A, 0.5), PriceBelow(B, 0.36)
    assert here.next_true((high, low), at(0), at(500)) == (low, at(50))
    assert here.next_true((high, low), at(50), at(500)) == (high, at(100))
    assert here.next_true((high,), at(100), at(500)) == (high, at(200))
    assert here.next_true((high,), at(50), at(99)) is None
    assert here.next_true((high,), at(50), at(100)) == (high, at(100))
    assert here.next_true((high,), at(200), math.inf) is None
    assert here.next_true((PriceAbove(SERVER, 0.0),), at(0), math.inf) is None
    assert here.next_true((), at(0), math.inf) is None


def test_of_two_watches_at_one_moment_the_first_named_is_told():
    one, other = PriceAbove(A, 0.5), PriceAbove(A, 0.6)
    assert market().next_true((one, other), at(0), at(500)) == (one, at(100))
    assert market().next_true((other, one), at(0), at(500)) == (other, at(100))


def test_capacity_is_watched_beside_what_is_held():
    here = market()
    (held,) = here.grant(Bid(B, Terms.SPOT), at(5))
    room = CapacityAbove(B, 0)
    assert here.next_true((room,), at(5), at(500), (held,)) == (room, at(20))
    assert here.next_true((CapacityAbove(B, 1),), at(5), at(500), (held,)) is None
    assert here.next_true((CapacityAbove(B, 1),), at(5), at(500)) == (CapacityAbove(B, 1), at(20))
    back = CapacityAbove(C, 0)
    assert here.next_true((back,), at(310), at(999)) == (back, at(400))
    assert here.next_true((CapacityAbove(A, 0),), at(0), math.inf) is None


def test_an_unknown_pool_is_not_watched():
    with pytest.raises(Misuse, match="Did you mean"):
        market().next_true((PriceAbove(Pool("p2.xlarge", "us-east-1z"), 1.0),), at(0), at(1))


def test_every_change_of_the_offers_is_named():
    here, moments, moment = market(), [], at(-10)
    while (change := here.next_change(moment)) is not None:
        moments.append(change)
        moment = change
    before = market().offers(at(-10))
    for seconds in np.arange(-10, 1010, 2.5):
        offers = market().offers(at(seconds))
        if offers != before:
            assert any(at(seconds) - 2.5 < change <= at(seconds) for change in moments), seconds
        before = offers


def test_charges_follow_the_terms_and_the_era():
    here = market()
    (spot,) = here.grant(Bid(B, Terms.SPOT), at(5))
    (fixed,) = here.grant(Bid(A, Terms.ON_DEMAND), at(5))
    open_lease = lease_of(spot, 1.0, 5.0)
    assert Invoice(here.charges(open_lease, at(105))).total == pytest.approx(Decimal("0.4") * 100 / 3600)
    assert Invoice(here.charges(lease_of(fixed, None, 5.0), at(3605))).total == Decimal("0.9")
    ended = Lease(
        LeaseId("l"), open_lease.instance, Terms.SPOT, at(5), 1.0, ended=at(300), ending=Ending.REVOKED
    )
    assert Invoice(here.charges(ended, at(300))).total == 0
    assert here.price(B, at(49)) == 0.4


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(5, 20_000), min_size=1, max_size=8), st.floats(6, 20_000), st.sampled_from(Ending))
def test_the_order_of_looks_changes_no_bill(looks, length, ending):
    here = market()
    (grant,) = here.grant(Bid(A, Terms.SPOT, 1, 5.0), at(5))
    open_lease = lease_of(grant, 5.0, 5.0)
    for look in looks:
        assert here.charges(open_lease, at(look)) == market().charges(open_lease, at(look))
    ended = Lease(LeaseId("l"), open_lease.instance, Terms.SPOT, at(5), 5.0, ended=at(length), ending=ending)
    for look in looks:
        assert here.charges(ended, at(look)) == market().charges(ended, at(look))


def test_on_demand_may_be_named_by_region():
    offers = market(on_demand=("us-east-1",)).offers(at(-10))
    assert [str(offer.pool) for offer in offers] == ["m5.large@us-east-1a", "p2.xlarge@us-east-1a"]
    everywhere = market(on_demand=None).offers(at(-10))
    assert [offer.zone[-1] for offer in everywhere] == ["a", "b", "c"]
    with pytest.raises(Misuse, match="Did you mean 'us-east-1'"):
        market(on_demand=("us-east-2",))


def test_wrong_settings_are_refused():
    with pytest.raises(Misuse, match="boot"):
        market(boot=-1.0)
    with pytest.raises(Misuse, match="notice"):
        market(notice=math.nan)
    strange = Pool("x9.huge", "us-east-1a")
    history = MarketHistory("test", {strange: PriceHistory(strange, [0], [1.0])})
    with pytest.raises(Misuse, match=r"no instance type 'x9\.huge'"):
        RecordedMarket(history, CATALOG, boot=0.0)
