"""The peak's replicas, all the time."""

from serving_worlds import lease, offer, view_of

from tradewind.market.decisions import Release, Take
from tradewind.market.offers import Terms
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.testing.provisioning import ProvisioningLaws


class TestLaws(ProvisioningLaws):
    def policy(self):
        return Fixed(40.0)


def test_the_cheapest_type_per_request_for_the_peak():
    """Small: 0.1 $/h for 5/s is 0.02; large: 0.5 $/h for 30/s is 0.0167, so 3 large serve 61 at most 90."""
    view = view_of(offers=[offer("small", 0.1), offer("large", 0.5), offer("medium", 0.02, Terms.SPOT)])
    decision, _ = Fixed(61.0).decide(view, None)
    (take,) = decision.actions
    assert (take.bid.pool.instance_type, take.bid.terms, take.bid.count) == ("large", Terms.ON_DEMAND, 3)
    decision, _ = Fixed(61.0, headroom=1.5).decide(view, None)
    assert decision.actions[0].bid.count == 4
    decision, _ = Fixed(61.0, instance_type="small").decide(view, None)
    assert decision.actions[0].bid.count == 13
    assert decision.wake_at == view.now + 60


def test_of_equals_the_smallest():
    view = view_of(offers=[offer("small", 0.1), offer("large", 0.6)])
    assert Fixed(1.0).decide(view, None)[0].actions[0].bid.pool.instance_type == "small"


def test_what_is_held_is_counted():
    held = [lease(1, started=-500), lease(2, started=-400)]
    view = view_of(offers=[offer("small", 0.1)], leases=held)
    assert isinstance(Fixed(14.0).decide(view, None)[0].actions[0], Take)
    assert Fixed(14.0).decide(view, None)[0].actions[0].bid.count == 1
    assert Fixed(10.0).decide(view, None)[0].actions == ()
    assert Fixed(5.0).decide(view, None)[0].actions == (Release(held[1].id),)


def test_nothing_on_demand():
    view = view_of(offers=[offer("small", 0.1, Terms.SPOT)])
    decision, _ = Fixed(14.0).decide(view, None)
    assert decision.actions == () and decision.wake_at > view.now
