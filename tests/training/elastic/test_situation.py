"""A job at a moment: how big it may be, what its leases are paid for, and what the ways to hold more cost."""

import math

import msgspec
import pytest
from bidding_views import NOW, leases, spot, steady
from waiting_views import HOURLY, REFUNDED, view

from tradewind.market.offers import Terms
from tradewind.training.elastic.bidding.situation import Situation


def situation(seen, end=0.0):
    return Situation(seen, seen.outlook, {}, end, reserve=0.0, patience=1.5)


def test_slack_is_the_time_that_the_work_leaves():
    found = situation(view([steady("c3.xlarge", "a", 0.21)], hours=8.0, left=24.0, vcpus=8.0))
    assert found.cap == 8.0
    assert found.hours == pytest.approx(64.0)
    assert found.slack == pytest.approx(16 * 3600.0)


def test_of_counted_instances_the_cheapest_size_counts_unless_it_is_too_slow():
    offers = [steady("c3.xlarge", "a", 0.21), steady("d2.8xlarge", "a", 5.52)]
    seen = view(offers, hours=8.0, left=24.0, vcpus=8.0)
    demand = msgspec.structs.replace(seen.goal.workers, count=4)
    roomy = msgspec.structs.replace(seen, goal=msgspec.structs.replace(seen.goal, workers=demand, vcpus=None))
    assert situation(roomy).cap == 16.0
    hurried = msgspec.structs.replace(
        roomy, goal=msgspec.structs.replace(roomy.goal, deadline=NOW + 3 * 3600.0)
    )
    found = situation(hurried)
    assert found.cap == 4 * 36.0
    assert {way.offer.type.name for way in found.ways()} == {"d2.8xlarge"}


def test_a_lease_is_paid_up_to_the_end_of_its_hour():
    held = leases("c3.xlarge", "a", 1, age=4000.0, limit=0.21)
    found = situation(view([spot("c3.xlarge", "a", 0.04)], held, tariffs=HOURLY))
    assert found.paid_until(found.held[0]) == NOW - 4000.0 + 7200.0
    assert found.paid_work(found.held[0]) == pytest.approx(4 * 3200 / 3600)
    by_second = situation(view([spot("c3.xlarge", "a", 0.04)], held))
    assert by_second.paid_until(by_second.held[0]) == NOW


def test_every_bid_is_looked_at_where_a_refund_makes_low_ones_worth_it():
    offers = [spot("c3.xlarge", "a", 0.04), steady("c3.xlarge", "a", 0.21)]
    refunded = [way.limit for way in situation(view(offers, tariffs=REFUNDED)).ways() if way.spot]
    assert sorted(refunded) == pytest.approx([0.041, 0.09, 0.21])
    paid = [way.limit for way in situation(view(offers, tariffs=HOURLY)).ways() if way.spot]
    assert paid == [0.21]


def test_a_renewal_has_no_start_up_to_pay_for():
    offers = [spot("c3.xlarge", "a", 0.04), steady("c3.xlarge", "a", 0.21)]
    held = leases("c3.xlarge", "a", 1, age=3600.0, limit=0.21)
    found = situation(view(offers, held))
    renewed = found.renewal(found.held[0])
    fresh = min(way.unit for way in found.ways() if way.spot)
    assert renewed.unit < fresh
    assert renewed.lease is found.held[0]


def test_a_renewal_of_an_unknown_pool_is_none():
    held = leases("c3.xlarge", "elsewhere", 1, age=3600.0, limit=0.21)
    found = situation(view([steady("c3.xlarge", "a", 0.21)], held))
    assert found.renewal(found.held[0]) is None


def test_without_a_deadline_it_has_patience_and_then_keeps_to_its_end():
    seen = view([steady("c3.xlarge", "a", 0.21)], hours=8.0)
    seen = msgspec.structs.replace(seen, goal=msgspec.structs.replace(seen.goal, deadline=None))
    assert situation(seen).end == pytest.approx(NOW + 1.5 * (8 * 3600 + 60) + 3600)
    assert situation(seen, end=NOW + 99.0).end == NOW + 99.0


def test_without_offers_nothing_is_smallest():
    assert situation(view([])).smallest() == math.inf
    assert {way.spot for way in situation(view([])).ways()} == set()
    assert Terms.SPOT in situation(view([], tariffs=HOURLY)).tariffs
